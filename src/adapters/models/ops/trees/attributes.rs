//! The attributes of a tree ensemble node, checked: what comes out is a set of finite trees with valid references.

use std::collections::HashMap;

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Deepest tree that is accepted: one row must not cost an unbounded number of steps.
pub const DEPTH_MAX: usize = 1024;
/// Most outputs of one ensemble.
const OUTPUTS_MAX: usize = 4096;
/// Most leaf weights (leaves times outputs): 256 MiB of `f32`.
const WEIGHTS_MAX: usize = 1 << 26;
/// Highest feature number; keeps twice the row length within 16 bits.
const FEATURES_MAX: usize = 1 << 20;

/// How a branch compares: `x MODE threshold` goes to the true child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Leq,
    Lt,
    Gte,
    Gt,
    Eq,
    Neq,
    Leaf,
}

/// One node as the attributes give it; children index [`Ensemble::nodes`].
#[derive(Clone, Copy, Debug)]
pub struct Node {
    pub mode: Mode,
    pub feature: u32,
    pub threshold: f32,
    /// A NaN goes to the true child.
    pub nan_true: bool,
    pub yes: u32,
    pub no: u32,
    /// Index of the leaf's weights; only for a leaf.
    pub leaf: u32,
}

/// A tree ensemble with valid references: every tree is finite, no node belongs to two parents.
#[derive(Debug)]
pub struct Ensemble {
    pub nodes: Vec<Node>,
    /// First node of each tree.
    pub roots: Vec<u32>,
    /// Depth of each tree; 0 for a single leaf.
    pub depths: Vec<usize>,
    /// `outputs` weights for each leaf.
    pub weights: Vec<f32>,
    pub outputs: usize,
    /// Features that the rows must have at least.
    pub features: usize,
}

/// Where the weights of leaves are found and how many outputs there are.
pub struct Leaves<'a> {
    /// `class` or `target`.
    pub prefix: &'a str,
    pub outputs: usize,
    /// Whether all weights belong to one output, whatever its number.
    pub single: bool,
}

/// Reads and checks the trees of a node.
///
/// # Errors
/// Names the attribute that is missing, of the wrong length or points nowhere, and limits that are passed.
pub fn read(node: &NodeProto, leaves: &Leaves<'_>) -> TractResult<Ensemble> {
    ensure!(
        !node.attribute.iter().any(|a| a.name.ends_with("_as_tensor")),
        "attributes `*_as_tensor` (64-bit thresholds) are not supported: convert the model to 32-bit floats"
    );
    ensure!((1..=OUTPUTS_MAX).contains(&leaves.outputs), "{} outputs, 1 to {OUTPUTS_MAX} are possible", leaves.outputs);
    let (mut nodes, index, roots) = read_nodes(node)?;
    let count = number_leaves(&mut nodes);
    ensure!(count.saturating_mul(leaves.outputs) <= WEIGHTS_MAX, "more than {WEIGHTS_MAX} leaf weights");
    let weights = read_weights(node, leaves, &nodes, &index, count)?;
    let depths = depths(&nodes, &roots)?;
    let features = nodes.iter().filter(|n| n.mode != Mode::Leaf).map(|n| n.feature as usize + 1).max().unwrap_or(0);
    Ok(Ensemble { nodes, roots, depths, weights, outputs: leaves.outputs, features })
}

type Index = HashMap<(i64, i64), u32>;

fn list<'a, T>(node: &'a NodeProto, name: &str, len: usize) -> TractResult<&'a [T]>
where
    T: tract_onnx::pb_helpers::AttrSliceType<'a>,
{
    let values = node.get_attr_slice::<T>(name)?;
    ensure!(values.len() == len, "attribute `{name}` has {} entries, expected {len}", values.len());
    Ok(values)
}

fn mode(name: &str) -> TractResult<Mode> {
    Ok(match name {
        "BRANCH_LEQ" => Mode::Leq,
        "BRANCH_LT" => Mode::Lt,
        "BRANCH_GTE" => Mode::Gte,
        "BRANCH_GT" => Mode::Gt,
        "BRANCH_EQ" => Mode::Eq,
        "BRANCH_NEQ" => Mode::Neq,
        "LEAF" => Mode::Leaf,
        other => bail!("node mode `{other}` is not known"),
    })
}

