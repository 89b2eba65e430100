//! The parallel arrays of TreeEnsembleClassifier and TreeEnsembleRegressor (versions 1 and 3), read into an [`Ensemble`].
//!
//! Where the specification is silent, onnxruntime decides: the first node of a tree is its root whatever its number, nodes
//! that no walk reaches are ignored, so are weights of branches, and a leaf without weights adds nothing, unless there is only
//! one output: then its threshold is its weight.

use std::collections::HashMap;
use std::collections::HashSet;

use crate::bad;
use crate::error::OpError;
use crate::trees::ensemble::Ensemble;
use crate::trees::ensemble::Entry;
use crate::trees::ensemble::FEATURES_MAX;
use crate::trees::ensemble::Leaves;
use crate::trees::ensemble::Mode;
use crate::trees::ensemble::Node;
use crate::trees::ensemble::OUTPUTS_MAX;
use crate::trees::real::Real;

/// The attributes as they stand in a file; nothing is trusted.
#[derive(Clone, Debug, Default)]
pub struct Attributes<T> {
    pub tree_ids: Vec<i64>,
    pub node_ids: Vec<i64>,
    pub features: Vec<i64>,
    pub modes: Vec<String>,
    pub values: Vec<T>,
    pub yes: Vec<i64>,
    pub no: Vec<i64>,
    /// Empty, or 1 for a node whose NaN goes to the true child.
    pub nan_true: Vec<i64>,
    pub weight_trees: Vec<i64>,
    pub weight_nodes: Vec<i64>,
    pub weight_outputs: Vec<i64>,
    pub weights: Vec<T>,
    /// Targets or classes.
    pub outputs: usize,
}

type Index = HashMap<(i64, i64), u32>;

impl<T: Real> Attributes<T> {
    /// # Errors
    /// Names the attribute that has the wrong length or points nowhere, and limits that are passed.
    pub fn read(&self) -> Result<Ensemble<T>, OpError> {
        let n = self.tree_ids.len();
        if n == 0 || n >= u32::MAX as usize / 4 {
            bad!("attribute `nodes_treeids` has {n} entries");
        }
        same("nodes_nodeids", self.node_ids.len(), n)?;
        same("nodes_featureids", self.features.len(), n)?;
        same("nodes_modes", self.modes.len(), n)?;
        same("nodes_values", self.values.len(), n)?;
        same("nodes_truenodeids", self.yes.len(), n)?;
        same("nodes_falsenodeids", self.no.len(), n)?;
        if !self.nan_true.is_empty() {
            same("nodes_missing_value_tracks_true", self.nan_true.len(), n)?;
        }
        if !(1..=OUTPUTS_MAX).contains(&self.outputs) {
            bad!("{} outputs, 1 to {OUTPUTS_MAX} are possible", self.outputs);
        }
        let (index, roots) = self.index()?;
        let nodes = self.nodes(&index)?;
        let leaves = self.leaves(&nodes, &index)?;
        Ensemble { nodes, roots, sets: vec![], leaves, outputs: self.outputs, features: 0, weights: 0 }.checked()
    }

    fn index(&self) -> Result<(Index, Vec<u32>), OpError> {
        let mut index = Index::with_capacity(self.tree_ids.len());
        let (mut roots, mut seen) = (vec![], HashSet::new());
        for (i, (tree, id)) in self.tree_ids.iter().zip(&self.node_ids).enumerate() {
            if index.insert((*tree, *id), i as u32).is_some() {
                bad!("tree {tree} has node {id} twice");
            }
            if i == 0 || *tree != self.tree_ids[i - 1] {
                if !seen.insert(*tree) {
                    bad!("the nodes of tree {tree} do not follow each other");
                }
                roots.push(i as u32);
            }
        }
        Ok((index, roots))
    }

