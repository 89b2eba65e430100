//! An ensemble as its attributes mean it, checked: every walk ends, every reference is valid.

use std::cmp::Ordering;

use crate::error::OpError;
use crate::trees::real::Real;

/// Longest path from a root to a leaf, after chains of equality tests became sets.
pub const DEPTH_MAX: u32 = 1 << 14;
/// Highest feature number.
pub const FEATURES_MAX: i64 = 1 << 22;
/// Most outputs of one ensemble.
pub const OUTPUTS_MAX: usize = 1 << 20;

/// How a branch compares: `x MODE threshold` goes to the true child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Leq,
    Lt,
    Gte,
    Gt,
    Eq,
    Neq,
    /// `x` lies in one of a set's ranges.
    Member,
    Leaf,
}

/// One node; children index [`Ensemble::nodes`].
#[derive(Clone, Copy, Debug)]
pub struct Node<T> {
    pub mode: Mode,
    /// A NaN goes to the true child.
    pub nan_true: bool,
    pub feature: u32,
    pub threshold: T,
    pub yes: u32,
    pub no: u32,
    /// Number of the leaf, or of the set of a [`Mode::Member`].
    pub index: u32,
}

impl<T: Real> Node<T> {
    pub fn leaf(index: u32) -> Node<T> {
        Node { mode: Mode::Leaf, nan_true: false, feature: 0, threshold: T::ZERO, yes: 0, no: 0, index }
    }

    pub fn is_leaf(&self) -> bool {
        self.mode == Mode::Leaf
    }
}

/// Ascending closed ranges without a common value.
pub type Ranges<T> = Vec<(T, T)>;

/// One weight of a leaf.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry<T> {
    pub output: u32,
    pub weight: T,
}

/// The weights of all leaves, in the order in which onnxruntime adds them.
#[derive(Clone, Debug, Default)]
pub struct Leaves<T> {
    /// Where the entries of each leaf start, and one more.
    starts: Vec<u32>,
    entries: Vec<Entry<T>>,
}

impl<T: Real> Leaves<T> {
    /// `owner` is the leaf of each entry, ascending.
    pub fn new(count: usize, owners: &[u32], entries: Vec<Entry<T>>) -> Leaves<T> {
        let mut starts = Vec::with_capacity(count + 1);
        let mut at = 0;
        for leaf in 0..count as u32 {
            starts.push(at as u32);
            while owners.get(at) == Some(&leaf) {
                at += 1;
            }
        }
        starts.push(at as u32);
        Leaves { starts, entries }
    }

    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn of(&self, leaf: usize) -> &[Entry<T>] {
        &self.entries[self.starts[leaf] as usize..self.starts[leaf + 1] as usize]
    }

    pub fn entries(&self) -> &[Entry<T>] {
        &self.entries
    }

    /// Leaves with the same weights, bit by bit, as one; and the new number of each leaf. Numbers keep their order.
    ///
    /// Half of a forest's leaves and more are of one class alone: their table then stays in a cache.
    pub(super) fn merged(&self) -> (Leaves<T>, Vec<u32>) {
        let mut order: Vec<u32> = (0..self.count() as u32).collect();
        let compare = |a: u32, b: u32| compare(self.of(a as usize), self.of(b as usize));
        order.sort_unstable_by(|a, b| compare(*a, *b).then(a.cmp(b)));
        let mut first = vec![0; self.count()];
        for same in order.chunk_by(|a, b| compare(*a, *b).is_eq()) {
            same.iter().for_each(|leaf| first[*leaf as usize] = same[0]);
        }
        let (mut numbers, mut starts, mut entries) = (vec![0; self.count()], vec![0], vec![]);
        for leaf in 0..self.count() {
            let first = first[leaf] as usize;
            numbers[leaf] = if first == leaf { starts.len() as u32 - 1 } else { numbers[first] };
            if first == leaf {
                entries.extend_from_slice(self.of(leaf));
                starts.push(entries.len() as u32);
            }
        }
        (Leaves { starts, entries }, numbers)
    }
}

fn compare<T: Real>(a: &[Entry<T>], b: &[Entry<T>]) -> Ordering {
    let entry = |(a, b): (&Entry<T>, &Entry<T>)| a.output.cmp(&b.output).then(a.weight.total_cmp(&b.weight));
    a.len().cmp(&b.len()).then_with(|| a.iter().zip(b).map(entry).find(|o| o.is_ne()).unwrap_or(Ordering::Equal))
}

/// Trees with valid references and no cycle. Nodes may have several parents, within a tree.
#[derive(Clone, Debug)]
pub struct Ensemble<T> {
    pub nodes: Vec<Node<T>>,
    pub roots: Vec<u32>,
    pub sets: Vec<Ranges<T>>,
    pub leaves: Leaves<T>,
    pub outputs: usize,
    /// Features that the rows must have at least.
    pub features: usize,
    /// Weights of all leaves, before those with the same ones became one.
    pub weights: usize,
}

impl Ensemble<f32> {
    /// The same trees for rows of doubles, as onnxruntime widens them.
    pub fn widened(&self) -> Ensemble<f64> {
        let node = |n: &Node<f32>| Node {
            mode: n.mode,
            nan_true: n.nan_true,
            feature: n.feature,
            threshold: f64::from(n.threshold),
            yes: n.yes,
            no: n.no,
            index: n.index,
        };
        let range = |r: &(f32, f32)| (f64::from(r.0), f64::from(r.1));
        let entry = |e: &Entry<f32>| Entry { output: e.output, weight: f64::from(e.weight) };
        Ensemble {
            nodes: self.nodes.iter().map(node).collect(),
            roots: self.roots.clone(),
            sets: self.sets.iter().map(|set| set.iter().map(range).collect()).collect(),
            leaves: Leaves {
                starts: self.leaves.starts.clone(),
                entries: self.leaves.entries.iter().map(entry).collect(),
            },
            outputs: self.outputs,
            features: self.features,
            weights: self.weights,
        }
    }
}

