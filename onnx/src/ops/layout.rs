//! Axes, strides, broadcasting, and walks over strided views: what data movement and element-wise kernels share.

use smallvec::SmallVec;

use crate::bad;
use crate::each_type;
use crate::error::OpError;
use crate::limits;
use crate::tensor::ElementType;
use crate::tensor::Elements;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::tensor::volume;

/// Elements to step over for one more on each axis; 0 where an axis is broadcast, negative where it is reversed.
pub type Steps = SmallVec<[isize; 6]>;

/// An axis counted from the front; `axis` may be negative, then it counts from the back.
///
/// # Errors
/// If there is no such axis.
#[inline]
pub fn axis(axis: i64, rank: usize) -> Result<usize, OpError> {
    let rank = rank as i64;
    if axis < -rank || axis >= rank {
        bad!("there is no axis {axis} in a tensor of rank {rank}");
    }
    Ok((if axis < 0 { axis + rank } else { axis }) as usize)
}

/// As [`axis`] for several, which must differ.
///
/// # Errors
/// If there is no such axis, or one is named twice.
pub fn axes(all: &[i64], rank: usize) -> Result<Shape, OpError> {
    if all.len() > limits::RANK {
        bad!("{} axes, at most {} are allowed", all.len(), limits::RANK);
    }
    let mut out = Shape::new();
    for one in all {
        let one = axis(*one, rank)?;
        if out.contains(&one) {
            bad!("the axis {one} is named twice");
        }
        out.push(one);
    }
    Ok(out)
}

/// Product of lengths. Beside an axis of length 0 the others may be anything, so that it wraps around.
#[inline]
pub fn product(lengths: &[usize]) -> usize {
    lengths.iter().fold(1, |n, d| n.wrapping_mul(*d))
}

/// Number of elements before, on and behind an axis, each as a product.
#[inline]
pub fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (product(&shape[..axis]), shape[axis], product(&shape[axis + 1..]))
}

/// Lengths that a tensor holds, none of them negative.
///
/// # Errors
/// If one is negative, or there are more than [`limits::RANK`].
pub fn lengths(all: &[i64]) -> Result<Shape, OpError> {
    if all.len() > limits::RANK {
        bad!("a shape of {} axes, at most {} are allowed", all.len(), limits::RANK);
    }
    all.iter().map(|d| usize::try_from(*d).map_err(|_| OpError::bad(format!("the length {d} is negative")))).collect()
}

/// Lengths of the parts that an axis of `len` is cut into.
///
/// # Errors
/// If one is negative, or they do not add up to `len`.
pub fn parts(all: &[i64], len: usize) -> Result<Vec<usize>, OpError> {
    let sum = all.iter().try_fold(0i64, |sum, d| sum.checked_add(*d).filter(|_| *d >= 0));
    if sum != Some(len as i64) {
        bad!("an axis of {len} cannot be cut into the {} parts that are given", all.len());
    }
    Ok(all.iter().map(|d| *d as usize).collect())
}

/// Steps of a dense tensor in row-major order.
pub fn steps(shape: &[usize]) -> Steps {
    let mut out: Steps = SmallVec::from_elem(1, shape.len());
    let mut step = 1usize;
    for (out, len) in out.iter_mut().zip(shape).rev() {
        *out = step as isize;
        // a tensor with an empty axis is never stepped through, the product of its other axes may be anything
        step = step.wrapping_mul(*len);
    }
    out
}

/// The shape that all of `shapes` are stretched to, aligned at the last axis (numpy's rule).
///
/// # Errors
/// If two lengths differ and neither is 1.
pub fn broadcast(shapes: &[&[usize]]) -> Result<Shape, OpError> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut out: Shape = SmallVec::from_elem(1, rank);
    for shape in shapes {
        let skip = rank - shape.len();
        for (out, len) in out[skip..].iter_mut().zip(*shape) {
            if *out == 1 {
                *out = *len;
            } else if *len != 1 && *len != *out {
                let all: Vec<String> = shapes.iter().map(|s| show(s)).collect();
                bad!("{} do not broadcast to one shape", all.join(" and "));
            }
        }
    }
    Ok(out)
}

