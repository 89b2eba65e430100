//! ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd, ReduceL1, ReduceL2, ReduceLogSum, ReduceLogSumExp,
//! ReduceSumSquare.

pub mod fold;

use smallvec::SmallVec;
use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout::axis;
use crate::ops::layout::pick;
use crate::ops::layout::steps;
use crate::ops::math::reduce::fold::Fold;
use crate::ops::math::reduce::fold::Folded;
use crate::ops::math::widen::doubles;
use crate::ops::math::widen::of_doubles;
use crate::ops::math::widen::widened;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::ElementType;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::own("ReduceL1", build),
    Operator::own("ReduceL2", build),
    Operator::own("ReduceLogSum", build),
    Operator::own("ReduceLogSumExp", build),
    Operator::own("ReduceMax", build),
    Operator::shared("ReduceMean", build),
    Operator::own("ReduceMin", build),
    Operator::own("ReduceProd", build),
    Operator::shared("ReduceSum", build),
    Operator::own("ReduceSumSquare", build),
];

#[derive(Debug)]
struct Reduce {
    fold: Fold,
    /// Axes of the attribute; those of input 1 come before.
    axes: Option<Vec<i64>>,
    keep: bool,
    /// No axes mean none instead of all.
    none: bool,
}

fn build(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let fold = match build.node.op_type.as_str() {
        "ReduceL1" => Fold::L1,
        "ReduceL2" => Fold::L2,
        "ReduceLogSum" => Fold::LogSum,
        "ReduceLogSumExp" => Fold::LogSumExp,
        "ReduceMax" => Fold::Max,
        "ReduceMean" => Fold::Mean,
        "ReduceMin" => Fold::Min,
        "ReduceProd" => Fold::Prod,
        "ReduceSum" => Fold::Sum,
        "ReduceSumSquare" => Fold::SumSquare,
        other => bad!("{other} is no reduction"),
    };
    let attributes = &build.node.attributes;
    Ok(Box::new(Reduce {
        fold,
        axes: attributes.ints("axes")?.map(<[i64]>::to_vec),
        keep: attributes.flag("keepdims", true)?,
        none: attributes.flag("noop_with_empty_axes", false)?,
    }))
}

impl Kernel for Reduce {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        // Whole numbers must not be widened here: they stop at the ends of their own type.
        if inputs.tensor(0)?.element_type() == ElementType::F16 {
            widened(inputs, 1, |inputs| self.wide(inputs))
        } else {
            self.wide(inputs)
        }
    }
}

impl Reduce {
    fn wide(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let given = match inputs.optional(1)? {
            Some(axes) => Some(axes.to_i64s()?),
            None => None,
        };
        let tensor = inputs.tensor(0)?;
        let reduced = self.reduced(given.as_deref().or(self.axes.as_deref()), tensor.rank())?;
        let out = match tensor.element_type() {
            ElementType::F32 => self.all::<f32>(tensor, &reduced)?,
            ElementType::F64 => self.all::<f64>(tensor, &reduced)?,
            ElementType::I64 => self.all::<i64>(tensor, &reduced)?,
            ElementType::U64 => self.all::<u64>(tensor, &reduced)?,
            // Max and Min of 32 bits are exact in doubles; sums and products go through them in onnxruntime as well.
            whole if whole.is_integer() => {
                let out = self.all::<f64>(&Tensor::new(tensor.shape(), doubles(tensor)?)?, &reduced)?;
                of_doubles(whole, out.shape(), out.slice::<f64>()?)?
            }
            ElementType::Bool => self.bools(tensor, &reduced)?,
            other => bad!("expected numbers, found {other}"),
        };
        Ok(one(out))
    }
}

/// The mean over some axes, which stay with length 1.
///
/// # Errors
/// If there is no such axis.
pub fn mean<T: Folded>(tensor: &Tensor, axes: &[i64]) -> Result<Tensor, OpError> {
    let reduce = Reduce { fold: Fold::Mean, axes: None, keep: true, none: true };
    reduce.all::<T>(tensor, &reduce.reduced(Some(axes), tensor.rank())?)
}

impl Reduce {
    /// For every axis, whether it is reduced.
    fn reduced(&self, axes: Option<&[i64]>, rank: usize) -> Result<SmallVec<[bool; 6]>, OpError> {
        let axes = axes.unwrap_or_default();
        let mut reduced: SmallVec<[bool; 6]> = smallvec![axes.is_empty() && !self.none; rank];
        for a in axes {
            reduced[axis(*a, rank)?] = true;
        }
        Ok(reduced)
    }

    fn shape(&self, shape: &[usize], reduced: &[bool]) -> Shape {
        let all = shape.iter().zip(reduced);
        if self.keep {
            all.map(|(d, r)| if *r { 1 } else { *d }).collect()
        } else {
            all.filter(|(_, r)| !**r).map(|(d, _)| *d).collect()
        }
    }

    /// Max and Min of bools: true is larger.
    fn bools(&self, tensor: &Tensor, reduced: &[bool]) -> Result<Tensor, OpError> {
        if !matches!(self.fold, Fold::Max | Fold::Min) {
            bad!("expected numbers, found bools");
        }
        let wide = tensor.slice::<bool>()?.iter().map(|v| i64::from(*v)).collect();
        let out = self.all::<i64>(&Tensor::new::<i64>(tensor.shape(), wide)?, reduced)?;
        let bools = out.slice::<i64>()?.iter().map(|v| *v > 0).collect();
        Tensor::new::<bool>(out.shape(), bools)
    }

