//! How many axes values have and which are float, as far as declarations and the nodes before them say.

use std::collections::HashMap;
use std::collections::HashSet;

use crate::graph::Graph;
use crate::graph::Kind;
use crate::graph::Node;
use crate::tensor::ElementType;

/// Operators whose result has the axes of their first input.
const KEEPING: &[&str] = &[
    "BatchNormalization",
    "Cast",
    "Clip",
    "Concat",
    "DequantizeLinear",
    "Dropout",
    "Elu",
    "Erf",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LayerNormalization",
    "LeakyRelu",
    "LogSoftmax",
    "MatMul",
    "PRelu",
    "QuantizeLinear",
    "Relu",
    "Selu",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Tanh",
    "Transpose",
];
/// Operators whose result has the axes of the input that has most.
const BROADCASTING: &[&str] = &["Add", "Div", "Max", "Min", "Mul", "Pow", "Sub", "Where"];
/// Operators whose result is a matrix.
const FLAT: &[&str] = &["Flatten", "Gemm"];

/// More operators whose result is of the type of their first input.
const MOVING: &[&str] =
    &["AveragePool", "Conv", "Expand", "Gather", "MaxPool", "ReduceMean", "Reshape", "Split", "Squeeze", "Unsqueeze"];

/// Names of values that are known to be float.
pub fn floats(graph: &Graph) -> HashSet<String> {
    let ports = graph.inputs.iter().chain(&graph.outputs).map(|p| (&p.name, &p.kind));
    let is_float = |kind: &Kind| matches!(kind, Kind::Tensor { element_type: Some(ElementType::F32), .. });
    let mut known: HashSet<String> =
        ports.chain(&graph.noted).filter(|(_, kind)| is_float(kind)).map(|(name, _)| name.clone()).collect();
    let constants = graph.constants.iter().filter(|(_, t)| t.element_type() == ElementType::F32);
    known.extend(constants.map(|(name, _)| name.clone()));
    for node in &graph.nodes {
        let float = |i: usize| node.inputs.get(i).is_some_and(|name| known.contains(name));
        let makes = match node.op_type.as_str() {
            "Cast" => is_cast_to_float(node),
            "DequantizeLinear" | "Where" => float(1),
            "QuantizeLinear" => false,
            op => [KEEPING, BROADCASTING, FLAT, MOVING].iter().any(|all| all.contains(&op)) && float(0),
        };
        if makes {
            known.extend(node.outputs.first().cloned());
        }
    }
    known
}

pub fn is_cast_to_float(node: &Node) -> bool {
    node.op_type == "Cast" && node.attributes.int_or("to", 0) == Ok(i64::from(ElementType::F32.onnx()))
}

/// Numbers of axes by the names of values.
pub fn ranks(graph: &Graph) -> HashMap<String, usize> {
    let ports = graph.inputs.iter().chain(&graph.outputs).map(|p| (&p.name, &p.kind));
    let mut known: HashMap<String, usize> = HashMap::new();
    for (name, kind) in ports.chain(&graph.noted) {
        if let Kind::Tensor { shape: Some(shape), .. } = kind {
            known.insert(name.clone(), shape.len());
        }
    }
    known.extend(graph.constants.iter().map(|(name, t)| (name.clone(), t.rank())));
    for node in &graph.nodes {
        let mut inputs = node.inputs.iter().map(|name| known.get(name).copied());
        let rank = match node.op_type.as_str() {
            op if FLAT.contains(&op) => Some(2),
            op if KEEPING.contains(&op) => inputs.next().flatten(),
            op if BROADCASTING.contains(&op) => inputs.try_fold(0, |most, rank| rank.map(|r| r.max(most))),
            _ => None,
        };
        if let ([output, ..], Some(rank)) = (node.outputs.as_slice(), rank) {
            known.entry(output.clone()).or_insert(rank);
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Dim;
    use crate::graph::Port;

    #[test]
    fn ranks_are_carried_from_what_is_declared() {
        let node = |op: &str, inputs: &[&str], output: &str| Node {
            op_type: op.into(),
            inputs: inputs.iter().map(ToString::to_string).collect(),
            outputs: vec![output.into()],
            ..Node::default()
        };
        let kind = Kind::Tensor { element_type: None, shape: Some(vec![Dim::Unknown; 3]) };
        let inputs = vec![Port { name: "x".into(), kind }];
        let nodes = vec![
            node("Relu", &["x"], "a"),
            node("Add", &["a", "x"], "b"),
            node("TopK", &["b"], "c"),
            node("Add", &["c", "x"], "d"),
            node("Flatten", &["c"], "e"),
        ];
        let ranks = ranks(&Graph { inputs, nodes, ..Graph::default() });
        let of = |name| ranks.get(name).copied();
        assert_eq!(["x", "b", "c", "d", "e"].map(of), [Some(3), Some(3), None, None, Some(2)]);
    }
}
