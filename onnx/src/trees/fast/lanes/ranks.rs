//! The ranks of a row, laid out for registers: a search tree of 17 branches, of which a register holds the 16 keys.
//!
//! Source: the blocked search trees of FAST (Kim et al., SIGMOD 2010), one comparison a level; see [`super::super::columns`] for
//! what ranks are.

use crate::trees::cuts::Cut;
use crate::trees::cuts::Cuts;
use crate::trees::fast::columns::BYTE_KEYS;
use crate::trees::fast::columns::Columns;
use crate::trees::fast::lanes::program::Kind;
use crate::trees::fast::lanes::program::Line;
use crate::trees::real::Real;

/// Keys of a node.
pub const KEYS: usize = 16;
/// Most thresholds of a column of words: three levels.
const WORD_KEYS: u16 = 4912;

/// The rank of a NaN in a word: the highest number, or -1 for nodes that compare with signs.
const NAN: u16 = u16::MAX;

#[derive(Debug)]
struct Column {
    feature: u32,
    nan_left: bool,
    count: u32,
}

/// The columns of an ensemble.
#[derive(Debug)]
pub struct Ranks<T> {
    pub kind: Kind,
    source: Columns<T>,
    columns: Vec<Column>,
    /// Levels of the search, the same for all columns: 1 to 3.
    pub levels: usize,
    /// For each column its nodes, level after level, filled up with infinity.
    keys: Vec<T>,
}

impl<T: Real> Ranks<T> {
    /// `None` if there are too many columns for the kind.
    pub fn new(cuts: &Cuts<T>, kind: Kind) -> Option<Ranks<T>> {
        let keys = if kind.is_wide() { WORD_KEYS } else { BYTE_KEYS };
        let source = Columns::new(cuts, kind.columns(), keys, !kind.is_wide())?;
        let most = source.iter().map(|(_, keys)| keys.len()).max().unwrap_or(0);
        let levels = (1..).find(|levels| capacity(*levels) >= most).unwrap_or(1);
        let mut ranks = Ranks { kind, columns: vec![], levels, keys: vec![], source };
        for (column, thresholds) in ranks.source.iter() {
            let key = |i: usize| thresholds.get(i).copied().unwrap_or(T::INFINITY);
            let (mut step, mut nodes) = ((KEYS + 1).pow(levels as u32 - 1), 1);
            for _ in 0..levels {
                let first = |node: usize| node * step * (KEYS + 1);
                ranks.keys.extend((0..nodes).flat_map(|n| (1..=KEYS).map(move |j| first(n) + j * step - 1)).map(key));
                nodes *= KEYS + 1;
                step /= KEYS + 1;
            }
            let (feature, nan_left, count) = (column.feature, column.nan_left, thresholds.len() as u32);
            ranks.columns.push(Column { feature, nan_left, count });
        }
        Some(ranks)
    }

    /// Column and rank of a branch: x goes right if its rank in the column is greater.
    ///
    /// # Panics
    /// If the branch is not of the ensemble.
    pub fn place(&self, cut: &Cut<T>) -> (u16, u16) {
        self.source.place(cut)
    }

    /// Number of columns.
    pub fn count(&self) -> usize {
        self.columns.len()
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&self.keys[..]) + self.source.bytes()
    }

    /// Writes the ranks of `count` rows, which start `width` apart. `search` counts the keys of a column that lie below a
    /// value, by the column's keys.
    #[inline(always)]
    pub fn rank(&self, rows: &[T], width: usize, count: usize, out: &mut [Line], search: impl Fn(T, &[T]) -> usize) {
        let (keys, lines) = (capacity(self.levels), self.kind.row_lines());
        // column by column, so that its keys stay close by
        for (i, (column, keys)) in self.columns.iter().zip(self.keys.chunks_exact(keys)).enumerate() {
            let feature = column.feature as usize;
            for (row, out) in rows.chunks(width.max(1)).take(count).zip(out.chunks_exact_mut(lines)) {
                let x = row[feature];
                let nan = x.is_nan();
                let rank = search(if nan && column.nan_left { T::NEG_INFINITY } else { x }, keys);
                let rank = rank.min(column.count as usize);
                if self.kind.is_wide() {
                    let rank = if nan { NAN } else { rank as u16 };
                    out[i / 32].0[i % 32 * 2..][..2].copy_from_slice(&rank.to_le_bytes());
                } else {
                    out[i / 64].0[i % 64] = rank as u8;
                }
            }
        }
    }
}

/// Keys of a search tree.
fn capacity(levels: usize) -> usize {
    (KEYS + 1).pow(levels as u32) - 1
}

/// How many keys of a column lie below `x`; a NaN lies above all.
#[inline(always)]
pub fn search<T: Real>(x: T, keys: &[T], levels: usize, above: impl Fn(T, &[T; KEYS]) -> usize) -> usize {
    let (mut rank, mut first, mut nodes) = (0, 0, 1);
    for _ in 0..levels {
        let node = keys[(first + rank) * KEYS..].first_chunk().expect("a node has this many keys");
        rank = rank * (KEYS + 1) + above(x, node);
        first += nodes;
        nodes *= KEYS + 1;
    }
    rank
}

/// The same for any numbers.
// not `x > key`: a NaN lies above all
#[allow(clippy::neg_cmp_op_on_partial_ord)]
#[inline(always)]
pub fn above<T: Real>(x: T, keys: &[T; KEYS]) -> usize {
    keys.iter().map(|key| usize::from(!(x <= *key))).sum()
}
