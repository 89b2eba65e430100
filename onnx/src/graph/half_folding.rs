//! What onnxruntime's optimiser folds while weights are float16, and so rounds: a Conv takes the Mul, Add or
//! BatchNormalization behind it into its weights; operators that change nothing, and transpositions that cancel, go.
//!
//! Source: ConvMulFusion, ConvAddFusion, ConvBNFusion, NoopElimination and ExpandElimination of onnxruntime
//! (`core/optimizer`), each step of which rounds to the type of the weights.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use half::f16;

use crate::graph::Graph;
use crate::graph::Node;
use crate::graph::convert::reads;
use crate::graph::half::HALF;
use crate::graph::half_rounding;
use crate::graph::passing::take_out;
use crate::graph::ranks::ranks;
use crate::tensor::Tensor;

/// Folds what can be, and lets readers of nodes that change nothing read what these read.
pub fn fold(graph: &mut Graph) {
    let (ranks, halves) = (ranks(graph), half_rounding::halves(graph));
    let outputs: HashSet<String> = graph.outputs.iter().map(|p| p.name.clone()).collect();
    let mut turned: HashMap<String, (Vec<i64>, String)> = HashMap::new();
    take_out(graph, |graph, node| {
        let same = unchanged(graph, (&ranks, &halves, &turned), node);
        if let (None, "Transpose", [input], [output]) =
            (&same, node.operator().as_str(), node.inputs.as_slice(), node.outputs.as_slice())
            && let Ok(Some(perm)) = node.attributes.ints("perm")
            && !outputs.contains(output)
        {
            turned.insert(output.clone(), (perm.to_vec(), input.clone()));
        }
        same
    });
    fold_convolutions(graph);
}

/// Names of ranks, of values that are float16, and what transpositions made of which value.
type Known<'a> = (&'a HashMap<String, usize>, &'a BTreeSet<String>, &'a HashMap<String, (Vec<i64>, String)>);

/// The value that a node makes once more.
fn unchanged(graph: &Graph, (ranks, halves, turned): Known<'_>, node: &Node) -> Option<String> {
    if !node.domain.is_empty() {
        return None;
    }
    let [a, b] = [node.inputs.first(), node.inputs.get(1)];
    let is = |name: Option<&String>, number: f32| {
        let constant = name.and_then(|name| graph.constants.get(name)).filter(|t| t.rank() <= 1);
        constant.is_some_and(|t| t.slice::<f16>().is_ok_and(|v| matches!(v, [x] if x.to_f32() == number)))
    };
    match node.op_type.as_str() {
        "Add" if is(a, 0.0) => b.cloned(),
        "Add" | "Sub" if is(b, 0.0) => a.cloned(),
        "Mul" if is(a, 1.0) => b.cloned(),
        "Mul" | "Div" if is(b, 1.0) => a.cloned(),
        "Cast" => {
            let again = node.attributes.int_or("to", 0) == Ok(HALF) && halves.contains(a?);
            again.then(|| a.cloned())?
        }
        "Expand" => {
            let to = graph.constants.get(b?)?.to_i64s().ok()?;
            let fits = ranks.get(a?).is_some_and(|rank| to.len() <= *rank);
            (fits && to.iter().all(|d| *d == 1)).then(|| a.cloned())?
        }
        "Transpose" => {
            let (first, source) = turned.get(a?)?;
            let second = node.attributes.ints("perm").ok()??;
            let mut places = second.iter().enumerate();
            let cancel = second.len() == first.len()
                && places.all(|(i, p)| usize::try_from(*p).is_ok_and(|p| first.get(p) == Some(&(i as i64))));
            cancel.then(|| source.clone())
        }
        _ => None,
    }
}

/// Folds what stands behind each Conv into it.
fn fold_convolutions(graph: &mut Graph) {
    let mut readers: HashMap<String, Vec<usize>> = HashMap::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        reads(node).into_iter().for_each(|name| readers.entry(name).or_default().push(i));
    }
    let mut gone = HashSet::new();
    for at in 0..graph.nodes.len() {
        while let Some((next, weights, bias)) = folded(graph, &readers, at) {
            let [conv, node] = [at, next].map(|i| graph.nodes[i].outputs.clone());
            let made = node.first().cloned().unwrap_or_default();
            let mut inputs = vec![format!("{made}#weights")];
            graph.constants.insert(inputs[0].clone(), Arc::new(weights));
            if let Some(bias) = bias {
                inputs.push(format!("{made}#bias"));
                graph.constants.insert(inputs[1].clone(), Arc::new(bias));
            }
            graph.nodes[at].inputs.truncate(1);
            graph.nodes[at].inputs.extend(inputs);
            graph.nodes[at].outputs = node;
            // nobody reads what the Conv alone made
            graph.nodes[next].outputs = conv;
            gone.insert(next);
        }
    }
    let nodes = std::mem::take(&mut graph.nodes).into_iter().enumerate();
    graph.nodes = nodes.filter(|(i, _)| !gone.contains(i)).map(|(_, node)| node).collect();
}

