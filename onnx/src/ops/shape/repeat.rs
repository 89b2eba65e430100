//! Expand and Tile: the same elements several times.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout;
use crate::ops::layout::Steps;
use crate::registry::Operator;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::shared("Expand", expand), Operator::shared("Tile", tile)];

#[derive(Debug)]
struct Expand;

impl Kernel for Expand {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let wanted = layout::lengths(&inputs.tensor(1)?.to_i64s()?)?;
        let tensor = inputs.tensor(0)?;
        let shape = layout::broadcast(&[tensor.shape(), &wanted])?;
        if shape.as_slice() == tensor.shape() {
            return inputs.take(0).map(one);
        }
        layout::view(tensor, 0, &shape, &layout::broadcast_steps(tensor.shape(), &shape)).map(one)
    }
}

fn expand(_: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Expand))
}

#[derive(Debug)]
struct Tile {
    /// The first version: one axis, its number and the repetitions are inputs.
    one_axis: bool,
}

impl Kernel for Tile {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let tensor = inputs.tensor(0)?;
        let rank = tensor.rank();
        let times = if self.one_axis {
            let axis = layout::axis(inputs.tensor(2)?.to_i64()?, rank)?;
            let mut times: Shape = Shape::from_elem(1, rank);
            times[axis] = layout::lengths(&inputs.tensor(1)?.to_i64s()?)?.first().copied().unwrap_or(1);
            times
        } else {
            layout::lengths(&inputs.tensor(1)?.to_i64s()?)?
        };
        if times.len() != rank {
            bad!("{} repetitions for a tensor of rank {rank}", times.len());
        }
        if times.iter().all(|t| *t == 1) {
            return inputs.take(0).map(one);
        }
        repeat(tensor, &times).map(one)
    }
}

/// Every axis `times` over: a view with a step of 0 before each axis.
fn repeat(tensor: &Tensor, times: &[usize]) -> Result<Tensor, OpError> {
    let too_large = || OpError::too_large("the repetitions make a tensor that is too large");
    let mut shape = Shape::new();
    let mut nested = Shape::new();
    let mut steps = Steps::new();
    for ((len, times), step) in tensor.shape().iter().zip(times).zip(layout::steps(tensor.shape())) {
        shape.push(len.checked_mul(*times).ok_or_else(too_large)?);
        nested.extend([*times, *len]);
        steps.extend([0, step]);
    }
    let len = layout::admit(tensor.elements(), &shape)?;
    if len == 0 {
        return Tensor::zeros_of(tensor.element_type(), &shape);
    }
    crate::each_type!(tensor.elements(), v => Tensor::new(&shape, layout::pick(v, 0, &nested, &steps)))
}

fn tile(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Tile { one_axis: build.version() < 6 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kernel: &dyn Kernel, tensor: Tensor, numbers: Vec<i64>) -> Result<Tensor, OpError> {
        let mut inputs = [tensor.into(), Tensor::vector(numbers).into()];
        Ok(kernel.run(&mut Inputs(&mut inputs))?[0].tensor().unwrap().clone())
    }

    #[test]
    fn tensors_are_repeated() {
        let t = Tensor::new(&[2, 1], vec![1i64, 2]).unwrap();
        let tiled = run(&Tile { one_axis: false }, t.clone(), vec![2, 2]).unwrap();
        assert_eq!(tiled, Tensor::new(&[4, 2], vec![1i64, 1, 2, 2, 1, 1, 2, 2]).unwrap());
        assert_eq!(run(&Tile { one_axis: false }, t.clone(), vec![0, 2]).unwrap().shape(), [0, 2]);
        let wide = run(&Expand, t.clone(), vec![3, 1, 2]).unwrap();
        assert_eq!(wide, Tensor::new(&[3, 2, 2], [1i64, 1, 2, 2].repeat(3)).unwrap());
        assert_eq!(run(&Expand, t.clone(), vec![1]).unwrap(), t);
    }

    #[test]
    fn absurd_repetitions_are_errors() {
        let t = Tensor::new(&[2, 1], vec![1i64, 2]).unwrap();
        assert!(run(&Tile { one_axis: false }, t.clone(), vec![i64::MAX, i64::MAX]).is_err());
        assert!(run(&Tile { one_axis: false }, t.clone(), vec![1 << 40, 1]).is_err());
        assert!(run(&Tile { one_axis: false }, t.clone(), vec![-1, 1]).is_err());
        assert!(run(&Tile { one_axis: false }, t.clone(), vec![1]).is_err());
        assert!(run(&Expand, t, vec![1 << 40, 1, 1]).is_err());
    }
}
