//! The arrays of TreeEnsemble (version 5), read into an [`Ensemble`].
//!
//! Sets follow onnxruntime: a small one (fewer than 31 members, all in 0..=30) compares values as they are, a larger one cuts
//! the fraction off first, so that 40.5 is a member of {40, 50}. Sets with fractions, which onnxruntime refuses, compare as
//! the specification says.

use crate::bad;
use crate::error::OpError;
use crate::trees::attributes::feature;
use crate::trees::attributes::same;
use crate::trees::ensemble::Ensemble;
use crate::trees::ensemble::Entry;
use crate::trees::ensemble::Leaves;
use crate::trees::ensemble::Mode;
use crate::trees::ensemble::Node;
use crate::trees::ensemble::OUTPUTS_MAX;
use crate::trees::ensemble::Ranges;
use crate::trees::ensemble::ranges;
use crate::trees::real::Real;

/// The attributes as they stand in a file; nothing is trusted.
#[derive(Clone, Debug, Default)]
pub struct Attributes5<T> {
    pub features: Vec<i64>,
    pub modes: Vec<u8>,
    pub splits: Vec<T>,
    pub yes: Vec<i64>,
    pub no: Vec<i64>,
    /// Whether the true child is a leaf.
    pub yes_leaf: Vec<i64>,
    pub no_leaf: Vec<i64>,
    /// Empty, or 1 for a node whose NaN goes to the true child.
    pub nan_true: Vec<i64>,
    /// Members of the sets in the order of their nodes, each set ended by a NaN.
    pub members: Vec<T>,
    pub leaf_targets: Vec<i64>,
    pub leaf_weights: Vec<T>,
    pub roots: Vec<i64>,
    pub outputs: usize,
}

impl<T: Real> Attributes5<T> {
    /// # Errors
    /// Names the attribute that has the wrong length or points nowhere, and limits that are passed.
    pub fn read(&self) -> Result<Ensemble<T>, OpError> {
        let n = self.modes.len();
        let leaves = self.leaf_targets.len();
        if n == 0 || n + leaves >= u32::MAX as usize / 4 {
            bad!("attribute `nodes_modes` has {n} entries, `leaf_targetids` {leaves}");
        }
        same("nodes_featureids", self.features.len(), n)?;
        same("nodes_splits", self.splits.len(), n)?;
        same("nodes_truenodeids", self.yes.len(), n)?;
        same("nodes_falsenodeids", self.no.len(), n)?;
        same("nodes_trueleafs", self.yes_leaf.len(), n)?;
        same("nodes_falseleafs", self.no_leaf.len(), n)?;
        same("leaf_weights", self.leaf_weights.len(), leaves)?;
        if !self.nan_true.is_empty() {
            same("nodes_missing_value_tracks_true", self.nan_true.len(), n)?;
        }
        if !(1..=OUTPUTS_MAX).contains(&self.outputs) {
            bad!("{} targets, 1 to {OUTPUTS_MAX} are possible", self.outputs);
        }
        let mut nodes = Vec::with_capacity(n + leaves);
        let mut sets = vec![];
        let mut members = self.members.split(|v| v.is_nan());
        for i in 0..n {
            nodes.push(self.node(i, &mut members, &mut sets)?);
        }
        nodes.extend((0..leaves as u32).map(Node::leaf));
        let roots = self.roots.iter().map(|r| reference("tree_roots", *r, n)).collect::<Result<Vec<_>, _>>()?;
        if roots.is_empty() {
            bad!("attribute `tree_roots` is empty");
        }
        let leaves = self.leaves()?;
        Ensemble { nodes, roots, sets, leaves, outputs: self.outputs, features: 0, weights: 0 }.checked()
    }

    fn node<'a>(
        &self,
        i: usize,
        members: &mut impl Iterator<Item = &'a [T]>,
        sets: &mut Vec<Ranges<T>>,
    ) -> Result<Node<T>, OpError> {
        let (n, leaves) = (self.modes.len(), self.leaf_targets.len());
        let child = |id: i64, leaf: i64| match leaf {
            0 => reference("nodes_truenodeids or nodes_falsenodeids", id, n),
            _ => Ok(n as u32 + reference("nodes_truenodeids or nodes_falsenodeids", id, leaves)?),
        };
        let mut index = 0;
        let mode = match self.modes[i] {
            0 => Mode::Leq,
            1 => Mode::Lt,
            2 => Mode::Gte,
            3 => Mode::Gt,
            4 => Mode::Eq,
            5 => Mode::Neq,
            6 => {
                index = sets.len() as u32;
                let set = members.next().filter(|set| !set.is_empty());
                sets.push(set_ranges(set.ok_or_else(|| OpError::bad("a set has no `membership_values`"))?));
                Mode::Member
            }
            other => bad!("node mode {other} is not known"),
        };
        Ok(Node {
            mode,
            nan_true: self.nan_true.get(i) == Some(&1),
            feature: feature(self.features[i])?,
            threshold: self.splits[i],
            yes: child(self.yes[i], self.yes_leaf[i])?,
            no: child(self.no[i], self.no_leaf[i])?,
            index,
        })
    }

    fn leaves(&self) -> Result<Leaves<T>, OpError> {
        let mut entries = Vec::with_capacity(self.leaf_targets.len());
        for (target, weight) in self.leaf_targets.iter().zip(&self.leaf_weights) {
            let output = reference("leaf_targetids", *target, self.outputs)?;
            entries.push(Entry { output, weight: *weight });
        }
        let owners: Vec<u32> = (0..entries.len() as u32).collect();
        Ok(Leaves::new(entries.len(), &owners, entries))
    }
}

fn reference(name: &str, at: i64, count: usize) -> Result<u32, OpError> {
    if !(0..count as i64).contains(&at) {
        bad!("attribute `{name}` points to {at} of {count}");
    }
    Ok(at as u32)
}

fn set_ranges<T: Real>(members: &[T]) -> Ranges<T> {
    let small = |v: T| v >= T::ZERO && v <= T::from_f32(30.0);
    let exact = members.len() < 31 && members.iter().all(|v| small(*v));
    let whole = |v: T| v.trunc() == v && v >= T::from_f64(-2147483648.0) && v <= T::from_f64(2147483647.0);
    if exact || !members.iter().all(|v| whole(*v)) {
        return ranges(members.iter().map(|v| (*v, *v)).collect());
    }
    let wide = |v: T| {
        let (up, down) = ((v + T::ONE).next_down(), (v - T::ONE).next_up());
        let from = if v <= T::ZERO && down < v { down } else { v };
        let to = if v >= T::ZERO && up > v { up } else { v };
        (from, to)
    };
    ranges(members.iter().map(|v| wide(*v)).collect())
}
