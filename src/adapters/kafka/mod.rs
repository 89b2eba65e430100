//! The log: librdkafka behind [`crate::ports::Broker`], and the scout that asks the cluster about itself.

pub mod broker;
pub mod cleanup;
pub mod client;
pub mod close;
pub mod context;
mod fetched;
pub mod first_offset;
pub mod memory;
mod native;
pub mod options;
mod probe;
pub mod properties;
mod queues;
pub mod sample;
pub mod scout;
pub mod start_from;
mod stats;
pub mod walk;
