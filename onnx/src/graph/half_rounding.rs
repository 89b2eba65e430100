//! Where a graph of float16 rounds although it computes in float: at the nodes that onnxruntime runs in float16.
//!
//! Source: InsertCastTransformer and RemoveDuplicateCastTransformer of onnxruntime
//! (`core/optimizer/insert_cast_transformer.cc`). Nodes without a float16 kernel are *widened*: they get casts around them,
//! and casts that meet are removed, so that nothing is rounded between two of them. Which operators have such a kernel was
//! asked of onnxruntime 1.32 by the ONNX project's node cases.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::graph::Graph;
use crate::graph::Kind;
use crate::graph::Node;
use crate::graph::attributes::Attribute;
use crate::graph::convert::reads;
use crate::graph::half::FLOAT;
use crate::graph::half::HALF;
use crate::graph::half::cast;
use crate::graph::half::is_half;
use crate::graph::half::rename;
use crate::graph::passing::take_out;
use crate::tensor::ElementType;

const BOOL: i64 = 9;
const DOUBLE: i64 = 11;
/// Codes of whole numbers of 8 bits, which float16 holds exactly.
const SMALL: [i64; 2] = [2, 3];

/// Operators with a float16 kernel that choose, move or compare values, without making new ones.
const MOVING: &[&str] = &[
    "Cast",
    "Clip",
    "Compress",
    "Concat",
    "Constant",
    "DepthToSpace",
    "Dropout",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Identity",
    "IsInf",
    "IsNaN",
    "Max",
    "Min",
    "Reshape",
    "ReverseSequence",
    "Round",
    "Scatter",
    "ScatterElements",
    "ScatterND",
    "Shape",
    "Sign",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "TensorScatter",
    "Transpose",
    "Unsqueeze",
];
/// Operators with a float16 kernel that compute.
const COMPUTING: &[&str] = &[
    "Attention",
    "LayerNormalization",
    "Mod",
    "RMSNormalization",
    "RotaryEmbedding",
    "Shrink",
    "SimplifiedLayerNormalization",
];
/// Operators that opset 18 defines by others, which end with a cast back to float16, and the type that they cast from.
const DEFINED: &[(&str, i64)] = &[("ReduceL2", FLOAT), ("ReduceLogSumExp", DOUBLE)];
/// Operators whose first input may be many: onnxruntime looks at the first of them only.
const VARIADIC: &[&str] = &["Concat", "Max", "Min"];
/// Operators whose results are no float16, whatever they read.
const OTHERWISE: &[&str] = &[
    "And",
    "ArgMax",
    "ArgMin",
    "DynamicQuantizeLinear",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "If",
    "IsInf",
    "IsNaN",
    "Less",
    "LessOrEqual",
    "Loop",
    "NonMaxSuppression",
    "NonZero",
    "Not",
    "Or",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
    "Scan",
    "Shape",
    "Size",
    "Xor",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Runs in float16, if it meets any.
    Native,
    /// Runs in float, between casts.
    Widened,
}

/// What is to be rounded, by the numbers of nodes. Made before a graph is widened, applied afterwards.
#[derive(Default)]
pub struct Rounding {
    /// Values, the node that makes each, and the nodes that read it rounded.
    readers: BTreeMap<String, (usize, BTreeSet<usize>)>,
    /// Values that are rounded as they are made.
    made: Vec<(usize, String)>,
}

/// A graph with what the rules ask for.
struct Facts<'a> {
    graph: &'a Graph,
    half: BTreeSet<&'a str>,
    makers: BTreeMap<&'a str, usize>,
    readers: BTreeMap<String, Vec<usize>>,
    places: Vec<Place>,
}

/// Takes out what passes its input on, and casts that are there already, as onnxruntime does before it looks at float16.
pub fn pass_on(graph: &mut Graph) {
    let mut casts: BTreeMap<(String, i64), String> = BTreeMap::new();
    take_out(graph, |_, node| {
        let ([input, ..], [output, ..]) = (node.inputs.as_slice(), node.outputs.as_slice()) else { return None };
        let passes = node.op_type == "Identity" || node.op_type == "Dropout" && node.inputs.len() == 1;
        if passes && node.domain.is_empty() {
            return Some(input.clone());
        }
        let cast = (input.clone(), to(node)?);
        let same = casts.get(&cast).cloned();
        casts.entry(cast).or_insert_with(|| output.clone());
        same
    });
}

