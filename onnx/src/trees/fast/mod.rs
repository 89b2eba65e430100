//! The fast walks, and with them all unsafe code of the trees.

pub mod blocks;
pub mod columns;
pub mod flat;

/// Where the leaves go that a walk finds.
pub trait Sink {
    /// Trees come in their order for each row.
    fn add(&mut self, row: usize, leaf: u32);
}
