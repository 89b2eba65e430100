//! Upper parts of trees as perfect trees of 6, 7 or 8 levels, one to four registers of branches each.
//!
//! Nodes are numbered as in a heap, from 1; node `h` is bit `63 - h % 64` of register `h / 64`. A walk holds `h`, and a step
//! shifts in the bit that a rotation by `h` brings to the top. What is left of deeper trees is walked by [`Flat`].

use crate::trees::cuts::Cuts;
use crate::trees::fast::flat::Cell;
use crate::trees::fast::flat::Flat;
use crate::trees::fast::lanes::TREES;
use crate::trees::fast::lanes::program::Line;
use crate::trees::fast::lanes::program::Program;
use crate::trees::fast::lanes::ranks::Ranks;
use crate::trees::real::Real;

/// Most registers of a tree.
pub const WORDS: usize = 4;

/// See the module.
#[derive(Debug)]
pub struct Perfect {
    pub program: Program,
    /// Registers of a tree: 1, 2 or 4.
    pub words: usize,
    /// For each tree `64 * words` leaves; cells of the flat layout, if some tree is deeper.
    pub exits: Vec<u32>,
    pub deep: bool,
    /// Steps behind the exits, for each tree.
    pub rest: Vec<u32>,
}

impl Perfect {
    /// `None` if it would take more than `most` bytes, or large trees share nodes.
    pub fn new<T: Real, C: Cell<T>>(
        cuts: &Cuts<T>,
        ranks: &Ranks<T>,
        flat: &Flat<T, C>,
        cells: &[u32],
        most: usize,
    ) -> Option<Perfect> {
        let deepest = cuts.roots.iter().map(|r| cuts.depth(*r)).max().unwrap_or(0);
        // more registers are worth it where they hold the whole tree, and words cost twice as much as bytes
        let words = match (deepest, ranks.kind.is_wide()) {
            (7, _) => 2,
            (8, false) => 4,
            _ => 1,
        };
        // groups of trees are full
        let trees = cuts.roots.len().next_multiple_of(TREES);
        let bytes = trees * words * 64 * (ranks.kind.node_lines() + 4);
        if bytes > most {
            return None;
        }
        let exits = vec![0; trees * words * 64];
        let program = Program::new(ranks.kind, trees * words);
        let mut out = Perfect { program, words, exits, deep: false, rest: vec![] };
        for (tree, root) in cuts.roots.iter().enumerate() {
            let rest = out.lay(cuts, ranks, tree, *root);
            out.rest.push(rest);
        }
        out.deep = out.rest.iter().any(|rest| *rest > 0);
        for (tree, exits) in out.exits.chunks_exact_mut(words * 64).take(cuts.roots.len()).enumerate() {
            for exit in exits {
                let (leaf, cell) = (cuts.nodes[*exit as usize].leaf, cells[*exit as usize]);
                *exit = if out.deep { Some(cell).filter(|c| flat.cells(tree).contains(&(*c as usize)))? } else { leaf };
            }
        }
        Some(out)
    }

    /// Puts the branches of a tree and notes the nodes behind them as exits; answers the steps that are left.
    fn lay<T: Real>(&mut self, cuts: &Cuts<T>, ranks: &Ranks<T>, tree: usize, root: u32) -> u32 {
        let exits = 64 * self.words;
        let mut rest = 0;
        let mut open = vec![(root, 1)];
        while let Some((i, h)) = open.pop() {
            let node = &cuts.nodes[i as usize];
            if h >= exits {
                self.exits[tree * exits + h - exits] = i;
                rest = rest.max(cuts.depths[i as usize]);
            } else if node.is_leaf() {
                // whatever the branches below answer, they lead to this leaf
                let levels = exits.ilog2() - h.ilog2();
                self.exits[tree * exits..][(h << levels) - exits..][..1 << levels].fill(i);
            } else {
                let place = ranks.place(node);
                self.program.put(tree * self.words + h / 64, 63 - h % 64, place, node.nan_left);
                open.extend([(node.left, 2 * h), (node.right, 2 * h + 1)]);
            }
        }
        rest
    }

    /// Registers and exits of up to `count` trees from `tree` on, whole groups of [`TREES`]; exits of trees that are not there
    /// are 0.
    pub fn part(&self, tree: usize, count: usize) -> (&[Line], &[u32]) {
        let end = self.rest.len().min(tree + count);
        let exits = &self.exits[tree * 64 * self.words..][..count.next_multiple_of(TREES) * 64 * self.words];
        (self.program.lines(tree * self.words, end * self.words), exits)
    }

    pub fn bytes(&self) -> usize {
        self.program.bytes() + size_of_val(&self.exits[..]) + size_of_val(&self.rest[..])
    }
}
