//! The fast portable walk: 8-byte nodes, siblings adjacent, leaves that stay where they are, eight walks in flight.
//!
//! A step is `child + (x <= threshold)` without a branch: the false child lies first, the true one behind it, and a leaf's
//! threshold is NaN, which no value passes. So every row takes exactly as many steps as its tree is deep, and the processor
//! overlaps the eight. NaN fails every comparison and goes to the false child by itself; for nodes that want it on the true
//! side the row has a second copy in which NaN is minus infinity.
#![allow(unsafe_code)]

use std::collections::VecDeque;

use super::attributes::Ensemble;
use super::attributes::Mode;

/// Walks in flight: rows of one tree, or trees of one row.
const FLIGHT: usize = 8;
/// Rows whose features stay in the first-level cache while all trees pass over them.
const BLOCK: usize = 64;
/// From this depth on it pays to look whether all walks have arrived.
const DEEP: usize = 12;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Cell {
    threshold: f32,
    /// Column of the row, in the second copy if NaN belongs to the true side.
    column: u16,
    /// The false child, relative to the tree's first cell; a leaf names itself.
    child: u16,
}

#[derive(Clone, Copy, Debug)]
struct Tree {
    base: u32,
    depth: u32,
}

/// An ensemble laid out for the walk.
#[derive(Debug)]
pub struct Flat {
    cells: Vec<Cell>,
    /// Leaf number of each cell; 0 for a branch, which no walk ends in.
    leaf: Vec<u32>,
    trees: Vec<Tree>,
    /// Leaf weights, `padded` a leaf.
    weights: Vec<f32>,
    outputs: usize,
    padded: usize,
    /// Values a row must have.
    width: usize,
    /// Whether rows need the second copy.
    copies: bool,
}

impl Flat {
    /// Lays an ensemble out for rows of `width` values; `None` if a mode, a threshold or a size does not fit.
    pub fn new(ensemble: &Ensemble, width: usize) -> Option<Flat> {
        if width < ensemble.features || width == 0 || 2 * width > usize::from(u16::MAX) {
            return None;
        }
        let outputs = ensemble.outputs;
        let padded = if outputs == 1 { 1 } else { outputs.next_multiple_of(8) };
        let leaves = ensemble.weights.len() / outputs;
        let mut weights = vec![0f32; leaves.checked_mul(padded)?];
        for (to, from) in weights.chunks_exact_mut(padded).zip(ensemble.weights.chunks_exact(outputs)) {
            to[..outputs].copy_from_slice(from);
        }
        let mut flat =
            Flat { cells: vec![], leaf: vec![], trees: vec![], weights, outputs, padded, width, copies: false };
        for (root, depth) in ensemble.roots.iter().zip(&ensemble.depths) {
            flat.lay(ensemble, *root, *depth)?;
        }
        Some(flat)
    }

    /// Copies a tree breadth first, so that the cells of a level and of siblings lie together.
    fn lay(&mut self, ensemble: &Ensemble, root: u32, depth: usize) -> Option<()> {
        let base = self.cells.len();
        let mut queue = VecDeque::from([root]);
        let mut next = 1usize;
        while let Some(i) = queue.pop_front() {
            let node = &ensemble.nodes[i as usize];
            let me = self.cells.len() - base;
            if node.mode == Mode::Leaf {
                self.cells.push(Cell { threshold: f32::NAN, column: 0, child: u16::try_from(me).ok()? });
                self.leaf.push(node.leaf);
                continue;
            }
            let (threshold, left, right, nan_left) = as_leq(node)?;
            let column = node.feature as usize + if nan_left { self.width } else { 0 };
            self.copies |= nan_left;
            // next + 1 is the true child: both must fit
            u16::try_from(next + 1).ok()?;
            self.cells.push(Cell { threshold, column: column as u16, child: next as u16 });
            self.leaf.push(0);
            next += 2;
            queue.extend([right, left]);
        }
        self.trees.push(Tree { base: u32::try_from(base).ok()?, depth: depth as u32 });
        Some(())
    }

    pub fn bytes(&self) -> usize {
        self.cells.len() * (size_of::<Cell>() + 4) + self.weights.len() * 4
    }

    /// Adds the weights of every tree's leaf to `sums` (`outputs` a row).
    ///
    /// # Panics
    /// If `rows` is not whole rows of the width given to [`Flat::new`], or `sums` does not match.
    pub fn sum(&self, rows: &[f32], sums: &mut [f32]) {
        assert_eq!(rows.len() % self.width, 0, "rows are whole");
        let count = rows.len() / self.width;
        assert_eq!(sums.len(), count * self.outputs, "a sum for each row and output");
        let copied;
        let (rows, stride) = if self.copies {
            copied = self.with_copies(rows);
            (&copied[..], 2 * self.width)
        } else {
            (rows, self.width)
        };
        if self.padded == self.outputs {
            return self.walk(rows, stride, sums);
        }
        let mut wide = vec![0f32; count * self.padded];
        self.walk(rows, stride, &mut wide);
        for (to, from) in sums.chunks_exact_mut(self.outputs).zip(wide.chunks_exact(self.padded)) {
            to.iter_mut().zip(from).for_each(|(t, f)| *t += f);
        }
    }

