//! Two tensors element by element, with the multidirectional broadcasting of the ONNX specification.
//!
//! [`Nest`] merges axes that behave alike, so that equal shapes, a scalar, a row `[k]` or a column `[n, 1]` beside
//! `[n, k]` all become loops over plain slices.

use std::sync::Arc;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Inputs;
use crate::ops::layout::Nest;
use crate::ops::layout::broadcast;
use crate::ops::layout::broadcast_steps;
use crate::tensor::Element;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Value;

/// How two shapes meet.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Shape of the result.
    pub shape: Shape,
    len: usize,
    nest: Nest<2>,
}

impl Plan {
    /// `size` is the number of bytes of one element of the result.
    ///
    /// # Errors
    /// If the shapes do not fit, or the result is too large.
    pub fn new(left: &[usize], right: &[usize], size: usize) -> Result<Plan, OpError> {
        if left == right {
            let len = volume(left, size)?;
            return Ok(Plan { shape: Shape::from_slice(left), len, nest: Nest::new(&[len], [&[1], &[1]]) });
        }
        let shape = broadcast(&[left, right])?;
        let len = volume(&shape, size)?;
        let nest = Nest::new(&shape, [&broadcast_steps(left, &shape), &broadcast_steps(right, &shape)]);
        Ok(Plan { shape, len, nest })
    }

    /// Calls `run` with the offsets of every innermost loop; not generic, to be compiled once.
    fn each(&self, run: &mut dyn FnMut([usize; 2])) {
        self.nest.walk([0, 0], run);
    }

    /// `f` of every pair.
    ///
    /// # Panics
    /// If the operands are not of the shapes that the plan was made for.
    pub fn map<A, B, R>(&self, left: &[A], right: &[B], f: impl Fn(&A, &B) -> R) -> Vec<R> {
        let mut out = Vec::with_capacity(self.len);
        let n = self.nest.len;
        self.each(&mut |[i, j]| match self.nest.inner {
            [0, 0] => out.push(f(&left[i], &right[j])),
            [_, 0] => {
                let b = &right[j];
                out.extend(left[i..i + n].iter().map(|a| f(a, b)));
            }
            [0, _] => {
                let a = &left[i];
                out.extend(right[j..j + n].iter().map(|b| f(a, b)));
            }
            _ => out.extend(left[i..i + n].iter().zip(&right[j..j + n]).map(|(a, b)| f(a, b))),
        });
        out
    }

    /// As [`Plan::map`], into operand `SIDE`, which has the shape of the result; `f` takes its element first.
    fn update<const SIDE: usize, A, B>(&self, own: &mut [A], other: &[B], f: impl Fn(&A, &B) -> A) {
        let n = self.nest.len;
        self.each(&mut |at| {
            let (i, j) = (at[SIDE], at[1 - SIDE]);
            if self.nest.inner[1 - SIDE] == 0 {
                let b = &other[j];
                for a in &mut own[i..i + n] {
                    *a = f(a, b);
                }
            } else {
                for (a, b) in own[i..i + n].iter_mut().zip(&other[j..j + n]) {
                    *a = f(a, b);
                }
            }
        });
    }
}

/// The `i`-th input if it is a tensor that nobody else holds.
fn unshared(inputs: &mut Inputs<'_>, i: usize) -> Option<Value> {
    let value = inputs.0.get_mut(i)?;
    let Value::Tensor(tensor) = value else { return None };
    Arc::get_mut(tensor).is_some().then(|| std::mem::take(value))
}

/// Elements of a tensor for writing; copied first if somebody else holds them.
///
/// # Errors
/// If it is no tensor, or of another type.
pub fn writable<T: Element>(value: &mut Value) -> Result<&mut [T], OpError> {
    match value {
        Value::Tensor(tensor) => Arc::make_mut(tensor).slice_mut::<T>(),
        other => bad!("expected a tensor, found {}", other.kind()),
    }
}

/// `f` of inputs 0 and 1, with a result of another type.
///
/// # Errors
/// If types or shapes do not fit.
pub fn binary<T: Element, R: Element>(inputs: &Inputs<'_>, f: impl Fn(&T, &T) -> R) -> Result<Value, OpError> {
    let (left, right) = (inputs.tensor(0)?, inputs.tensor(1)?);
    let plan = Plan::new(left.shape(), right.shape(), R::TYPE.size())?;
    let values = plan.map(inputs.slice::<T>(0)?, inputs.slice::<T>(1)?, f);
    Ok(Tensor::new(&plan.shape, values)?.into())
}

