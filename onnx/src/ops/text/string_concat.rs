//! StringConcat: texts of two tensors put together, with broadcasting.

use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout::broadcast;
use crate::ops::layout::broadcast_steps;
use crate::ops::layout::view;
use crate::registry::Operator;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("StringConcat", string_concat)];

#[derive(Debug)]
struct StringConcat;

impl Kernel for StringConcat {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let shape = broadcast(&[inputs.tensor(0)?.shape(), inputs.tensor(1)?.shape()])?;
        let mut a = expanded(inputs.take(0)?, &shape)?;
        let b = expanded(inputs.take(1)?, &shape)?;
        // texts can double at every node
        volume(&[a.bytes().saturating_add(b.bytes())], 1)?;
        let texts = a.slice_mut::<String>()?.iter_mut().zip(b.slice::<String>()?);
        texts.for_each(|(a, b)| a.push_str(b));
        Ok(one(a))
    }
}

fn expanded(tensor: Tensor, shape: &Shape) -> Result<Tensor, OpError> {
    if tensor.shape() == shape.as_slice() {
        return Ok(tensor);
    }
    view(&tensor, 0, shape, &broadcast_steps(tensor.shape(), shape))
}

fn string_concat(_: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(StringConcat))
}
