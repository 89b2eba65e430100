//! All branches of a tree for many rows at once, without walking: a byte for each row, from the leaves up.
//!
//! Rows become ranks, column by column (see [`super::columns`]). A branch then is one comparison of the bytes of all rows with
//! one byte, and a selection: where it holds, the exit that the left child answers, else the one of the right child. The
//! exits are numbers, so that after the root every row has the number of its leaf, or of a place further down from where
//! [`super::flat`] goes on. The cost is that of all branches, not of those that a row passes, but divided by the rows that a
//! register holds; it does not depend on the shape of the tree.
//!
//! Sources: comparing a node for many rows at once is V-QuickScorer (Lucchese et al., SIGIR 2016) and RapidScorer (Ye et al.,
//! KDD 2018); they clear bits of the leaves that cannot be reached, in no order, where this selects bottom up and so needs a
//! byte for each node and row instead of a bit for each leaf.
#![allow(unsafe_code)]

use std::collections::HashSet;

use crate::trees::cuts::Cuts;
use crate::trees::fast::Sink;
use crate::trees::fast::columns::BYTE_KEYS;
use crate::trees::fast::columns::Columns;
use crate::trees::fast::flat::Cell;
use crate::trees::fast::flat::FLIGHT;
use crate::trees::fast::flat::Flat;
use crate::trees::real::Real;

/// Rows of a block.
pub const ROWS: usize = 64;
/// Most exits of a tree's upper part: half of the slots hold their numbers.
const EXITS: usize = 128;
/// Exits, and the answers of the branches.
const SLOTS: usize = 256;
/// Levels of the upper part of trees with more exits.
const TOP: u32 = 6;
/// Most columns: the ranks of a block stay in the second-level cache.
const COLUMNS: usize = 2048;

#[derive(Clone, Copy, Debug)]
struct Branch {
    column: u16,
    left: u8,
    right: u8,
    /// A greater rank goes right.
    rank: i8,
}

#[derive(Clone, Copy, Debug)]
struct Tree {
    /// Its branches, children before parents.
    branches: (u32, u32),
    exits: u32,
    /// Steps that are left behind the exits.
    rest: u32,
}

/// An ensemble laid out for blocks of rows.
#[derive(Debug)]
pub struct Blocks<T> {
    columns: Columns<T>,
    branches: Vec<Branch>,
    trees: Vec<Tree>,
    /// Numbers of leaves; of trees with steps left, cells of the flat layout.
    exits: Vec<u32>,
}

/// What a block needs beside the model.
#[derive(Debug, Default)]
pub struct Room {
    ranks: Vec<Line<i8>>,
    slots: Vec<Line<u8>>,
}

/// A byte for each row of a block.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line<B>([B; ROWS]);

/// The branches of a tree's upper part, children before parents, and the nodes behind them.
struct Upper {
    branches: Vec<u32>,
    exits: Vec<u32>,
}

fn upper<T: Real>(cuts: &Cuts<T>, root: u32, levels: u32) -> Option<Upper> {
    let mut seen = HashSet::from([root]);
    let (mut level, mut upper) = (vec![root], Upper { branches: vec![], exits: vec![] });
    for depth in 0.. {
        let mut next = vec![];
        for i in level {
            let node = &cuts.nodes[i as usize];
            if node.is_leaf() || depth == levels {
                upper.exits.push(i);
                continue;
            }
            upper.branches.push(i);
            next.extend([node.left, node.right].into_iter().filter(|c| seen.insert(*c)));
        }
        if upper.exits.len() > EXITS || upper.branches.len() > SLOTS - EXITS {
            return None;
        }
        if next.is_empty() {
            break;
        }
        level = next;
    }
    upper.branches.sort_by_key(|i| cuts.depths[*i as usize]);
    Some(upper)
}

