//! Products whose weights alone are quantised: DequantizeLinear in front of the right side of a MatMul or Gemm, and floats on
//! the left. onnxruntime makes them MatMulNBits at accuracy level 4, which quantises the left side on the way.
//!
//! Source: `DQMatMulNodeGroupSelector` and `NodeGroupSelector::GetQDQSelection` of onnxruntime (`qdq_selectors.cc`), and what
//! runs before them: constants of equal contents become one, Transpose goes into constants, Add after MatMul makes a Gemm.
//! Each rule was asked of onnxruntime 1.32 by a model of its own.

use std::ops::RangeInclusive;

use crate::graph::Node;
use crate::graph::narrow::BITS;
use crate::graph::quantised::Joiner;
use crate::graph::quantised::Made;
use crate::graph::quantised::is_dequantize;
use crate::graph::quantised::is_quantize;
use crate::graph::quantised_rules::bound_behind;
use crate::graph::quantised_rules::is_bounded;
use crate::ops::dense::matmul_nbits;
use crate::registry::MICROSOFT;
use crate::tensor::ElementType;

/// Depth that shares a scale, where the weights do not say it.
const BLOCK: i64 = 32;
/// Depths that MLAS has products for, if they are powers of two.
const BLOCKS: RangeInclusive<i64> = 16..=256;

/// The operator for `node`, if onnxruntime would make it one.
pub fn join(joiner: &Joiner, node: &Node) -> Option<Made> {
    let is_gemm = match (node.op_type.as_str(), node.inputs.len()) {
        ("MatMul", 2) => false,
        ("Gemm", 2 | 3) => true,
        _ => return None,
    };
    if joiner.maker(&node.inputs[0]).is_some_and(|n| is_dequantize(n) && is_of_eight_bits(joiner, n)) {
        return None;
    }
    let weights = Weights::behind(joiner, &node.inputs[1], is_gemm)?;
    let fits = if is_gemm { is_plain_gemm(joiner, node, weights.columns) } else { true };
    if !fits || !stands_alone(joiner, node, weights.columns) {
        return None;
    }
    let mut inputs = vec![node.inputs[0].clone()];
    inputs.extend(weights.inputs);
    inputs.extend([String::new(), String::new()]);
    inputs.truncate(matmul_nbits::BIAS);
    inputs.extend(node.inputs.get(2).cloned());
    let without = ["alpha", "beta", "transA", "transB"];
    let made = Made::of(node, MICROSOFT, "MatMulNBits", inputs, &without, false)
        .with(matmul_nbits::UNPACKED, 1)
        .with(matmul_nbits::TRANSPOSED, weights.transposed.into())
        .with(matmul_nbits::BLOCKWISE, weights.blockwise.into())
        .with("axis", weights.axis)
        .with("block_size", weights.block)
        .with("accuracy_level", matmul_nbits::INT8);
    Some(made)
}

/// The right side of a product.
struct Weights {
    /// Numbers, scales and, where there are any, zero points.
    inputs: Vec<String>,
    columns: usize,
    transposed: bool,
    axis: i64,
    block: i64,
    /// Whether the scales are of blocks.
    blockwise: bool,
}

impl Weights {
    fn behind(joiner: &Joiner, name: &str, is_gemm: bool) -> Option<Weights> {
        let (mut node, mut transposed) = (joiner.private_maker(name)?, false);
        if turns(node) && !is_gemm {
            node = joiner.private_maker(node.inputs.first()?)?;
            transposed = true;
        }
        let ([number, scale] | [number, scale, _]) = node.inputs.as_slice() else { return None };
        if !is_dequantize(node) {
            return None;
        }
        let shape = numbers_shape(joiner, number)?;
        let &[rows, columns] = shape.as_slice() else { return None };
        let scales = joiner.constant(scale).filter(|s| s.element_type() == ElementType::F32)?;
        let zeros = node.inputs.get(2).filter(|z| !z.is_empty());
        let zeros_fit = zeros.is_none_or(|z| joiner.constant(z).is_some_and(|z| z.shape() == scales.shape()));
        if rows == 0 || !zeros_fit || joiner.uses(number) != 1 || joiner.uses_of_equal(scales) != 1 {
            return None;
        }
        let (columns, channels) = if transposed { (rows, 0) } else { (columns, 1) };
        let axis = node.attributes.int_or("axis", 1).ok()?;
        let block = node.attributes.int_or("block_size", 0).ok()?;
        let fits = match scales.shape() {
            _ if transposed && node.attributes.has(BITS) => false,
            [] => block == 0,
            [n] => block == 0 && *n == columns && axis == channels,
            [blocks, n] => {
                let size = BLOCKS.contains(&block) && block.count_ones() == 1;
                size && !transposed && axis == 0 && *n == columns && *blocks as i64 == (rows as i64 + block - 1) / block
            }
            _ => false,
        };
        let blockwise = scales.rank() == 2;
        let inputs = node.inputs.iter().filter(|name| !name.is_empty()).cloned().collect();
        let block = if blockwise { block } else { BLOCK };
        fits.then_some(Weights { inputs, columns, transposed, axis, block, blockwise })
    }
}

