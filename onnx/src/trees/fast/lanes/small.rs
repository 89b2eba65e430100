//! Trees of at most 32 leaves and any shape, two to a register of branches.
//!
//! Groups of rows walk a table of next states, which two registers hold. Single rows test all leaves at once: leaf `l` is the one
//! if `(answers ^ want[l]) & care[l] == 0`, where `care` are the branches above it and `want` those that answer "right".

use crate::trees::cuts::Cuts;
use crate::trees::fast::lanes::TREES;
use crate::trees::fast::lanes::program::Line;
use crate::trees::fast::lanes::program::Program;
use crate::trees::fast::lanes::ranks::Ranks;
use crate::trees::real::Real;

/// Most leaves of a tree; a state is a branch, or this and the number of a leaf.
pub const LEAVES: usize = 32;
/// Trees that are as shallow are better off as perfect ones.
const SHALLOW: usize = 6;

/// See the module.
#[derive(Debug)]
pub struct Small {
    pub program: Program,
    pub trees: usize,
    /// Two lines a tree: bytes `2 s` and `2 s + 1` are the states that follow `s` on the left and on the right.
    pub next: Vec<Line>,
    /// For each tree what its leaves want of the branches, bit `31 - b` for branch `b`.
    pub want: Vec<[u32; LEAVES]>,
    pub care: Vec<[u32; LEAVES]>,
    pub leaves: Vec<[u32; LEAVES]>,
    pub depths: Vec<u32>,
}

/// A node on the way down, with what was asked above it.
struct Open {
    node: u32,
    want: u32,
    care: u32,
    /// Byte of the table that leads here.
    from: Option<usize>,
}

impl Small {
    /// `None` if a tree has more leaves, no tree is deep enough, or it would take more than `most` bytes.
    pub fn new<T: Real>(cuts: &Cuts<T>, ranks: &Ranks<T>, most: usize) -> Option<Small> {
        // groups of trees are full; what is not there goes to leaf 0 at once
        let trees = cuts.roots.len().next_multiple_of(TREES);
        let bytes = trees * (ranks.kind.node_lines() * 32 + 128 + 3 * 4 * LEAVES);
        if bytes > most || cuts.roots.iter().all(|r| cuts.depth(*r) <= SHALLOW) {
            return None;
        }
        let mut out = Small {
            program: Program::new(ranks.kind, trees / 2),
            trees: cuts.roots.len(),
            next: vec![Line::ZERO; 2 * trees],
            want: vec![[0; LEAVES]; trees],
            care: vec![[0; LEAVES]; trees],
            leaves: vec![[0; LEAVES]; trees],
            depths: vec![0; trees],
        };
        for (tree, root) in cuts.roots.iter().enumerate() {
            out.depths[tree] = cuts.depth(*root) as u32;
            out.lay(cuts, ranks, tree, *root)?;
        }
        for table in out.next.chunks_exact_mut(2) {
            // walks that have arrived stay where they are
            (0..LEAVES).for_each(|l| table[1].0[2 * l..][..2].fill((LEAVES + l) as u8));
        }
        Some(out)
    }

    /// Every path to a node is a state of its own, so that shared nodes are no matter.
    fn lay<T: Real>(&mut self, cuts: &Cuts<T>, ranks: &Ranks<T>, tree: usize, root: u32) -> Option<()> {
        let (mut branches, mut leaves) = (0, 0);
        let mut open = vec![Open { node: root, want: 0, care: 0, from: None }];
        while let Some(Open { node, want, care, from }) = open.pop() {
            let node = &cuts.nodes[node as usize];
            let state = if node.is_leaf() {
                if leaves == LEAVES {
                    return None;
                }
                // leaves that are not there have nothing to care for and always fit, but behind the one that is meant
                self.want[tree][leaves] = want;
                self.care[tree][leaves] = care;
                self.leaves[tree][leaves] = node.leaf;
                leaves += 1;
                LEAVES + leaves - 1
            } else {
                if branches == LEAVES - 1 {
                    return None;
                }
                let place = ranks.place(node);
                self.program.put(tree / 2, tree % 2 * 32 + 31 - branches, place, node.nan_left);
                let (bit, at) = (1 << (31 - branches), Some(2 * branches));
                open.push(Open { node: node.right, want: want | bit, care: care | bit, from: at.map(|at| at + 1) });
                open.push(Open { node: node.left, want, care: care | bit, from: at });
                branches += 1;
                branches - 1
            };
            if let Some(at) = from {
                self.next[2 * tree].0[at] = state as u8;
            }
        }
        Some(())
    }

    /// Registers of up to [`TREES`] trees from `tree` on.
    pub fn part(&self, tree: usize) -> &[Line] {
        self.program.lines(tree / 2, self.trees.min(tree + TREES).div_ceil(2))
    }

    pub fn bytes(&self) -> usize {
        self.program.bytes()
            + size_of_val(&self.next[..])
            + self.want.len() * 3 * 4 * LEAVES
            + size_of_val(&self.depths[..])
    }
}