impl<T: Real> Blocks<T> {
    /// `cells` says where in `flat` the nodes are. `None` if there are too many columns, or large trees that share nodes.
    pub fn new<C: Cell<T>>(cuts: &Cuts<T>, flat: &Flat<T, C>, cells: &[u32]) -> Option<Blocks<T>> {
        let columns = Columns::new(cuts, COLUMNS, BYTE_KEYS, true)?;
        let mut blocks = Blocks { columns, branches: vec![], trees: vec![], exits: vec![] };
        let mut slots = vec![None; cuts.nodes.len()];
        for (tree, root) in cuts.roots.iter().enumerate() {
            let upper = upper(cuts, *root, u32::MAX).or_else(|| upper(cuts, *root, TOP))?;
            let rest = upper.exits.iter().map(|i| cuts.depths[*i as usize]).max().unwrap_or(0);
            let place = |i: &u32| {
                let cell = cells[*i as usize];
                if rest == 0 {
                    Some(cuts.nodes[*i as usize].leaf)
                } else {
                    Some(cell).filter(|c| flat.cells(tree).contains(&(*c as usize)))
                }
            };
            let exits = blocks.exits.len() as u32;
            for exit in &upper.exits {
                blocks.exits.push(place(exit)?);
            }
            let first = blocks.branches.len() as u32;
            blocks.lay(cuts, &upper, &mut slots)?;
            blocks.trees.push(Tree { branches: (first, blocks.branches.len() as u32), exits, rest });
        }
        Some(blocks)
    }

    fn lay(&mut self, cuts: &Cuts<T>, upper: &Upper, slots: &mut [Option<u8>]) -> Option<()> {
        for (k, i) in upper.exits.iter().enumerate() {
            slots[*i as usize] = u8::try_from(k).ok();
        }
        for (k, i) in upper.branches.iter().enumerate() {
            let node = &cuts.nodes[*i as usize];
            let (column, rank) = self.columns.place(node);
            let (left, right) = (slots[node.left as usize]?, slots[node.right as usize]?);
            self.branches.push(Branch { column, left, right, rank: (rank as u8 ^ 0x80) as i8 });
            slots[*i as usize] = u8::try_from(EXITS + k).ok();
        }
        Some(())
    }

    pub fn bytes(&self) -> usize {
        self.columns.bytes()
            + size_of_val(&self.branches[..])
            + size_of_val(&self.exits[..])
            + size_of_val(&self.trees[..])
    }

    /// The least number of rows for which a block is faster than the walk, if there is one.
    ///
    /// A line through measurements on Zen 3 (nanoseconds): a branch 2.5 a block; for each row 0.6 a step of the search for
    /// ranks, 2 a tree and 1.05 a step of a walk. Without AVX2 blocks are never faster.
    pub fn least<C: Cell<T>>(&self, flat: &Flat<T, C>) -> Option<usize> {
        let rest: usize = self.trees.iter().map(|t| t.rest as usize).sum();
        let row = 0.6 * self.columns.steps() as f64 + 2.0 * self.trees.len() as f64 + 1.05 * rest as f64;
        let won = 0.95 * 1.05 * flat.steps() as f64 - row;
        let least = (2.5 * self.branches.len() as f64 / won).ceil();
        (available() && won > 0.0 && least <= ROWS as f64).then_some(least as usize)
    }

    /// Sends the leaf of every row and tree to `sink`, as [`Flat::walk`] does. `rows` are as `flat` wants them; the features
    /// come first in each. Fewer rows than `least` are left to `flat`.
    ///
    /// # Panics
    /// As [`Flat::walk`].
    #[allow(clippy::too_many_arguments)]
    pub fn walk<C: Cell<T>>(
        &self,
        flat: &Flat<T, C>,
        rows: &[T],
        stride: usize,
        count: usize,
        least: usize,
        room: &mut Room,
        sink: &mut impl Sink,
    ) {
        room.ranks.resize(self.columns.count(), Line([0; ROWS]));
        if room.slots.is_empty() {
            room.slots.extend((0..SLOTS).map(|k| Line([k as u8; ROWS])));
        }
        for first in (0..count).step_by(ROWS) {
            let block = Block { rows, stride, first, live: (count - first).min(ROWS) };
            if block.live < least {
                flat.walk(rows, stride, first..count, sink);
                return;
            }
            #[cfg(target_arch = "x86_64")]
            if available() {
                // SAFETY: the processor has what the function is compiled for.
                unsafe { self.block_avx2(flat, &block, room, sink) };
                continue;
            }
            self.block(flat, &block, room, sink, select);
        }
    }

