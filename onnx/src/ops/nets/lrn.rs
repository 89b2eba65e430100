//! LRN: local response normalization across channels.

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::real::Real;
use crate::ops::nets::real::by_float;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("LRN", lrn)];

/// `x / (bias + alpha / size * sum of squares of the channels around) ^ beta`.
#[derive(Debug)]
struct Lrn {
    alpha: f32,
    beta: f32,
    bias: f32,
    size: usize,
}

impl Kernel for Lrn {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.normalize::<f32>(i), |i| self.normalize::<f64>(i))
    }
}

impl Lrn {
    fn normalize<T: Real>(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        if x.rank() < 2 {
            bad!("an input of {} axes", x.rank());
        }
        let mut out = x.slice::<T>()?.to_vec();
        if out.is_empty() {
            return Ok(one(Tensor::new(x.shape(), out)?));
        }
        let (channels, size) = (x.shape()[1], x.shape()[2..].iter().product::<usize>());
        let (before, after) = ((self.size - 1) / 2, self.size / 2);
        let t = |v: f32| T::from_f64(f64::from(v));
        let (bias, beta, alpha) = (t(self.bias), t(self.beta), t(self.alpha) / T::from_usize(self.size));
        if !out.is_empty() {
            let images = x.slice::<T>()?.chunks_exact(channels * size);
            for (image, result) in images.zip(out.chunks_exact_mut(channels * size)) {
                let mut sums = vec![T::ZERO; size];
                for c in 0..channels {
                    sums.fill(T::ZERO);
                    let around = c.saturating_sub(before)..(c + after + 1).min(channels);
                    for other in around {
                        let source = &image[other * size..][..size];
                        sums.iter_mut().zip(source).for_each(|(sum, v)| *sum += *v * *v);
                    }
                    let line = &mut result[c * size..][..size];
                    line.iter_mut().zip(&sums).for_each(|(v, sum)| *v /= (bias + alpha * *sum).powf(beta));
                }
            }
        }
        Ok(one(Tensor::new(x.shape(), out)?))
    }
}

fn lrn(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let size = attributes.int("size")?.ok_or_else(|| missing("size"))?;
    if !(1..=1 << 30).contains(&size) {
        bad!("a size of {size}");
    }
    Ok(Box::new(Lrn {
        alpha: attributes.float_or("alpha", 1e-4)?,
        beta: attributes.float_or("beta", 0.75)?,
        bias: attributes.float_or("bias", 1.0)?,
        size: size as usize,
    }))
}