/// Steps of a tensor of `shape` seen as one of `out`, which [`broadcast`] made.
pub fn broadcast_steps(shape: &[usize], out: &[usize]) -> Steps {
    let skip = out.len() - shape.len();
    let mut all: Steps = SmallVec::from_elem(0, out.len());
    for ((all, step), len) in all[skip..].iter_mut().zip(steps(shape)).zip(shape) {
        *all = if *len == 1 { 0 } else { step };
    }
    all
}

/// Nested loops over `N` views of the same shape. Axes that all views step through as one are merged, so that the
/// innermost loop is as long as can be.
#[derive(Clone, Debug)]
pub struct Nest<const N: usize> {
    outer: Shape,
    steps: [Steps; N],
    /// Length of the innermost loop; 0 if there is nothing to do.
    pub len: usize,
    /// Steps of the innermost loop.
    pub inner: [isize; N],
}

impl<const N: usize> Nest<N> {
    /// `steps` are as long as `shape`, each.
    pub fn new(shape: &[usize], steps: [&[isize]; N]) -> Nest<N> {
        let mut outer = Shape::new();
        let mut merged: [Steps; N] = std::array::from_fn(|_| Steps::new());
        if shape.contains(&0) {
            return Nest { outer, steps: merged, len: 0, inner: [0; N] };
        }
        for (axis, len) in shape.iter().copied().enumerate() {
            if len == 1 {
                continue;
            }
            let span = |n: usize| steps[n][axis].wrapping_mul(len as isize);
            let whole = (0..N).all(|n| merged[n].last().is_some_and(|step| *step == span(n)));
            match outer.last_mut() {
                Some(last) if whole => {
                    *last *= len;
                    (0..N).for_each(|n| *merged[n].last_mut().expect("as long as `outer`") = steps[n][axis]);
                }
                _ => {
                    outer.push(len);
                    (0..N).for_each(|n| merged[n].push(steps[n][axis]));
                }
            }
        }
        let len = outer.pop().unwrap_or(1);
        let inner = std::array::from_fn(|n| merged[n].pop().unwrap_or(1));
        Nest { outer, steps: merged, len, inner }
    }

    /// Calls `each` with the offsets at which an innermost loop starts, in row-major order.
    #[inline]
    pub fn walk(&self, start: [usize; N], mut each: impl FnMut([usize; N])) {
        if self.len == 0 {
            return;
        }
        let mut at = start;
        let mut index: Shape = SmallVec::from_elem(0, self.outer.len());
        loop {
            each(at);
            let mut axis = self.outer.len();
            loop {
                if axis == 0 {
                    return;
                }
                axis -= 1;
                index[axis] += 1;
                if index[axis] < self.outer[axis] {
                    (0..N).for_each(|n| at[n] = at[n].wrapping_add_signed(self.steps[n][axis]));
                    break;
                }
                index[axis] = 0;
                let back = self.outer[axis] as isize - 1;
                (0..N).for_each(|n| at[n] = at[n].wrapping_add_signed(-back * self.steps[n][axis]));
            }
        }
    }
}

/// The elements of a strided view, dense. The view must lie within `from`.
///
/// # Panics
/// If it does not.
pub fn pick<T: Clone>(from: &[T], start: usize, shape: &[usize], steps: &[isize]) -> Vec<T> {
    let nest = Nest::new(shape, [steps]);
    if nest.len == 0 {
        return vec![];
    }
    let mut out = Vec::with_capacity(product(shape));
    let (len, step) = (nest.len, nest.inner[0]);
    nest.walk([start], |[at]| match step {
        1 => out.extend_from_slice(&from[at..at + len]),
        0 => out.extend(std::iter::repeat_n(&from[at], len).cloned()),
        step if step > 0 => {
            let step = step as usize;
            out.extend(from[at..=at + (len - 1) * step].iter().step_by(step).cloned());
        }
        step => {
            let step = step.unsigned_abs();
            out.extend(from[at - (len - 1) * step..=at].iter().rev().step_by(step).cloned());
        }
    });
    out
}

/// As [`pick`], for a tensor.
///
/// # Errors
/// If the result is too large.
///
/// # Panics
/// If the view does not lie within the tensor.
pub fn view(from: &Tensor, start: usize, shape: &[usize], steps: &[isize]) -> Result<Tensor, OpError> {
    admit(from.elements(), shape)?;
    each_type!(from.elements(), v => Tensor::new(shape, pick(v, start, shape, steps)))
}

