//! Nodes between DequantizeLinear and QuantizeLinear become operators on quantised numbers, as onnxruntime's optimiser
//! joins them (`qdq_selector_action_transformer.cc`): its numbers are those that a model of this kind was measured with, and
//! floats in between would round elsewhere.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::sync::Arc;

use crate::graph::Graph;
use crate::graph::Node;
use crate::graph::attributes::Attribute;
use crate::graph::convert::reads;
use crate::graph::double_pairs;
use crate::graph::float_operands;
use crate::graph::half_rounding;
use crate::graph::narrow::BITS;
use crate::graph::passing::take_out;
use crate::graph::quantised_rules;
use crate::graph::ranks::floats;
use crate::graph::ranks::is_cast_to_float;
use crate::graph::ranks::ranks;
use crate::graph::weights_alone;
use crate::tensor::ElementType;
use crate::tensor::Elements;
use crate::tensor::Tensor;

/// The graph with such nodes joined; as it is, where there are none.
pub fn joined(graph: &Graph) -> Cow<'_, Graph> {
    if !graph.nodes.iter().any(is_dequantize) {
        return Cow::Borrowed(graph);
    }
    let mut graph = graph.clone();
    half_rounding::pass_on(&mut graph);
    drop_needless_casts(&mut graph);
    let mut joiner = Joiner::new(&graph);
    double_pairs::remove(&mut joiner);
    float_operands::quantise(&mut joiner);
    if cfg!(target_arch = "x86_64") {
        joiner.unsign();
    }
    for i in 0..joiner.nodes.len() {
        joiner.join(i);
    }
    // what was added reads constants alone
    joiner.nodes.rotate_left(graph.nodes.len());
    let (nodes, constants) = (joiner.nodes.into_iter().flatten().collect(), joiner.constants);
    Cow::Owned(Graph { nodes, constants, ..graph })
}

/// Takes casts of float to float out.
fn drop_needless_casts(graph: &mut Graph) {
    let floats = floats(graph);
    take_out(graph, |_, node| node.inputs.first().filter(|x| is_cast_to_float(node) && floats.contains(*x)).cloned());
}

pub fn is_quantize(node: &Node) -> bool {
    node.op_type == "QuantizeLinear"
}

pub fn is_dequantize(node: &Node) -> bool {
    node.op_type == "DequantizeLinear"
}

/// A quantised tensor: the names of its numbers, scale and zero point.
#[derive(Clone, Debug)]
pub struct Part {
    pub names: [String; 3],
    pub kind: ElementType,
    /// How many scales there are, and along which axis they lie.
    pub scales: usize,
    pub axis: i64,
}

impl Part {
    pub fn number(&self) -> String {
        self.names[0].clone()
    }

    pub fn scale(&self) -> String {
        self.names[1].clone()
    }

    pub fn zero(&self) -> String {
        self.names[2].clone()
    }
}

/// The node that quantises a result, and what may be left out before it.
struct Target {
    nodes: Vec<usize>,
    part: Part,
}

/// A graph that is being rewritten.
pub struct Joiner {
    nodes: Vec<Option<Node>>,
    constants: BTreeMap<String, Arc<Tensor>>,
    /// All values that are known: constants, and what Constant nodes make (torch writes scales so).
    known: BTreeMap<String, Arc<Tensor>>,
    made_by: HashMap<String, usize>,
    readers: HashMap<String, Vec<usize>>,
    outputs: HashSet<String>,
    ranks: HashMap<String, usize>,
    /// Names of known floats by the digest of their contents.
    floats: HashMap<u64, Vec<String>>,
}

impl Joiner {
    fn new(graph: &Graph) -> Joiner {
        let (mut made_by, mut readers) = (HashMap::new(), HashMap::<String, Vec<usize>>::new());
        let mut known = graph.constants.clone();
        for (i, node) in graph.nodes.iter().enumerate() {
            for name in reads(node) {
                readers.entry(name).or_default().push(i);
            }
            made_by.extend(node.outputs.iter().map(|name| (name.clone(), i)));
            if let (true, [name]) = (node.operator() == "Constant", node.outputs.as_slice())
                && let Ok(Some(tensor)) = node.attributes.tensor("value")
            {
                known.insert(name.clone(), tensor.clone());
            }
        }
        let mut floats = HashMap::<u64, Vec<String>>::new();
        for (name, tensor) in &known {
            if let Some(digest) = digest(tensor) {
                floats.entry(digest).or_default().push(name.clone());
            }
        }
        Joiner {
            nodes: graph.nodes.iter().cloned().map(Some).collect(),
            constants: graph.constants.clone(),
            known,
            made_by,
            readers,
            outputs: graph.outputs.iter().map(|p| p.name.clone()).collect(),
            ranks: ranks(graph),
            floats,
        }
    }

    pub fn constant(&self, name: &str) -> Option<&Arc<Tensor>> {
        self.known.get(name)
    }

    pub fn node(&self, i: usize) -> Option<&Node> {
        self.nodes.get(i)?.as_ref()
    }

