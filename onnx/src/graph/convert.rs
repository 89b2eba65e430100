//! From the messages of a file to a [`Graph`].

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use prost::Message;

use crate::error::LoadError;
use crate::graph::Dim;
use crate::graph::Graph;
use crate::graph::Kind;
use crate::graph::Node;
use crate::graph::Port;
use crate::graph::attributes::Attribute;
use crate::graph::attributes::Attributes;
use crate::graph::half;
use crate::graph::inline::Inliner;
use crate::graph::inline::Placed;
use crate::graph::inline::Versions;
use crate::graph::inline::domain;
use crate::graph::narrow::Narrow;
use crate::limits;
use crate::proto::AttributeProto;
use crate::proto::DimensionValue;
use crate::proto::GraphProto;
use crate::proto::ModelProto;
use crate::proto::OperatorSetIdProto;
use crate::proto::SparseTensorProto;
use crate::proto::TensorProto;
use crate::proto::TypeProto;
use crate::proto::ValueInfoProto;
use crate::proto::external;
use crate::proto::tensors;
use crate::proto::type_proto::Value as TypeValue;
use crate::tensor::ElementType;
use crate::tensor::Tensor;

/// A file's graph and what else it says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub graph: Graph,
    /// Declared operator sets, "" for the default domain.
    pub opsets: BTreeMap<String, i64>,
    pub ir_version: i64,
    pub producer: String,
    /// Where it was read from, for engines that read the file themselves.
    pub path: Option<PathBuf>,
    /// Other files that weights lie in, as the file names them.
    pub files: BTreeSet<String>,
}

/// Reads `model.onnx`; its other files must lie in the same folder or below.
///
/// # Errors
/// See [`LoadError`].
pub fn read_file(path: &Path) -> Result<Model, LoadError> {
    from_file(path, true)
}

/// Reads names, types and nodes of `model.onnx` and no weights, for an engine that reads these itself. The places of
/// external data are checked all the same.
///
/// # Errors
/// See [`LoadError`].
pub fn outline_file(path: &Path) -> Result<Model, LoadError> {
    from_file(path, false)
}

fn from_file(path: &Path, weights: bool) -> Result<Model, LoadError> {
    let io = |source| LoadError::Read { path: path.into(), source };
    let mut file = fs::File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let large =
        || LoadError::Refused(format!("{} is larger than 2 GiB; save its weights as external data", path.display()));
    if size > limits::FILE_BYTES {
        return Err(large());
    }
    let mut bytes = Vec::with_capacity(size as usize);
    // a device or a pipe has no length
    file.by_ref().take(limits::FILE_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limits::FILE_BYTES {
        return Err(large());
    }
    let folder = path.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
    let model = from_bytes(&bytes, folder, weights)?;
    Ok(Model { path: Some(path.into()), ..model })
}

/// Reads the bytes of a model; without `folder` no other file is read.
///
/// # Errors
/// See [`LoadError`].
pub fn read(bytes: &[u8], folder: Option<&Path>) -> Result<Model, LoadError> {
    from_bytes(bytes, folder, true)
}

fn from_bytes(bytes: &[u8], folder: Option<&Path>, weights: bool) -> Result<Model, LoadError> {
    if bytes.is_empty() {
        return Err(LoadError::NotOnnx("the file is empty".into()));
    }
    let proto = ModelProto::decode(bytes).map_err(|e| LoadError::NotOnnx(e.to_string()))?;
    let Some(graph) = proto.graph.as_ref().filter(|g| !g.output.is_empty()) else {
        return Err(LoadError::NotOnnx("it holds no graph with outputs".into()));
    };
    check_versions(&proto)?;
    let versions = Versions::new(&proto.opset_import);
    let mut reader = Reader { inliner: Inliner::new(&proto.functions), folder, weights };
    let mut graph = reader.graph(graph, &versions, 0)?;
    if weights {
        half::widen(&mut graph);
    }
    let opsets = proto.opset_import.iter().map(|o| (domain(&o.domain).to_string(), o.version)).collect();
    let producer = format!("{} {}", proto.producer_name, proto.producer_version).trim().to_string();
    Ok(Model { graph, opsets, ir_version: proto.ir_version, producer, path: None, files: external::files(&proto) })
}

/// Versions of operator sets and of the format that may exist one day; more is a broken file.
const NEWEST: i64 = 64;

fn check_versions(proto: &ModelProto) -> Result<(), LoadError> {
    if !(0..=NEWEST).contains(&proto.ir_version) {
        return Err(LoadError::Broken(format!("it declares IR version {}, which does not exist", proto.ir_version)));
    }
    let wrong = |o: &&OperatorSetIdProto| !(1..=NEWEST).contains(&o.version) && domain(&o.domain).is_empty();
    match proto.opset_import.iter().find(wrong) {
        Some(o) => Err(LoadError::Broken(format!("it declares opset {}, which does not exist", o.version))),
        None => Ok(()),
    }
}

/// Refuses inputs of element types that are not known here.
fn check_input(proto: &ValueInfoProto) -> Result<(), LoadError> {
    match proto.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(TypeValue::Tensor(t)) if t.elem_type != 0 && ElementType::from_onnx(t.elem_type).is_none() => {
            Err(LoadError::Refused(format!(
                "input `{}` has the element type {} of ONNX, which is not supported; float16, float, double, whole \
                 numbers, bool and string are",
                proto.name, t.elem_type
            )))
        }
        None => Err(LoadError::Broken(format!("its input `{}` has no type", proto.name))),
        _ => Ok(()),
    }
}

