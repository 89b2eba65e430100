//! float16 graphs compute in float, and round where float16 enters or leaves the graph and where [`half_rounding`] says so.
//!
//! onnxruntime does the same on a processor: its InsertCastTransformer puts casts around nodes that have no float16
//! kernel, and those that meet are removed, so that nothing is rounded in between.

use std::sync::Arc;

use crate::graph::Graph;
use crate::graph::Kind;
use crate::graph::Node;
use crate::graph::attributes::Attribute;
use crate::graph::half_folding;
use crate::graph::half_rounding;
use crate::tensor::ElementType;
use crate::tensor::Elements;
use crate::tensor::Tensor;

/// Code of float16 in `Cast`'s `to` and the like.
pub(super) const HALF: i64 = 10;
pub(super) const FLOAT: i64 = 1;
/// Attributes that hold the code of an element type.
const TYPED: &[&str] = &["to", "dtype", "output_dtype", "stash_type"];

/// Rewrites a graph and its subgraphs; a graph without float16 stays as it is.
pub fn widen(graph: &mut Graph) {
    if !uses_half(graph) {
        return;
    }
    body(graph);
    let mut casts = vec![];
    for port in &graph.inputs {
        if is_half(&port.kind) {
            let wide = format!("{}#float", port.name);
            rename(&mut graph.nodes, &port.name, &wide);
            casts.push(cast(&port.name, &wide, FLOAT));
        }
    }
    casts.append(&mut graph.nodes);
    graph.nodes = casts;
    for port in graph.outputs.iter().filter(|p| is_half(&p.kind)) {
        let wide = format!("{}#wide", port.name);
        // a graph output may be read inside as well
        rename(&mut graph.nodes, &port.name, &wide);
        for name in graph.nodes.iter_mut().flat_map(|n| &mut n.outputs) {
            if *name == port.name {
                name.clone_from(&wide);
            }
        }
        if let Some(constant) = graph.constants.remove(&port.name) {
            graph.constants.insert(wide.clone(), constant);
        }
        // an input that is an output as well needs no rounding
        let source = if graph.inputs.iter().any(|p| p.name == port.name) { continue } else { wide };
        graph.nodes.push(cast(&source, &port.name, HALF));
    }
}

pub(super) fn is_half(kind: &Kind) -> bool {
    matches!(kind, Kind::Tensor { element_type: Some(ElementType::F16), .. })
}

fn uses_half(graph: &Graph) -> bool {
    let half = |t: &Tensor| t.element_type() == ElementType::F16;
    graph.inputs.iter().chain(&graph.outputs).any(|p| is_half(&p.kind))
        || graph.constants.values().any(|t| half(t))
        || graph.nodes.iter().any(|node| {
            node.attributes.graphs().any(|g| uses_half(g))
                || node.attributes.0.iter().any(|(name, a)| match a {
                    Attribute::Tensor(t) => half(t),
                    Attribute::Int(v) => *v == HALF && TYPED.contains(&name.as_str()),
                    _ => false,
                })
        })
}

/// Constants, tensors and type codes inside.
fn body(graph: &mut Graph) {
    half_rounding::pass_on(graph);
    half_folding::fold(graph);
    let rounding = half_rounding::plan(graph);
    graph.constants.values_mut().for_each(wide);
    for kind in graph.noted.values_mut() {
        if let Kind::Tensor { element_type, .. } = kind
            && *element_type == Some(ElementType::F16)
        {
            *element_type = Some(ElementType::F32);
        }
    }
    for node in &mut graph.nodes {
        for (name, attribute) in &mut node.attributes.0 {
            match attribute {
                Attribute::Tensor(t) => wide(t),
                Attribute::Int(v) if *v == HALF && TYPED.contains(&name.as_str()) => *v = FLOAT,
                Attribute::Graph(g) => body(Arc::make_mut(g)),
                Attribute::Graphs(all) => all.iter_mut().for_each(|g| body(Arc::make_mut(g))),
                _ => {}
            }
        }
    }
    rounding.apply(graph);
}

fn wide(tensor: &mut Arc<Tensor>) {
    if let Elements::F16(values) = tensor.elements() {
        let values = values.iter().map(|v| v.to_f32()).collect();
        if let Ok(made) = Tensor::new::<f32>(tensor.shape(), values) {
            *tensor = Arc::new(made);
        }
    }
}

/// Readers of a name read another one, in subgraphs too.
pub(super) fn rename(nodes: &mut [Node], from: &str, to: &str) {
    for node in nodes {
        for input in node.inputs.iter_mut().filter(|i| *i == from) {
            *input = to.into();
        }
        for attribute in node.attributes.0.values_mut() {
            let graphs = match attribute {
                Attribute::Graph(g) => std::slice::from_mut(g),
                Attribute::Graphs(all) => all,
                _ => continue,
            };
            for graph in graphs {
                let graph = Arc::make_mut(graph);
                if !graph.inputs.iter().any(|p| p.name == from) {
                    rename(&mut graph.nodes, from, to);
                    for port in graph.outputs.iter_mut().filter(|p| p.name == from) {
                        port.name = to.into();
                    }
                }
            }
        }
    }
}

pub(super) fn cast(from: &str, to: &str, code: i64) -> Node {
    let mut node = Node {
        op_type: "Cast".into(),
        name: format!("{to}#cast"),
        inputs: vec![from.into()],
        outputs: vec![to.into()],
        version: 13,
        ..Node::default()
    };
    node.attributes.0.insert("to".into(), Attribute::Int(code));
    node
}
