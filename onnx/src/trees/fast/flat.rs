//! The portable walk: small nodes, siblings adjacent, leaves that stay where they are, eight walks in flight.
//!
//! A step is `child + (x <= threshold)` without a branch: the right child lies first, the left one behind it, and a leaf's
//! threshold is a NaN, which no value passes, with the leaf's number in its low bits. So every row takes as many steps as its
//! tree is deep, and the processor overlaps the eight. NaN fails every comparison and goes right by itself; for nodes that
//! want it on the left the row has a second copy in which NaN is minus infinity.
//!
//! Sources: rows in flight from Asadi, Lin and de Vries, "Runtime Optimizations for Tree-based Machine Learning Models" (VPred),
//! TKDE 2014; the rest is arithmetic.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ops::Range;

use crate::trees::cuts::Cuts;
use crate::trees::fast::Sink;
use crate::trees::real::Real;

/// Walks in flight: rows of one tree, or trees of one row.
pub const FLIGHT: usize = 8;
/// Rows whose features stay in the first-level cache while all trees pass over them.
const BLOCK: usize = 64;
/// From this depth on it pays to look whether all walks have arrived.
const DEEP: usize = 12;

/// Levels of the upper part of a tree, which are laid out breadth first.
const UPPER: usize = 6;
/// Levels of a block below: the cells of two levels fill a cache line.
const LOWER: usize = 2;

/// A node as it lies in memory. A leaf is its own child; its number is in its threshold.
pub trait Cell<T>: Copy + Send + Sync + std::fmt::Debug + 'static {
    /// `None` if a number does not fit.
    fn new(threshold: T, column: usize, child: usize) -> Option<Self>;
    fn threshold(self) -> T;
    fn column(self) -> usize;
    fn child(self) -> usize;
}

/// Eight bytes: up to 65,536 nodes a tree and 65,536 columns.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Small {
    threshold: f32,
    column: u16,
    child: u16,
}

impl Cell<f32> for Small {
    fn new(threshold: f32, column: usize, child: usize) -> Option<Small> {
        Some(Small { threshold, column: u16::try_from(column).ok()?, child: u16::try_from(child).ok()? })
    }
    #[inline(always)]
    fn threshold(self) -> f32 {
        self.threshold
    }
    #[inline(always)]
    fn column(self) -> usize {
        usize::from(self.column)
    }
    #[inline(always)]
    fn child(self) -> usize {
        usize::from(self.child)
    }
}

/// Twelve or sixteen bytes: any tree, any width, both number types.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Large<T> {
    threshold: T,
    column: u32,
    child: u32,
}

impl<T: Real> Cell<T> for Large<T> {
    fn new(threshold: T, column: usize, child: usize) -> Option<Large<T>> {
        Some(Large { threshold, column: u32::try_from(column).ok()?, child: u32::try_from(child).ok()? })
    }
    #[inline(always)]
    fn threshold(self) -> T {
        self.threshold
    }
    #[inline(always)]
    fn column(self) -> usize {
        self.column as usize
    }
    #[inline(always)]
    fn child(self) -> usize {
        self.child as usize
    }
}

#[derive(Clone, Copy, Debug)]
struct Tree {
    base: u32,
    depth: u32,
}

/// Trees laid out for the walk.
#[derive(Debug)]
pub struct Flat<T, C> {
    cells: Vec<C>,
    trees: Vec<Tree>,
    /// Values that a row must have at least: see [`Flat::width`].
    width: usize,
    number: PhantomData<T>,
}

impl<T: Real, C: Cell<T>> Flat<T, C> {
    /// The layout, and a cell of each node. `None` if a number does not fit the cells, or shared nodes would be laid out too
    /// often.
    pub fn new(cuts: &Cuts<T>) -> Option<(Flat<T, C>, Vec<u32>)> {
        let most = 4 * cuts.nodes.len() + 64;
        let copies = cuts.nodes.iter().any(|n| !n.is_leaf() && n.nan_left);
        let width = cuts.features * if copies { 2 } else { 1 };
        let mut flat = Flat { cells: vec![], trees: vec![], width, number: PhantomData };
        let mut places = vec![(u32::MAX, 0); cuts.nodes.len()];
        let mut cells = vec![0; cuts.nodes.len()];
        for (tree, root) in cuts.roots.iter().enumerate() {
            flat.lay(cuts, tree as u32, *root, &mut places, &mut cells)?;
            if flat.cells.len() > most {
                return None;
            }
        }
        Some((flat, cells))
    }

