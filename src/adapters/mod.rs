//! Layer 2: the world behind the ports. Each folder alone knows its client library; they never import each other.

pub mod formats;
pub mod kafka;
pub mod models;
pub mod postgres;
