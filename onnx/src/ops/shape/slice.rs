//! Slice: parts of axes, in either direction.

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout;
use crate::registry::Operator;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::shared("Slice", slice)];

/// What is cut, where it is known at load.
#[derive(Debug, Clone)]
struct Cuts {
    starts: Vec<i64>,
    ends: Vec<i64>,
    axes: Option<Vec<i64>>,
    steps: Option<Vec<i64>>,
}

#[derive(Debug)]
struct Slice {
    fixed: Option<Cuts>,
}

impl Kernel for Slice {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        match &self.fixed {
            Some(cuts) => cuts.apply(inputs),
            None => {
                let numbers = |i| inputs.optional(i)?.map(Tensor::to_i64s).transpose();
                let starts = numbers(1)?.ok_or_else(|| missing("starts"))?;
                let ends = numbers(2)?.ok_or_else(|| missing("ends"))?;
                Cuts { starts, ends, axes: numbers(3)?, steps: numbers(4)? }.apply(inputs)
            }
        }
    }
}

impl Cuts {
    fn apply(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let tensor = inputs.tensor(0)?;
        let count = self.starts.len();
        let lens = [&self.axes, &self.steps].map(|v| v.as_ref().map_or(count, Vec::len));
        if self.ends.len() != count || lens != [count; 2] || count > tensor.rank() {
            bad!("starts, ends, axes and steps do not fit each other or a tensor of rank {}", tensor.rank());
        }
        let axes = match &self.axes {
            Some(axes) => layout::axes(axes, tensor.rank())?,
            None => (0..count).collect(),
        };
        let mut shape = Shape::from_slice(tensor.shape());
        let mut steps = layout::steps(tensor.shape());
        let mut offset = 0usize;
        for (i, axis) in axes.into_iter().enumerate() {
            let by = self.steps.as_ref().map_or(1, |s| s[i]);
            let (start, len) = cut(shape[axis], self.starts[i], self.ends[i], by)?;
            offset = offset.wrapping_add(start.wrapping_mul(steps[axis] as usize));
            steps[axis] = if len > 1 { steps[axis].wrapping_mul(by as isize) } else { 0 };
            shape[axis] = len;
        }
        if shape.as_slice() == tensor.shape() && offset == 0 && steps.iter().all(|s| *s >= 0) {
            return inputs.take(0).map(one);
        }
        layout::view(tensor, offset, &shape, &steps).map(one)
    }
}

/// First entry and number of entries of `start..end` by `step` on an axis of `len`; both ends are clamped.
fn cut(len: usize, start: i64, end: i64, step: i64) -> Result<(usize, usize), OpError> {
    if step == 0 {
        bad!("a step is 0");
    }
    let len = len as i64;
    let from_back = |i: i64| if i < 0 { i.saturating_add(len) } else { i };
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let start = from_back(start).clamp(0, high.max(0));
    let end = from_back(end).clamp(low, high.max(low));
    let way = if step > 0 { end - start } else { start - end };
    let count = if way <= 0 || len == 0 { 0 } else { (way as u64).div_ceil(step.unsigned_abs()) };
    Ok((if count == 0 { 0 } else { start as usize }, count as usize))
}

fn slice(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let ints = |name| attributes.ints(name).map(|v| v.map(<[i64]>::to_vec));
    if build.version() < 10 {
        let starts = ints("starts")?.ok_or_else(|| missing("starts"))?;
        let ends = ints("ends")?.ok_or_else(|| missing("ends"))?;
        return Ok(Box::new(Slice { fixed: Some(Cuts { starts, ends, axes: ints("axes")?, steps: None }) }));
    }
    let known = (1..5).all(|i| build.constant(i).is_some() || !build.has_input(i));
    let numbers = |i: usize| build.constant(i).map(|t| t.to_i64s()).transpose();
    let fixed = match (known, numbers(1)?, numbers(2)?) {
        (true, Some(starts), Some(ends)) => Some(Cuts { starts, ends, axes: numbers(3)?, steps: numbers(4)? }),
        _ => None,
    };
    Ok(Box::new(Slice { fixed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_clamped_as_in_python() {
        for (len, start, end, step, want) in [
            (5, 1, 4, 1, (1, 3)),
            (5, -3, i64::MAX, 1, (2, 3)),
            (5, 0, -1, 2, (0, 2)),
            (5, -1, i64::MIN, -1, (4, 5)),
            (5, 10, 0, -2, (4, 2)),
            (5, 3, 1, 1, (0, 0)),
            (5, i64::MIN, i64::MAX, i64::MAX, (0, 1)),
            (5, i64::MAX, i64::MIN, i64::MIN, (4, 1)),
            (5, 7, 9, 1, (0, 0)),
            (0, 0, 1, 1, (0, 0)),
            (0, -1, i64::MIN, -1, (0, 0)),
        ] {
            assert_eq!(cut(len, start, end, step).unwrap(), want, "{len} {start} {end} {step}");
        }
        assert!(cut(5, 0, 1, 0).is_err());
    }
}