fn read_nodes(node: &NodeProto) -> TractResult<(Vec<Node>, Index, Vec<u32>)> {
    let trees = node.get_attr_slice::<i64>("nodes_treeids")?;
    let n = trees.len();
    ensure!(n > 0 && n < u32::MAX as usize, "attribute `nodes_treeids` has {n} entries");
    let ids = list::<i64>(node, "nodes_nodeids", n)?;
    let features = list::<i64>(node, "nodes_featureids", n)?;
    let values = list::<f32>(node, "nodes_values", n)?;
    let yes = list::<i64>(node, "nodes_truenodeids", n)?;
    let no = list::<i64>(node, "nodes_falsenodeids", n)?;
    let modes: TVec<&str> = node.get_attr_tvec("nodes_modes")?;
    ensure!(modes.len() == n, "attribute `nodes_modes` has {} entries, expected {n}", modes.len());
    let nan = node.get_attr_opt_slice::<i64>("nodes_missing_value_tracks_true")?.unwrap_or(&[]);
    ensure!(nan.is_empty() || nan.len() == n, "attribute `nodes_missing_value_tracks_true` has {} entries", nan.len());

    let mut index = Index::with_capacity(n);
    let mut roots = vec![];
    let mut seen = std::collections::HashSet::new();
    for i in 0..n {
        ensure!(index.insert((trees[i], ids[i]), i as u32).is_none(), "tree {} has node {} twice", trees[i], ids[i]);
        if i == 0 || trees[i] != trees[i - 1] {
            ensure!(seen.insert(trees[i]), "the nodes of tree {} do not follow each other", trees[i]);
            roots.push(i as u32);
        }
    }
    let child = |i: usize, id: i64| {
        index.get(&(trees[i], id)).copied().with_context(|| format!("tree {} has no node {id}", trees[i]))
    };
    let mut nodes = Vec::with_capacity(n);
    for i in 0..n {
        let mode = mode(modes[i])?;
        let leaf = mode == Mode::Leaf;
        let feature = if leaf { 0 } else { features[i] };
        ensure!((0..FEATURES_MAX as i64).contains(&feature), "feature {feature} is out of range");
        nodes.push(Node {
            mode,
            feature: feature as u32,
            threshold: values[i],
            nan_true: nan.get(i).is_some_and(|v| *v != 0),
            yes: if leaf { 0 } else { child(i, yes[i])? },
            no: if leaf { 0 } else { child(i, no[i])? },
            leaf: u32::MAX,
        });
    }
    Ok((nodes, index, roots))
}

fn number_leaves(nodes: &mut [Node]) -> usize {
    let mut count = 0;
    for node in nodes.iter_mut().filter(|n| n.mode == Mode::Leaf) {
        node.leaf = count;
        count += 1;
    }
    count as usize
}

fn read_weights(
    node: &NodeProto,
    leaves: &Leaves<'_>,
    nodes: &[Node],
    index: &Index,
    count: usize,
) -> TractResult<Vec<f32>> {
    let name = |what: &str| format!("{}_{what}", leaves.prefix);
    let trees = node.get_attr_slice::<i64>(&name("treeids"))?;
    let ids = list::<i64>(node, &name("nodeids"), trees.len())?;
    let outputs = list::<i64>(node, &name("ids"), trees.len())?;
    let values = list::<f32>(node, &name("weights"), trees.len())?;
    let mut weights = vec![0f32; count * leaves.outputs];
    for i in 0..trees.len() {
        let at = index.get(&(trees[i], ids[i]));
        let at = at.with_context(|| format!("tree {} has no node {} for a weight", trees[i], ids[i]))?;
        let leaf = nodes[*at as usize].leaf;
        ensure!(leaf != u32::MAX, "node {} of tree {} has a weight but is no leaf", ids[i], trees[i]);
        let output = if leaves.single { 0 } else { outputs[i] };
        ensure!((0..leaves.outputs as i64).contains(&output), "a weight is for output {output} of {}", leaves.outputs);
        weights[leaf as usize * leaves.outputs + output as usize] += values[i];
    }
    Ok(weights)
}

/// Depth of every tree, found level by level; refuses cycles and nodes with two parents.
fn depths(nodes: &[Node], roots: &[u32]) -> TractResult<Vec<usize>> {
    let mut seen = vec![false; nodes.len()];
    let mut out = Vec::with_capacity(roots.len());
    for (tree, root) in roots.iter().enumerate() {
        let mut level = vec![*root];
        let mut depth = 0;
        loop {
            let mut next = vec![];
            for i in level {
                ensure!(
                    !std::mem::replace(&mut seen[i as usize], true),
                    "tree {tree} is not a tree: a node is reached twice"
                );
                let node = &nodes[i as usize];
                if node.mode != Mode::Leaf {
                    next.extend([node.yes, node.no]);
                }
            }
            if next.is_empty() {
                break;
            }
            depth += 1;
            ensure!(depth <= DEPTH_MAX, "tree {tree} is deeper than {DEPTH_MAX} levels");
            level = next;
        }
        out.push(depth);
    }
    Ok(out)
}