    /// Places of nodes, of which some may be empty by now.
    pub fn places(&self) -> std::ops::Range<usize> {
        0..self.nodes.len()
    }

    pub fn maker_at(&self, name: &str) -> Option<usize> {
        self.made_by.get(name).copied()
    }

    pub fn maker(&self, name: &str) -> Option<&Node> {
        self.node(self.maker_at(name)?)
    }

    pub fn is_output(&self, name: &str) -> bool {
        self.outputs.contains(name)
    }

    pub fn rank(&self, name: &str) -> Option<usize> {
        self.ranks.get(name).copied()
    }

    /// The nodes that read a value, given out or not.
    pub fn all_readers(&self, name: &str) -> Vec<&Node> {
        self.readers.get(name).into_iter().flatten().filter_map(|i| self.node(*i)).collect()
    }

    /// How often nodes read a value, or the graph gives it out.
    pub fn uses(&self, name: &str) -> usize {
        self.readers.get(name).map_or(0, Vec::len) + usize::from(self.is_output(name))
    }

    /// How often nodes read a constant of floats or one of equal contents; those that are computed while loading do not count.
    pub fn uses_of_equal(&self, constant: &Tensor) -> usize {
        let alike = digest(constant).and_then(|digest| self.floats.get(&digest)).into_iter().flatten();
        let equal = alike.filter(|name| self.constant(name).is_some_and(|other| **other == *constant));
        let stays = |n: &&Node| !is_quantize(n) || n.inputs.iter().any(|name| self.constant(name).is_none());
        let uses = |name: &String| {
            self.all_readers(name).into_iter().filter(stays).count() + usize::from(self.is_output(name))
        };
        equal.map(uses).sum()
    }

    /// The only node that reads a value which the graph does not give out.
    pub fn only_reader(&self, name: &str) -> Option<usize> {
        let &[reader] = self.readers(name) else { return None };
        Some(reader)
    }

    /// The node that makes a value which one node reads, and nobody else.
    pub fn private_maker(&self, name: &str) -> Option<&Node> {
        self.only_reader(name)?;
        self.maker(name)
    }

    /// Adds a constant.
    pub fn add(&mut self, name: &str, tensor: Tensor) {
        if let Some(digest) = digest(&tensor) {
            self.floats.entry(digest).or_default().push(name.into());
        }
        let tensor = Arc::new(tensor);
        self.constants.insert(name.into(), tensor.clone());
        self.known.insert(name.into(), tensor);
    }

    /// Adds a node that reads constants alone and makes one value.
    pub fn add_first(&mut self, node: Node) {
        let at = self.nodes.len();
        node.inputs.iter().for_each(|name| self.readers.entry(name.clone()).or_default().push(at));
        self.made_by.extend(node.outputs.iter().map(|name| (name.clone(), at)));
        self.nodes.push(Some(node));
    }

    /// Leaves nodes out.
    pub fn take_out(&mut self, nodes: &[usize]) {
        for &at in nodes {
            let Some(node) = self.nodes[at].take() else { continue };
            for name in &node.inputs {
                if let Some(readers) = self.readers.get_mut(name) {
                    readers.retain(|reader| *reader != at);
                }
            }
        }
    }

    /// Lets a node read another value.
    pub fn rename_input(&mut self, node: usize, at: usize, name: String) {
        self.readers.entry(name.clone()).or_default().push(node);
        if let Some(input) = self.nodes[node].as_mut().and_then(|n| n.inputs.get_mut(at)) {
            let before = std::mem::replace(input, name);
            if let Some(readers) = self.readers.get_mut(&before)
                && let Some(found) = readers.iter().position(|reader| *reader == node)
            {
                readers.remove(found);
            }
        }
    }

    /// The nodes that read a value, if the graph does not give it out.
    fn readers(&self, name: &str) -> &[usize] {
        if self.outputs.contains(name) { &[] } else { self.readers.get(name).map_or(&[], Vec::as_slice) }
    }

    /// Names, scale and zero point of a node that quantises or dequantises by constants of 8 bits or, of a bias, of 32.
    pub fn part(&self, node: &Node) -> Option<Part> {
        let [number, scale, zero] = node.inputs.as_slice() else { return None };
        let kind = self.constant(zero)?.element_type();
        let plain = node.attributes.int_or("block_size", 0).ok()? == 0 && !node.attributes.has(BITS);
        let known = matches!(kind, ElementType::U8 | ElementType::I8 | ElementType::I32);
        let scales = self.constant(scale).filter(|s| s.element_type() == ElementType::F32)?.len();
        let axis = node.attributes.int_or("axis", 1).ok()?;
        let names = [number.clone(), scale.clone(), zero.clone()];
        (plain && known && scales > 0).then_some(Part { names, kind, scales, axis })
    }

    /// What an input was dequantised from.
    pub fn source(&self, name: &str) -> Option<Part> {
        let node = self.maker(name).filter(|n| is_dequantize(n))?;
        self.part(node)
    }

