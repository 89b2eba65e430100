//! Layer 2: the journey of a record, a file a step. Knows the ports, never an adapter.

pub mod clock;
pub mod intake;
pub mod message;
pub mod mill;
pub mod writer;