/// Names of the values that are float16.
pub fn halves(graph: &Graph) -> BTreeSet<String> {
    Facts::new(graph).half.into_iter().map(String::from).collect()
}

/// Plans the rounding of one graph, without its subgraphs.
pub fn plan(graph: &Graph) -> Rounding {
    let mut facts = Facts::new(graph);
    facts.join_isolated();
    let mut rounding = Rounding::default();
    for (&value, &maker) in &facts.makers {
        if !facts.half.contains(value) {
            continue;
        }
        let readers = facts.rounded_readers(value, maker);
        if !readers.is_empty() {
            rounding.readers.insert(value.into(), (maker, readers));
        }
        let node = &graph.nodes[maker];
        if !facts.is_widened(maker) && COMPUTING.contains(&node.op_type.as_str()) {
            rounding.made.push((maker, value.into()));
        }
    }
    rounding
}

impl Rounding {
    /// Puts the casts into the graph, which computes in float by now.
    pub fn apply(self, graph: &mut Graph) {
        let mut behind: BTreeMap<usize, Vec<Node>> = BTreeMap::new();
        let mut round = |maker: usize, from: &str, to: &str| {
            let narrow = format!("{to}#narrow");
            behind.entry(maker).or_default().extend([cast(from, &narrow, HALF), cast(&narrow, to, FLOAT)]);
        };
        for (maker, value) in self.made {
            let exact = format!("{value}#exact");
            round(maker, &exact, &value);
            graph.nodes[maker].outputs.iter_mut().filter(|o| **o == value).for_each(|o| o.clone_from(&exact));
        }
        for (value, (maker, readers)) in self.readers {
            let rounded = format!("{value}#rounded");
            round(maker, &value, &rounded);
            for reader in readers {
                rename(&mut graph.nodes[reader..=reader], &value, &rounded);
            }
        }
        let nodes = std::mem::take(&mut graph.nodes).into_iter().enumerate();
        graph.nodes =
            nodes.flat_map(|(i, node)| std::iter::once(node).chain(behind.remove(&i).unwrap_or_default())).collect();
    }
}

fn to(node: &Node) -> Option<i64> {
    match (node.op_type.as_str(), node.attributes.0.get("to")) {
        ("Cast", Some(Attribute::Int(to))) => Some(*to),
        _ => None,
    }
}

/// Opset 18 defines Relu by Max, which has a float16 kernel.
fn is_maximum(node: &Node) -> bool {
    node.op_type == "Relu" && node.version >= 18
}

fn has_bodies(node: &Node) -> bool {
    node.attributes.graphs().next().is_some()
}

impl<'a> Facts<'a> {
    fn new(graph: &'a Graph) -> Facts<'a> {
        let (mut half, mut makers) = (BTreeSet::new(), BTreeMap::new());
        let mut readers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        half.extend(graph.inputs.iter().filter(|p| is_half(&p.kind)).map(|p| p.name.as_str()));
        let constants = graph.constants.iter().filter(|(_, t)| t.element_type() == ElementType::F16);
        half.extend(constants.map(|(name, _)| name.as_str()));
        let mut places = vec![];
        for (i, node) in graph.nodes.iter().enumerate() {
            let reads_half = node.inputs.iter().any(|name| half.contains(name.as_str()));
            let op = node.op_type.as_str();
            let listed = MOVING.contains(&op) || COMPUTING.contains(&op) || is_maximum(node);
            let native = has_bodies(node) || node.domain.is_empty() && listed;
            places.push(if native || !reads_half { Place::Native } else { Place::Widened });
            for name in reads(node) {
                readers.entry(name).or_default().push(i);
            }
            for (nth, name) in node.outputs.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                makers.insert(name.as_str(), i);
                let noted = graph
                    .noted
                    .get(name.as_str())
                    .or_else(|| graph.outputs.iter().find(|p| p.name == *name).map(|p| &p.kind));
                let typed = noted.filter(|kind| matches!(kind, Kind::Tensor { element_type: Some(_), .. }));
                let inferred = || makes_half(node, nth, reads_half);
                if typed.map_or_else(inferred, is_half) {
                    half.insert(name.as_str());
                }
            }
        }
        Facts { graph, half, makers, readers, places }
    }

    fn is_output(&self, value: &str) -> bool {
        self.graph.outputs.iter().any(|p| p.name == value)
    }

    fn readers(&self, value: &str) -> &[usize] {
        self.readers.get(value).map_or(&[], Vec::as_slice)
    }

