//! Fourier transforms: DFT and STFT, in double precision whatever the elements are.

use std::f64::consts::PI;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::real::Real;
use crate::ops::nets::real::by_float;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("DFT", dft), Operator::own("STFT", stft)];

/// Real and imaginary part.
type Complex = (f64, f64);

/// A transform of one length, with its roots of unity.
struct Transform {
    roots: Vec<Complex>,
}

impl Transform {
    fn new(n: usize, inverse: bool) -> Transform {
        let sign = if inverse { 2.0 } else { -2.0 };
        let roots = (0..n).map(|i| (sign * PI * i as f64 / n as f64).sin_cos()).map(|(sin, cos)| (cos, sin)).collect();
        Transform { roots }
    }

    /// The unscaled transform of as many values as there are roots.
    ///
    /// Cooley and Tukey, "An Algorithm for the Machine Calculation of Complex Fourier Series" (1965), for any factors.
    fn run(&self, values: &[Complex]) -> Vec<Complex> {
        self.step(values, 1)
    }

    /// The transform of every `stride`-th value.
    fn step(&self, values: &[Complex], stride: usize) -> Vec<Complex> {
        let all = self.roots.len();
        let n = all / stride;
        if n <= 1 {
            return values.first().copied().into_iter().collect();
        }
        let factor = (2..).take_while(|f| f * f <= n).find(|f| n.is_multiple_of(*f)).unwrap_or(n);
        let m = n / factor;
        let parts: Vec<Vec<Complex>> = (0..factor).map(|r| self.step(&values[r * stride..], stride * factor)).collect();
        (0..n)
            .map(|k| {
                let mut sum = (0.0, 0.0);
                for (r, part) in parts.iter().enumerate() {
                    let ((a, b), (c, d)) = (part[k % m], self.roots[r * k % n * stride]);
                    sum.0 += a * c - b * d;
                    sum.1 += a * d + b * c;
                }
                sum
            })
            .collect()
    }
}

/// Refuses lengths that take forever: long ones with a large prime factor.
fn affordable(n: usize) -> Result<(), OpError> {
    let (mut rest, mut largest) = (n.max(1), 1);
    for factor in (2..).take_while(|f| f * f <= n) {
        while rest.is_multiple_of(factor) {
            (rest, largest) = (rest / factor, factor);
        }
    }
    match n.saturating_mul(largest.max(rest)) {
        0..=0xffff_ffff => Ok(()),
        _ => Err(OpError::unsupported(format!("a transform of length {n}, which has a large prime factor"))),
    }
}

#[derive(Debug)]
struct Dft {
    inverse: bool,
    onesided: bool,
    /// Before version 20 an attribute, then the third input.
    axis: Option<i64>,
}

impl Kernel for Dft {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.transform::<f32>(i), |i| self.transform::<f64>(i))
    }
}

impl Dft {
    fn transform<T: Real>(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        let rank = x.rank();
        let axis = match self.axis {
            Some(axis) => axis,
            None => inputs.optional(2)?.map_or(Ok(-2), Tensor::to_i64)?,
        };
        let axis = usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok().filter(|a| a + 1 < rank);
        let (Some(axis), Some(parts @ (1 | 2))) = (axis, x.shape().last().copied()) else {
            bad!("a signal of {:?}", x.shape());
        };
        let given = x.shape()[axis];
        // One side of a spectrum that is transformed back becomes a real signal.
        let back = self.inverse && self.onesided;
        let usual = if back { 2 * given.saturating_sub(1) } else { given };
        let n = match inputs.optional(1)? {
            None => usual,
            Some(length) => usize::try_from(length.to_i64()?).map_err(|_| OpError::bad("a negative dft_length"))?,
        };
        let mut shape = x.shape().to_vec();
        shape[axis] = if self.onesided && !back { n / 2 + 1 } else { n };
        shape[rank - 1] = if back { 1 } else { 2 };
        let mut out = vec![T::ZERO; volume(&shape, 16)?];
        volume(&[n], 64)?;
        affordable(n)?;
        if out.is_empty() || x.is_empty() || n == 0 {
            return Ok(one(Tensor::new(&shape, out)?));
        }
        let xs = x.slice::<T>()?;
        let inner: usize = shape[axis + 1..rank - 1].iter().product();
        let outer: usize = shape[..axis].iter().product();
        let transform = Transform::new(n, self.inverse);
        let scale = if self.inverse { 1.0 / n as f64 } else { 1.0 };
        let (length, width) = (shape[axis], shape[rank - 1]);
        for line in 0..outer * inner {
            let (o, i) = (line / inner, line % inner);
            let at = |k: usize| {
                let at = ((o * given + k) * inner + i) * parts;
                (xs[at].to_f64(), if parts == 2 { xs[at + 1].to_f64() } else { 0.0 })
            };
            let value = |k: usize| match k {
                k if k < given && (!back || k <= n / 2) => at(k),
                k if back && n - k < given => (at(n - k).0, -at(n - k).1),
                _ => (0.0, 0.0),
            };
            let values: Vec<Complex> = (0..n).map(value).collect();
            for (k, (re, im)) in transform.run(&values).into_iter().take(length).enumerate() {
                let to = ((o * length + k) * inner + i) * width;
                out[to] = T::from_f64(re * scale);
                if width == 2 {
                    out[to + 1] = T::from_f64(im * scale);
                }
            }
        }
        Ok(one(Tensor::new(&shape, out)?))
    }
}

