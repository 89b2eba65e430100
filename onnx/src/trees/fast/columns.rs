//! Rows as ranks: a value becomes the number of thresholds below it, and `x <= t` becomes a comparison of whole numbers.
//!
//! Exact: with the thresholds of a column ascending, `x <= t[k]` holds just when at most `k` of them lie below `x`. A column
//! belongs to a feature and a side for NaN (rank 0, or above all); too many thresholds make several columns.
//!
//! Source: RapidScorer (Ye et al., KDD 2018) and the "binning" of LightGBM; the search is a plain branchless binary one.

#![allow(unsafe_code)]

use std::collections::HashMap;

use crate::trees::cuts::Cut;
use crate::trees::cuts::Cuts;
use crate::trees::real::Real;

/// Most thresholds of a column whose ranks are bytes.
pub const BYTE_KEYS: u16 = 255;

#[derive(Debug)]
pub struct Column {
    pub feature: u32,
    /// A NaN has rank 0, else the highest.
    pub nan_left: bool,
    /// Start of the keys, of which there are `2^levels - 1`, filled up with infinity.
    keys: u32,
    levels: u32,
    /// Thresholds.
    count: u32,
}

/// The columns of an ensemble.
#[derive(Debug)]
pub struct Columns<T> {
    columns: Vec<Column>,
    keys: Vec<T>,
    places: HashMap<(u32, bool, u64), (u16, u16)>,
    sides: bool,
}

impl<T: Real> Columns<T> {
    /// `None` if there would be more than `most` columns, of at most `keys` thresholds each. Without `sides` a column serves
    /// both sides for NaN, and says neither.
    pub fn new(cuts: &Cuts<T>, most: usize, keys: u16, sides: bool) -> Option<Columns<T>> {
        let used = |n: &&Cut<T>| !n.is_leaf();
        let mut all: Vec<(u32, bool, T)> =
            cuts.nodes.iter().filter(used).map(|n| (n.feature, sides && n.nan_left, n.threshold)).collect();
        all.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
        all.dedup_by(|a, b| (a.0, a.1) == (b.0, b.1) && a.2 == b.2);
        let mut out = Columns { columns: vec![], keys: vec![], places: HashMap::with_capacity(all.len()), sides };
        for group in all.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let parts = group.len().div_ceil(usize::from(keys));
            for part in group.chunks(group.len().div_ceil(parts)) {
                if out.columns.len() >= most.min(usize::from(u16::MAX)) {
                    return None;
                }
                out.push(part);
            }
        }
        Some(out)
    }

    fn push(&mut self, part: &[(u32, bool, T)]) {
        let (feature, nan_left, _) = part[0];
        let levels = usize::BITS - part.len().leading_zeros();
        let keys = self.keys.len() as u32;
        for (k, (_, _, t)) in part.iter().enumerate() {
            self.places.insert((feature, nan_left, t.key()), (self.columns.len() as u16, k as u16));
            self.keys.push(*t);
        }
        self.keys.resize(keys as usize + (1 << levels) - 1, T::INFINITY);
        self.columns.push(Column { feature, nan_left, keys, levels, count: part.len() as u32 });
    }

    /// Column and rank of a branch: x goes right if its rank in the column is greater.
    ///
    /// # Panics
    /// If the branch is not of the ensemble.
    pub fn place(&self, cut: &Cut<T>) -> (u16, u16) {
        self.places[&(cut.feature, self.sides && cut.nan_left, cut.threshold.key())]
    }

    /// Each column with its thresholds, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&Column, &[T])> {
        self.columns.iter().map(|c| (c, &self.keys[c.keys as usize..][..c.count as usize]))
    }

    /// Number of columns.
    pub fn count(&self) -> usize {
        self.columns.len()
    }

    /// Steps of the search over all columns of a row.
    pub fn steps(&self) -> usize {
        self.columns.iter().map(|c| c.levels as usize).sum()
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&self.keys[..]) + self.places.len() * 24
    }

    /// Ranks of `count` rows (`R` at most), less 128, column after column; `out` has a line for each column. For columns of
    /// [`BYTE_KEYS`] at most.
    #[inline(always)]
    pub fn rank<'a, const R: usize>(
        &self,
        rows: &[T],
        width: usize,
        count: usize,
        out: impl Iterator<Item = &'a mut [i8; R]>,
    ) {
        const TOGETHER: usize = 8;
        for (column, out) in self.columns.iter().zip(out) {
            let keys = &self.keys[column.keys as usize..][..(1 << column.levels) - 1];
            let instead = if column.nan_left { T::NEG_INFINITY } else { T::NAN };
            for first in (0..count).step_by(TOGETHER) {
                let x: [T; TOGETHER] = std::array::from_fn(|k| {
                    let x = rows[(first + k).min(count - 1) * width + column.feature as usize];
                    if x.is_nan() { instead } else { x }
                });
                let mut at = [0usize; TOGETHER];
                for level in (0..column.levels).rev() {
                    let step = 1usize << level;
                    for (at, x) in at.iter_mut().zip(&x) {
                        // SAFETY: the steps so far were greater powers of two, so that `at + step` is below
                        // `2^levels`, and there are `2^levels - 1` keys.
                        let key = unsafe { *keys.get_unchecked(*at + step - 1) };
                        // not `x > key`: a NaN lies above all
                        #[allow(clippy::neg_cmp_op_on_partial_ord)]
                        let above = !(*x <= key);
                        *at += usize::from(above) << level;
                    }
                }
                for (out, at) in out[first..].iter_mut().zip(at) {
                    *out = (at.min(column.count as usize) as u8 ^ 0x80) as i8;
                }
            }
        }
    }
}