impl<T: Real> Ensemble<T> {
    /// Checks what the readers cannot see node by node; children, leaves and sets must be in range already.
    ///
    /// # Errors
    /// If a walk would not end, or takes more than [`DEPTH_MAX`] steps.
    pub fn checked(mut self) -> Result<Ensemble<T>, OpError> {
        depths(self.nodes.len(), &self.roots, |i| children(&self.nodes[i as usize]), u32::MAX)?;
        self.fold_equalities();
        depths(self.nodes.len(), &self.roots, |i| children(&self.nodes[i as usize]), DEPTH_MAX)?;
        self.weights = self.leaves.entries.len();
        let (leaves, numbers) = self.leaves.merged();
        self.leaves = leaves;
        self.nodes.iter_mut().filter(|n| n.is_leaf()).for_each(|n| n.index = numbers[n.index as usize]);
        let used = self.nodes.iter().filter(|n| !n.is_leaf());
        self.features = used.map(|n| n.feature as usize + 1).max().unwrap_or(0);
        Ok(self)
    }

    /// Converters write `x in {a, b, c}` as a chain of equality tests with one true child: makes it one set.
    ///
    /// Only nodes with one parent join a chain, so that each belongs to one chain at most.
    fn fold_equalities(&mut self) {
        let mut parents = vec![0u8; self.nodes.len()];
        for node in self.nodes.iter().filter(|n| !n.is_leaf()) {
            for child in [node.yes, node.no] {
                parents[child as usize] = parents[child as usize].saturating_add(1);
            }
        }
        for root in &self.roots {
            parents[*root as usize] = 2;
        }
        let follows = |from: &Node<T>, to: u32| {
            let next = &self.nodes[to as usize];
            next.mode == Mode::Eq
                && parents[to as usize] == 1
                && next.feature == from.feature
                && next.yes == from.yes
                && next.nan_true == from.nan_true
        };
        let mut inside = vec![false; self.nodes.len()];
        for node in self.nodes.iter().filter(|n| n.mode == Mode::Eq && follows(n, n.no)) {
            inside[node.no as usize] = true;
        }
        let mut found = vec![];
        for (i, first) in self.nodes.iter().enumerate().filter(|(i, n)| n.mode == Mode::Eq && !inside[*i]) {
            let (mut at, mut values) = (first, vec![first.threshold]);
            while follows(at, at.no) {
                at = &self.nodes[at.no as usize];
                values.push(at.threshold);
            }
            if values.len() > 1 {
                found.push((i, at.no, values));
            }
        }
        for (i, no, values) in found {
            let node = &mut self.nodes[i];
            (node.mode, node.no, node.index) = (Mode::Member, no, self.sets.len() as u32);
            self.sets.push(ranges(values.into_iter().map(|v| (v, v)).collect()));
        }
    }
}

/// Sorted, without NaN and overlaps.
pub fn ranges<T: Real>(mut all: Vec<(T, T)>) -> Ranges<T> {
    all.retain(|(a, b)| a <= b);
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut out: Ranges<T> = vec![];
    for (from, to) in all {
        match out.last_mut() {
            Some(last) if from <= last.1 => {
                if to > last.1 {
                    last.1 = to;
                }
            }
            _ => out.push((from, to)),
        }
    }
    out
}

fn children<T: Real>(node: &Node<T>) -> Option<(u32, u32)> {
    (!node.is_leaf()).then_some((node.yes, node.no))
}

/// Longest path from each node that a root reaches to a leaf; nodes without children are leaves.
///
/// # Errors
/// If there is a cycle, or a path is longer than `most`.
pub fn depths(
    count: usize,
    roots: &[u32],
    children: impl Fn(u32) -> Option<(u32, u32)>,
    most: u32,
) -> Result<Vec<u32>, OpError> {
    const NEW: u32 = u32::MAX;
    const OPEN: u32 = u32::MAX - 1;
    let mut depth = vec![NEW; count];
    let mut stack = vec![];
    for root in roots {
        stack.push(*root);
        while let Some(&i) = stack.last() {
            let Some((a, b)) = children(i) else {
                depth[i as usize] = 0;
                stack.pop();
                continue;
            };
            let (da, db) = (depth[a as usize], depth[b as usize]);
            if depth[i as usize] == NEW {
                depth[i as usize] = OPEN;
                if da == OPEN || db == OPEN {
                    return Err(OpError::bad("the nodes of a tree form a cycle"));
                }
                stack.extend([a, b].into_iter().filter(|c| depth[*c as usize] == NEW));
            } else {
                stack.pop();
                if depth[i as usize] == OPEN {
                    if da >= OPEN || db >= OPEN {
                        return Err(OpError::bad("the nodes of a tree form a cycle"));
                    }
                    depth[i as usize] = 1 + da.max(db);
                    if depth[i as usize] > most {
                        return Err(OpError::too_large(format!("a tree is deeper than {most} levels")));
                    }
                }
            }
        }
    }
    Ok(depth)
}