    fn all<T: Folded>(&self, tensor: &Tensor, reduced: &[bool]) -> Result<Tensor, OpError> {
        let shape = self.shape(tensor.shape(), reduced);
        let len = volume(&shape, T::TYPE.size())?;
        let values = tensor.slice::<T>()?;
        if values.is_empty() {
            return Tensor::full::<T>(&shape, T::line(self.fold, &[]));
        }
        let groups = groups(tensor.shape(), reduced);
        let out = match groups.as_slice() {
            [] => T::columns(self.fold, values, 1, values.len()),
            [(n, false)] => T::columns(self.fold, values, 1, *n),
            [(n, true)] => T::lines(self.fold, values, *n),
            [(_, false), (n, true)] => T::lines(self.fold, values, *n),
            [(n, true), (inner, false)] => T::columns(self.fold, values, *n, *inner),
            [(_, false), (n, true), (inner, false)] => {
                let blocks = values.chunks_exact(n * inner);
                blocks.flat_map(|block| T::columns(self.fold, block, *n, *inner)).collect()
            }
            groups => {
                let n = groups.iter().filter(|(_, r)| *r).map(|(n, _)| n).product();
                T::lines(self.fold, &reduced_last(values, groups), n)
            }
        };
        debug_assert_eq!(out.len(), len);
        Tensor::new(&shape, out)
    }
}

/// Lengths of runs of adjacent axes that are reduced, or not; axes of length 1 belong to either.
fn groups(shape: &[usize], reduced: &[bool]) -> SmallVec<[(usize, bool); 6]> {
    let mut groups: SmallVec<[(usize, bool); 6]> = SmallVec::new();
    for (n, r) in shape.iter().copied().zip(reduced.iter().copied()).filter(|(n, _)| *n != 1) {
        match groups.last_mut() {
            Some((last, same)) if *same == r => *last *= n,
            _ => groups.push((n, r)),
        }
    }
    groups
}

/// The same elements with the reduced axes moved to the end.
fn reduced_last<T: Element>(values: &[T], groups: &[(usize, bool)]) -> Vec<T> {
    let lengths: Shape = groups.iter().map(|(n, _)| *n).collect();
    let from = steps(&lengths);
    let order = [false, true].into_iter().flat_map(|wanted| (0..groups.len()).filter(move |i| groups[*i].1 == wanted));
    let (shape, steps): (Shape, SmallVec<[isize; 6]>) = order.map(|i| (lengths[i], from[i])).unzip();
    pick(values, 0, &shape, &steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T: Folded>(fold: Fold, shape: &[usize], axes: &[i64], values: Vec<T>) -> (Vec<usize>, Vec<T>) {
        let kernel = Reduce { fold, axes: None, keep: false, none: false };
        let axes = Tensor::vector(axes.to_vec());
        let mut inputs = [Tensor::new(shape, values).unwrap().into(), axes.into()];
        let out = kernel.run(&mut Inputs(&mut inputs)).unwrap();
        let out = out[0].tensor().unwrap();
        (out.shape().to_vec(), out.slice::<T>().unwrap().to_vec())
    }

    #[test]
    fn any_axes_are_reduced() {
        let values: Vec<f32> = (0..24u8).map(f32::from).collect();
        let sum = |axes: &[i64]| run(Fold::Sum, &[2, 3, 4], axes, values.clone());
        assert_eq!(sum(&[]), (vec![], vec![276.0]));
        assert_eq!(sum(&[2]), (vec![2, 3], vec![6.0, 22.0, 38.0, 54.0, 70.0, 86.0]));
        assert_eq!(sum(&[0, 2]), (vec![3], vec![60.0, 92.0, 124.0]));
        assert_eq!(sum(&[-2]).1, [12.0, 15.0, 18.0, 21.0, 48.0, 51.0, 54.0, 57.0]);
        assert_eq!(sum(&[0, 1]).1, [60.0, 66.0, 72.0, 78.0]);
        assert_eq!(run(Fold::Max, &[2, 3, 2, 2], &[1, 3], values), (vec![2, 2], vec![9.0, 11.0, 21.0, 23.0]));
    }

    #[test]
    fn nothing_sums_to_what_onnxruntime_says() {
        let cases = [
            (Fold::Sum, 0.0),
            (Fold::Mean, 0.0),
            (Fold::Prod, 1.0),
            (Fold::Max, f32::NEG_INFINITY),
            (Fold::Min, f32::INFINITY),
            (Fold::LogSum, f32::NEG_INFINITY),
            (Fold::LogSumExp, f32::NEG_INFINITY),
        ];
        for (fold, want) in cases {
            assert_eq!(run(fold, &[2, 0], &[1], Vec::<f32>::new()), (vec![2], vec![want; 2]), "{fold:?}");
            assert_eq!(run(fold, &[0, 2], &[1], Vec::<f32>::new()), (vec![0], vec![]), "{fold:?}");
        }
    }

    #[test]
    fn whole_numbers_stop_at_their_ends() {
        assert_eq!(run(Fold::Sum, &[2], &[0], vec![i64::MAX, 1]).1, [i64::MAX]);
        assert_eq!(run(Fold::Prod, &[2], &[0], vec![i64::MIN, 5]).1, [i64::MIN]);
        assert_eq!(run(Fold::Mean, &[2], &[0], vec![-3i64, -4]).1, [-3]);
    }
}