/// `f` of inputs 0 and 1, written into one of them if nobody else holds it.
///
/// # Errors
/// If types or shapes do not fit.
pub fn binary_in_place<T: Element>(inputs: &mut Inputs<'_>, f: impl Fn(&T, &T) -> T) -> Result<Value, OpError> {
    let plan = Plan::new(inputs.tensor(0)?.shape(), inputs.tensor(1)?.shape(), T::TYPE.size())?;
    if inputs.tensor(0)?.shape() == &plan.shape[..]
        && let Some(mut value) = unshared(inputs, 0)
    {
        plan.update::<0, _, _>(writable::<T>(&mut value)?, inputs.slice::<T>(1)?, f);
        return Ok(value);
    }
    if inputs.tensor(1)?.shape() == &plan.shape[..]
        && let Some(mut value) = unshared(inputs, 1)
    {
        plan.update::<1, _, _>(writable::<T>(&mut value)?, inputs.slice::<T>(0)?, |b, a| f(a, b));
        return Ok(value);
    }
    let values = plan.map(inputs.slice::<T>(0)?, inputs.slice::<T>(1)?, f);
    Ok(Tensor::new(&plan.shape, values)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(left: &[usize], right: &[usize], shape: &[usize]) -> Vec<(usize, usize)> {
        let offset = |own: &[usize], index: &[usize]| {
            let index = &index[index.len() - own.len()..];
            own.iter().zip(index).fold(0, |at, (d, i)| at * d + if *d == 1 { 0 } else { *i })
        };
        (0..shape.iter().product())
            .map(|flat: usize| {
                let mut rest = flat;
                let mut index = vec![0; shape.len()];
                for (slot, d) in index.iter_mut().zip(shape).rev() {
                    *slot = rest % d;
                    rest /= d;
                }
                (offset(left, &index), offset(right, &index))
            })
            .collect()
    }

    #[test]
    fn every_pair_of_small_shapes_meets_as_a_walk_over_indices_says() {
        let mut shapes: Vec<Vec<usize>> = vec![vec![]];
        for rank in 1..=4u32 {
            for code in 0..4usize.pow(rank) {
                shapes.push((0..rank).map(|i| [1, 2, 3, 0][code / 4usize.pow(i) % 4]).collect());
            }
        }
        let mut met = 0;
        for left in &shapes {
            for right in &shapes {
                let Ok(plan) = Plan::new(left, right, 8) else { continue };
                let a: Vec<usize> = (0..left.iter().product()).collect();
                let b: Vec<usize> = (0..right.iter().product()).collect();
                let want = naive(left, right, &plan.shape);
                assert_eq!(plan.map(&a, &b, |x, y| (*x, *y)), want, "{left:?} {right:?}");
                if plan.shape[..] == left[..] {
                    let mut own: Vec<(usize, usize)> = a.iter().map(|x| (*x, 0)).collect();
                    plan.update::<0, _, _>(&mut own, &b, |x, y| (x.0, *y));
                    assert_eq!(own, want, "{left:?} {right:?}");
                }
                met += 1;
            }
        }
        assert!(met > 5000, "{met}");
    }

    #[test]
    fn shapes_that_do_not_fit_or_are_too_large_are_errors() {
        assert!(Plan::new(&[2], &[3], 4).is_err());
        assert!(Plan::new(&[0], &[3], 4).is_err());
        assert!(Plan::new(&[1 << 20, 1], &[1, 1 << 20], 4).is_err());
    }

    #[test]
    fn a_result_is_written_into_an_operand_that_nobody_else_holds() {
        let big = || Value::from(Tensor::new(&[2, 2], vec![1.0f32, 2.0, 3.0, 4.0]).unwrap());
        let small = || Value::from(Tensor::vector(vec![10.0f32, 20.0]));
        let address = |v: &Value| v.tensor().unwrap().slice::<f32>().unwrap().as_ptr();
        for (side, mut values) in [(0, [big(), small()]), (1, [small(), big()])] {
            let before = address(&values[side]);
            let out = binary_in_place(&mut Inputs(&mut values), |a: &f32, b| a - b).unwrap();
            assert_eq!(address(&out), before);
            let want: Vec<f32> = [-9.0, -18.0, -7.0, -16.0].iter().map(|v| if side == 0 { *v } else { -v }).collect();
            assert_eq!(out.tensor().unwrap().slice::<f32>().unwrap(), want);
        }
        let held = big();
        let out = binary_in_place(&mut Inputs(&mut [held.clone(), small()]), |a: &f32, b| a + b).unwrap();
        assert_eq!(held, big());
        assert_ne!(out, held);
    }
}
