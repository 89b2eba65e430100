//! Joins nodes that one kernel computes in one pass: a product with constant weights, its bias, its activation.
//!
//! A value that goes is read by the next node of the chain alone, so nobody misses it. What a fused kernel computes is
//! what the nodes would compute one after the other, up to the last bit or two of a float.

use std::collections::HashMap;
use std::sync::Arc;

use crate::dense::activation::Activation;
use crate::ops::dense::layer::Layer;
use crate::program::Source;
use crate::program::compile::Planned;
use crate::tensor::ElementType;
use crate::tensor::Tensor;

/// How many nodes and graph outputs read a value.
pub(crate) type Readers = HashMap<String, usize>;

/// A product that is being collected.
struct Product {
    weights: Arc<Tensor>,
    transposed: bool,
    bias: Option<Arc<Tensor>>,
    alpha: f32,
    beta: f32,
    matrix: bool,
}

/// The nodes, with chains replaced by one node each, at the place of the last one.
pub(crate) fn fuse(planned: Vec<Planned>, readers: &Readers) -> Vec<Planned> {
    let mut reader_of: HashMap<String, usize> = HashMap::new();
    for (i, planned) in planned.iter().enumerate() {
        for name in &planned.node.inputs {
            reader_of.insert(name.clone(), i);
        }
    }
    let mut planned: Vec<Option<Planned>> = planned.into_iter().map(Some).collect();
    for i in 0..planned.len() {
        let Some(product) = planned[i].as_ref().and_then(Product::of) else { continue };
        // the only reader of what the `i`-th node makes, if it is one of these nodes
        let next = |i: usize, planned: &[Option<Planned>]| {
            let name = only_output(planned[i].as_ref()?)?;
            (readers.get(name) == Some(&1)).then(|| reader_of.get(name).copied()).flatten()
        };
        let (mut product, mut chain) = (product, vec![i]);
        if let Some(add) = next(i, &planned)
            && product.bias.is_none()
            && let Some(bias) = planned[add].as_ref().and_then(|p| bias(p, &product))
        {
            product.bias = Some(bias);
            chain.push(add);
        }
        let mut last = chain[chain.len() - 1];
        let mut function = Activation::None;
        if let Some(at) = next(last, &planned)
            && let Some(activation) = planned[at].as_ref().and_then(activation)
        {
            (function, last) = (activation, at);
            chain.push(at);
        }
        if let Some(fused) = join(&product, function, &chain, &planned) {
            chain.iter().for_each(|at| planned[*at] = None);
            planned[last] = Some(fused);
        }
    }
    planned.into_iter().flatten().collect()
}

/// The name of the only output.
fn only_output(planned: &Planned) -> Option<&String> {
    match planned.node.outputs.as_slice() {
        [one] if !one.is_empty() => Some(one),
        _ => None,
    }
}

fn join(product: &Product, function: Activation, chain: &[usize], planned: &[Option<Planned>]) -> Option<Planned> {
    let scale = (product.alpha, product.beta);
    let bias = product.bias.as_deref();
    let layer = Layer::new(&product.weights, product.transposed, bias, scale, function, product.matrix).ok()?;
    let first = planned[chain[0]].as_ref()?;
    let last = planned[*chain.last()?].as_ref()?;
    let mut node = first.node.clone();
    let names: Vec<&str> = chain.iter().filter_map(|i| Some(planned[*i].as_ref()?.node.op_type.as_str())).collect();
    node.op_type = names.join("+");
    node.inputs.truncate(1);
    node.outputs = last.node.outputs.clone();
    Some(Planned {
        node,
        inputs: first.inputs[..1].to_vec(),
        outputs: last.outputs.clone(),
        kernel: Ok(Box::new(layer)),
        by: first.by,
        tract: false,
    })
}

fn constant(planned: &Planned, i: usize) -> Option<&Arc<Tensor>> {
    match planned.inputs.get(i) {
        Some(Source::Constant(t)) if t.element_type() == ElementType::F32 => Some(t),
        _ => None,
    }
}

impl Product {
    /// MatMul or Gemm with constant weights, and nothing unusual besides.
    fn of(planned: &Planned) -> Option<Product> {
        let (node, attributes) = (&planned.node, &planned.node.attributes);
        let weights = constant(planned, 1).filter(|t| t.rank() == 2)?.clone();
        let known = planned.kernel.is_ok() && node.domain.is_empty() && matches!(planned.inputs[0], Source::Slot(_));
        match node.op_type.as_str() {
            "MatMul" if known => {
                Some(Product { weights, transposed: false, bias: None, alpha: 1.0, beta: 1.0, matrix: false })
            }
            "Gemm" if known && !attributes.flag("transA", false).ok()? => {
                let beta = attributes.float_or("beta", 1.0).ok()?;
                let bias = match planned.inputs.get(2) {
                    None | Some(Source::Nothing) => None,
                    Some(_) if beta == 0.0 => None,
                    Some(_) => Some(constant(planned, 2)?.clone()),
                };
                if bias.as_ref().is_some_and(|t| t.rank() > 2) {
                    return None;
                }
                let alpha = attributes.float_or("alpha", 1.0).ok()?;
                let transposed = attributes.flag("transB", false).ok()?;
                Some(Product { weights, transposed, bias, alpha, beta, matrix: true })
            }
            _ => None,
        }
    }
}

