//! Concat and Split.

use crate::bad;
use crate::each_type;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::tensor::volume;
use crate::value::Value;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::shared("Concat", concat), Operator::shared("Split", split)];

#[derive(Debug)]
struct Concat {
    axis: i64,
}

impl Kernel for Concat {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        if inputs.len() == 1 {
            return inputs.take(0).map(one);
        }
        let all: Vec<&Tensor> = (0..inputs.len()).map(|i| inputs.tensor(i)).collect::<Result<_, _>>()?;
        join(&all, self.axis).map(one)
    }
}

fn concat(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let axis = match build.node.attributes.int("axis")? {
        Some(axis) => axis,
        // only the first version had a default
        None if build.version() < 4 => 1,
        None => return Err(missing("axis")),
    };
    Ok(Box::new(Concat { axis }))
}

/// Tensors behind one another on an axis; their other axes must be alike. As in onnxruntime, empty tensors are left
/// out before that is checked.
///
/// # Errors
/// If there are none, they do not fit, or the result is too large.
pub fn join(all: &[&Tensor], axis: i64) -> Result<Tensor, OpError> {
    let filled = all.iter().copied().find(|t| !t.is_empty());
    let Some(first) = filled.or(all.first().copied()) else { bad!("nothing to concatenate") };
    let axis = layout::axis(axis, first.rank())?;
    let mut shape = Shape::from_slice(first.shape());
    shape[axis] = 0;
    let mut parts: Vec<&Tensor> = Vec::with_capacity(all.len());
    for tensor in all.iter().copied().filter(|t| !t.is_empty() || filled.is_none()) {
        let alike =
            tensor.rank() == shape.len() && (0..shape.len()).all(|i| i == axis || tensor.shape()[i] == shape[i]);
        if !alike {
            bad!("{} and {} cannot be joined on the axis {axis}", show(first.shape()), show(tensor.shape()));
        }
        shape[axis] = shape[axis].saturating_add(tensor.shape()[axis]);
        parts.push(tensor);
    }
    each_type!(first.elements(), v => join_typed(v, &parts, &shape, axis))
}

fn join_typed<T: Element>(_: &[T], parts: &[&Tensor], shape: &[usize], axis: usize) -> Result<Tensor, OpError> {
    let len = volume(shape, T::TYPE.size())?;
    layout::admit_together(parts)?;
    let (outer, _, inner) = layout::around(shape, axis);
    if len == 0 {
        return Tensor::new::<T>(shape, vec![]);
    }
    if outer == 1 {
        let mut out: Vec<T> = Vec::with_capacity(len);
        for part in parts {
            out.extend_from_slice(part.slice()?);
        }
        return Tensor::new(shape, out);
    }
    let row = len / outer;
    let mut out = vec![T::default(); len];
    let mut start = 0;
    for part in parts {
        let (values, chunk) = (part.slice::<T>()?, part.shape()[axis] * inner);
        if chunk == 1 {
            for (to, value) in out[start..].iter_mut().step_by(row).zip(values) {
                to.clone_from(value);
            }
        } else {
            for (to, from) in out.chunks_exact_mut(row).zip(values.chunks_exact(chunk)) {
                to[start..start + chunk].clone_from_slice(from);
            }
        }
        start += chunk;
    }
    Tensor::new(shape, out)
}

#[derive(Debug)]
struct Split {
    axis: i64,
    sizes: Option<Vec<i64>>,
    /// Outputs that are wanted.
    outputs: Vec<bool>,
    /// Whether the last part may be shorter (version 18, with `num_outputs`).
    uneven: bool,
}

