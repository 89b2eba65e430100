//! What the kernels of networks ask of a float type; half precision is widened, computed in float and narrowed again.

use std::iter::Sum;
use std::ops::Add;
use std::ops::AddAssign;
use std::ops::Div;
use std::ops::DivAssign;
use std::ops::Mul;
use std::ops::MulAssign;
use std::ops::Neg;
use std::ops::Sub;

use half::f16;

use crate::bad;
use crate::dense::activate;
use crate::dense::activation::Activation;
use crate::error::OpError;
use crate::kernel::Inputs;
use crate::ops::nets::product::Scalar;
use crate::tensor::Element;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::value::Value;
use crate::value::Values;

/// `f32` or `f64`.
pub trait Real:
    Element
    + Scalar
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + MulAssign
    + DivAssign
    + Sum
{
    const ONE: Self;
    const LOWEST: Self;
    /// The lowest number that is no infinity.
    const FINITE_LOWEST: Self;
    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn ln_1p(self) -> Self;
    fn tanh(self) -> Self;
    /// The logistic function of all values, in place; of floats onnxruntime's approximation.
    fn all_sigmoid(values: &mut [Self]);
    /// The hyperbolic tangent of all values, in place; of floats onnxruntime's approximation.
    fn all_tanh(values: &mut [Self]);
    fn sqrt(self) -> Self;
    fn powf(self, exponent: Self) -> Self;
    fn abs(self) -> Self;
    /// The larger one; of a NaN and a number, the number.
    fn max(self, other: Self) -> Self;
    fn min(self, other: Self) -> Self;
    fn is_nan(self) -> bool;

    fn from_usize(value: usize) -> Self {
        Self::from_f64(value as f64)
    }
}

macro_rules! real {
    ($($ty:ident: $sigmoid:expr, $tanh:expr;)*) => {$(
        impl Real for $ty {
            const ONE: $ty = 1.0;
            const LOWEST: $ty = $ty::NEG_INFINITY;
            const FINITE_LOWEST: $ty = $ty::MIN;
            fn from_f64(value: f64) -> $ty { value as $ty }
            fn to_f64(self) -> f64 { f64::from(self) }
            fn exp(self) -> $ty { $ty::exp(self) }
            fn ln(self) -> $ty { $ty::ln(self) }
            fn ln_1p(self) -> $ty { $ty::ln_1p(self) }
            fn tanh(self) -> $ty { $ty::tanh(self) }
            fn all_sigmoid(values: &mut [$ty]) { $sigmoid(values) }
            fn all_tanh(values: &mut [$ty]) { $tanh(values) }
            fn sqrt(self) -> $ty { $ty::sqrt(self) }
            fn powf(self, exponent: $ty) -> $ty { $ty::powf(self, exponent) }
            fn abs(self) -> $ty { $ty::abs(self) }
            fn max(self, other: $ty) -> $ty { $ty::max(self, other) }
            fn min(self, other: $ty) -> $ty { $ty::min(self, other) }
            fn is_nan(self) -> bool { $ty::is_nan(self) }
        }
    )*};
}
real! {
    f32: |values| activate(Activation::Sigmoid, values), |values| activate(Activation::Tanh, values);
    f64: |values: &mut [f64]| values.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())),
        |values: &mut [f64]| values.iter_mut().for_each(|x| *x = x.tanh());
}

/// Runs `single` or `double` by the type of the first input; half precision goes through `single`.
///
/// # Errors
/// What they return, or if the first input has another type.
pub fn by_float(
    inputs: &mut Inputs<'_>,
    single: impl FnOnce(&mut Inputs<'_>) -> Result<Values, OpError>,
    double: impl FnOnce(&mut Inputs<'_>) -> Result<Values, OpError>,
) -> Result<Values, OpError> {
    match inputs.tensor(0)?.elements() {
        Elements::F32(_) => single(inputs),
        Elements::F64(_) => double(inputs),
        Elements::F16(_) => {
            for value in inputs.0.iter_mut() {
                if let Value::Tensor(tensor) = value
                    && let Some(wide) = widened(tensor)
                {
                    *value = wide.into();
                }
            }
            let mut made = single(inputs)?;
            for value in &mut made {
                if let Value::Tensor(tensor) = value
                    && let Elements::F32(v) = tensor.elements()
                {
                    *value = narrowed(tensor.shape(), v)?.into();
                }
            }
            Ok(made)
        }
        other => bad!("expected floats, found {}", other.element_type()),
    }
}

/// Half precision as float; `None` for other types.
pub fn widened(tensor: &Tensor) -> Option<Tensor> {
    let Elements::F16(v) = tensor.elements() else { return None };
    Tensor::new(tensor.shape(), v.iter().map(|x| x.to_f32()).collect::<Vec<f32>>()).ok()
}

/// Floats as half precision.
///
/// # Errors
/// If the values do not fit the shape.
pub fn narrowed(shape: &[usize], values: &[f32]) -> Result<Tensor, OpError> {
    Tensor::new(shape, values.iter().map(|x| f16::from_f32(*x)).collect::<Vec<f16>>())
}