    /// Every row followed by itself with NaN as minus infinity.
    fn with_copies(&self, rows: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(2 * rows.len());
        for row in rows.chunks_exact(self.width) {
            out.extend_from_slice(row);
            out.extend(row.iter().map(|x| if x.is_nan() { f32::NEG_INFINITY } else { *x }));
        }
        out
    }

    fn walk(&self, rows: &[f32], stride: usize, sums: &mut [f32]) {
        let blocks = rows.chunks(BLOCK * stride).zip(sums.chunks_mut(BLOCK * self.padded));
        for (rows, sums) in blocks {
            let whole = rows.len() / stride / FLIGHT * FLIGHT;
            let (many, few) = rows.split_at(whole * stride);
            let (many_sums, few_sums) = sums.split_at_mut(whole * self.padded);
            for tree in &self.trees {
                let base = tree.base as usize;
                let groups = many.chunks_exact(FLIGHT * stride).zip(many_sums.chunks_exact_mut(FLIGHT * self.padded));
                for (rows, sums) in groups {
                    // SAFETY: `rows` holds `FLIGHT` rows of `stride` values, so row `k` starts at `k * stride`; see `step`.
                    let ends = fly(tree.depth as usize, |k, at| unsafe { self.step(base + at, rows, k * stride) });
                    for (end, sums) in ends.iter().zip(sums.chunks_exact_mut(self.padded)) {
                        self.add(base + end, sums);
                    }
                }
            }
            for (row, sums) in few.chunks_exact(stride).zip(few_sums.chunks_exact_mut(self.padded)) {
                self.one_row(row, sums);
            }
        }
    }

    fn one_row(&self, row: &[f32], sums: &mut [f32]) {
        for trees in self.trees.chunks(FLIGHT) {
            let depth = trees.iter().map(|t| t.depth).max().unwrap_or(0);
            // a short last group walks its last tree several times and counts it once
            let bases: [usize; FLIGHT] = std::array::from_fn(|k| trees[k.min(trees.len() - 1)].base as usize);
            // SAFETY: `row` is one row of `stride` values; see `step`.
            let ends = fly(depth as usize, |k, at| unsafe { self.step(bases[k] + at, row, 0) });
            for (end, base) in ends.iter().zip(&bases).take(trees.len()) {
                self.add(base + end, sums);
            }
        }
    }

    /// The cell that follows `cell`, relative to its tree.
    ///
    /// # Safety
    /// `cell` is the first cell of a tree or what this function answered for a cell of that tree (plus the tree's base):
    /// `lay` made `child` and `child + 1` of a branch, and a leaf's own index, lie in the same tree. Behind `start`, `rows`
    /// has a whole row: twice the width if any cell asks for the second copy, else the width; `column` is below that.
    #[inline(always)]
    unsafe fn step(&self, cell: usize, rows: &[f32], start: usize) -> usize {
        // SAFETY: as above.
        let (cell, x) = unsafe {
            let cell = *self.cells.get_unchecked(cell);
            (cell, *rows.get_unchecked(start + usize::from(cell.column)))
        };
        usize::from(cell.child) + usize::from(x <= cell.threshold)
    }

    #[inline(always)]
    fn add(&self, end: usize, sums: &mut [f32]) {
        let leaf = self.leaf[end] as usize;
        if self.padded == 1 {
            sums[0] += self.weights[leaf];
        } else {
            let weights = self.weights[leaf * self.padded..][..self.padded].chunks_exact(8);
            for (sums, weights) in sums.chunks_exact_mut(8).zip(weights) {
                sums.iter_mut().zip(weights).for_each(|(s, w)| *s += w);
            }
        }
    }
}

/// Takes `depth` steps on eight walks at once and says in which cells they end.
#[inline(always)]
fn fly(depth: usize, step: impl Fn(usize, usize) -> usize) -> [usize; FLIGHT] {
    let mut at = [0usize; FLIGHT];
    let all = |at: &mut [usize; FLIGHT]| {
        for (k, at) in at.iter_mut().enumerate() {
            *at = step(k, *at);
        }
    };
    let mut left = depth;
    while depth > DEEP && left > 3 {
        all(&mut at);
        all(&mut at);
        let before = at;
        all(&mut at);
        left -= 3;
        if before == at {
            left = 0;
        }
    }
    for _ in 0..left {
        all(&mut at);
    }
    at
}

/// A branch as `x <= threshold goes left`: (threshold, left, right, NaN goes left). `None` if it cannot be said so.
fn as_leq(node: &super::attributes::Node) -> Option<(f32, u32, u32, bool)> {
    let t = node.threshold;
    let (threshold, yes_left) = match node.mode {
        Mode::Leq => (t, true),
        // x < t is x <= the next float below t
        Mode::Lt => (t.next_down(), true),
        Mode::Gte => (t.next_down(), false),
        Mode::Gt => (t, false),
        Mode::Eq | Mode::Neq | Mode::Leaf => return None,
    };
    if t.is_nan() || t == f32::NEG_INFINITY && matches!(node.mode, Mode::Lt | Mode::Gte) {
        return None;
    }
    Some(if yes_left {
        (threshold, node.yes, node.no, node.nan_true)
    } else {
        (threshold, node.no, node.yes, !node.nan_true)
    })
}
