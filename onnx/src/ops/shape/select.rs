//! Where, Compress and NonZero: elements by conditions.

use crate::bad;
use crate::each_type;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout;
use crate::ops::layout::Nest;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] =
    &[Operator::own("Compress", compress), Operator::own("NonZero", non_zero), Operator::shared("Where", where_)];

#[derive(Debug)]
struct Where;

impl Kernel for Where {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (then, otherwise) = (inputs.tensor(1)?, inputs.tensor(2)?);
        let condition = inputs.tensor(0)?;
        let flags = inputs.slice::<bool>(0)?;
        if condition.shape() == then.shape() && then.shape() == otherwise.shape() {
            return each_type!(then.elements(), v => {
                Tensor::new(then.shape(), choose(flags, v, otherwise.slice()?))
            })
            .map(one);
        }
        let shape = layout::broadcast(&[condition.shape(), then.shape(), otherwise.shape()])?;
        layout::admit(then.elements(), &shape)?;
        layout::admit(otherwise.elements(), &shape)?;
        let steps = [condition, then, otherwise].map(|t| layout::broadcast_steps(t.shape(), &shape));
        let nest = Nest::new(&shape, [&steps[0], &steps[1], &steps[2]]);
        each_type!(then.elements(), v => {
            Tensor::new(&shape, choose_stretched(&nest, flags, v, otherwise.slice()?, &shape)?)
        })
        .map(one)
    }
}

fn choose<T: Element>(flags: &[bool], then: &[T], otherwise: &[T]) -> Vec<T> {
    let pairs = then.iter().zip(otherwise);
    flags.iter().zip(pairs).map(|(flag, (a, b))| if *flag { a.clone() } else { b.clone() }).collect()
}

fn choose_stretched<T: Element>(
    nest: &Nest<3>,
    flags: &[bool],
    then: &[T],
    otherwise: &[T],
    shape: &[usize],
) -> Result<Vec<T>, OpError> {
    let mut out = Vec::with_capacity(volume(shape, T::TYPE.size())?);
    nest.walk([0; 3], |[mut c, mut a, mut b]| {
        for _ in 0..nest.len {
            out.push(if flags[c] { then[a].clone() } else { otherwise[b].clone() });
            c = c.wrapping_add_signed(nest.inner[0]);
            a = a.wrapping_add_signed(nest.inner[1]);
            b = b.wrapping_add_signed(nest.inner[2]);
        }
    });
    Ok(out)
}

fn where_(_: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Where))
}

#[derive(Debug)]
struct Compress {
    axis: Option<i64>,
}

impl Kernel for Compress {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let data = inputs.tensor(0)?;
        let flags = inputs.slice::<bool>(1)?;
        let (shape, axis) = match self.axis {
            Some(axis) => (Shape::from_slice(data.shape()), layout::axis(axis, data.rank())?),
            None => (Shape::from_slice(&[data.len()]), 0),
        };
        // flags that are left out are false, those past the end mean nothing
        let kept = flags.iter().take(shape[axis]).enumerate().filter(|(_, flag)| **flag);
        let kept: Vec<usize> = kept.map(|(i, _)| i).collect();
        let (_, len, inner) = layout::around(&shape, axis);
        let mut out = shape.clone();
        out[axis] = kept.len();
        each_type!(data.elements(), v => {
            let mut values = Vec::with_capacity(volume(&out, 1)?);
            if !v.is_empty() {
                for block in v.chunks_exact(len * inner) {
                    kept.iter().for_each(|i| values.extend_from_slice(&block[i * inner..(i + 1) * inner]));
                }
            }
            Tensor::new(&out, values)
        })
        .map(one)
    }
}

fn compress(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Compress { axis: build.node.attributes.int("axis")? }))
}

#[derive(Debug)]
struct NonZero;

impl Kernel for NonZero {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let data = inputs.tensor(0)?;
        let found = each_type!(data.elements(), v => not_default(v));
        // onnxruntime treats a scalar as a vector of one
        let shape = if data.rank() == 0 { &[1][..] } else { data.shape() };
        let all = volume(&[shape.len(), found.len()], size_of::<i64>())?;
        let mut out = Vec::with_capacity(all);
        for (step, len) in layout::steps(shape).into_iter().zip(shape) {
            if found.is_empty() {
                break;
            }
            out.extend(found.iter().map(|at| (at / step as usize % len) as i64));
        }
        Tensor::new(&[shape.len(), found.len()], out).map(one)
    }
}

/// Places of elements that are not 0, false or the empty text.
fn not_default<T: Element>(values: &[T]) -> Vec<usize> {
    let zero = T::default();
    values.iter().enumerate().filter(|(_, x)| **x != zero).map(|(i, _)| i).collect()
}

fn non_zero(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    if build.node.inputs.len() != 1 {
        bad!("one input is expected");
    }
    Ok(Box::new(NonZero))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kernel: &dyn Kernel, inputs: Vec<Tensor>) -> Result<Tensor, OpError> {
        let mut inputs: Vec<_> = inputs.into_iter().map(Into::into).collect();
        Ok(kernel.run(&mut Inputs(&mut inputs))?[0].tensor().unwrap().clone())
    }

    #[test]
    fn choices_are_stretched() {
        let flags = Tensor::new(&[2, 1], vec![true, false]).unwrap();
        let got = run(&Where, vec![flags.clone(), Tensor::vector(vec![1i64, 2]), Tensor::scalar(9i64)]).unwrap();
        assert_eq!(got, Tensor::new(&[2, 2], vec![1i64, 2, 9, 9]).unwrap());
        let mixed = vec![flags.clone(), flags.clone(), Tensor::scalar(9i64)];
        assert!(run(&Where, mixed).is_err());
        let plain = Tensor::new(&[2, 1], vec![1f32, f32::NAN]).unwrap();
        assert_eq!(
            run(&Where, vec![flags, plain.clone(), Tensor::zeros::<f32>(&[2, 1]).unwrap()]).unwrap().slice(),
            Ok(&[1f32, 0.0][..])
        );
    }

    #[test]
    fn flags_keep_rows() {
        let data = Tensor::new(&[3, 2], (0i64..6).collect()).unwrap();
        let flags = Tensor::vector(vec![false, true]);
        let got = run(&Compress { axis: Some(0) }, vec![data.clone(), flags.clone()]).unwrap();
        assert_eq!(got, Tensor::new(&[1, 2], vec![2i64, 3]).unwrap());
        assert_eq!(run(&Compress { axis: None }, vec![data, flags]).unwrap(), Tensor::vector(vec![1i64]));
    }

    #[test]
    fn places_of_what_is_not_zero() {
        let data = Tensor::new(&[2, 2], vec![0f32, f32::NAN, -0.0, 1.0]).unwrap();
        assert_eq!(run(&NonZero, vec![data]).unwrap(), Tensor::new(&[2, 2], vec![0i64, 1, 1, 1]).unwrap());
        assert_eq!(run(&NonZero, vec![Tensor::scalar(true)]).unwrap().shape(), [1, 1]);
        assert_eq!(run(&NonZero, vec![Tensor::zeros::<i8>(&[2, 0]).unwrap()]).unwrap().shape(), [2, 0]);
    }
}
