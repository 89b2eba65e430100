//! The walk that follows the ONNX definition word by word: any mode, any threshold, one row of one tree after the other.
//!
//! Serves what [`super::flat`] cannot hold, and the tests as the reference.

use super::attributes::Ensemble;
use super::attributes::Mode;

/// Index of the leaf that `row` ends in.
pub fn leaf(ensemble: &Ensemble, root: u32, row: &[f32]) -> usize {
    let mut node = &ensemble.nodes[root as usize];
    while node.mode != Mode::Leaf {
        let (x, t) = (row[node.feature as usize], node.threshold);
        let yes = match node.mode {
            Mode::Leq => x <= t,
            Mode::Lt => x < t,
            Mode::Gte => x >= t,
            Mode::Gt => x > t,
            Mode::Eq => x == t,
            Mode::Neq | Mode::Leaf => x != t,
        } || node.nan_true && x.is_nan();
        node = &ensemble.nodes[if yes { node.yes } else { node.no } as usize];
    }
    node.leaf as usize
}

/// Adds the weights of every tree's leaf to `sums` (`outputs` a row).
pub fn sum(ensemble: &Ensemble, rows: &[f32], width: usize, sums: &mut [f32]) {
    for (row, sums) in rows.chunks_exact(width).zip(sums.chunks_exact_mut(ensemble.outputs)) {
        for root in &ensemble.roots {
            let at = leaf(ensemble, *root, row) * ensemble.outputs;
            for (sum, weight) in sums.iter_mut().zip(&ensemble.weights[at..]) {
                *sum += weight;
            }
        }
    }
}