    fn is_widened(&self, node: usize) -> bool {
        self.places[node] == Place::Widened
    }

    /// Nodes that could run in float16 and stand between widened ones only are widened too.
    fn join_isolated(&mut self) {
        for i in 0..self.graph.nodes.len() {
            let node = &self.graph.nodes[i];
            let op = node.op_type.as_str();
            if self.is_widened(i) || has_bodies(node) || op == "Cast" || node.outputs.iter().any(|o| self.is_output(o))
            {
                continue;
            }
            let looked_at = if VARIADIC.contains(&op) { 1 } else { node.inputs.len() };
            let inputs: Vec<&str> =
                node.inputs[..looked_at.min(node.inputs.len())].iter().map(String::as_str).collect();
            let halves = || inputs.iter().filter(|name| self.half.contains(**name));
            let from_nodes = node.inputs.iter().any(|name| self.makers.contains_key(name.as_str()));
            let fed = halves().all(|name| self.makers.get(name).is_none_or(|maker| self.is_widened(*maker)));
            let looked_at = if op == "Split" { 1 } else { node.outputs.len() };
            let outputs = node.outputs.iter().take(looked_at).filter(|name| self.half.contains(name.as_str()));
            let mut makes_half = false;
            let mut read = true;
            for name in outputs {
                makes_half = true;
                read &= self.readers(name).iter().all(|reader| self.is_widened(*reader));
            }
            if from_nodes && halves().next().is_some() && fed && makes_half && read {
                self.places[i] = Place::Widened;
            }
        }
    }

    /// The nodes that read a value as float16; the others read what was computed.
    fn rounded_readers(&self, value: &str, maker: usize) -> BTreeSet<usize> {
        let cast_from = self.cast_from(&self.graph.nodes[maker]);
        if !self.is_widened(maker) && cast_from.is_none() {
            return BTreeSet::new();
        }
        let source = cast_from.unwrap_or(FLOAT);
        let readers = self.readers(value);
        let casts = |reader: &usize| to(&self.graph.nodes[*reader]);
        let loses = cast_from.is_some() && source != BOOL && !SMALL.contains(&source);
        let is_unsafe = |code: i64| code != BOOL && code != HALF && !SMALL.contains(&code);
        if loses && readers.iter().filter_map(casts).any(is_unsafe) {
            return readers.iter().copied().collect();
        }
        // a cast behind a value that nobody reads as float16 takes its source instead
        let only_casts = !self.is_output(value) && readers.iter().all(|r| self.is_widened(*r) || casts(r).is_some());
        let reads_source = |reader: &usize| {
            let back = source == FLOAT
                && match casts(reader) {
                    Some(code) => code == FLOAT && !self.graph.nodes[*reader].outputs.iter().any(|o| self.is_output(o)),
                    None => self.is_widened(*reader),
                };
            back || only_casts
        };
        readers.iter().copied().filter(|reader| !reads_source(reader)).collect()
    }

    /// What a node casts to float16, if that is what it does in the end.
    fn cast_from(&self, node: &Node) -> Option<i64> {
        if to(node) == Some(HALF) {
            return node.inputs.first().map(|name| self.type_of(name));
        }
        let defined =
            DEFINED.iter().find(|(op, _)| node.version == 18 && node.domain.is_empty() && node.op_type == *op);
        defined.map(|(_, from)| *from)
    }

    /// The code of a value's type, as far as it is told; else that of float.
    fn type_of(&self, value: &str) -> i64 {
        let graph = self.graph;
        let kinds = graph.inputs.iter().find(|p| p.name == value).map(|p| &p.kind).or_else(|| graph.noted.get(value));
        let told = match kinds {
            Some(Kind::Tensor { element_type, .. }) => *element_type,
            _ => graph.constants.get(value).map(|t| t.element_type()),
        };
        told.map_or(FLOAT, |element_type| i64::from(element_type.onnx()))
    }
}

/// Whether the `nth` result of a node is float16, going by the operator.
fn makes_half(node: &Node, nth: usize, reads_half: bool) -> bool {
    let op = node.op_type.as_str();
    if let Some(code) = to(node) {
        return code == HALF;
    }
    let positions = matches!(op, "TopK" | "MaxPool" | "Unique" | "Dropout") && nth > 0;
    reads_half && node.domain != "ai.onnx.ml" && !OTHERWISE.contains(&op) && !positions
}
