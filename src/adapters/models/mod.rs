//! Models: a bundle on disk becomes a tract plan that scores batches, after its golden records have passed.

pub mod bundle;
pub mod features;
pub mod golden;
pub mod graph;
pub mod manifest;
pub mod ops;
pub mod plan;
pub mod readout;
pub mod scorer;

#[cfg(test)]
mod tests;
