//! ArgMax and ArgMin: where the largest or smallest element of an axis lies.

use crate::bad;
use crate::each_number;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("ArgMax", arg_max), Operator::own("ArgMin", arg_min)];

/// Compares as onnxruntime does: an element replaces the best one so far if it compares as better, so that a NaN
/// never replaces one, and nothing replaces a NaN at the start.
#[derive(Debug)]
struct Arg {
    axis: i64,
    keep: bool,
    last: bool,
    largest: bool,
}

impl Kernel for Arg {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let data = inputs.tensor(0)?;
        // a scalar counts as a vector of one
        let shape = if data.rank() == 0 { &[1][..] } else { data.shape() };
        let axis = layout::axis(self.axis, shape.len())?;
        let (_, len, inner) = layout::around(shape, axis);
        let mut out = Shape::from_slice(shape);
        out[axis] = 1;
        if !self.keep || data.rank() == 0 {
            out.remove(axis);
        }
        if len == 0 {
            bad!("the axis {axis} is empty");
        }
        let list = if data.is_empty() {
            vec![]
        } else {
            each_number!(data.elements(), v => self.typed(v, len, inner), bad!("{} has no order", data.element_type()))
        };
        Tensor::new(&out, list).map(one)
    }
}

impl Arg {
    fn typed<T: Element + PartialOrd + Copy>(&self, data: &[T], len: usize, inner: usize) -> Vec<i64> {
        match (self.largest, self.last) {
            (true, false) => places(data, len, inner, |a, b| a > b),
            (true, true) => places(data, len, inner, |a, b| a >= b),
            (false, false) => places(data, len, inner, |a, b| a < b),
            (false, true) => places(data, len, inner, |a, b| a <= b),
        }
    }
}

fn places<T: Copy>(data: &[T], len: usize, inner: usize, better: impl Fn(T, T) -> bool) -> Vec<i64> {
    let mut out = Vec::with_capacity(data.len() / len);
    for block in data.chunks_exact(len * inner) {
        if inner == 1 {
            let (mut at, mut best) = (0, block[0]);
            for (i, value) in block.iter().enumerate().skip(1) {
                if better(*value, best) {
                    (at, best) = (i, *value);
                }
            }
            out.push(at as i64);
            continue;
        }
        let mut best = block[..inner].to_vec();
        let start = out.len();
        out.resize(start + inner, 0);
        for (i, row) in block.chunks_exact(inner).enumerate().skip(1) {
            for ((value, best), at) in row.iter().zip(&mut best).zip(&mut out[start..]) {
                if better(*value, *best) {
                    (*at, *best) = (i as i64, *value);
                }
            }
        }
    }
    out
}

fn build_arg(build: &Build<'_>, largest: bool) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    Ok(Box::new(Arg {
        axis: attributes.int_or("axis", 0)?,
        keep: attributes.flag("keepdims", true)?,
        last: attributes.flag("select_last_index", false)?,
        largest,
    }))
}

fn arg_max(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    build_arg(build, true)
}

fn arg_min(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    build_arg(build, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arg(largest: bool, last: bool, axis: i64, shape: &[usize], values: &[f32]) -> Vec<i64> {
        let mut inputs = [Tensor::new(shape, values.to_vec()).unwrap().into()];
        let out = Arg { axis, keep: true, last, largest }.run(&mut Inputs(&mut inputs)).unwrap();
        out[0].tensor().unwrap().to_i64s().unwrap()
    }

    /// Answers of onnxruntime 1.32.
    #[test]
    fn ties_and_nans() {
        let nan = f32::NAN;
        for (values, max, last_max, min) in [
            ([1.0, nan, 3.0], 2, 2, 0),
            ([nan, 1.0, 3.0], 0, 0, 0),
            ([3.0, nan, 3.0], 0, 2, 0),
            ([-0.0, 0.0, -1.0], 0, 1, 2),
        ] {
            assert_eq!(arg(true, false, 1, &[1, 3], &values), [max]);
            assert_eq!(arg(true, true, -1, &[1, 3], &values), [last_max]);
            assert_eq!(arg(false, false, 0, &[3, 1], &values), [min]);
        }
        assert_eq!(arg(true, false, 0, &[2, 3], &[1.0, 5.0, 2.0, 3.0, 4.0, 2.0]), [1, 0, 0]);
    }

    #[test]
    fn an_empty_axis_has_no_largest() {
        let run = |shape: &[usize]| {
            let mut inputs = [Tensor::zeros::<f32>(shape).unwrap().into()];
            Arg { axis: 0, keep: false, last: false, largest: true }.run(&mut Inputs(&mut inputs))
        };
        assert!(run(&[0, 3]).is_err());
        assert_eq!(run(&[3, 0]).unwrap()[0].tensor().unwrap().shape(), [0]);
        assert!(run(&[]).unwrap()[0].tensor().unwrap().shape().is_empty());
    }
}