impl Kernel for Split {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let tensor = inputs.tensor(0)?;
        let axis = layout::axis(self.axis, tensor.rank())?;
        let given = match &self.sizes {
            Some(_) => None,
            None => inputs.optional(1)?.map(Tensor::to_i64s).transpose()?,
        };
        let len = tensor.shape()[axis];
        let sizes = match self.sizes.as_deref().or(given.as_deref()) {
            Some(sizes) => layout::parts(sizes, len)?,
            None => self.even(len)?,
        };
        if sizes.len() != self.outputs.len() {
            bad!("{} parts for {} outputs", sizes.len(), self.outputs.len());
        }
        let mut values = Values::new();
        let mut start = 0;
        for (size, wanted) in sizes.iter().zip(&self.outputs) {
            values.push(if *wanted { part(tensor, axis, start, *size)?.into() } else { Value::Absent });
            start += size;
        }
        Ok(values)
    }
}

impl Split {
    fn even(&self, len: usize) -> Result<Vec<usize>, OpError> {
        let count = self.outputs.len();
        if !self.uneven && !len.is_multiple_of(count.max(1)) {
            bad!("an axis of {len} cannot be split into {count} equal parts");
        }
        let size = len.div_ceil(count.max(1));
        let mut sizes = vec![size; count];
        if let Some(last) = sizes.last_mut() {
            let before = size * (count - 1);
            *last = len
                .checked_sub(before)
                .ok_or_else(|| OpError::bad(format!("an axis of {len} is too short for {count} parts of {size}")))?;
        }
        Ok(sizes)
    }
}

/// `size` entries of an axis from `start` on, which must be within.
///
/// # Errors
/// If the result is too large.
pub fn part(tensor: &Tensor, axis: usize, start: usize, size: usize) -> Result<Tensor, OpError> {
    let steps = layout::steps(tensor.shape());
    let mut shape = Shape::from_slice(tensor.shape());
    shape[axis] = size;
    layout::view(tensor, start.wrapping_mul(steps[axis] as usize), &shape, &steps)
}

fn split(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let outputs: Vec<bool> = (0..build.node.outputs.len()).map(|i| build.has_output(i)).collect();
    let count = attributes.int("num_outputs")?;
    if count.is_some_and(|n| n != outputs.len() as i64) {
        bad!("`num_outputs` is not the number of outputs");
    }
    let sizes = match attributes.ints("split")? {
        Some(sizes) => Some(sizes.to_vec()),
        None => build.constant(1).map(|t| t.to_i64s()).transpose()?,
    };
    Ok(Box::new(Split { axis: attributes.int_or("axis", 0)?, sizes, outputs, uneven: build.version() >= 18 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_joined_on_any_axis() {
        let a = Tensor::new(&[2, 1], vec![1i64, 2]).unwrap();
        let b = Tensor::new(&[2, 2], vec![3i64, 4, 5, 6]).unwrap();
        let none = Tensor::new::<i64>(&[0], vec![]).unwrap();
        let joined = join(&[&a, &none, &b], -1).unwrap();
        assert_eq!(joined, Tensor::new(&[2, 3], vec![1i64, 3, 4, 2, 5, 6]).unwrap());
        let under = join(&[&b, &b], 0).unwrap();
        assert_eq!(under.shape(), [4, 2]);
        assert!(join(&[&a, &b], 0).is_err());
        assert!(join(&[&a, &Tensor::new(&[2, 1], vec![1f32, 2.0]).unwrap()], 1).is_err());
        assert!(join(&[], 0).is_err());
    }

    #[test]
    fn parts_of_an_axis() {
        let split = |count, uneven| Split { axis: 0, sizes: None, outputs: vec![true; count], uneven };
        assert_eq!(split(2, false).even(6).unwrap(), [3, 3]);
        assert_eq!(split(4, true).even(7).unwrap(), [2, 2, 2, 1]);
        assert!(split(4, false).even(7).is_err());
        assert!(split(4, true).even(5).is_err());
        let t = Tensor::new(&[2, 3], vec![1i64, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(part(&t, 1, 1, 2).unwrap(), Tensor::new(&[2, 2], vec![2i64, 3, 5, 6]).unwrap());
    }
}
