//! Operators that give the same elements other axes: Reshape, Flatten, Squeeze, Unsqueeze; and those that tell the axes.

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::own("ExpandDims", unsqueeze).of(MICROSOFT),
    Operator::shared("Flatten", flatten),
    Operator::shared("Reshape", reshape),
    Operator::shared("Shape", shape),
    Operator::shared("Size", size),
    Operator::shared("Squeeze", squeeze),
    Operator::shared("Unsqueeze", unsqueeze),
];

/// Whole numbers of an attribute in old versions, of an input in newer ones.
#[derive(Debug)]
enum Numbers {
    Fixed(Vec<i64>),
    Input(usize),
}

impl Numbers {
    /// From an attribute if the node has it, else from the input `i`, read once if it is constant.
    fn new(build: &Build<'_>, attribute: &str, i: usize) -> Result<Numbers, OpError> {
        if let Some(fixed) = build.node.attributes.ints(attribute)? {
            return Ok(Numbers::Fixed(fixed.to_vec()));
        }
        match build.constant(i) {
            Some(tensor) => Ok(Numbers::Fixed(tensor.to_i64s()?)),
            None => Ok(Numbers::Input(i)),
        }
    }

    /// Calls `then` with the numbers, `None` if they are left out.
    fn with<R>(
        &self,
        inputs: &mut Inputs<'_>,
        then: impl FnOnce(&mut Inputs<'_>, Option<&[i64]>) -> Result<R, OpError>,
    ) -> Result<R, OpError> {
        match self {
            Numbers::Fixed(all) => then(inputs, Some(all)),
            Numbers::Input(i) => match inputs.optional(*i)? {
                None => then(inputs, None),
                Some(tensor) => {
                    let all = tensor.to_i64s()?;
                    then(inputs, Some(&all))
                }
            },
        }
    }
}

#[derive(Debug)]
struct Reshape {
    shape: Numbers,
    allow_zero: bool,
}

impl Kernel for Reshape {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        self.shape.with(inputs, |inputs, wanted| {
            let wanted = wanted.ok_or_else(|| OpError::bad("the shape is missing"))?;
            let tensor = inputs.take(0)?;
            let shape = resolve(tensor.shape(), tensor.len(), wanted, self.allow_zero)?;
            tensor.reshaped(&shape).map(one)
        })
    }
}

/// The shape that Reshape's numbers mean: 0 copies the length (unless `allow_zero`), one -1 takes what is left.
fn resolve(from: &[usize], len: usize, wanted: &[i64], allow_zero: bool) -> Result<Shape, OpError> {
    let mut out = Shape::new();
    let mut rest = None;
    for (i, d) in wanted.iter().enumerate() {
        out.push(match *d {
            -1 if rest.replace(i).is_some() => bad!("more than one length is -1"),
            -1 => 1,
            0 if !allow_zero => *from.get(i).ok_or_else(|| OpError::bad(format!("there is no axis {i} to copy")))?,
            d => usize::try_from(d).map_err(|_| OpError::bad(format!("the length {d} is negative")))?,
        });
    }
    if let Some(i) = rest {
        let others = out.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).unwrap_or(0);
        if others == 0 || !len.is_multiple_of(others) {
            bad!("{} cannot become {wanted:?}", show(from));
        }
        out[i] = len / others;
    }
    Ok(out)
}

fn reshape(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let allow_zero = build.node.attributes.flag("allowzero", false)?;
    Ok(Box::new(Reshape { shape: Numbers::new(build, "shape", 1)?, allow_zero }))
}

#[derive(Debug)]
struct Flatten {
    axis: i64,
}

impl Kernel for Flatten {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let tensor = inputs.take(0)?;
        let rank = tensor.rank();
        // the axis may be just behind the last one, unlike elsewhere
        let axis = if self.axis == rank as i64 { rank } else { layout::axis(self.axis, rank)? };
        let shape = [layout::product(&tensor.shape()[..axis]), layout::product(&tensor.shape()[axis..])];
        tensor.reshaped(&shape).map(one)
    }
}

fn flatten(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Flatten { axis: build.node.attributes.int_or("axis", 1)? }))
}

#[derive(Debug)]
struct Squeeze {
    axes: Numbers,
}

impl Kernel for Squeeze {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        self.axes.with(inputs, |inputs, axes| {
            let tensor = inputs.take(0)?;
            let mut gone = Shape::new();
            for axis in axes.unwrap_or_default() {
                let axis = layout::axis(*axis, tensor.rank())?;
                if tensor.shape()[axis] != 1 {
                    bad!("the axis {axis} of {} is not of length 1", show(tensor.shape()));
                }
                gone.push(axis);
            }
            // no axes, or an empty list of them, stands for all axes of length 1
            let all = gone.is_empty();
            let kept = tensor.shape().iter().enumerate();
            let kept = kept.filter(|(i, d)| if all { **d != 1 } else { !gone.contains(i) });
            let shape: Shape = kept.map(|(_, d)| *d).collect();
            tensor.reshaped(&shape).map(one)
        })
    }
}

fn squeeze(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Squeeze { axes: Numbers::new(build, "axes", 1)? }))
}

#[derive(Debug)]
struct Unsqueeze {
    axes: Numbers,
}

impl Kernel for Unsqueeze {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        self.axes.with(inputs, |inputs, axes| {
            let axes = axes.ok_or_else(|| missing("axes"))?;
            let tensor = inputs.take(0)?;
            let rank = tensor.rank() + axes.len();
            let new = layout::axes(axes, rank)?;
            let mut old = tensor.shape().iter();
            let shape: Shape =
                (0..rank).map(|i| if new.contains(&i) { 1 } else { old.next().copied().unwrap_or(1) }).collect();
            tensor.reshaped(&shape).map(one)
        })
    }
}

fn unsqueeze(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Unsqueeze { axes: Numbers::new(build, "axes", 1)? }))
}

#[derive(Debug)]
struct ShapeOf {
    start: i64,
    end: Option<i64>,
}

impl Kernel for ShapeOf {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let shape = inputs.tensor(0)?.shape();
        let rank = shape.len() as i64;
        let clamp = |i: i64| (if i < 0 { i.saturating_add(rank) } else { i }).clamp(0, rank) as usize;
        let (start, end) = (clamp(self.start), clamp(self.end.unwrap_or(rank)));
        let part = if start < end { &shape[start..end] } else { &[] };
        Ok(one(Tensor::vector(part.iter().map(|d| *d as i64).collect())))
    }
}

fn shape(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    Ok(Box::new(ShapeOf { start: attributes.int_or("start", 0)?, end: attributes.int("end")? }))
}

#[derive(Debug)]
struct Size;

impl Kernel for Size {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        Ok(one(Tensor::scalar(inputs.tensor(0)?.len() as i64)))
    }
}

fn size(_: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_shape() {
        let shape = |from: &[usize], wanted: &[i64], zero| {
            resolve(from, from.iter().product(), wanted, zero).map(|s| s.to_vec()).ok()
        };
        assert_eq!(shape(&[2, 3, 4], &[0, -1], false), Some(vec![2, 12]));
        assert_eq!(shape(&[0, 3], &[-1, 3], false), Some(vec![0, 3]));
        assert_eq!(shape(&[0, 3], &[3, 0], true), Some(vec![3, 0]));
        assert_eq!(shape(&[2, 3], &[], false), Some(vec![]));
        for wrong in [&[-1, -1][..], &[0, 0, 0], &[-1, 4], &[-2, 3], &[i64::MAX, i64::MAX, -1]] {
            assert_eq!(shape(&[2, 3], wrong, false), None, "{wrong:?}");
        }
    }
}
