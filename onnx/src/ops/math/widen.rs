//! Narrow types through wider ones: float16 through float, as onnxruntime does it by Cast nodes, and whole numbers of
//! 8 to 32 bits through int64, whose low bits are the same. So a kernel is compiled for few types.

use half::f16;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Inputs;
use crate::tensor::ElementType;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::value::Value;
use crate::value::Values;

/// Runs `run`; if input 0 is of a narrow type, all inputs of that type are widened before, and the first `narrow`
/// results get that type again. int32 counts as wide.
///
/// # Errors
/// Those of `run`.
#[inline]
pub fn widened(
    inputs: &mut Inputs<'_>,
    narrow: usize,
    run: impl FnOnce(&mut Inputs<'_>) -> Result<Values, OpError>,
) -> Result<Values, OpError> {
    let element_type = inputs.tensor(0)?.element_type();
    let Some(wide_type) = wide_type(element_type) else { return run(inputs) };
    for value in inputs.0.iter_mut() {
        if let Some(tensor) = value.tensor().filter(|t| t.element_type() == element_type) {
            *value = wide(tensor)?.into();
        }
    }
    let mut out = run(inputs)?;
    for value in out.iter_mut().take(narrow) {
        if let Some(tensor) = value.tensor().filter(|t| t.element_type() == wide_type) {
            *value = narrowed(tensor, element_type)?.into();
        }
    }
    Ok(out)
}

/// As [`widened`], for a kernel of one result.
///
/// # Errors
/// Those of `run`.
#[inline]
pub fn widened_one(
    inputs: &mut Inputs<'_>,
    run: impl FnOnce(&mut Inputs<'_>) -> Result<Value, OpError>,
) -> Result<Values, OpError> {
    widened(inputs, 1, |inputs| run(inputs).map(|value| Values::from_iter([value])))
}

fn wide_type(element_type: ElementType) -> Option<ElementType> {
    match element_type {
        ElementType::F16 => Some(ElementType::F32),
        ElementType::I8 | ElementType::I16 | ElementType::U8 | ElementType::U16 | ElementType::U32 => {
            Some(ElementType::I64)
        }
        _ => None,
    }
}

fn wide(tensor: &Tensor) -> Result<Tensor, OpError> {
    let shape = tensor.shape();
    match tensor.elements() {
        Elements::F16(v) => Tensor::new(shape, v.iter().map(|v| v.to_f32()).collect()),
        _ => Tensor::new(shape, tensor.to_i64s()?),
    }
}

fn narrowed(tensor: &Tensor, to: ElementType) -> Result<Tensor, OpError> {
    let shape = tensor.shape();
    if to == ElementType::F16 {
        return Tensor::new(shape, tensor.slice::<f32>()?.iter().map(|v| f16::from_f32(*v)).collect());
    }
    let all = tensor.slice::<i64>()?.iter();
    match to {
        ElementType::I8 => Tensor::new(shape, all.map(|v| *v as i8).collect()),
        ElementType::I16 => Tensor::new(shape, all.map(|v| *v as i16).collect()),
        ElementType::U8 => Tensor::new(shape, all.map(|v| *v as u8).collect()),
        ElementType::U16 => Tensor::new(shape, all.map(|v| *v as u16).collect()),
        ElementType::U32 => Tensor::new(shape, all.map(|v| *v as u32).collect()),
        other => bad!("{other} is not narrow"),
    }
}

/// The elements as doubles.
///
/// # Errors
/// If they are no numbers.
pub fn doubles(tensor: &Tensor) -> Result<Vec<f64>, OpError> {
    Ok(match tensor.elements() {
        Elements::F16(v) => v.iter().map(|v| v.to_f64()).collect(),
        Elements::F32(v) => v.iter().map(|v| f64::from(*v)).collect(),
        Elements::F64(v) => v.clone(),
        Elements::U64(v) => v.iter().map(|v| *v as f64).collect(),
        _ => tensor.to_i64s()?.iter().map(|v| *v as f64).collect(),
    })
}

/// Doubles as another type; whole numbers are truncated and stop at the ends of their type.
///
/// # Errors
/// If there is no such number type, or the shape does not fit.
pub fn of_doubles(to: ElementType, shape: &[usize], values: &[f64]) -> Result<Tensor, OpError> {
    let all = values.iter();
    match to {
        ElementType::I8 => Tensor::new(shape, all.map(|v| *v as i8).collect()),
        ElementType::I16 => Tensor::new(shape, all.map(|v| *v as i16).collect()),
        ElementType::I32 => Tensor::new(shape, all.map(|v| *v as i32).collect()),
        ElementType::U8 => Tensor::new(shape, all.map(|v| *v as u8).collect()),
        ElementType::U16 => Tensor::new(shape, all.map(|v| *v as u16).collect()),
        ElementType::U32 => Tensor::new(shape, all.map(|v| *v as u32).collect()),
        other => bad!("{other} does not go through doubles"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::math::broadcast::binary_in_place;

    #[test]
    fn narrow_whole_numbers_wrap() {
        let mut inputs = [Tensor::vector(vec![127i8, -128]).into(), Tensor::vector(vec![1i8, -1]).into()];
        let out = widened_one(&mut Inputs(&mut inputs), |i| binary_in_place::<i64>(i, |a, b| a + b)).unwrap();
        assert_eq!(*out[0].tensor().unwrap(), Tensor::vector(vec![-128i8, 127]));
        let mut inputs = [Tensor::vector(vec![3u32]).into(), Tensor::vector(vec![5u32]).into()];
        let out = widened_one(&mut Inputs(&mut inputs), |i| binary_in_place::<i64>(i, |a, b| a - b)).unwrap();
        assert_eq!(*out[0].tensor().unwrap(), Tensor::vector(vec![u32::MAX - 1]));
    }
}