    /// Lays a tree out: its upper levels breadth first, below them small blocks of levels, each subtree in one piece, so that a
    /// walk touches few cache lines. `places` says where the children of a node are, and of which tree: a second parent gets
    /// another copy of the node, not of what is below.
    fn lay(
        &mut self,
        cuts: &Cuts<T>,
        tree: u32,
        root: u32,
        places: &mut [(u32, usize)],
        cells: &mut [u32],
    ) -> Option<()> {
        let mut order = vec![root];
        let mut blocks = vec![root];
        while let Some(parent) = blocks.pop() {
            let mut level = vec![parent];
            for _ in 0..if parent == root { UPPER } else { LOWER } {
                let mut next = vec![];
                for i in level {
                    let (node, place) = (&cuts.nodes[i as usize], &mut places[i as usize]);
                    if !node.is_leaf() && place.0 != tree {
                        *place = (tree, order.len());
                        order.extend([node.right, node.left]);
                        next.extend([node.right, node.left]);
                    }
                }
                level = next;
            }
            blocks.extend(level.into_iter().rev());
        }
        let base = self.cells.len();
        for (me, i) in order.into_iter().enumerate() {
            let node = &cuts.nodes[i as usize];
            cells[i as usize] = u32::try_from(base + me).ok()?;
            self.cells.push(if node.is_leaf() {
                C::new(T::tag(node.leaf)?, 0, me)?
            } else {
                let column = node.feature as usize + if node.nan_left { cuts.features } else { 0 };
                let child = places[i as usize].1;
                // the left child must fit too
                C::new(T::ZERO, 0, child + 1)?;
                C::new(node.threshold, column, child)?
            });
        }
        self.trees.push(Tree { base: u32::try_from(base).ok()?, depth: cuts.depth(root) as u32 });
        Some(())
    }

    /// Values that a row must have: the features, and if some node wants NaN on the left twice as many, the second half with
    /// NaN as minus infinity.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Steps of a row through all trees.
    pub fn steps(&self) -> usize {
        self.trees.iter().map(|t| t.depth as usize).sum()
    }

