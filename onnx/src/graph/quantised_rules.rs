//! Which operator on quantised numbers does what a node, its DequantizeLinear and its QuantizeLinear do together.

use crate::graph::Node;
use crate::graph::quantised::Joiner;
use crate::graph::quantised::Made;
use crate::graph::quantised::Part;
use crate::graph::quantised::is_quantize;
use crate::registry::MICROSOFT;
use crate::tensor::ElementType;
use crate::tensor::Elements;

/// The operator for `node`, whose result becomes `target` where it is quantised at once.
pub fn join(joiner: &Joiner, node: &Node, target: Option<&Part>) -> Option<Made> {
    let parts = |from: usize| node.inputs[from..].iter().map(|name| joiner.source(name)).collect::<Option<Vec<_>>>();
    match (node.op_type.as_str(), target) {
        ("MatMul", _) => product(joiner, node, &parts(0)?, target),
        ("Gemm", _) => gemm(joiner, node, &parts(0)?, target),
        ("Conv", Some(y)) => conv(node, &parts(0)?, y),
        ("Add" | "Mul", Some(y)) => {
            let all = parts(0).filter(|all| all.len() == 2 && all.iter().all(|p| is_alike(p, y)))?;
            let inputs = triples(&all).into_iter().chain([y.scale(), y.zero()]).collect();
            Some(Made::of(node, MICROSOFT, &format!("QLinear{}", node.op_type), inputs, &[], true))
        }
        ("AveragePool" | "GlobalAveragePool" | "LeakyRelu" | "Sigmoid" | "Softmax", Some(y)) => {
            unary(node, &parts(0)?, y)
        }
        ("Concat", Some(y)) => {
            let all = parts(0).filter(|all| !all.is_empty() && all.iter().all(|p| is_alike(p, y)))?;
            let inputs = [y.scale(), y.zero()].into_iter().chain(triples(&all)).collect();
            Some(Made::of(node, MICROSOFT, "QLinearConcat", inputs, &[], true))
        }
        ("Where", Some(y)) if node.inputs.len() == 3 => {
            let all = parts(1).filter(|all| all.iter().all(|p| is_alike(p, y)))?;
            let first = [node.inputs[0].clone()].into_iter();
            let inputs = first.chain(triples(&all)).chain([y.scale(), y.zero()]).collect();
            Some(Made::of(node, MICROSOFT, "QLinearWhere", inputs, &[], true))
        }
        _ => None,
    }
}

fn triples(parts: &[Part]) -> Vec<String> {
    parts.iter().flat_map(|p| p.names.clone()).collect()
}

/// Of the same type as the result, with one scale.
fn is_alike(part: &Part, y: &Part) -> bool {
    part.scales == 1 && part.kind == y.kind
}

fn is_small(part: &Part) -> bool {
    part.kind != ElementType::I32
}

fn unary(node: &Node, parts: &[Part], y: &Part) -> Option<Made> {
    let [x] = parts else { return None };
    if !is_alike(x, y) {
        return None;
    }
    let inputs = vec![x.number(), x.scale(), x.zero(), y.scale(), y.zero()];
    let made = Made::of(node, MICROSOFT, &format!("QLinear{}", node.op_type), inputs, &[], true);
    if node.op_type != "Softmax" {
        return Some(made);
    }
    let axis = node.attributes.int_or("axis", if node.version < 13 { 1 } else { -1 }).ok()?;
    Some(made.with("axis", axis).with("opset", node.version))
}

/// Whether the scales of a right side, of the axes that it has, lie along its columns.
fn is_by_column(joiner: &Joiner, b: &Part, column: i64) -> bool {
    let rank = joiner.constant(&b.names[0]).map(|t| t.rank() as i64);
    b.scales == 1 || rank.is_some_and(|rank| rank == 2 && b.axis.rem_euclid(rank) == column)
}

fn product(joiner: &Joiner, node: &Node, parts: &[Part], y: Option<&Part>) -> Option<Made> {
    let [a, b] = parts else { return None };
    if a.scales != 1 || !is_small(a) || !is_small(b) || !is_by_column(joiner, b, 1) {
        return None;
    }
    match y {
        Some(y) if y.kind == a.kind => {
            let inputs = triples(parts).into_iter().chain([y.scale(), y.zero()]).collect();
            Some(Made::of(node, "", "QLinearMatMul", inputs, &[], true))
        }
        Some(_) => None,
        None if !gives_floats(joiner, node) => None,
        None => {
            let inputs = vec![a.number(), b.number(), a.scale(), b.scale(), a.zero(), b.zero()];
            Some(Made::of(node, MICROSOFT, "MatMulIntegerToFloat", inputs, &[], false))
        }
    }
}

