//! The one form that all fast walks use: every branch is `x <= threshold goes left`, with a side for NaN.
//!
//! `x < t` is `x <= t.next_down()`, `>=` and `>` swap the children, and equality, inequality and sets become a balanced search
//! through the ends of their ranges. What can never be true stays as a branch with both children alike.

use crate::error::OpError;
use crate::trees::ensemble::Ensemble;
use crate::trees::ensemble::Mode;
use crate::trees::ensemble::Node;
use crate::trees::ensemble::Ranges;
use crate::trees::ensemble::depths;
use crate::trees::real::Real;

/// Not a leaf.
pub const BRANCH: u32 = u32::MAX;

/// A branch or a leaf; children index [`Cuts::nodes`].
#[derive(Clone, Copy, Debug)]
pub struct Cut<T> {
    pub threshold: T,
    pub feature: u32,
    pub nan_left: bool,
    pub left: u32,
    pub right: u32,
    /// Number of the leaf, or [`BRANCH`].
    pub leaf: u32,
}

impl<T> Cut<T> {
    pub fn is_leaf(&self) -> bool {
        self.leaf != BRANCH
    }
}

/// An ensemble in that form.
#[derive(Clone, Debug)]
pub struct Cuts<T> {
    pub nodes: Vec<Cut<T>>,
    pub roots: Vec<u32>,
    /// Longest path from each node to a leaf.
    pub depths: Vec<u32>,
    /// Some branch has two parents, so that a copy per path may be large without bound.
    pub shared: bool,
    pub features: usize,
}

impl<T: Real> Cuts<T> {
    /// # Errors
    /// If a tree becomes too deep.
    pub fn new(ensemble: &Ensemble<T>) -> Result<Cuts<T>, OpError> {
        let blank = Cut { threshold: T::ZERO, feature: 0, nan_left: false, left: 0, right: 0, leaf: 0 };
        let mut nodes = vec![blank; ensemble.nodes.len()];
        for (i, node) in ensemble.nodes.iter().enumerate() {
            let cut = cut(node, &ensemble.sets, &mut nodes);
            nodes[i] = cut;
        }
        let roots = ensemble.roots.clone();
        let children = |i: u32| {
            let cut: &Cut<T> = &nodes[i as usize];
            (!cut.is_leaf()).then_some((cut.left, cut.right))
        };
        let depths = depths(nodes.len(), &roots, children, u32::MAX - 2)?;
        let mut parents = vec![0u8; nodes.len()];
        let reached = nodes.iter().zip(&depths).filter(|(n, d)| !n.is_leaf() && **d != u32::MAX);
        let children = reached.flat_map(|(n, _)| [n.left, n.right]).chain(roots.iter().copied());
        children.for_each(|c| parents[c as usize] = parents[c as usize].saturating_add(1));
        let shared = nodes.iter().zip(&parents).any(|(n, p)| !n.is_leaf() && *p > 1);
        Ok(Cuts { nodes, roots, depths, shared, features: ensemble.features })
    }

    /// Longest path of a tree.
    pub fn depth(&self, root: u32) -> usize {
        self.depths[root as usize] as usize
    }
}

/// The cut that stands for a node; further ones are appended.
fn cut<T: Real>(node: &Node<T>, sets: &[Ranges<T>], out: &mut Vec<Cut<T>>) -> Cut<T> {
    let t = node.threshold;
    let (yes, no) = (node.yes, node.no);
    let branch = |threshold, nan_left, left, right| Cut {
        threshold,
        feature: node.feature,
        nan_left,
        left,
        right,
        leaf: BRANCH,
    };
    // all numbers go left, NaN goes right
    let all = |target: u32| branch(T::INFINITY, false, target, if node.nan_true { yes } else { no });
    match node.mode {
        Mode::Leaf => Cut { leaf: node.index, ..branch(T::ZERO, false, 0, 0) },
        Mode::Leq | Mode::Lt | Mode::Gte | Mode::Gt if t.is_nan() => all(no),
        Mode::Lt if t == T::NEG_INFINITY => all(no),
        Mode::Gte if t == T::NEG_INFINITY => all(yes),
        Mode::Leq => branch(t, node.nan_true, yes, no),
        Mode::Lt => branch(t.next_down(), node.nan_true, yes, no),
        Mode::Gte => branch(t.next_down(), !node.nan_true, no, yes),
        Mode::Gt => branch(t, !node.nan_true, no, yes),
        Mode::Eq | Mode::Neq if t.is_nan() => all(if node.mode == Mode::Eq { no } else { yes }).with_nan(node),
        Mode::Eq => search(&[(t, t)], [yes, no, if node.nan_true { yes } else { no }], node.feature, out),
        Mode::Neq => search(&[(t, t)], [no, yes, yes], node.feature, out),
        Mode::Member => {
            let nan = if node.nan_true { yes } else { no };
            search(&sets[node.index as usize], [yes, no, nan], node.feature, out)
        }
    }
}

impl<T: Real> Cut<T> {
    /// A NaN is unequal to everything.
    fn with_nan(self, node: &Node<T>) -> Cut<T> {
        if node.mode == Mode::Neq { Cut { right: node.yes, ..self } } else { self }
    }
}

/// A search for the range that holds x; `targets`: inside, outside, NaN.
fn search<T: Real>(ranges: &[(T, T)], targets: [u32; 3], feature: u32, out: &mut Vec<Cut<T>>) -> Cut<T> {
    let [inside, outside, nan] = targets;
    // pieces of the number line with their upper ends
    let mut pieces: Vec<(T, u32)> = Vec::with_capacity(2 * ranges.len() + 1);
    for (from, to) in ranges {
        if *from != T::NEG_INFINITY {
            pieces.push((from.next_down(), outside));
        }
        pieces.push((*to, inside));
    }
    if ranges.last().is_none_or(|r| r.1 != T::INFINITY) {
        pieces.push((T::INFINITY, outside));
    }
    let branch = |threshold, nan_left, left, right| Cut { threshold, feature, nan_left, left, right, leaf: BRANCH };
    let (first, last) = (pieces[0].1, pieces[pieces.len() - 1].1);
    if pieces.len() == 1 {
        return branch(T::INFINITY, false, first, nan);
    }
    let nan_left = nan == first;
    let top = balanced(&pieces, &|t, l, r| branch(t, nan_left, l, r), out);
    if nan_left || nan == last {
        return out.pop().expect("the top was appended last");
    }
    branch(T::INFINITY, false, top, nan)
}

/// Appends the branches over two pieces or more, the top one last; goes as deep as the logarithm of their number.
fn balanced<T: Real>(pieces: &[(T, u32)], branch: &impl Fn(T, u32, u32) -> Cut<T>, out: &mut Vec<Cut<T>>) -> u32 {
    if let [(_, target)] = pieces {
        return *target;
    }
    let (low, high) = pieces.split_at(pieces.len() / 2);
    let left = balanced(low, branch, out);
    let right = balanced(high, branch, out);
    out.push(branch(low[low.len() - 1].0, left, right));
    out.len() as u32 - 1
}
