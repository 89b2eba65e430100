//! Blocks of rows through all trees: ranks, leaves by the instructions of the processor, the rest of deep trees, and the sums.
#![allow(unsafe_code)]

use crate::trees::fast::Sink;
use crate::trees::fast::flat::Cell;
use crate::trees::fast::flat::Flat;
use crate::trees::fast::lanes::Lanes;
use crate::trees::fast::lanes::Room;
use crate::trees::real::Real;

/// Rows, and the layout that goes on below the upper parts of trees.
#[derive(Debug)]
pub struct Rows<'a, T, C> {
    pub flat: &'a Flat<T, C>,
    /// As `flat` wants them if [`Lanes::descends`]; the features come first in each.
    pub values: &'a [T],
    pub stride: usize,
    pub count: usize,
}

impl<T: Real> Lanes<T> {
    /// Sends the leaf of every row and tree to `sink`, as [`Flat::walk`] does.
    ///
    /// # Panics
    /// If rows are narrower than the features that the trees use, or than `flat` wants them.
    pub fn walk<C: Cell<T>>(&self, rows: &Rows<'_, T, C>, room: &mut Room, sink: &mut impl Sink) {
        assert!(super::available(), "lanes are made only where the processor has the instructions");
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the instructions.
        unsafe {
            self.blocks(rows, room, sink);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Rows;
    use crate::trees::fast::Sink;
    use crate::trees::fast::flat::Cell;
    use crate::trees::fast::flat::FLIGHT;
    use crate::trees::fast::lanes::BLOCK;
    use crate::trees::fast::lanes::Form;
    use crate::trees::fast::lanes::Found;
    use crate::trees::fast::lanes::Lanes;
    use crate::trees::fast::lanes::ROWS;
    use crate::trees::fast::lanes::Room;
    use crate::trees::fast::lanes::TREES;
    use crate::trees::fast::lanes::perfect::Perfect;
    use crate::trees::fast::lanes::program::Line;
    use crate::trees::fast::lanes::ranks;
    use crate::trees::fast::lanes::ranks::search;
    use crate::trees::fast::lanes::simd;
    use crate::trees::fast::lanes::simd::compiled;
    use crate::trees::fast::lanes::small::Small;
    use crate::trees::real::Real;

    /// Rows of a last group, from which on it is faster than row by row.
    const LEAST: usize = 4;
    /// The same for small trees.
    const LEAST_SMALL: usize = 7;

    /// How many of `live` rows go in groups, the last of which may be short.
    fn grouped(live: usize, least: usize) -> usize {
        if live % ROWS >= least { live } else { live / ROWS * ROWS }
    }

    impl<T: Real> Lanes<T> {
        compiled! {
            pub(super) fn blocks<C: Cell<T>>(&self, rows: &Rows<'_, T, C>, room: &mut Room, sink: &mut impl Sink) {
                room.rows.resize(BLOCK * self.ranks.kind.row_lines(), Line::ZERO);
                for first in (0..rows.count).step_by(BLOCK) {
                    let live = BLOCK.min(rows.count - first);
                    self.rank(&rows.values[first * rows.stride..], rows.stride, live, &mut room.rows);
                    match &self.form {
                        Form::Perfect(perfect) => perfect.block(rows, first, live, room, sink),
                        Form::Small(small) => small.block(first, live, room, sink),
                    }
                }
            }

            fn rank(&self, rows: &[T], width: usize, count: usize, out: &mut [Line]) {
                let ranks = &self.ranks;
                // a number of levels that is known when compiled
                match ranks.levels {
                    1 => ranks.rank(rows, width, count, out, |x, keys| search(x, keys, 1, |x, keys| above(x, keys))),
                    2 => ranks.rank(rows, width, count, out, |x, keys| search(x, keys, 2, |x, keys| above(x, keys))),
                    _ => ranks.rank(rows, width, count, out, |x, keys| search(x, keys, 3, |x, keys| above(x, keys))),
                }
            }
        }
    }

    compiled! {
        #[inline]
        fn above<T: Real>(x: T, keys: &[T; ranks::KEYS]) -> usize {
            match T::singles(keys).and_then(|keys| keys.first_chunk()) {
                Some(keys) => simd::above(x.to_f32(), keys),
                None => ranks::above(x, keys),
            }
        }

        /// Sends what was found for `count` trees and some rows.
        #[inline]
        fn send(found: &Found, count: usize, first: usize, rows: usize, sink: &mut impl Sink) {
            let found = &found[..count];
            for row in 0..rows.min(ROWS) {
                sink.add_all(first + row, found.iter().map(|tree| tree[row]));
            }
        }
    }

    impl Perfect {
        compiled! {
            #[inline]
            fn block<T: Real, C: Cell<T>>(
                &self,
                rows: &Rows<'_, T, C>,
                first: usize,
                live: usize,
                room: &mut Room,
                sink: &mut impl Sink,
            ) {
                let Room { rows: ranks, answers, found } = room;
                let (lines, whole) = (self.program.kind.row_lines(), grouped(live, LEAST));
                for tree in (0..self.rest.len()).step_by(TREES) {
                    let count = TREES.min(self.rest.len() - tree);
                    for from in (0..whole).step_by(ROWS) {
                        let group = ROWS.min(whole - from);
                        simd::perfect_group(self, tree, group > ROWS / 2, &ranks[from * lines..], answers, found);
                        if self.deep {
                            self.descend(rows, tree, count, first + from, group, found);
                        }
                        send(found, count, first + from, group, sink);
                    }
                }
                for row in whole..live {
                    // many trees a step: what one step stores the next one reads, and leaves that are far away come together
                    for from in (0..self.rest.len()).step_by(TREES * TREES) {
                        let count = (TREES * TREES).min(self.rest.len() - from);
                        simd::perfect_row(self, from, count, &ranks[row * lines..], answers, found);
                        let groups = found.iter_mut().zip((from..from + count).step_by(TREES));
                        if self.deep {
                            groups.for_each(|(found, tree)| self.descend_row(rows, tree, TREES.min(from + count - tree), first + row, found));
                        }
                        sink.add_all(first + row, found.as_flattened()[..count].iter().copied());
                    }
                }
            }

            /// From cells to leaves, tree by tree.
            #[inline]
            fn descend<T: Real, C: Cell<T>>(
                &self,
                rows: &Rows<'_, T, C>,
                tree: usize,
                count: usize,
                first: usize,
                group: usize,
                found: &mut Found,
            ) {
                // a short group walks its last row several times
                let lanes: [usize; ROWS] = std::array::from_fn(|k| first + k.min(group - 1));
                for (t, found) in (tree..tree + count).zip(found) {
                    (group..ROWS).for_each(|k| found[k] = found[group - 1]);
                    let (rest, values, stride) = (self.rest[t], rows.values, rows.stride);
                    if group > FLIGHT {
                        rows.flat.descend_rows(t, found, rest, values, stride, &lanes);
                    } else {
                        let (found, lanes) = (found.first_chunk_mut::<FLIGHT>(), lanes.first_chunk::<FLIGHT>());
                        let (Some(found), Some(lanes)) = (found, lanes) else { continue };
                        rows.flat.descend_rows(t, found, rest, values, stride, lanes);
                    }
                }
            }

            /// From cells to leaves, all trees at once.
            #[inline]
            fn descend_row<T: Real, C: Cell<T>>(
                &self,
                rows: &Rows<'_, T, C>,
                tree: usize,
                count: usize,
                row: usize,
                found: &mut [u32; ROWS],
            ) {
                let rest = self.rest[tree..tree + count].iter().max().copied().unwrap_or(0);
                let trees: [usize; ROWS] = std::array::from_fn(|k| tree + k.min(count - 1));
                (count..ROWS).for_each(|k| found[k] = found[count - 1]);
                rows.flat.descend_trees(&trees, found, rest, rows.values, rows.stride, row);
            }
        }
    }

    impl Small {
        compiled! {
            #[inline]
            fn block(&self, first: usize, live: usize, room: &mut Room, sink: &mut impl Sink) {
                let Room { rows: ranks, answers, found } = room;
                let (lines, whole) = (self.program.kind.row_lines(), grouped(live, LEAST_SMALL));
                for tree in (0..self.trees).step_by(TREES) {
                    let count = TREES.min(self.trees - tree);
                    for from in (0..whole).step_by(ROWS) {
                        simd::small_group(self, tree, &ranks[from * lines..], answers, found);
                        send(found, count, first + from, ROWS.min(whole - from), sink);
                    }
                    let mut from = whole;
                    while from < live {
                        let four = live - from >= 4;
                        simd::small_rows(self, tree, four, &ranks[from * lines..], found);
                        let rows = if four { 4 } else { 1 };
                        send(found, count, first + from, rows, sink);
                        from += rows;
                    }
                }
            }
        }
    }
}