/// The constant that an Add adds to every row of a product.
fn bias(planned: &Planned, product: &Product) -> Option<Arc<Tensor>> {
    let columns = product.weights.shape()[usize::from(!product.transposed)];
    if planned.node.op_type != "Add" || !planned.node.domain.is_empty() || product.beta != 1.0 {
        return None;
    }
    // before version 7 an attribute said along which axis
    if planned.node.version < 7 {
        return None;
    }
    let bias = constant(planned, 0).or_else(|| constant(planned, 1))?;
    let row = bias.len() == columns && bias.shape().last() == Some(&columns);
    (row || bias.len() == 1).then(|| bias.clone())
}

fn activation(planned: &Planned) -> Option<Activation> {
    let (node, attributes) = (&planned.node, &planned.node.attributes);
    if !node.domain.is_empty() {
        return None;
    }
    let number = |name: &str| attributes.float(name).ok();
    match node.op_type.as_str() {
        "Clip" => {
            let bound = |i: usize, name: &str| match planned.inputs.get(i) {
                None | Some(Source::Nothing) => number(name),
                Some(_) => constant(planned, i)?.slice::<f32>().ok()?.first().copied().map(Some),
            };
            let (low, high) = (bound(1, "min")?, bound(2, "max")?);
            (low.is_none_or(|x| !x.is_nan()) && high.is_none_or(|x| !x.is_nan()))
                .then(|| Activation::named("Clip", low, high).ok())
                .flatten()
        }
        name @ ("Relu" | "LeakyRelu" | "Sigmoid" | "Tanh" | "HardSigmoid" | "Elu" | "Softplus" | "Softsign") => {
            Activation::named(name, number("alpha")?, number("beta")?).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;
    use crate::graph::Node;
    use crate::graph::Port;
    use crate::program::Program;
    use crate::program::State;
    use crate::value::Value;

    fn node(op_type: &str, inputs: &[&str], output: &str) -> Node {
        let names = |all: &[&str]| all.iter().map(ToString::to_string).collect();
        Node {
            op_type: op_type.into(),
            inputs: names(inputs),
            outputs: names(&[output]),
            version: 17,
            ..Node::default()
        }
    }

    /// Steps of a program of these nodes, and its outputs for two rows of two numbers.
    fn run(nodes: &[Node], outputs: &[&str]) -> (Vec<String>, Vec<Vec<f32>>) {
        let port = |name: &str| Port { name: name.into(), kind: Default::default() };
        let tensor = |shape: &[usize], v: &[f32]| Arc::new(Tensor::new(shape, v.to_vec()).unwrap());
        let constants = [
            ("w", tensor(&[2, 3], &[1.0, 2.0, 3.0, -1.0, 0.5, 4.0])),
            ("row", tensor(&[1, 3], &[0.5, -9.0, 1.0])),
            ("column", tensor(&[2, 1], &[10.0, 20.0])),
            ("one", tensor(&[], &[2.0])),
        ];
        let graph = Graph {
            inputs: vec![port("x")],
            outputs: outputs.iter().map(|name| port(name)).collect(),
            nodes: nodes.to_vec(),
            constants: constants.into_iter().map(|(name, t)| (name.to_string(), t)).collect(),
            ..Graph::default()
        };
        let program = Program::compile_own(&graph, &graph.outputs).unwrap();
        let x = Value::Tensor(tensor(&[2, 2], &[1.0, 2.0, -3.0, 0.25]));
        let out = program.run(&mut State::default(), vec![x]).unwrap();
        let values = out.iter().map(|v| v.tensor().unwrap().slice::<f32>().unwrap().to_vec()).collect();
        (program.kernels().map(|(operator, _, _)| operator.to_string()).collect(), values)
    }

    #[test]
    fn a_layer_becomes_one_step_with_the_same_numbers() {
        let layer = [
            node("MatMul", &["x", "w"], "product"),
            node("Add", &["row", "product"], "sum"),
            node("Relu", &["sum"], "y"),
        ];
        let (steps, fused) = run(&layer, &["y"]);
        assert_eq!(steps, ["MatMul+Add+Relu"]);
        assert_eq!(fused, [[0.0, 0.0, 12.0, 0.0, 0.0, 0.0]]);
        let (steps, apart) = run(&layer, &["y", "sum", "product"]);
        assert_eq!(steps, ["MatMul", "Add", "Relu"]);
        assert_eq!(apart[0], fused[0]);
        assert_eq!(apart[2], [-1.0, 3.0, 11.0, -3.25, -5.875, -8.0]);
    }

    #[test]
    fn what_is_no_bias_stays_an_add() {
        for (second, steps) in [("row", 1), ("one", 1), ("column", 2), ("product", 2)] {
            let nodes = [node("MatMul", &["x", "w"], "product"), node("Add", &["product", second], "y")];
            assert_eq!(run(&nodes, &["y"]).0.len(), steps, "{second}");
        }
    }

    #[test]
    fn layers_in_a_row_are_fused_each() {
        let nodes = [
            node("Gemm", &["x", "w", "row"], "first"),
            node("Tanh", &["first"], "bent"),
            node("MatMul", &["bent", "turned"], "second"),
            node("Transpose", &["w"], "turned"),
            node("Add", &["second", "one"], "sum"),
            node("Sigmoid", &["sum"], "y"),
        ];
        let mut nodes = nodes.to_vec();
        nodes.swap(2, 3);
        let (steps, values) = run(&nodes, &["y"]);
        assert_eq!(steps, ["Gemm+Tanh", "MatMul+Add+Sigmoid"]);
        let bent = [-0.5f64, -6.0, 12.0].map(f64::tanh);
        let sum = bent[0] + 2.0 * bent[1] + 3.0 * bent[2] + 2.0;
        assert!((f64::from(values[0][0]) - 1.0 / (1.0 + (-sum).exp())).abs() < 1e-6);
    }
}