/// The node behind a Conv that it can do itself, with the weights and the bias that it needs for that.
fn folded(graph: &Graph, readers: &HashMap<String, Vec<usize>>, at: usize) -> Option<(usize, Tensor, Option<Tensor>)> {
    let conv = graph.nodes.get(at).filter(|n| n.operator() == "Conv")?;
    let is_output = |name: &String| graph.outputs.iter().any(|p| p.name == *name);
    let [output] = conv.outputs.as_slice() else { return None };
    let &[next] = readers.get(output)?.as_slice() else { return None };
    let node = graph.nodes.get(next)?;
    let [made] = node.outputs.as_slice() else { return None };
    if is_output(output) || is_output(made) || node.inputs.first() != Some(output) {
        return None;
    }
    let constant = |name: &String| graph.constants.get(name).filter(|t| t.slice::<f16>().is_ok());
    let weights = constant(conv.inputs.get(1)?)?;
    let channels = *weights.shape().first()?;
    let bias = match conv.inputs.get(2).filter(|name| !name.is_empty()) {
        Some(name) => Some(constant(name).filter(|b| b.shape() == [channels])?.slice::<f16>().ok()?.to_vec()),
        None => None,
    };
    let row = |name: &String| constant(name).and_then(|t| t.slice::<f16>().ok()).filter(|v| v.len() == channels);
    let column = || {
        let t = constant(node.inputs.get(1)?)?;
        // [C, 1, 1], or with an axis of the batch
        let shape = if t.rank() == weights.rank() { t.shape().strip_prefix(&[1])? } else { t.shape() };
        let fits = shape.len() + 1 == weights.rank() && t.len() == channels && shape.first() == Some(&channels);
        (fits && weights.rank() >= 4).then(|| t.slice::<f16>().ok())?
    };
    let scaled = |by: &[f16]| scaled(weights, channels, by);
    let (weights, bias) = match (node.operator().as_str(), node.inputs.as_slice()) {
        ("Mul", [_, by]) => {
            let by = match constant(by).filter(|t| t.rank() == 0 && weights.rank() >= 4) {
                Some(one) => vec![*one.slice::<f16>().ok()?.first()?; channels],
                None => column()?.to_vec(),
            };
            (scaled(&by)?, bias.map(|b| each(&b, &by, |b, s| b * s)))
        }
        ("Add", [_, _]) => {
            let plus = column()?;
            (weights.as_ref().clone(), Some(bias.map_or_else(|| plus.to_vec(), |b| each(&b, plus, |b, x| b + x))))
        }
        ("BatchNormalization", [_, scale, shift, mean, variance]) if weights.rank() > 2 => {
            let (shift, mean) = (row(shift)?, row(mean)?);
            let epsilon = node.attributes.float_or("epsilon", 1e-5).ok()?;
            let deviation = row(variance)?.iter().map(|v| f16::from_f32(v.to_f32() + epsilon));
            let deviation: Vec<f16> = deviation.map(|v| f16::from_f32(v.to_f32().sqrt())).collect();
            let by = each(row(scale)?, &deviation, |s, d| s / d);
            let bias = match bias {
                Some(b) => each(&each(&each(&b, mean, |b, m| b - m), &by, |b, s| b * s), shift, |b, x| b + x),
                None => each(shift, &each(mean, &by, |m, s| m * s), |x, m| x - m),
            };
            (scaled(&by)?, Some(bias))
        }
        _ => return None,
    };
    Some((next, weights, bias.map(Tensor::vector)))
}

fn each(a: &[f16], b: &[f16], f: impl Fn(f32, f32) -> f32) -> Vec<f16> {
    a.iter().zip(b).map(|(a, b)| f16::from_f32(f(a.to_f32(), b.to_f32()))).collect()
}

/// The weights of each output channel times its factor.
fn scaled(weights: &Tensor, channels: usize, by: &[f16]) -> Option<Tensor> {
    let values = weights.slice::<f16>().ok()?;
    let size = values.len().checked_div(channels).filter(|size| *size > 0)?;
    let rows = values.chunks_exact(size).zip(by);
    let made = rows.flat_map(|(row, s)| row.iter().map(|w| f16::from_f32(w.to_f32() * s.to_f32()))).collect();
    Tensor::new::<f16>(weights.shape(), made).ok()
}
