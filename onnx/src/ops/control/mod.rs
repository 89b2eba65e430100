//! Operators that run subgraphs, and those for sequences and optional values.

pub mod body;
pub mod branch;
pub mod optional;
pub mod repeat;
pub mod scan;
pub mod sequence;
pub mod sequence_map;
