//! Weights and biases that an exporter left in float within a quantised layer become whole numbers: weights int8 as a whole,
//! biases int32 in steps of the product of both scales.
//!
//! Source: WeightBiasQuantization of onnxruntime (`weight_bias_quantization.cc`), which does so before it joins nodes.

use crate::error::OpError;
use crate::graph::Node;
use crate::graph::attributes::Attribute;
use crate::graph::quantised::Joiner;
use crate::graph::quantised::is_dequantize;
use crate::graph::quantised::is_quantize;
use crate::ops::dense::quant::quantum;
use crate::ops::dense::quant::range;
use crate::tensor::ElementType;
use crate::tensor::Tensor;

/// Quantises what is in float.
pub fn quantise(joiner: &mut Joiner) {
    for i in joiner.places() {
        if let Some(found) = found(joiner, i) {
            // constants of odd sizes stay as they are
            let _ = found.quantise(joiner, i);
        }
    }
}

/// What a layer has in float, and the scales of the rest.
struct Found {
    x_scale: f32,
    weights: Weights,
    bias: Option<Tensor>,
    title: String,
}

enum Weights {
    Float(Tensor),
    /// With these scales.
    Quantised(Tensor),
}

fn found(joiner: &Joiner, i: usize) -> Option<Found> {
    let node = joiner.node(i).filter(|n| n.domain.is_empty())?;
    let channel = match node.op_type.as_str() {
        "Conv" | "ConvTranspose" => 0,
        "Gemm" => i64::from(!node.attributes.flag("transB", false).ok()?),
        _ => return None,
    };
    let x = joiner.maker(node.inputs.first()?).filter(|n| is_dequantize(n))?;
    let &[x_scale] = joiner.constant(x.inputs.get(1)?)?.slice::<f32>().ok()? else { return None };
    if !leads_to_quantisation(joiner, node) {
        return None;
    }
    let float = |t: &Tensor| t.element_type() == ElementType::F32;
    let bias = match node.inputs.get(2).filter(|name| !name.is_empty()) {
        None => None,
        Some(name) => Some(joiner.constant(name).filter(|b| float(b) && b.rank() == 1)?.as_ref().clone()),
    };
    let w = node.inputs.get(1)?;
    let title = node.outputs.first()?.clone();
    let Some(dequantize) = joiner.maker(w).filter(|n| is_dequantize(n)) else {
        let weights = joiner.constant(w).filter(|t| float(t))?;
        return Some(Found { x_scale, weights: Weights::Float(weights.as_ref().clone()), bias, title });
    };
    let w_scales = joiner.constant(dequantize.inputs.get(1)?).filter(|s| float(s))?.as_ref().clone();
    let size = bias.as_ref()?.len();
    if w_scales.len() != 1 || w_scales.rank() > 1 {
        let rank = joiner.constant(dequantize.inputs.first()?)?.rank() as i64;
        let axis = dequantize.attributes.int_or("axis", 1).ok()?;
        let blocks = dequantize.attributes.int_or("block_size", 0).ok()?;
        if w_scales.shape() != [size] || blocks != 0 || (if axis < 0 { axis + rank } else { axis }) != channel {
            return None;
        }
    }
    Some(Found { x_scale, weights: Weights::Quantised(w_scales), bias, title })
}

/// Whether a value goes to a QuantizeLinear and nowhere else, past Relu and Clip.
fn leads_to_quantisation(joiner: &Joiner, node: &Node) -> bool {
    let mut node = node;
    // the nodes are in order, so that the way ends
    loop {
        let [output] = node.outputs.as_slice() else { return false };
        let &[next] = joiner.all_readers(output).as_slice() else { return false };
        if is_quantize(next) {
            return true;
        }
        if next.op_type != "Relu" && next.op_type != "Clip" {
            return false;
        }
        node = next;
    }
}

impl Found {
    fn quantise(self, joiner: &mut Joiner, at: usize) -> Result<(), OpError> {
        let w_scales = match self.weights {
            Weights::Quantised(scales) => scales,
            Weights::Float(weights) => {
                let values = weights.slice::<f32>()?;
                let (scale, zero) = range(values, -128.0);
                let numbers = values.iter().map(|x| quantum::<i8>(x / scale, zero as i8)).collect();
                let parts =
                    [Tensor::new::<i8>(weights.shape(), numbers)?, Tensor::scalar(scale), Tensor::scalar(zero as i8)];
                let name = format!("{}#weights", self.title);
                add(joiner, &name, parts, None);
                joiner.rename_input(at, 1, name);
                Tensor::scalar(scale)
            }
        };
        let Some(bias) = self.bias else { return Ok(()) };
        let scales: Vec<f32> = w_scales.slice::<f32>()?.iter().map(|w| self.x_scale * w).collect();
        let steps = bias.slice::<f32>()?.iter().zip(scales.iter().cycle());
        let numbers = steps.map(|(b, scale)| (b / scale).round_ties_even() as i32).collect();
        let zeros = Tensor::zeros::<i32>(w_scales.shape())?;
        let axis = (w_scales.rank() > 0).then_some(0);
        let parts = [Tensor::new::<i32>(bias.shape(), numbers)?, Tensor::new(w_scales.shape(), scales)?, zeros];
        let name = format!("{}#bias", self.title);
        add(joiner, &name, parts, axis);
        joiner.rename_input(at, 2, name);
        Ok(())
    }
}

/// Adds a DequantizeLinear of constants that makes `name`.
fn add(joiner: &mut Joiner, name: &str, parts: [Tensor; 3], axis: Option<i64>) {
    let inputs = ["#number", "#scale", "#zero"].map(|part| format!("{name}{part}"));
    for (input, tensor) in inputs.iter().zip(parts) {
        joiner.add(input, tensor);
    }
    let (op_type, outputs) = ("DequantizeLinear".into(), vec![name.to_string()]);
    let mut node =
        Node { op_type, name: name.into(), inputs: inputs.to_vec(), outputs, version: 13, ..Node::default() };
    node.attributes.0.extend(axis.map(|axis| ("axis".to_string(), Attribute::Int(axis))));
    joiner.add_first(node);
}