struct Reader<'a> {
    inliner: Inliner<'a>,
    folder: Option<&'a Path>,
    /// False: tensors stay empty.
    weights: bool,
}

impl Reader<'_> {
    fn tensor(&self, proto: &TensorProto) -> Result<Arc<Tensor>, LoadError> {
        if self.weights {
            return Ok(Arc::new(tensors::read(proto, self.folder)?));
        }
        tensors::check_place(proto, self.folder)?;
        Ok(Arc::new(Tensor::vector::<f32>(vec![])))
    }

    fn sparse(&self, proto: &SparseTensorProto) -> Result<(String, Arc<Tensor>), LoadError> {
        if self.weights {
            return tensors::read_sparse(proto, self.folder).map(|(name, t)| (name, Arc::new(t)));
        }
        let name = proto.values.as_ref().map(|v| v.name.clone()).unwrap_or_default();
        Ok((name, Arc::new(Tensor::vector::<f32>(vec![]))))
    }

    fn graph(&mut self, proto: &GraphProto, versions: &Versions, depth: usize) -> Result<Graph, LoadError> {
        if depth > limits::DEPTH {
            return Err(LoadError::Refused(format!("subgraphs are nested more than {} deep", limits::DEPTH)));
        }
        let (mut constants, mut narrow) = (BTreeMap::new(), Narrow::default());
        for tensor in &proto.initializer {
            narrow.note(&tensor.name, tensor);
            constants.insert(tensor.name.clone(), self.tensor(tensor)?);
        }
        for sparse in &proto.sparse_initializer {
            let (name, tensor) = self.sparse(sparse)?;
            constants.insert(name, tensor);
        }
        let mut nodes = vec![];
        for (node, versions) in self.inliner.expand(&proto.node, versions)? {
            narrow.note_constant(&node);
            nodes.push(self.node((node, versions), depth)?);
        }
        nodes.iter_mut().for_each(|node| narrow.tell(node));
        if depth == 0 {
            proto.input.iter().filter(|i| !constants.contains_key(&i.name)).try_for_each(check_input)?;
        }
        // files of before IR version 4 list their initializers as inputs too
        let inputs = proto.input.iter().filter(|i| !constants.contains_key(&i.name)).map(port).collect();
        let noted = proto.value_info.iter().map(|v| (v.name.clone(), kind(v.r#type.as_ref()))).collect();
        let outputs = proto.output.iter().map(port).collect();
        let mut graph = Graph { name: proto.name.clone(), inputs, outputs, nodes, constants, noted };
        sort(&mut graph, depth == 0)?;
        Ok(graph)
    }

    fn node(&mut self, (proto, versions): Placed, depth: usize) -> Result<Node, LoadError> {
        let mut attributes = BTreeMap::new();
        for attribute in &proto.attribute {
            attributes.insert(attribute.name.clone(), self.attribute(attribute, &versions, depth)?);
        }
        let domain = domain(&proto.domain).to_string();
        Ok(Node {
            version: versions.of(&domain),
            domain,
            op_type: proto.op_type,
            name: proto.name,
            inputs: proto.input,
            outputs: proto.output,
            attributes: Attributes(attributes),
        })
    }

    fn attribute(&mut self, proto: &AttributeProto, versions: &Versions, depth: usize) -> Result<Attribute, LoadError> {
        let lacking = || LoadError::Broken(format!("attribute `{}` has no value", proto.name));
        Ok(match attribute_type(proto) {
            1 => Attribute::Float(proto.f),
            2 => Attribute::Int(proto.i),
            3 => Attribute::Text(proto.s.clone()),
            4 => Attribute::Tensor(self.tensor(proto.t.as_ref().ok_or_else(lacking)?)?),
            5 => {
                Attribute::Graph(Arc::new(self.graph(proto.g.as_deref().ok_or_else(lacking)?, versions, depth + 1)?))
            }
            6 => Attribute::Floats(proto.floats.clone()),
            7 => Attribute::Ints(proto.ints.clone()),
            8 => Attribute::Texts(proto.strings.clone()),
            9 => Attribute::Tensors(proto.tensors.iter().map(|t| self.tensor(t)).collect::<Result<_, _>>()?),
            10 => Attribute::Graphs(
                proto
                    .graphs
                    .iter()
                    .map(|g| self.graph(g, versions, depth + 1).map(Arc::new))
                    .collect::<Result<_, _>>()?,
            ),
            11 => {
                let sparse = proto.sparse_tensor.as_ref().ok_or_else(lacking)?;
                Attribute::Tensor(self.sparse(sparse)?.1)
            }
            13 => Attribute::Kind(kind(proto.tp.as_ref())),
            _ => Attribute::Other,
        })
    }
}

/// `AttributeProto.AttributeType`, guessed from what is there in files that do not say it.
fn attribute_type(proto: &AttributeProto) -> i32 {
    match proto {
        p if p.r#type != 0 => p.r#type,
        p if p.t.is_some() => 4,
        p if p.g.is_some() => 5,
        p if !p.floats.is_empty() => 6,
        p if !p.ints.is_empty() => 7,
        p if !p.strings.is_empty() => 8,
        p if !p.tensors.is_empty() => 9,
        p if !p.graphs.is_empty() => 10,
        p if !p.s.is_empty() => 3,
        p if p.f != 0.0 => 1,
        _ => 2,
    }
}

fn port(proto: &ValueInfoProto) -> Port {
    Port { name: proto.name.clone(), kind: kind(proto.r#type.as_ref()) }
}

fn kind(proto: Option<&TypeProto>) -> Kind {
    // the reader of messages bounds the nesting
    match proto.and_then(|t| t.value.as_ref()) {
        None => Kind::Unknown,
        Some(TypeValue::Tensor(t)) => Kind::Tensor {
            element_type: ElementType::from_onnx(t.elem_type),
            shape: t.shape.as_ref().map(|s| {
                let dims = s.dim.iter().map(|d| match &d.value {
                    Some(DimensionValue::Value(n)) if *n > 0 => Dim::Fixed(*n as usize),
                    Some(DimensionValue::Param(name)) if !name.is_empty() => Dim::Named(name.clone()),
                    _ => Dim::Unknown,
                });
                dims.collect()
            }),
        },
        Some(TypeValue::Sequence(s)) => Kind::Sequence(Box::new(kind(s.elem_type.as_deref()))),
        Some(TypeValue::Optional(s)) => Kind::Optional(Box::new(kind(s.elem_type.as_deref()))),
        Some(TypeValue::Map(m)) => Kind::Map {
            key: ElementType::from_onnx(m.key_type).unwrap_or(ElementType::I64),
            value: Box::new(kind(m.value_type.as_deref())),
        },
    }
}

/// Orders the nodes so that values are made before they are used, and refuses cycles, double and unknown names.
fn sort(graph: &mut Graph, outermost: bool) -> Result<(), LoadError> {
    let mut made_by: HashMap<&str, usize> = HashMap::new();
    let mut seen: BTreeSet<&str> = graph.inputs.iter().map(|p| p.name.as_str()).collect();
    if seen.len() != graph.inputs.len() {
        return Err(LoadError::Broken("two inputs have the same name".into()));
    }
    seen.extend(graph.constants.keys().map(String::as_str));
    for (i, node) in graph.nodes.iter().enumerate() {
        for output in node.outputs.iter().filter(|o| !o.is_empty()) {
            if made_by.insert(output, i).is_some() || seen.contains(output.as_str()) {
                return Err(LoadError::Broken(format!("the value `{output}` is made twice")));
            }
        }
    }
    let needs: Vec<Vec<String>> = graph.nodes.iter().map(reads).collect();
    if outermost {
        let known = |name: &str| made_by.contains_key(name) || seen.contains(name);
        for (node, reads) in graph.nodes.iter().zip(&needs) {
            if let Some(name) = reads.iter().find(|n| !known(n)) {
                return Err(LoadError::Broken(format!("node `{}` reads `{name}`, which nothing makes", node.title())));
            }
        }
        if let Some(port) = graph.outputs.iter().find(|p| !known(&p.name)) {
            return Err(LoadError::Broken(format!("nothing makes the output `{}`", port.name)));
        }
    }
    let order = topological(&needs, &made_by)
        .ok_or_else(|| LoadError::Broken("its nodes depend on each other in a circle".into()))?;
    let mut nodes: Vec<Option<Node>> = std::mem::take(&mut graph.nodes).into_iter().map(Some).collect();
    graph.nodes = order.into_iter().filter_map(|i| nodes[i].take()).collect();
    Ok(())
}

/// Names that a node and its subgraphs read from the graph around.
pub fn reads(node: &Node) -> Vec<String> {
    let mut out: Vec<String> = node.inputs.iter().filter(|n| !n.is_empty()).cloned().collect();
    for graph in node.attributes.graphs() {
        out.extend(captures(graph));
    }
    out
}

/// Names that a subgraph reads and does not make itself, each once, in order of first use.
pub fn captures(graph: &Graph) -> Vec<String> {
    let mut own: BTreeSet<&str> = graph.inputs.iter().map(|p| p.name.as_str()).collect();
    own.extend(graph.constants.keys().map(String::as_str));
    own.extend(graph.nodes.iter().flat_map(|n| &n.outputs).map(String::as_str));
    let mut out: Vec<String> = vec![];
    let outputs = graph.outputs.iter().map(|p| p.name.clone());
    for name in graph.nodes.iter().flat_map(reads).chain(outputs) {
        if !own.contains(name.as_str()) && !out.contains(&name) {
            out.push(name);
        }
    }
    out
}

/// Kahn's algorithm, first come first served, so that a sorted file keeps its order.
fn topological(needs: &[Vec<String>], made_by: &HashMap<&str, usize>) -> Option<Vec<usize>> {
    let mut waiting: Vec<usize> = vec![0; needs.len()];
    let mut unlocks: Vec<Vec<usize>> = vec![vec![]; needs.len()];
    for (i, names) in needs.iter().enumerate() {
        let makers: BTreeSet<usize> = names.iter().filter_map(|n| made_by.get(n.as_str()).copied()).collect();
        waiting[i] = makers.len();
        makers.into_iter().for_each(|m| unlocks[m].push(i));
    }
    let mut ready: BTreeSet<usize> = (0..needs.len()).filter(|i| waiting[*i] == 0).collect();
    let mut order = vec![];
    while let Some(i) = ready.pop_first() {
        order.push(i);
        for &next in &unlocks[i] {
            waiting[next] -= 1;
            if waiting[next] == 0 {
                ready.insert(next);
            }
        }
    }
    (order.len() == needs.len()).then_some(order)
}

/// All constants' elements, for reports.
pub fn constant_elements(constants: &BTreeMap<String, Arc<Tensor>>) -> usize {
    constants.values().map(|t| t.len()).sum()
}