fn gemm(joiner: &Joiner, node: &Node, parts: &[Part], y: Option<&Part>) -> Option<Made> {
    let (a, b, c) = match parts {
        [a, b] => (a, b, None),
        [a, b, c] => (a, b, Some(c)),
        _ => return None,
    };
    let column = i64::from(!node.attributes.flag("transB", false).ok()?);
    // the bias is added before the factors are applied
    let plain = c.is_none() || ["alpha", "beta"].iter().all(|name| node.attributes.float_or(name, 1.0) == Ok(1.0));
    let fits = a.scales == 1 && is_small(a) && is_small(b) && is_by_column(joiner, b, column);
    let biased = c.is_none_or(|c| c.kind == ElementType::I32);
    let follows = y.map_or_else(|| gives_floats(joiner, node), |y| y.kind == a.kind);
    if !plain || !fits || !biased || !follows {
        return None;
    }
    let mut inputs = triples(&parts[..2]);
    inputs.push(c.map(Part::number).unwrap_or_default());
    if let Some(y) = y {
        inputs.extend([y.scale(), y.zero()]);
    }
    Some(Made::of(node, MICROSOFT, "QGemm", inputs, &["beta"], y.is_some()))
}

fn conv(node: &Node, parts: &[Part], y: &Part) -> Option<Made> {
    let (x, w, bias) = match parts {
        [x, w] => (x, w, None),
        [x, w, bias] => (x, w, Some(bias)),
        _ => return None,
    };
    let by_filter = w.scales == 1 || w.axis == 0;
    if !is_alike(x, y) || !is_small(w) || !by_filter || bias.is_some_and(|b| b.kind != ElementType::I32) {
        return None;
    }
    let mut inputs = triples(&parts[..2]);
    inputs.extend([y.scale(), y.zero()]);
    inputs.extend(bias.map(Part::number));
    Some(Made::of(node, "", "QLinearConv", inputs, &[], true))
}

/// Whether a product gives floats: nobody quantises it, and nothing may bound it.
fn gives_floats(joiner: &Joiner, node: &Node) -> bool {
    let Some(output) = node.outputs.first() else { return false };
    !joiner.all_readers(output).into_iter().any(is_quantize) && !is_bounded(joiner, output)
}

/// Whether a Relu or Clip with a single reader stands behind a value and no QuantizeLinear that would do as well: onnxruntime
/// takes the two for one then, and leaves both as they are.
pub fn is_bounded(joiner: &Joiner, output: &str) -> bool {
    let Some((bound, bounded)) = bound_behind(joiner, output) else { return false };
    let &[after] = joiner.all_readers(bounded).as_slice() else { return false };
    let needless = is_quantize(after) && is_needless(joiner, bound, &after.inputs);
    !needless && !joiner.is_output(bounded)
}

/// The Relu or Clip that alone reads a value, and what it makes.
pub fn bound_behind<'a>(joiner: &'a Joiner, output: &str) -> Option<(&'a Node, &'a str)> {
    let &[bound] = joiner.all_readers(output).as_slice() else { return None };
    let ("Relu" | "Clip", [bounded]) = (bound.op_type.as_str(), bound.outputs.as_slice()) else { return None };
    Some((bound, bounded))
}

/// Whether quantising with the inputs `y` bounds a value as much as a Relu or Clip before it does.
pub fn is_needless(joiner: &Joiner, node: &Node, y: &[String]) -> bool {
    let [_, scale, zero] = y else { return false };
    let (Some(scale), Some(zero)) = (joiner.constant(scale), joiner.constant(zero)) else { return false };
    let Ok(&[scale]) = scale.slice::<f32>() else { return false };
    let (low, high) = match zero.elements() {
        Elements::U8(z) if z.len() == 1 => (-f32::from(z[0]), 255.0 - f32::from(z[0])),
        Elements::I8(z) if z.len() == 1 => (-128.0 - f32::from(z[0]), 127.0 - f32::from(z[0])),
        Elements::U16(z) if z.len() == 1 => (-f32::from(z[0]), 65_535.0 - f32::from(z[0])),
        Elements::I16(z) if z.len() == 1 => (-32_768.0 - f32::from(z[0]), 32_767.0 - f32::from(z[0])),
        _ => return false,
    };
    let bound = |i: usize, name: &str, otherwise: f32| match node.inputs.get(i).filter(|n| !n.is_empty()) {
        None => node.attributes.float_or(name, otherwise).ok(),
        Some(input) => joiner.constant(input)?.slice::<f32>().ok()?.first().copied(),
    };
    match node.op_type.as_str() {
        "Relu" => low == 0.0,
        "Clip" => {
            let (Some(min), Some(max)) = (bound(1, "min", f32::MIN), bound(2, "max", f32::MAX)) else { return false };
            low * scale >= min && high * scale <= max
        }
        _ => false,
    }
}