    fn nodes(&self, index: &Index) -> Result<Vec<Node<T>>, OpError> {
        let child = |i: usize, id: i64| {
            let tree = self.tree_ids[i];
            index.get(&(tree, id)).copied().ok_or_else(|| OpError::bad(format!("tree {tree} has no node {id}")))
        };
        let mut leaves = 0;
        let mut nodes = Vec::with_capacity(self.tree_ids.len());
        for i in 0..self.tree_ids.len() {
            let mode = mode(&self.modes[i])?;
            if mode == Mode::Leaf {
                nodes.push(Node::leaf(leaves));
                leaves += 1;
                continue;
            }
            nodes.push(Node {
                mode,
                nan_true: self.nan_true.get(i) == Some(&1),
                feature: feature(self.features[i])?,
                threshold: self.values[i],
                yes: child(i, self.yes[i])?,
                no: child(i, self.no[i])?,
                index: 0,
            });
        }
        Ok(nodes)
    }

    /// onnxruntime sorts the weights by tree, node and place, and of a single output's knows only the first of a leaf.
    fn leaves(&self, nodes: &[Node<T>], index: &Index) -> Result<Leaves<T>, OpError> {
        let n = self.weight_trees.len();
        if n >= u32::MAX as usize {
            bad!("{n} weights");
        }
        same("class_nodeids or target_nodeids", self.weight_nodes.len(), n)?;
        same("class_ids or target_ids", self.weight_outputs.len(), n)?;
        same("class_weights or target_weights", self.weights.len(), n)?;
        let mut owned = Vec::with_capacity(n);
        for i in 0..n {
            let (tree, id, output) = (self.weight_trees[i], self.weight_nodes[i], self.weight_outputs[i]);
            let Some(node) = index.get(&(tree, id)) else { bad!("tree {tree} has no node {id} for a weight") };
            if !(0..self.outputs as i64).contains(&output) {
                bad!("a weight is for output {output} of {}", self.outputs);
            }
            let node = &nodes[*node as usize];
            if node.is_leaf() {
                owned.push((node.index, Entry { output: output as u32, weight: self.weights[i] }));
            }
        }
        owned.sort_by_key(|(leaf, _)| *leaf);
        if self.outputs == 1 {
            owned.dedup_by_key(|(leaf, _)| *leaf);
            let mut alone = vec![None; nodes.iter().filter(|n| n.is_leaf()).count()];
            owned.iter().for_each(|(leaf, entry)| alone[*leaf as usize] = Some(*entry));
            // a leaf without a weight is worth its threshold
            let values = nodes.iter().zip(&self.values).filter(|(n, _)| n.is_leaf());
            let values = values.map(|(_, v)| Entry { output: 0, weight: *v });
            owned = alone
                .into_iter()
                .zip(values)
                .map(|(own, other)| own.unwrap_or(other))
                .enumerate()
                .map(|(k, e)| (k as u32, e))
                .collect();
        }
        let (owners, entries): (Vec<u32>, Vec<Entry<T>>) = owned.into_iter().unzip();
        let count = nodes.iter().filter(|n| n.is_leaf()).count();
        Ok(Leaves::new(count, &owners, entries))
    }
}

pub(super) fn same(name: &str, found: usize, expected: usize) -> Result<(), OpError> {
    if found != expected {
        bad!("attribute `{name}` has {found} entries, expected {expected}");
    }
    Ok(())
}

pub(super) fn feature(id: i64) -> Result<u32, OpError> {
    if !(0..FEATURES_MAX).contains(&id) {
        bad!("feature {id} is out of range");
    }
    Ok(id as u32)
}

fn mode(name: &str) -> Result<Mode, OpError> {
    Ok(match name {
        "BRANCH_LEQ" => Mode::Leq,
        "BRANCH_LT" => Mode::Lt,
        "BRANCH_GTE" => Mode::Gte,
        "BRANCH_GT" => Mode::Gt,
        "BRANCH_EQ" => Mode::Eq,
        "BRANCH_NEQ" => Mode::Neq,
        "LEAF" => Mode::Leaf,
        _ => bad!("a mode in `nodes_modes` is not known"),
    })
}
