//! Layer 1: what others may know about the process: logs, metrics, the published state, heartbeats.

pub mod catalog;
pub mod health;
pub mod log_queue;
pub mod logging;
pub mod loop_lag;
pub mod metrics;
pub mod recorder;
pub mod scrape;
pub mod snapshot;
