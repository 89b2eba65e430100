//! Decision trees: plain arrays in, plain slices out; knows nothing of graphs.

pub mod attributes;
pub mod attributes5;
pub mod cuts;
pub mod ensemble;
pub mod fast;
pub mod finish;
pub mod forest;
pub mod naive;
pub mod probes;
pub mod real;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod transform;
