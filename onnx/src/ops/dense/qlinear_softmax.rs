//! QLinearSoftmax of onnxruntime: softmax of a quantised tensor, quantised again.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::dense::quant::Scaled;
use crate::ops::dense::quant::integers;
use crate::ops::dense::quant::quantised;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("QLinearSoftmax", softmax).of(MICROSOFT)];

#[derive(Debug)]
struct Softmax {
    axis: i64,
    /// Softmax of before opset 13: over all axes from `axis` on.
    flat: bool,
}

fn softmax(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let opset = attributes.int("opset")?.ok_or_else(|| crate::graph::attributes::missing("opset"))?;
    Ok(Box::new(Softmax { axis: attributes.int_or("axis", -1)?, flat: opset < 13 }))
}

impl Kernel for Softmax {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        let from = Scaled::read(inputs.tensor(1)?, inputs.optional(2)?)?;
        let absent = Tensor::zeros_of(x.element_type(), &[])?;
        let zero = inputs.optional(4)?.unwrap_or(&absent);
        let to = Scaled::read(inputs.tensor(3)?, Some(zero))?;
        let rank = x.rank() as i64;
        if self.axis < -rank || self.axis >= rank {
            bad!("axis {} of {rank}", self.axis);
        }
        let axis = self.axis.rem_euclid(rank) as usize;
        let inner: usize = if self.flat { 1 } else { x.shape()[axis + 1..].iter().product() };
        let len = if self.flat { x.shape()[axis..].iter().product() } else { x.shape()[axis] };
        let values = integers(x)?;
        // onnxruntime multiplies by a whole number of steps, 254 for the usual scale of a little more than 1/255
        let steps = (1.0 / to.scale).floor();
        let mut out = vec![0f32; values.len()];
        let block = len * inner;
        for start in (0..values.len()).step_by(block.max(1)) {
            for i in 0..inner {
                let places = || (0..len).map(|k| start + k * inner + i);
                let largest = places().map(|at| values[at]).max().unwrap_or(0);
                let power = |at: usize| (from.scale * f32::from(values[at] - largest)).exp();
                let sum: f32 = places().map(power).sum();
                places().for_each(|at| out[at] = power(at) / sum * steps);
            }
        }
        Ok(one(Tensor::from_elements(x.shape(), quantised(out.into_iter(), zero)?)?))
    }
}
