//! Layer 2: the journey of a record, a file a step. Knows the ports, never an adapter.
//!
//! `intake` takes, `mill` decodes, scores and encodes, `writer` stores, and what is settled comes home to intake.

pub mod clock;
pub mod drive;
pub mod errands;
pub mod guarding;
pub mod intake;
pub mod intake_thread;
pub mod mailbox;
pub mod message;
pub mod mill;
pub mod publish;
pub mod start;
pub mod writer;
