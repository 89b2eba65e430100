//! LayerNormalization, RMSNormalization, and onnxruntime's SimplifiedLayerNormalization and Skip variants of both.

use smallvec::SmallVec;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout::axis;
use crate::ops::math::broadcast::binary_in_place;
use crate::ops::math::functions::Real;
use crate::ops::math::reduce::fold::packed_sum;
use crate::ops::math::widen::widened;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::ElementType;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[
    Operator::shared("LayerNormalization", |build| normalization(build, true)),
    Operator::own("RMSNormalization", |build| normalization(build, false)),
    Operator::own("SimplifiedLayerNormalization", |build| normalization(build, false)),
    Operator::own("SkipLayerNormalization", |build| skip(build, true)).of(MICROSOFT),
    Operator::own("SkipSimplifiedLayerNormalization", |build| skip(build, false)).of(MICROSOFT),
];

#[derive(Debug)]
struct Normalization {
    axis: i64,
    epsilon: f32,
    /// Whether the mean is taken away.
    centred: bool,
    /// Mean and inverse deviation are wanted; they are floats, whatever the type of the values.
    moments: bool,
}

fn normalization(build: &Build<'_>, centred: bool) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    Ok(Box::new(Normalization {
        axis: attributes.int_or("axis", -1)?,
        epsilon: attributes.float_or("epsilon", 1e-5)?,
        centred,
        moments: build.has_output(1) || build.has_output(2),
    }))
}

impl Kernel for Normalization {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        widened(inputs, 1, |inputs| match inputs.tensor(0)?.element_type() {
            ElementType::F32 => self.all::<f32>(inputs),
            ElementType::F64 => self.all::<f64>(inputs),
            other => bad!("expected floats, found {other}"),
        })
    }
}

impl Normalization {
    /// Inputs are the values, the scale and, if centred, perhaps the bias.
    fn all<R: Real>(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let mut tensor = inputs.take(0)?;
        let axis = axis(self.axis, tensor.rank())?;
        let n: usize = tensor.shape()[axis..].iter().product();
        let rows = tensor.len() / n.max(1);
        let mut moments: [Vec<f32>; 2] = [Vec::new(), Vec::new()];
        let direct = |i: usize| inputs.optional(i).map(|t| t.is_none_or(|t| t.len() == n));
        // Scale and bias of a row each are used within the row; others are broadcast afterwards.
        let in_row = direct(1)? && direct(2)?;
        let scale = if in_row { inputs.optional(1)?.map(Tensor::slice::<R>).transpose()? } else { None };
        let bias = if in_row { inputs.optional(2)?.map(Tensor::slice::<R>).transpose()? } else { None };
        if n > 0 {
            for row in tensor.slice_mut::<R>()?.chunks_exact_mut(n) {
                let (mean, inverse) = moments_of(row, R::from_f32(self.epsilon), self.centred);
                apply(row, mean, inverse, scale, bias);
                if self.moments {
                    moments[0].push(mean.to_f64() as f32);
                    moments[1].push(inverse.to_f64() as f32);
                }
            }
        }
        let shape = Shape::from_slice(tensor.shape());
        let mut value: Value = tensor.into();
        if !in_row {
            value = broadcast_onto::<R>(value, inputs.take_value(1), |a, b| a.times(*b))?;
            value = broadcast_onto::<R>(value, inputs.take_value(2), |a, b| a.plus(*b))?;
        }
        let mut out: Values = SmallVec::from_iter([value]);
        if self.moments && moments[0].len() == rows {
            let shape: Shape = shape.iter().enumerate().map(|(i, d)| if i < axis { *d } else { 1 }).collect();
            let [mean, inverse] = moments;
            if self.centred {
                out.push(Tensor::new(&shape, mean)?.into());
            }
            out.push(Tensor::new(&shape, inverse)?.into());
        }
        Ok(out)
    }
}

fn broadcast_onto<R: Real>(left: Value, right: Value, f: impl Fn(&R, &R) -> R) -> Result<Value, OpError> {
    if right.is_absent() { Ok(left) } else { binary_in_place::<R>(&mut Inputs(&mut [left, right]), f) }
}

