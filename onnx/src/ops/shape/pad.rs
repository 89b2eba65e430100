//! Pad and CenterCropPad: axes made longer or shorter.

use crate::bad;
use crate::each_type;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout;
use crate::ops::layout::Nest;
use crate::ops::shape::cast;
use crate::ops::shape::gather::rows;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("CenterCropPad", center_crop_pad), Operator::shared("Pad", pad)];

/// Where the new elements come from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Constant,
    Reflect,
    Edge,
    Wrap,
}

#[derive(Debug)]
struct Pad {
    mode: Mode,
    /// Of the first versions, where they are attributes.
    pads: Option<Vec<i64>>,
    value: f32,
}

impl Kernel for Pad {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let rank = inputs.tensor(0)?.rank();
        let given = match &self.pads {
            Some(pads) => pads.clone(),
            None => inputs.tensor(1)?.to_i64s()?,
        };
        let axes = match inputs.optional(3)? {
            Some(axes) => layout::axes(&axes.to_i64s()?, rank)?,
            None => (0..rank).collect(),
        };
        if given.len() != 2 * axes.len() {
            bad!("{} numbers for {} axes", given.len(), axes.len());
        }
        let mut before = Shape::from_elem(0, rank);
        let mut after = before.clone();
        // negative numbers cut, and all cuts come before the padding
        let mut tensor = None;
        for (i, axis) in axes.iter().enumerate() {
            let (low, high) = (given[i], given[i + axes.len()]);
            before[*axis] = usize::try_from(low).unwrap_or(0);
            after[*axis] = usize::try_from(high).unwrap_or(0);
            if low < 0 || high < 0 {
                let from = tensor.as_ref().map_or_else(|| inputs.tensor(0), Ok)?;
                tensor = Some(shorten(from, *axis, low.min(0).unsigned_abs(), high.min(0).unsigned_abs())?);
            }
        }
        let value = inputs.optional(2)?.cloned().filter(|v| !v.is_empty());
        let tensor = tensor.map_or_else(|| inputs.take(0), Ok)?;
        if before.iter().chain(&after).all(|n| *n == 0) {
            return Ok(one(tensor));
        }
        if self.mode == Mode::Constant {
            let value = value.unwrap_or_else(|| Tensor::scalar(self.value));
            return surround(&tensor, &before, &after, &value).map(one);
        }
        (0..rank).try_fold(tensor, |t, axis| lengthen(t, axis, before[axis], after[axis], self.mode)).map(one)
    }
}

/// Without the first `low` and the last `high` entries of an axis.
fn shorten(tensor: &Tensor, axis: usize, low: u64, high: u64) -> Result<Tensor, OpError> {
    let len = tensor.shape()[axis];
    let kept = (len as u64).checked_sub(low).and_then(|n| n.checked_sub(high));
    let Some(kept) = kept else { bad!("more is cut from {} than there is", show(tensor.shape())) };
    let steps = layout::steps(tensor.shape());
    let mut shape = Shape::from_slice(tensor.shape());
    shape[axis] = kept as usize;
    let start = if shape.contains(&0) { 0 } else { low as usize * steps[axis] as usize };
    layout::view(tensor, start, &shape, &steps)
}

fn padded(shape: &[usize], before: &[usize], after: &[usize]) -> Result<Shape, OpError> {
    let too_large = || OpError::too_large("the padding makes a tensor that is too large");
    let all = shape.iter().zip(before).zip(after);
    all.map(|((d, b), a)| d.checked_add(*b).and_then(|d| d.checked_add(*a)).ok_or_else(too_large)).collect()
}

/// The tensor amid `value`, which is of the same type but for the default.
fn surround(tensor: &Tensor, before: &[usize], after: &[usize], value: &Tensor) -> Result<Tensor, OpError> {
    let shape = padded(tensor.shape(), before, after)?;
    let default;
    let value = if value.element_type() == tensor.element_type() {
        value
    } else if tensor.element_type() == crate::tensor::ElementType::Text {
        default = Tensor::scalar(String::new());
        &default
    } else {
        default = cast::convert(value, tensor.element_type())?;
        &default
    };
    layout::admit(tensor.elements(), &shape)?;
    layout::admit(value.elements(), &shape)?;
    each_type!(tensor.elements(), v => {
        let mut out = filled(v, value, &shape)?;
        place(v, tensor.shape(), out.slice_mut()?, &shape, before);
        Ok(out)
    })
}

/// `value` everywhere, in the type of `_like`.
fn filled<T: Element>(_like: &[T], value: &Tensor, shape: &[usize]) -> Result<Tensor, OpError> {
    match value.slice::<T>()? {
        [fill, ..] => Tensor::full(shape, fill.clone()),
        [] => bad!("the value is empty"),
    }
}

/// Writes a tensor into a larger one, `at` entries from the start of each axis.
fn place<T: Element>(from: &[T], shape: &[usize], to: &mut [T], around: &[usize], at: &[usize]) {
    if from.is_empty() {
        return;
    }
    let (source, target) = (layout::steps(shape), layout::steps(around));
    let start = at.iter().zip(&target).map(|(at, step)| at * *step as usize).sum();
    let nest = Nest::new(shape, [&source, &target]);
    let contiguous = nest.inner == [1, 1];
    nest.walk([0, start], |[mut a, mut b]| {
        if contiguous {
            to[b..b + nest.len].clone_from_slice(&from[a..a + nest.len]);
            return;
        }
        for _ in 0..nest.len {
            to[b].clone_from(&from[a]);
            a = a.wrapping_add_signed(nest.inner[0]);
            b = b.wrapping_add_signed(nest.inner[1]);
        }
    });
}

