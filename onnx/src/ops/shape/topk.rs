//! TopK: the largest or smallest elements of an axis, with their places.

mod unsorted;

use std::cmp::Ordering;

use crate::bad;
use crate::each_number;
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
use crate::value::Values;

pub const OPERATORS: &[Operator] =
    &[Operator::own("TopK", top_k).note("`sorted = 0` in the order of onnxruntime 1.32")];

/// As onnxruntime: of equal elements the one with the lower index comes first; NaN is larger than all numbers.
#[derive(Debug)]
struct TopK {
    axis: i64,
    count: Option<i64>,
    largest: bool,
    sorted: bool,
}

impl Kernel for TopK {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let data = inputs.tensor(0)?;
        let axis = layout::axis(self.axis, data.rank())?;
        let count = match self.count {
            Some(count) => count,
            None => inputs.tensor(1)?.to_i64()?,
        };
        let len = data.shape()[axis];
        let count = match usize::try_from(count) {
            Ok(count) if count <= len => count,
            _ => bad!("{count} elements of an axis of {len}"),
        };
        let mut shape = Shape::from_slice(data.shape());
        shape[axis] = count;
        each_number!(
            data.elements(),
            v => self.typed(v, data.shape(), axis, &shape),
            bad!("{} has no order", data.element_type())
        )
    }
}

impl TopK {
    fn typed<T>(&self, data: &[T], from: &[usize], axis: usize, to: &[usize]) -> Result<Values, OpError>
    where
        T: Element + PartialOrd + Copy,
    {
        let (_, len, inner) = layout::around(from, axis);
        let count = to[axis];
        if data.is_empty() || count == 0 {
            return Ok(smallvec::smallvec![
                Tensor::new::<T>(to, vec![])?.into(),
                Tensor::new::<i64>(to, vec![])?.into()
            ]);
        }
        let all = crate::tensor::volume(to, size_of::<i64>())?;
        let (mut values, mut places) = (vec![T::default(); all], vec![0i64; all]);
        let mut line: Vec<(T, usize)> = Vec::with_capacity(len);
        for (block, data) in data.chunks_exact(len * inner).enumerate() {
            for column in 0..inner {
                line.clear();
                line.extend(data[column..].iter().step_by(inner).copied().enumerate().map(|(i, x)| (x, i)));
                self.first(&mut line, count);
                for (i, (value, place)) in line[..count].iter().enumerate() {
                    let at = (block * count + i) * inner + column;
                    values[at] = *value;
                    places[at] = *place as i64;
                }
            }
        }
        Ok(smallvec::smallvec![Tensor::new(to, values)?.into(), Tensor::new(to, places)?.into()])
    }

    /// Brings the first `count` of the order to the front.
    fn first<T: PartialOrd + Copy>(&self, line: &mut [(T, usize)], count: usize) {
        if count == 0 {
            return;
        }
        let order = |a: &(T, usize), b: &(T, usize)| {
            let by_value = if self.largest { compare(b.0, a.0) } else { compare(a.0, b.0) };
            by_value.then(a.1.cmp(&b.1))
        };
        if !self.sorted {
            return unsorted::first(line, count, |a, b| order(a, b).is_lt());
        }
        if count < line.len() {
            line.select_nth_unstable_by(count - 1, order);
        }
        line[..count].sort_unstable_by(order);
    }
}

/// Total order in which NaN is the largest.
#[inline]
fn compare<T: PartialOrd + Copy>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| {
        let nan = |x: T| x.partial_cmp(&x).is_none();
        nan(a).cmp(&nan(b))
    })
}

fn top_k(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let count = match build.version() {
        ..10 => Some(attributes.int("k")?.ok_or_else(|| missing("k"))?),
        _ => build.constant(1).map(|k| k.to_i64()).transpose()?,
    };
    let (largest, sorted) = (attributes.flag("largest", true)?, attributes.flag("sorted", true)?);
    Ok(Box::new(TopK { axis: attributes.int_or("axis", -1)?, count, largest, sorted }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(largest: bool, count: i64, axis: i64, shape: &[usize], values: &[f32]) -> Result<Vec<i64>, OpError> {
        let mut inputs = [Tensor::new(shape, values.to_vec()).unwrap().into()];
        let out = TopK { axis, count: Some(count), largest, sorted: true }.run(&mut Inputs(&mut inputs))?;
        assert_eq!(out[0].tensor().unwrap().shape(), out[1].tensor().unwrap().shape());
        out[1].tensor().unwrap().to_i64s()
    }

    /// Answers of onnxruntime 1.32.
    #[test]
    fn ties_and_nans() {
        let values = [3.0, 3.0, f32::NAN, 3.0, -0.0, 0.0];
        assert_eq!(top(true, 6, 0, &[6], &values).unwrap(), [2, 0, 1, 3, 4, 5]);
        assert_eq!(top(false, 6, 0, &[6], &values).unwrap(), [4, 5, 0, 1, 3, 2]);
        assert_eq!(top(true, 2, -1, &[1, 6], &values).unwrap(), [2, 0]);
        assert_eq!(top(true, 1, 0, &[3, 2], &values).unwrap(), [1, 0]);
    }

    #[test]
    fn counts_are_bounded_by_the_axis() {
        assert_eq!(top(true, 0, 0, &[2], &[1.0, 2.0]).unwrap(), [0i64; 0]);
        assert_eq!(top(true, 0, 0, &[0], &[]).unwrap(), [0i64; 0]);
        assert!(top(true, 3, 0, &[2], &[1.0, 2.0]).is_err());
        assert!(top(true, -1, 0, &[2], &[1.0, 2.0]).is_err());
        assert!(top(true, 1, 1, &[2], &[1.0, 2.0]).is_err());
    }
}
