//! The walk that follows the definition word by word: any mode, one row of one tree after the other.
//!
//! Every faster path is compared with it, in the tests and when a model is loaded.

use crate::trees::ensemble::Ensemble;
use crate::trees::ensemble::Mode;
use crate::trees::real::Real;

/// The leaf that `row` ends in.
///
/// # Panics
/// If the row has fewer values than [`Ensemble::features`].
pub fn leaf<T: Real>(ensemble: &Ensemble<T>, root: u32, row: &[T]) -> u32 {
    let mut node = &ensemble.nodes[root as usize];
    loop {
        if node.is_leaf() {
            return node.index;
        }
        let (x, t) = (row[node.feature as usize], node.threshold);
        let yes = match node.mode {
            Mode::Leq => x <= t,
            Mode::Lt => x < t,
            Mode::Gte => x >= t,
            Mode::Gt => x > t,
            Mode::Eq => x == t,
            Mode::Neq => x != t,
            Mode::Member => {
                let set = &ensemble.sets[node.index as usize];
                let after = set.partition_point(|range| range.0 <= x);
                after > 0 && x <= set[after - 1].1
            }
            Mode::Leaf => return node.index,
        } || node.nan_true && x.is_nan();
        node = &ensemble.nodes[if yes { node.yes } else { node.no } as usize];
    }
}