/// One axis padded with its own entries.
fn lengthen(tensor: Tensor, axis: usize, before: usize, after: usize, mode: Mode) -> Result<Tensor, OpError> {
    if before == 0 && after == 0 {
        return Ok(tensor);
    }
    let len = tensor.shape()[axis];
    if len == 0 || mode == Mode::Reflect && before.max(after) >= len {
        // an empty axis, or one that is reflected more than once
        bad!("an axis of {len} cannot be padded by {before} and {after} of its own entries");
    }
    let mut before_all = Shape::from_elem(0, tensor.rank());
    let mut after_all = before_all.clone();
    (before_all[axis], after_all[axis]) = (before, after);
    let shape = padded(tensor.shape(), &before_all, &after_all)?;
    let total = layout::admit(tensor.elements(), &shape)?;
    if total == 0 {
        return Tensor::zeros_of(tensor.element_type(), &shape);
    }
    let list: Vec<usize> = (0..shape[axis]).map(|i| own_entry(i as i64 - before as i64, len as i64, mode)).collect();
    let (_, _, inner) = layout::around(tensor.shape(), axis);
    each_type!(tensor.elements(), v => Tensor::new(&shape, rows(v, &list, len, inner, total)))
}

/// The entry that stands at `i`, which may be before or behind an axis of `len`.
fn own_entry(i: i64, len: i64, mode: Mode) -> usize {
    let inside = match mode {
        Mode::Wrap => i.rem_euclid(len),
        Mode::Reflect if i < 0 => -i,
        Mode::Reflect if i >= len => 2 * (len - 1) - i,
        _ => i,
    };
    inside.clamp(0, len - 1) as usize
}

fn pad(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let mode = match attributes.text_or("mode", "constant")? {
        "constant" => Mode::Constant,
        "reflect" => Mode::Reflect,
        "edge" => Mode::Edge,
        "wrap" => Mode::Wrap,
        other => bad!("the mode {other} does not exist"),
    };
    let pads = match build.version() {
        1 => attributes.ints("paddings")?.or(attributes.ints("pads")?),
        2..11 => attributes.ints("pads")?,
        _ => return Ok(Box::new(Pad { mode, pads: None, value: 0.0 })),
    };
    let pads = Some(pads.ok_or_else(|| missing("pads"))?.to_vec());
    Ok(Box::new(Pad { mode, pads, value: attributes.float_or("value", 0.0)? }))
}

#[derive(Debug)]
struct CenterCropPad {
    axes: Option<Vec<i64>>,
}

impl Kernel for CenterCropPad {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let wanted = layout::lengths(&inputs.tensor(1)?.to_i64s()?)?;
        let mut tensor = inputs.take(0)?;
        let axes = match &self.axes {
            Some(axes) => layout::axes(axes, tensor.rank())?,
            None => (0..tensor.rank()).collect(),
        };
        if axes.len() != wanted.len() {
            bad!("{} lengths for {} axes", wanted.len(), axes.len());
        }
        let mut before = Shape::from_elem(0, tensor.rank());
        let mut after = before.clone();
        for (axis, wanted) in axes.iter().zip(&wanted) {
            let len = tensor.shape()[*axis];
            let (less, more) = (len.saturating_sub(*wanted), wanted.saturating_sub(len));
            (before[*axis], after[*axis]) = (more / 2, more - more / 2);
            if less > 0 {
                tensor = shorten(&tensor, *axis, (less / 2) as u64, (less - less / 2) as u64)?;
            }
        }
        let zero = Tensor::zeros_of(tensor.element_type(), &[1])?;
        surround(&tensor, &before, &after, &zero).map(one)
    }
}

fn center_crop_pad(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(CenterCropPad { axes: build.node.attributes.ints("axes")?.map(<[i64]>::to_vec) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded_line(mode: Mode, low: i64, high: i64) -> Result<Vec<i64>, OpError> {
        let kernel = Pad { mode, pads: None, value: 0.0 };
        let mut inputs = [Tensor::vector(vec![0i64, 1, 2, 3]).into(), Tensor::vector(vec![low, high]).into()];
        kernel.run(&mut Inputs(&mut inputs))?[0].tensor().unwrap().to_i64s()
    }

    /// Answers of onnxruntime 1.32.
    #[test]
    fn every_mode_pads_and_cuts() {
        for (mode, low, high, want) in [
            (Mode::Constant, 1, 2, vec![0, 0, 1, 2, 3, 0, 0]),
            (Mode::Constant, -3, 1, vec![3, 0]),
            (Mode::Reflect, 3, 3, vec![3, 2, 1, 0, 1, 2, 3, 2, 1, 0]),
            (Mode::Reflect, -1, 2, vec![1, 2, 3, 2, 1]),
            (Mode::Edge, 2, -3, vec![0, 0, 0]),
            (Mode::Edge, -3, 3, vec![3, 3, 3, 3]),
            (Mode::Wrap, 5, -1, vec![1, 2, 0, 1, 2, 0, 1, 2]),
            (Mode::Wrap, 0, 9, vec![0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0]),
        ] {
            assert_eq!(padded_line(mode, low, high).unwrap(), want, "{mode:?} {low} {high}");
        }
    }

    #[test]
    fn absurd_paddings_are_errors() {
        for (mode, low, high) in [
            (Mode::Reflect, 4, 0),
            (Mode::Constant, -2, -3),
            (Mode::Constant, i64::MIN, 0),
            (Mode::Edge, i64::MAX, i64::MAX),
            (Mode::Wrap, 1 << 40, 0),
            (Mode::Edge, -4, 1),
        ] {
            assert!(padded_line(mode, low, high).is_err(), "{mode:?} {low} {high}");
        }
    }
}
