//! QAttention of Microsoft's domain: attention whose first product is one of 8-bit integers.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::attention::microsoft::Attention;
use crate::ops::nets::attention::microsoft::Others;
use crate::ops::nets::conv_integer::shifted;
use crate::ops::nets::product::Scalar;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[Operator::own("QAttention", quantized).of(MICROSOFT)];

#[derive(Debug)]
struct Quantized(Attention);

impl Kernel for Quantized {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (x, w) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let (&[batch, length, input], &[rows, width]) = (x.shape(), w.shape()) else {
            bad!("an input of {} axes and weights of {}", x.rank(), w.rank());
        };
        let (bias, scales) = (inputs.slice::<f32>(2)?, inputs.slice::<f32>(4)?);
        let widths = self.0.widths(width)?;
        let &[scale] = inputs.slice::<f32>(3)? else { bad!("the input needs one scale") };
        if rows != input || bias.len() != width || scales.len() != 1 && scales.len() != width {
            bad!("weights of {rows} to {width}, {} biases and {} scales", bias.len(), scales.len());
        }
        let xs = shifted(x, inputs.optional(6)?)?;
        let ws = shifted(w, inputs.optional(7)?)?;
        let mut sums = vec![0i32; volume(&[batch, length, width], 4)?];
        i32::multiply(&xs, &ws, (input, width), &mut sums);
        let all: Vec<f32> = sums
            .iter()
            .enumerate()
            .map(|(i, sum)| *sum as f32 * (scale * scales[i % width % scales.len()]) + bias[i % width])
            .collect();
        let others = Others { mask: 5, past: 8, bias: usize::MAX };
        self.0.of_projected(inputs, &all, [batch, length, width], &widths, &others)
    }
}

fn quantized(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let columns = |t: &std::sync::Arc<Tensor>| t.len() > 1;
    if build.constant(7).is_some_and(columns) {
        return Err(OpError::unsupported("a zero point for every column of the weights"));
    }
    Ok(Box::new(Quantized(Attention::read(build)?)))
}
