//! The fast walks, and with them all unsafe code of the trees.

pub mod blocks;
pub mod columns;
pub mod flat;
pub mod lanes;

/// Where the leaves go that a walk finds.
pub trait Sink {
    /// Trees come in their order for each row.
    fn add(&mut self, row: usize, leaf: u32);

    /// Some trees of a row, one after the other.
    #[inline(always)]
    fn add_all(&mut self, row: usize, leaves: impl Iterator<Item = u32>) {
        leaves.for_each(|leaf| self.add(row, leaf));
    }
}