    /// [`Blocks::block`] compiled for 32-byte registers.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn block_avx2<C: Cell<T>>(&self, flat: &Flat<T, C>, block: &Block<'_, T>, room: &mut Room, sink: &mut impl Sink) {
        // SAFETY: this function runs only where the processor has AVX2.
        self.block(flat, block, room, sink, |b, r, s| unsafe { select_avx2(b, r, s) });
    }

    #[inline(always)]
    fn block<C: Cell<T>>(
        &self,
        flat: &Flat<T, C>,
        block: &Block<'_, T>,
        room: &mut Room,
        sink: &mut impl Sink,
        select: impl Fn(&[Branch], &[Line<i8>], &mut [Line<u8>; SLOTS]) -> usize,
    ) {
        let Block { rows, stride, first, live } = *block;
        self.columns.rank(&rows[first * stride..], stride, live, room.ranks.iter_mut().map(|line| &mut line.0));
        for (t, tree) in self.trees.iter().enumerate() {
            let branches = &self.branches[tree.branches.0 as usize..tree.branches.1 as usize];
            let slots: &mut [Line<u8>; SLOTS] = room.slots.as_mut_slice().try_into().expect("made of this size");
            let last = select(branches, &room.ranks, slots);
            let found = &slots[last].0[..live];
            let exits = &self.exits[tree.exits as usize..];
            if tree.rest == 0 {
                for (k, exit) in found.iter().enumerate() {
                    sink.add(first + k, exits[usize::from(*exit)]);
                }
                continue;
            }
            for k in (0..live).step_by(FLIGHT) {
                // a short last group walks its last row several times and counts it once
                let lanes: [usize; FLIGHT] = std::array::from_fn(|i| (k + i).min(live - 1));
                let mut at = lanes.map(|k| exits[usize::from(found[k])]);
                flat.descend_rows(t, &mut at, tree.rest, rows, stride, &lanes.map(|k| first + k));
                for (i, leaf) in at.iter().enumerate().take(live - k) {
                    sink.add(first + k + i, *leaf);
                }
            }
        }
    }
}

struct Block<'a, T> {
    rows: &'a [T],
    stride: usize,
    first: usize,
    live: usize,
}

/// Whether the processor has what the fast variant needs; elsewhere blocks are slower than walks.
pub fn available() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Evaluates the branches; answers the slot of the last, or 0, the only exit of a tree without branches.
#[inline(always)]
fn select(branches: &[Branch], ranks: &[Line<i8>], slots: &mut [Line<u8>; SLOTS]) -> usize {
    let mut last = 0;
    for (branch, slot) in branches.iter().zip(EXITS..SLOTS) {
        let (left, right) = (slots[usize::from(branch.left)], slots[usize::from(branch.right)]);
        let ranks = &ranks[usize::from(branch.column)];
        let out = &mut slots[slot].0;
        for (k, out) in out.iter_mut().enumerate() {
            *out = if ranks.0[k] > branch.rank { right.0[k] } else { left.0[k] };
        }
        last = slot;
    }
    last
}

/// [`select`] with 32 bytes a comparison.
///
/// # Safety
/// The processor must have AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn select_avx2(branches: &[Branch], ranks: &[Line<i8>], slots: &mut [Line<u8>; SLOTS]) -> usize {
    use std::arch::x86_64::*;
    let mut last = 0;
    for (branch, slot) in branches.iter().zip(EXITS..SLOTS) {
        let rank = _mm256_set1_epi8(branch.rank);
        let ranks = ranks[usize::from(branch.column)].0.as_ptr();
        let left = slots[usize::from(branch.left)].0.as_ptr();
        let right = slots[usize::from(branch.right)].0.as_ptr();
        let out = slots[slot].0.as_mut_ptr();
        for half in [0, ROWS / 2] {
            // SAFETY: every line has 64 bytes and starts at a multiple of 64.
            unsafe {
                let goes_right = _mm256_cmpgt_epi8(_mm256_load_si256(ranks.add(half).cast()), rank);
                let left = _mm256_load_si256(left.add(half).cast());
                let right = _mm256_load_si256(right.add(half).cast());
                _mm256_store_si256(out.add(half).cast(), _mm256_blendv_epi8(left, right, goes_right));
            }
        }
        last = slot;
    }
    last
}