/// Mean (0 if not wanted) and inverse deviation of a row, in two passes: large means lose nothing.
pub fn moments_of<R: Real>(row: &[R], epsilon: R, centred: bool) -> (R, R) {
    let n = R::from_count(row.len());
    let mean = if centred { packed_sum(row).over(n) } else { R::default() };
    let mut lanes = [R::default(); 8];
    let mut chunks = row.chunks_exact(8);
    for chunk in &mut chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            let d = v.minus(mean);
            *lane = lane.plus(d.times(d));
        }
    }
    let rest = chunks.remainder().iter().map(|v| v.minus(mean)).fold(R::default(), |sum, d| sum.plus(d.times(d)));
    let squares = lanes.iter().fold(rest, |sum, lane| sum.plus(*lane));
    (mean, R::one().over(squares.over(n).plus(epsilon).root()))
}

fn apply<R: Real>(row: &mut [R], mean: R, inverse: R, scale: Option<&[R]>, bias: Option<&[R]>) {
    match (scale, bias) {
        (Some(scale), Some(bias)) => {
            for ((v, s), b) in row.iter_mut().zip(scale).zip(bias) {
                *v = v.minus(mean).times(inverse).times(*s).plus(*b);
            }
        }
        (Some(scale), None) => {
            for (v, s) in row.iter_mut().zip(scale) {
                *v = v.minus(mean).times(inverse).times(*s);
            }
        }
        _ => {
            for v in row {
                *v = v.minus(mean).times(inverse);
            }
        }
    }
}

/// The sum of input and skip (and bias), normalised. Outputs: values, mean, inverse deviation, the sum.
#[derive(Debug)]
struct Skip {
    norm: Normalization,
    sum: bool,
}

fn skip(build: &Build<'_>, centred: bool) -> Result<Box<dyn Kernel>, OpError> {
    let epsilon = build.node.attributes.float_or("epsilon", 1e-12)?;
    let norm = Normalization { axis: -1, epsilon, centred, moments: centred };
    Ok(Box::new(Skip { norm, sum: build.has_output(3) }))
}

impl Kernel for Skip {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        widened(inputs, usize::MAX, |inputs| match inputs.tensor(0)?.element_type() {
            ElementType::F32 => self.all::<f32>(inputs),
            ElementType::F64 => self.all::<f64>(inputs),
            other => bad!("expected floats, found {other}"),
        })
    }
}

impl Skip {
    /// Inputs: values, skip, gamma, then beta if centred, then bias.
    fn all<R: Real>(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let shape = Shape::from_slice(inputs.tensor(0)?.shape());
        let add = |a: &R, b: &R| a.plus(*b);
        let mut sum = broadcast_onto::<R>(inputs.take_value(0), inputs.take_value(1), add)?;
        let (beta, bias) = if self.norm.centred { (inputs.take_value(3), 4) } else { (Value::Absent, 3) };
        sum = broadcast_onto::<R>(sum, inputs.take_value(bias), add)?;
        if sum.tensor().map(Tensor::shape) != Some(&shape) {
            bad!("the skip or the bias has more axes than the input");
        }
        let kept = if self.sum { sum.clone() } else { Value::Absent };
        let mut out = self.norm.all::<R>(&mut Inputs(&mut [sum, inputs.take_value(2), beta]))?;
        out.resize(3, Value::Absent);
        out.push(kept);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_mean_loses_nothing() {
        let row: Vec<f32> = (0..33).map(|i| 1000.0 + (i * 7 % 33) as f32 / 64.0).collect();
        let (mean, inverse) = moments_of(&row, 0.0, true);
        assert_eq!(mean, 1000.25);
        let exact: f64 = row.iter().map(|v| (f64::from(*v) - 1000.25).powi(2)).sum::<f64>() / 33.0;
        assert!((f64::from(inverse) * exact.sqrt() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn scales_that_are_not_of_a_row_are_broadcast() {
        let norm = Normalization { axis: 1, epsilon: 0.0, centred: true, moments: true };
        let x = Tensor::new(&[1, 2, 2], vec![1.0f32, 1.0, 3.0, 3.0]).unwrap();
        let scale = Tensor::vector(vec![1.0f32, 10.0]);
        let bias = Tensor::vector(vec![0.5f32, 0.5]);
        let out = norm.run(&mut Inputs(&mut [x.into(), scale.into(), bias.into()])).unwrap();
        assert_eq!(out[0].tensor().unwrap().slice::<f32>().unwrap(), [-0.5, -9.5, 1.5, 10.5]);
        assert_eq!(*out[1].tensor().unwrap(), Tensor::new(&[1, 1, 1], vec![2.0f32]).unwrap());
        assert_eq!(*out[2].tensor().unwrap(), Tensor::new(&[1, 1, 1], vec![1.0f32]).unwrap());
    }
}
