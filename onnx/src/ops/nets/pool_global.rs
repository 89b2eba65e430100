//! Pools over whole channels: GlobalAveragePool, GlobalMaxPool, GlobalLpPool.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::pool_max::larger_or_new;
use crate::ops::nets::pool_max::larger_or_old;
use crate::ops::nets::real::Real;
use crate::ops::nets::real::by_float;
use crate::registry::Operator;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::own("GlobalAveragePool", average),
    Operator::own("GlobalLpPool", lp),
    Operator::own("GlobalMaxPool", max),
];

#[derive(Debug)]
enum Global {
    Average,
    Max,
    Lp(i64),
}

impl Kernel for Global {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.pool::<f32>(i), |i| self.pool::<f64>(i))
    }
}

impl Global {
    fn pool<T: Real>(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        if x.rank() < 2 {
            bad!("an input of {} axes", x.rank());
        }
        let mut shape = Shape::from_slice(&x.shape()[..2]);
        shape.resize(x.rank(), 1);
        if x.is_empty() {
            return Ok(one(Tensor::full(&shape, T::ZERO)?));
        }
        let size: usize = x.shape()[2..].iter().product();
        let channels = x.slice::<T>()?.chunks_exact(size);
        let out: Vec<T> = match self {
            Global::Average => channels.map(|c| sum(c.iter().copied()) / T::from_usize(size)).collect(),
            Global::Max => channels.map(largest).collect(),
            Global::Lp(1) => channels.map(|c| sum(c.iter().map(|v| v.abs()))).collect(),
            Global::Lp(2) => channels.map(|c| sum(c.iter().map(|v| *v * *v)).sqrt()).collect(),
            Global::Lp(p) => {
                let p = T::from_f64(*p as f64);
                channels.map(|c| sum(c.iter().map(|v| v.abs().powf(p))).powf(T::ONE / p)).collect()
            }
        };
        Ok(one(Tensor::new(&shape, out)?))
    }
}

/// The largest number, compared in the order of MLAS's vector kernel, which decides what becomes of NaN: four columns, those
/// by twos, then what is left.
fn largest<T: Real>(channel: &[T]) -> T {
    let (fours, rest) = channel.as_chunks::<4>();
    let mut lanes = [T::FINITE_LOWEST; 4];
    for four in fours {
        lanes.iter_mut().zip(four).for_each(|(v, s)| *v = larger_or_new(*v, *s));
    }
    let [a, b, c, d] = lanes;
    let start = if fours.is_empty() { a } else { larger_or_new(larger_or_new(a, c), larger_or_new(b, d)) };
    rest.iter().fold(start, |v, s| larger_or_old(v, *s))
}

/// Sums large channels without losing the small terms: in double precision.
fn sum<T: Real>(values: impl Iterator<Item = T>) -> T {
    T::from_f64(values.map(Real::to_f64).sum::<f64>())
}

fn average(_: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Global::Average))
}

fn max(_: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Global::Max))
}

fn lp(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    // Version 1 had a float.
    let p = match attributes.int("p") {
        Ok(p) => p.unwrap_or(2),
        Err(_) => attributes.float_or("p", 2.0)? as i64,
    };
    if p < 1 {
        bad!("p is {p}");
    }
    Ok(Box::new(Global::Lp(p)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Results of onnxruntime 1.32.
    #[test]
    fn the_largest_of_numbers_and_nan_is_as_in_onnxruntime() {
        let n = f32::NAN;
        assert_eq!(largest(&[n, n, n]), f32::MIN);
        assert_eq!(largest(&[n, 7.0, n]), 7.0);
        assert!(largest(&[1.0, 2.0, 3.0, n]).is_nan());
        assert_eq!(largest(&[n, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0, n]), 4.0);
        assert_eq!(largest(&[9.0, 2.0, n, 4.0, 1.0]), 4.0);
    }
}
