//! LpNormalization and MeanVarianceNormalization.

use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout::around;
use crate::ops::layout::axis;
use crate::ops::math::broadcast::binary_in_place;
use crate::ops::math::broadcast::writable;
use crate::ops::math::functions::Real;
use crate::ops::math::reduce::fold::Folded;
use crate::ops::math::reduce::mean;
use crate::ops::math::softmax::rows;
use crate::ops::math::widen::widened;
use crate::registry::Operator;
use crate::tensor::ElementType;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] =
    &[Operator::own("LpNormalization", lp), Operator::own("MeanVarianceNormalization", mean_variance)];

/// Lines divided by the sum of their magnitudes (p = 1) or by their length (p = 2); lines of zeros stay.
#[derive(Debug)]
struct Lp {
    p: i64,
    axis: i64,
}

fn lp(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let p = attributes.int_or("p", 2)?;
    if p != 1 && p != 2 {
        bad!("attribute `p` must be 1 or 2");
    }
    Ok(Box::new(Lp { p, axis: attributes.int_or("axis", -1)? }))
}

impl Kernel for Lp {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        widened(inputs, 1, |inputs| match inputs.tensor(0)?.element_type() {
            ElementType::F32 => self.all::<f32>(inputs),
            ElementType::F64 => self.all::<f64>(inputs),
            other => bad!("expected floats, found {other}"),
        })
    }
}

impl Lp {
    fn all<R: Real>(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let tensor = inputs.tensor(0)?;
        let (_, len, inner) = around(tensor.shape(), axis(self.axis, tensor.rank())?);
        let mut value = inputs.take_value(0);
        rows(writable::<R>(&mut value)?, len, inner, |line| {
            let sum = |f: fn(R) -> R| line.iter().fold(R::default(), |sum, v| sum.plus(f(*v)));
            let norm = if self.p == 1 { sum(R::magnitude) } else { sum(|v| v.times(v)).root() };
            if norm != R::default() {
                line.iter_mut().for_each(|v| *v = v.over(norm));
            }
        });
        Ok(smallvec![value])
    }
}

/// Mean 0 and deviation 1 over some axes; no deviation at all gives NaN, as in onnxruntime.
#[derive(Debug)]
struct MeanVariance {
    axes: Vec<i64>,
}

fn mean_variance(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let axes = build.node.attributes.ints("axes")?.unwrap_or(&[0, 2, 3]).to_vec();
    Ok(Box::new(MeanVariance { axes }))
}

impl Kernel for MeanVariance {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        widened(inputs, 1, |inputs| match inputs.tensor(0)?.element_type() {
            ElementType::F32 => self.all::<f32>(inputs),
            ElementType::F64 => self.all::<f64>(inputs),
            other => bad!("expected floats, found {other}"),
        })
    }
}

impl MeanVariance {
    fn all<R: Real + Folded>(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let average = mean::<R>(inputs.tensor(0)?, &self.axes)?;
        let centred = pair::<R>(inputs.take_value(0), average.into(), |v, m| v.minus(*m))?;
        let squares = pair::<R>(centred.clone(), centred.clone(), |a, b| a.times(*b))?;
        let Some(squares) = squares.tensor() else { bad!("no tensor") };
        let variance = mean::<R>(squares, &self.axes)?;
        Ok(smallvec![pair::<R>(centred, variance.into(), |v, s| v.over(s.root()))?])
    }
}

fn pair<R: Real>(left: Value, right: Value, f: impl Fn(&R, &R) -> R) -> Result<Value, OpError> {
    binary_in_place::<R>(&mut Inputs(&mut [left, right]), f)
}