    /// Who quantises a value, if nobody else reads it. A Relu or Clip that the quantisation does as well is left out.
    fn target(&self, name: &str) -> Option<Target> {
        let &[reader] = self.readers(name) else { return None };
        let node = self.node(reader)?;
        if is_quantize(node) && node.inputs.first().is_some_and(|n| n == name) {
            let part = self.part(node).filter(|p| p.scales == 1 && p.kind != ElementType::I32)?;
            return Some(Target { nodes: vec![reader], part });
        }
        let [output] = node.outputs.as_slice() else { return None };
        let &[quantize] = self.readers(output) else { return None };
        let part = self.node(quantize).filter(|n| is_quantize(n)).and_then(|n| self.part(n))?;
        let quantised = part.scales == 1 && part.kind != ElementType::I32 && node.domain.is_empty();
        let needless = quantised && quantised_rules::is_needless(self, node, &part.names);
        needless.then_some(Target { nodes: vec![reader, quantize], part })
    }

    /// Replaces the `i`-th node, with what quantises its result, if there is an operator for them together.
    fn join(&mut self, i: usize) {
        let Some(node) = self.node(i) else { return };
        let [output] = node.outputs.as_slice() else { return };
        if !node.domain.is_empty() || is_quantize(node) || is_dequantize(node) {
            return;
        }
        let target = self.target(output);
        let part = target.as_ref().map(|t| &t.part);
        let made = quantised_rules::join(self, node, part).or_else(|| weights_alone::join(self, node));
        let Some(mut made) = made else { return };
        let target = target.filter(|_| made.quantises);
        let last = target.as_ref().and_then(|t| t.nodes.last().copied()).unwrap_or(i);
        made.node.outputs = self.node(last).map(|n| n.outputs.clone()).unwrap_or_default();
        self.nodes[i] = None;
        target.iter().flat_map(|t| &t.nodes).for_each(|at| self.nodes[*at] = None);
        self.nodes[last] = Some(made.node);
    }

    /// Quantised numbers between nodes become unsigned, as onnxruntime has them on these processors; the numbers are the
    /// same less the zero point, but products with signed weights saturate elsewhere.
    fn unsign(&mut self) {
        for i in 0..self.nodes.len() {
            let Some(part) = self.node(i).filter(|n| is_quantize(n)).and_then(|n| self.part(n)) else { continue };
            // weights that the graph quantises itself are constants there, and stay as they are
            if self.constant(&part.names[0]).is_some() {
                continue;
            }
            let Some(output) = self.node(i).and_then(|n| n.outputs.first().cloned()) else { continue };
            // only where one node reads the number, once it is dequantised
            let &[reader] = self.readers(&output) else { continue };
            let Some(node) = self.node(reader).filter(|n| is_dequantize(n) && n.inputs.len() == 3) else { continue };
            let read = node.outputs.first().map_or(0, |name| self.uses(name));
            if read != 1 || part.scales != 1 || node.inputs[0] != output || !self.alike(&node.inputs[2], &part.names[2])
            {
                continue;
            }
            let Some(Elements::I8(zero)) = self.constant(&part.names[2]).map(|t| t.elements()) else { continue };
            let &[zero] = zero.as_slice() else { continue };
            let name = format!("{}#unsigned", part.names[2]);
            self.add(&name, Tensor::scalar(zero.wrapping_add(-128).cast_unsigned()));
            for at in [i, reader] {
                self.rename_input(at, 2, name.clone());
                if let Some(node) = &mut self.nodes[at] {
                    node.attributes.0.remove("output_dtype");
                }
            }
        }
    }

    /// Whether two constants hold the same numbers.
    fn alike(&self, a: &str, b: &str) -> bool {
        a == b || self.constant(a).zip(self.constant(b)).is_some_and(|(a, b)| a == b)
    }
}

/// The same for floats of equal shape and contents, where 0 is -0.
fn digest(tensor: &Tensor) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    tensor.shape().hash(&mut hasher);
    tensor.slice::<f32>().ok()?.iter().for_each(|x| (x + 0.0).to_bits().hash(&mut hasher));
    Some(hasher.finish())
}

/// A node in place of several, and whether it quantises its result.
pub struct Made {
    pub node: Node,
    pub quantises: bool,
}

impl Made {
    /// `op_type` of a domain instead of `node`, with its attributes but those named in `without`.
    pub fn of(
        node: &Node,
        domain: &str,
        op_type: &str,
        inputs: Vec<String>,
        without: &[&str],
        quantises: bool,
    ) -> Made {
        let mut node = Node { domain: domain.into(), op_type: op_type.into(), inputs, ..node.clone() };
        node.attributes.0.retain(|name, _| !without.contains(&name.as_str()));
        Made { node, quantises }
    }

    pub fn with(mut self, name: &str, value: i64) -> Made {
        self.node.attributes.0.insert(name.into(), Attribute::Int(value));
        self
    }
}
