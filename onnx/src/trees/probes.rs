//! Rows that lie where walks could go wrong: at the thresholds and beside them, NaN, infinities and zeros.

use std::collections::HashMap;

use crate::trees::ensemble::Ensemble;
use crate::trees::ensemble::Mode;
use crate::trees::real::Real;

/// Most rows.
const ROWS: usize = 200;
/// Steps that the naive walk may take over all rows, which bounds the time that a check takes.
const STEPS: usize = 4_000_000;

/// Some rows for an ensemble, always the same, and their width (1 at least).
pub fn rows<T: Real>(ensemble: &Ensemble<T>) -> (Vec<T>, usize) {
    let width = ensemble.features.max(1);
    let mut pools: HashMap<u32, Vec<T>> = HashMap::new();
    for node in ensemble.nodes.iter().filter(|n| !n.is_leaf()) {
        let pool = pools.entry(node.feature).or_default();
        if node.mode == Mode::Member {
            pool.extend(ensemble.sets[node.index as usize].iter().flat_map(|range| [range.0, range.1]));
        } else {
            pool.push(node.threshold);
        }
    }
    let deep = ensemble.roots.len().saturating_mul(16).max(ensemble.nodes.len() / 64).max(width);
    let count = (STEPS / deep).clamp(1, ROWS);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut values = Vec::with_capacity(count * width);
    for _ in 0..count {
        for feature in 0..width as u32 {
            let pick = pools.get(&feature).map_or(T::ZERO, |pool| pool[random.below(pool.len())]);
            values.push(match random.below(12) {
                0 => T::NAN,
                1 => T::INFINITY,
                2 => T::NEG_INFINITY,
                3 => T::ZERO,
                4 => -T::ZERO,
                5 => pick.next_up(),
                6 | 7 => pick.next_down(),
                _ => pick,
            });
        }
    }
    (values, width)
}

/// Xorshift (Marsaglia 2003): the same numbers in every run.
pub struct Random(pub u64);

impl Random {
    /// 64 bits, never all zero.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number from 0 on, below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.draw() >> 11) as usize % end.max(1)
    }
}
