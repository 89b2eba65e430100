//! MaxUnpool: puts pooled values back to where they came from.

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::real::Real;
use crate::ops::nets::real::by_float;
use crate::ops::nets::window::Window;
use crate::registry::Operator;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("MaxUnpool", unpool)];

#[derive(Debug)]
struct MaxUnpool(Window);

impl Kernel for MaxUnpool {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.unpool::<f32>(i), |i| self.unpool::<f64>(i))
    }
}

impl MaxUnpool {
    /// The shape that was pooled, as far as the attributes tell.
    fn inferred(&self, x: &[usize]) -> Result<Shape, OpError> {
        let Some(kernel) = &self.0.kernel else { return Err(missing("kernel_shape")) };
        let rank = kernel.len();
        if x.len() != rank + 2 {
            bad!("an input of {} axes for a kernel of {rank}", x.len());
        }
        let mut shape = Shape::from_slice(&x[..2]);
        for i in 0..rank {
            let (before, after) = self.0.given(rank, i)?;
            let whole = (x[i + 2].max(1) - 1)
                .saturating_mul(Window::side(&self.0.strides, rank, i, 1)?)
                .saturating_add(kernel[i]);
            let Some(side) = whole.checked_sub(before + after) else { bad!("more padding than elements") };
            shape.push(side);
        }
        Ok(shape)
    }

    fn unpool<T: Real>(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
        let (x, indices) = (inputs.tensor(0)?, inputs.slice::<i64>(1)?);
        let inferred = self.inferred(x.shape())?;
        let shape = match inputs.optional(2)? {
            None => inferred.clone(),
            Some(given) => given
                .to_i64s()?
                .into_iter()
                .map(usize::try_from)
                .collect::<Result<Shape, _>>()
                .map_err(|_| OpError::bad("a negative length in output_shape"))?,
        };
        if shape.len() != x.rank() || indices.len() != x.len() {
            bad!("{} values, {} indices, {} axes of output", x.len(), indices.len(), shape.len());
        }
        // The indices count in the output that is asked for, as in onnxruntime.
        let mut out = Tensor::full(&shape, T::ZERO)?;
        let values = out.slice_mut::<T>()?;
        for (value, index) in x.slice::<T>()?.iter().zip(indices) {
            let slot = usize::try_from(*index).ok().and_then(|i| values.get_mut(i));
            let Some(slot) = slot else { bad!("the index {index} lies outside the output") };
            *slot = *value;
        }
        Ok(one(out))
    }
}

fn unpool(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(MaxUnpool(Window::read(&build.node.attributes)?)))
}
