//! Matrix products, and the arithmetic of quantised models.

pub mod blocks;
pub mod einsum;
pub mod gemm;
pub mod integer;
pub mod layer;
pub mod matmul;
pub mod matmul_nbits;
pub mod qlinear;
pub mod qlinear_softmax;
pub mod qlinear_where;
pub mod quant;
pub mod quantize;
pub mod saturating;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use half::f16;

use crate::error::OpError;
use crate::tensor::Elements;
use crate::tensor::Tensor;

/// Floats for computing in single precision, as onnxruntime does with float16.
///
/// # Errors
/// If the elements are neither float nor float16.
fn floats(tensor: &Tensor) -> Result<Cow<'_, [f32]>, OpError> {
    match tensor.elements() {
        Elements::F32(v) => Ok(Cow::Borrowed(v)),
        Elements::F16(v) => Ok(v.iter().map(|x| x.to_f32()).collect()),
        _ => Err(OpError::bad(format!("expected float or float16, found {}", tensor.element_type()))),
    }
}

/// Floats as elements of the type of `like`: float16 or float.
fn rounded(values: Vec<f32>, like: &Tensor) -> Elements {
    match like.elements() {
        Elements::F16(_) => Elements::F16(values.into_iter().map(f16::from_f32).collect()),
        _ => Elements::F32(values),
    }
}
