//! Inputs as the operators of `ai.onnx.ml` see them: rows of floats.

use std::borrow::Cow;

use crate::bad;
use crate::error::OpError;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::tensor::show;

/// Rows and columns; a vector is one row.
///
/// # Errors
/// If the tensor has another rank.
pub fn rows_columns(tensor: &Tensor) -> Result<(usize, usize), OpError> {
    match tensor.shape() {
        [columns] => Ok((1, *columns)),
        [rows, columns] => Ok((*rows, *columns)),
        shape => bad!("the shape {} is neither rows and columns nor one row", show(shape)),
    }
}

/// Length of a row where any number of axes may follow: the second axis, or the only one.
///
/// # Errors
/// If the tensor is a scalar.
pub fn stride(shape: &[usize]) -> Result<usize, OpError> {
    match shape {
        [] => bad!("a scalar has no columns"),
        [columns] | [_, columns, ..] => Ok(*columns),
    }
}

/// Elements as 32-bit floats, copied only if they are of another type.
///
/// # Errors
/// If they are neither floats, doubles, int32 nor int64.
pub fn floats(tensor: &Tensor) -> Result<Cow<'_, [f32]>, OpError> {
    Ok(match tensor.elements() {
        Elements::F32(v) => Cow::Borrowed(v),
        Elements::F64(v) => v.iter().map(|x| *x as f32).collect(),
        Elements::I32(v) => v.iter().map(|x| *x as f32).collect(),
        Elements::I64(v) => v.iter().map(|x| *x as f32).collect(),
        _ => bad!("expected float, double, int32 or int64, found {}", tensor.element_type()),
    })
}
