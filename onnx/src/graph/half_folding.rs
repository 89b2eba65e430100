//! What onnxruntime's optimiser folds while weights are float16, and so rounds: a Conv takes the Mul, Add or
//! BatchNormalization behind it into its weights; operators that change nothing, and transpositions that cancel, go.
//!
//! Source: ConvMulFusion, ConvAddFusion, ConvBNFusion, NoopElimination and ExpandElimination of onnxruntime
//! (`core/optimizer`), each step of which rounds to the type of the weights.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

use half::f16;

use crate::graph::Graph;
use crate::graph::Node;
use crate::graph::convert::reads;
use crate::graph::half::HALF;
use crate::graph::half::rename;
use crate::graph::half_rounding;
use crate::graph::ranks::ranks;
use crate::tensor::Tensor;

/// Folds until nothing is left to fold.
pub fn fold(graph: &mut Graph) {
    pass_by(graph);
    while fold_one(graph) {}
}

/// Lets readers of nodes that change nothing read what these read.
fn pass_by(graph: &mut Graph) {
    let (ranks, halves) = (ranks(graph), half_rounding::halves(graph));
    let mut at = 0;
    while let Some(node) = graph.nodes.get(at) {
        let same = match node.outputs.as_slice() {
            [output] if !graph.outputs.iter().any(|p| p.name == *output) => unchanged(graph, (&ranks, &halves), node),
            _ => None,
        };
        match same {
            Some(same) => {
                let output = graph.nodes.remove(at).outputs.swap_remove(0);
                rename(&mut graph.nodes[at..], &output, &same);
            }
            None => at += 1,
        }
    }
}

/// The value that a node makes once more.
fn unchanged(
    graph: &Graph,
    (ranks, halves): (&HashMap<String, usize>, &BTreeSet<String>),
    node: &Node,
) -> Option<String> {
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
            let first = graph.nodes.iter().find(|n| n.outputs.first() == a && n.operator() == "Transpose")?;
            let perm = |n: &Node| n.attributes.ints("perm").ok().flatten().map(<[i64]>::to_vec);
            let (first_perm, second_perm) = (perm(first)?, perm(node)?);
            let cancel = second_perm.len() == first_perm.len()
                && second_perm.iter().enumerate().all(|(i, p)| first_perm.get(*p as usize) == Some(&(i as i64)));
            cancel.then(|| first.inputs.first().cloned())?
        }
        _ => None,
    }
}

/// Folds the first node that can be; false if there is none.
fn fold_one(graph: &mut Graph) -> bool {
    for at in 0..graph.nodes.len() {
        if let Some((next, weights, bias)) = folded(graph, at) {
            let removed = graph.nodes.remove(next);
            let names = ["#weights", "#bias"].map(|part| format!("{}{part}", removed.outputs[0]));
            graph.constants.insert(names[0].clone(), Arc::new(weights));
            let conv = &mut graph.nodes[at];
            conv.inputs[1].clone_from(&names[0]);
            if let Some(bias) = bias {
                graph.constants.insert(names[1].clone(), Arc::new(bias));
                conv.inputs.truncate(2);
                conv.inputs.push(names[1].clone());
            }
            conv.outputs = removed.outputs;
            return true;
        }
    }
    false
}

/// The node behind a Conv that it can do itself, with the weights and the bias that it needs for that.
fn folded(graph: &Graph, at: usize) -> Option<(usize, Tensor, Option<Tensor>)> {
    let conv = graph.nodes.get(at).filter(|n| n.operator() == "Conv")?;
    let is_output = |name: &String| graph.outputs.iter().any(|p| p.name == *name);
    let [output] = conv.outputs.as_slice() else { return None };
    let mut readers = graph.nodes.iter().enumerate().filter(|(_, n)| reads(n).contains(output));
    let ((next, node), None) = (readers.next()?, readers.next()) else { return None };
    if is_output(output) || node.outputs.iter().any(is_output) || node.inputs.first() != Some(output) {
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