    /// The cells of a tree.
    pub fn cells(&self, tree: usize) -> Range<usize> {
        self.trees[tree].base as usize..self.trees.get(tree + 1).map_or(self.cells.len(), |t| t.base as usize)
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&self.cells[..]) + size_of_val(&self.trees[..])
    }

    /// Sends the leaf of every tree for the rows `which` to `sink`, for each row in the order of the trees. Row `i`
    /// starts at `i * stride`.
    ///
    /// # Panics
    /// If a row is shorter than [`Flat::width`], or some of `which` lie outside of `rows`.
    pub fn walk(&self, rows: &[T], stride: usize, which: Range<usize>, sink: &mut impl Sink) {
        assert!(stride >= self.width && rows.len() >= which.end * stride, "rows are as wide as the trees need");
        for first in which.clone().step_by(BLOCK) {
            let end = which.end.min(first + BLOCK);
            let whole = first + (end - first) / FLIGHT * FLIGHT;
            for tree in self.trees.iter().filter(|_| whole > first) {
                let base = tree.base as usize;
                for row in (first..whole).step_by(FLIGHT) {
                    // SAFETY: rows up to the end were checked above; see `step`.
                    let ends = fly(tree.depth, &[base; FLIGHT], |k, at| unsafe {
                        self.step(base, at, rows, (row + k) * stride)
                    });
                    for (k, end) in ends.iter().enumerate() {
                        sink.add(row + k, self.leaf(*end));
                    }
                }
            }
            for row in whole..end {
                self.one_row(rows, row, stride, sink);
            }
        }
    }

    /// Goes on from cells inside a tree: `at` are cells of `tree`, one for each of `lanes`, which are rows, and becomes the
    /// leaves that are reached after `depth` steps.
    ///
    /// # Panics
    /// As [`Flat::walk`], or if a cell is not of the tree.
    #[inline(always)]
    pub fn descend_rows<const N: usize>(
        &self,
        tree: usize,
        at: &mut [u32; N],
        depth: u32,
        rows: &[T],
        stride: usize,
        lanes: &[usize; N],
    ) {
        let end = lanes.iter().max().map_or(0, |row| (row + 1) * stride);
        assert!(stride >= self.width && rows.len() >= end, "rows are as wide as the trees need");
        let Range { start: base, end } = self.cells(tree);
        let count = (end - base) as u32;
        let outside = at.iter().fold(0, |n, cell| n | u32::from(cell.wrapping_sub(base as u32) >= count));
        assert_eq!(outside, 0, "cells are of the tree");
        // SAFETY: cells and rows were checked just now; see `step`.
        let ends =
            fly(depth, &at.map(|at| at as usize), |k, at| unsafe { self.step(base, at, rows, lanes[k] * stride) });
        for (at, end) in at.iter_mut().zip(ends) {
            *at = self.leaf(end);
        }
    }

    /// The same for one row: `at` are cells of `trees`, of which the deepest takes `depth` steps.
    ///
    /// # Panics
    /// As [`Flat::descend_rows`].
    #[inline(always)]
    pub fn descend_trees<const N: usize>(
        &self,
        trees: &[usize; N],
        at: &mut [u32; N],
        depth: u32,
        rows: &[T],
        stride: usize,
        row: usize,
    ) {
        assert!(stride >= self.width && rows.len() >= (row + 1) * stride, "rows are as wide as the trees need");
        let mut bases = [0; N];
        for k in 0..N {
            let cells = self.cells(trees[k]);
            assert!(cells.contains(&(at[k] as usize)), "cells are of the trees");
            bases[k] = cells.start;
        }
        // SAFETY: cells and rows were checked just now; see `step`.
        let ends =
            fly(depth, &at.map(|at| at as usize), |k, at| unsafe { self.step(bases[k], at, rows, row * stride) });
        for (at, end) in at.iter_mut().zip(ends) {
            *at = self.leaf(end);
        }
    }

    fn one_row(&self, rows: &[T], row: usize, stride: usize, sink: &mut impl Sink) {
        for trees in self.trees.chunks(FLIGHT) {
            let depth = trees.iter().map(|t| t.depth).max().unwrap_or(0);
            // a short last group walks its last tree several times and counts it once
            let bases: [usize; FLIGHT] = std::array::from_fn(|k| trees[k.min(trees.len() - 1)].base as usize);
            // SAFETY: rows up to the end were checked by the caller; see `step`.
            let ends = fly(depth, &bases, |k, at| unsafe { self.step(bases[k], at, rows, row * stride) });
            for end in ends.iter().take(trees.len()) {
                sink.add(row, self.leaf(*end));
            }
        }
    }

    /// The cell that follows `cell`.
    ///
    /// # Safety
    /// `base` is the first cell of a tree and `cell` that one, or what this function answered for a cell of the tree: `lay`
    /// made `child` and `child + 1` of a branch, and a leaf's own index, lie in the same tree. Behind `start`, `rows` has a
    /// whole row, [`Flat::width`] values at least; every column is below that, a leaf's too: with width 0 all trees are
    /// leaves of depth 0, in which no step is taken unless a group of trees holds a deeper one, which has a feature.
    #[inline(always)]
    unsafe fn step(&self, base: usize, cell: usize, rows: &[T], start: usize) -> usize {
        // SAFETY: as above.
        let (cell, x) = unsafe {
            let cell = *self.cells.get_unchecked(cell);
            (cell, *rows.get_unchecked(start + cell.column()))
        };
        base + cell.child() + usize::from(x <= cell.threshold())
    }

    #[inline(always)]
    fn leaf(&self, cell: usize) -> u32 {
        self.cells[cell].threshold().untag()
    }
}

/// Takes `depth` steps on some walks at once and says in which cells they end.
#[inline(always)]
fn fly<const N: usize>(depth: u32, from: &[usize; N], step: impl Fn(usize, usize) -> usize) -> [usize; N] {
    let mut at = *from;
    let mut left = depth;
    while depth as usize > DEEP && left > 3 {
        every(&mut at, &step);
        every(&mut at, &step);
        let before = at;
        every(&mut at, &step);
        left -= 3;
        if before == at {
            return at;
        }
    }
    for _ in 0..left {
        every(&mut at, &step);
    }
    at
}

/// A step of every walk.
#[inline(always)]
fn every<const N: usize>(at: &mut [usize; N], step: &impl Fn(usize, usize) -> usize) {
    for (k, at) in at.iter_mut().enumerate() {
        *at = step(k, *at);
    }
}