/// Whether a tensor of `shape` that repeats elements of `from` may be made; returns the number of its elements.
///
/// # Errors
/// If it would be too large, the bytes of texts included.
pub fn admit(from: &Elements, shape: &[usize]) -> Result<usize, OpError> {
    let len = volume(shape, from.element_type().size())?;
    if let Elements::Text(texts) = from
        && len > texts.len()
    {
        let longest = texts.iter().map(String::len).max().unwrap_or(0);
        volume(&[len, longest], 1)?;
    }
    Ok(len)
}

/// Whether copies of all these may stand in one tensor; only texts can be too long where their number is not.
///
/// # Errors
/// If they are too large together.
pub fn admit_together(all: &[&Tensor]) -> Result<(), OpError> {
    let texts = all.iter().filter(|t| t.element_type() == ElementType::Text);
    volume(&[texts.map(|t| t.bytes()).sum()], 1).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_count_from_both_ends() {
        assert_eq!(axis(-1, 3).unwrap(), 2);
        assert_eq!(axis(2, 3).unwrap(), 2);
        assert!(axis(3, 3).is_err() && axis(-4, 3).is_err() && axis(0, 0).is_err() && axis(i64::MIN, 1).is_err());
        assert_eq!(axes(&[-1, 0], 3).unwrap().as_slice(), [2, 0]);
        assert!(axes(&[-1, 2], 3).is_err());
    }

    #[test]
    fn shapes_are_stretched_as_in_numpy() {
        let shape = |all: &[&[usize]]| broadcast(all).map(|s| s.to_vec()).ok();
        assert_eq!(shape(&[&[3, 1], &[4]]), Some(vec![3, 4]));
        assert_eq!(shape(&[&[], &[2, 0], &[1, 1]]), Some(vec![2, 0]));
        assert_eq!(shape(&[&[1], &[0]]), Some(vec![0]));
        assert_eq!(shape(&[&[2], &[0]]), None);
        assert_eq!(shape(&[&[2, 3], &[2]]), None);
        assert_eq!(broadcast_steps(&[3, 1], &[2, 3, 4]).as_slice(), [0, 1, 0]);
    }

    #[test]
    fn a_nest_merges_what_it_can() {
        let dense = steps(&[2, 3, 4]);
        let nest = Nest::new(&[2, 3, 4], [&dense, &dense]);
        assert_eq!((nest.len, nest.inner, nest.outer.len()), (24, [1, 1], 0));
        let rows = broadcast_steps(&[4], &[2, 3, 4]);
        let nest = Nest::new(&[2, 3, 4], [&dense, &rows]);
        assert_eq!((nest.len, nest.inner, nest.outer.as_slice()), (4, [1, 1], &[6][..]));
        let mut starts = vec![];
        nest.walk([0, 0], |at| starts.push(at));
        assert_eq!(starts, [[0, 0], [4, 0], [8, 0], [12, 0], [16, 0], [20, 0]]);
    }

    #[test]
    fn views_are_picked_in_any_direction() {
        let from: Vec<i64> = (0..12).collect();
        assert_eq!(pick(&from, 0, &[4, 3], &[1, 4]), [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
        assert_eq!(pick(&from, 11, &[2, 2], &[-4, -2]), [11, 9, 7, 5]);
        assert_eq!(pick(&from, 1, &[2, 3], &[4, 0]), [1, 1, 1, 5, 5, 5]);
        assert_eq!(pick(&from, 7, &[], &[]), [7]);
        assert!(pick(&from, 0, &[2, 0], &[0, 1]).is_empty());
    }

    #[test]
    fn repeated_texts_are_bounded() {
        let text = Elements::Text(vec!["x".repeat(1 << 20)]);
        assert!(admit(&text, &[1 << 11]).is_err());
        assert_eq!(admit(&text, &[1 << 7]).unwrap(), 1 << 7);
        let one = Tensor::from_elements(&[1], text).unwrap();
        assert!(admit_together(&[&one; 1 << 11]).is_err());
        assert!(admit_together(&[&one; 1 << 7]).is_ok());
    }
}