fn dft(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let axis = if build.version() < 20 { Some(attributes.int_or("axis", 1)?) } else { None };
    Ok(Box::new(Dft {
        inverse: attributes.flag("inverse", false)?,
        onesided: attributes.flag("onesided", false)?,
        axis,
    }))
}

#[derive(Debug)]
struct Stft {
    onesided: bool,
}

impl Kernel for Stft {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.transform::<f32>(i), |i| self.transform::<f64>(i))
    }
}

impl Stft {
    fn transform<T: Real>(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        let (batch, length, parts) = match *x.shape() {
            [batch, length] => (batch, length, 1),
            [batch, length, parts @ (1 | 2)] => (batch, length, parts),
            _ => bad!("a signal of {:?}", x.shape()),
        };
        let positive = |v: i64| usize::try_from(v).ok().filter(|v| *v > 0);
        let window = inputs.optional(2)?.map(Tensor::slice::<T>).transpose()?;
        let frame = match (inputs.optional(3)?, window) {
            (Some(frame), _) => positive(frame.to_i64()?),
            (None, Some(window)) => Some(window.len()).filter(|n| *n > 0),
            (None, None) => None,
        };
        let (Some(step), Some(frame)) = (positive(inputs.tensor(1)?.to_i64()?), frame) else {
            bad!("frame_step and frame_length must be positive");
        };
        if window.is_some_and(|w| w.len() != frame) || frame > length {
            bad!("frames of {frame} in a signal of {length}");
        }
        let (frames, bins) = (1 + (length - frame) / step, if self.onesided { frame / 2 + 1 } else { frame });
        affordable(frame)?;
        let shape = [batch, frames, bins, 2];
        let mut out = Vec::with_capacity(volume(&shape, size_of::<T>())?);
        let (xs, transform) = (x.slice::<T>()?, Transform::new(frame, false));
        for b in 0..batch {
            for f in 0..frames {
                let value = |i: usize| {
                    let at = (b * length + f * step + i) * parts;
                    let weight = window.map_or(1.0, |w| w[i].to_f64());
                    (xs[at].to_f64() * weight, if parts == 2 { xs[at + 1].to_f64() * weight } else { 0.0 })
                };
                let values: Vec<Complex> = (0..frame).map(value).collect();
                let made = transform.run(&values);
                out.extend(made.into_iter().take(bins).flat_map(|(re, im)| [T::from_f64(re), T::from_f64(im)]));
            }
        }
        Ok(one(Tensor::new(&shape, out)?))
    }
}

fn stft(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Stft { onesided: build.node.attributes.flag("onesided", true)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_definition() {
        for n in [1, 2, 3, 4, 6, 7, 12, 30, 32] {
            let values: Vec<Complex> = (0..n).map(|i| ((i * 7 % 5) as f64, (i % 3) as f64)).collect();
            for (k, got) in Transform::new(n, false).run(&values).into_iter().enumerate() {
                let mut want = (0.0, 0.0);
                for (j, (a, b)) in values.iter().enumerate() {
                    let (sin, cos) = (-2.0 * PI * (j * k) as f64 / n as f64).sin_cos();
                    want = (want.0 + a * cos - b * sin, want.1 + a * sin + b * cos);
                }
                assert!((got.0 - want.0).abs() + (got.1 - want.1).abs() < 1e-9, "{n} {k}");
            }
        }
    }
}