fn turns(node: &Node) -> bool {
    node.operator() == "Transpose" && node.attributes.ints("perm").is_ok_and(|p| p.is_none_or(|p| p == [1, 0]))
}

/// The shape of constant numbers of at most eight bits, or of what they are made from: floats, or a matrix that lies down.
fn numbers_shape(joiner: &Joiner, name: &str) -> Option<Vec<usize>> {
    if let Some(numbers) = joiner.constant(name) {
        return matches!(numbers.element_type(), ElementType::I8 | ElementType::U8).then(|| numbers.shape().to_vec());
    }
    let node = joiner.private_maker(name)?;
    if turns(node) {
        let numbers = joiner.constant(node.inputs.first()?)?;
        let small = matches!(numbers.element_type(), ElementType::I8 | ElementType::U8);
        return small.then(|| numbers.shape().iter().rev().copied().collect());
    }
    if !is_quantize(node) || !is_of_eight_bits(joiner, node) {
        return None;
    }
    let all = node.inputs.iter().map(|input| joiner.constant(input)).collect::<Option<Vec<_>>>()?;
    Some(all.first()?.shape().to_vec())
}

/// Whether a node quantises to, or dequantises from, numbers of at most eight bits.
fn is_of_eight_bits(joiner: &Joiner, node: &Node) -> bool {
    let wide = |kind: ElementType| kind.size() > 1;
    let told = |i: usize| node.inputs.get(i).and_then(|name| joiner.constant(name)).map(|t| t.element_type());
    match told(2).or_else(|| told(0).filter(|_| is_dequantize(node))) {
        Some(kind) => !wide(kind),
        None => {
            let code = node.attributes.int_or("output_dtype", 0).unwrap_or(0) as i32;
            !ElementType::from_onnx(code).is_some_and(wide) || is_dequantize(node)
        }
    }
}

/// Whether a Gemm is a MatMul with at most a row added.
fn is_plain_gemm(joiner: &Joiner, node: &Node, columns: usize) -> bool {
    let one = |name: &str| node.attributes.float_or(name, 1.0).is_ok_and(|x| (x - 1.0).abs() <= 1e-6);
    let turned = |name: &str| node.attributes.flag(name, false).unwrap_or(true);
    let bias = match node.inputs.get(2).filter(|name| !name.is_empty()) {
        None => true,
        Some(bias) => {
            let source = joiner.maker(bias).filter(|n| is_dequantize(n)).and_then(|n| n.inputs.first());
            let constant = joiner.constant(source.unwrap_or(bias));
            one("beta") && constant.is_some_and(|b| b.shape() == [columns])
        }
    };
    bias && one("alpha") && !turned("transA") && !turned("transB")
}

/// Whether what follows leaves a product alone: no QuantizeLinear to eight bits, and no Relu or Clip with a single reader.
fn stands_alone(joiner: &Joiner, node: &Node, columns: usize) -> bool {
    let [output] = node.outputs.as_slice() else { return false };
    let next = joiner.all_readers(output);
    if let ([add], "MatMul", Some(2)) = (next.as_slice(), node.op_type.as_str(), joiner.rank(&node.inputs[0]))
        && add.operator() == "Add"
        && !joiner.is_output(output)
        && let [sum] = add.outputs.as_slice()
        && let Some(other) = add.inputs.iter().find(|name| *name != output)
    {
        // they become a Gemm, whose bias must be a row
        match (joiner.rank(other), joiner.constant(other).map(|t| t.shape())) {
            (Some(1), shape) if shape.is_none_or(|s| s == [columns]) => return is_left(joiner, sum),
            (Some(2), shape) if shape.is_none_or(|s| s != [1, 1]) => return false,
            _ => {}
        }
    }
    is_left(joiner, output)
}

fn is_left(joiner: &Joiner, output: &str) -> bool {
    let to_eight_bits = |n: &Node| is_quantize(n) && is_of_eight_bits(joiner, n);
    if joiner.all_readers(output).into_iter().any(to_eight_bits) || is_bounded(joiner, output) {
        return false;
    }
    // a bound that the quantisation behind it does as well is left out
    let Some((_, bounded)) = bound_behind(joiner, output) else { return true };
    !joiner.all_readers(bounded).into_iter().any(to_eight_bits)
}
