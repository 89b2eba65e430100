//! Values to onnxruntime's and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use half::f16;
use ort::value::DynValue;
use ort::value::Map as OrtMap;
use ort::value::Tensor as OrtTensor;
use ort::value::TensorElementType;
use ort::value::ValueType;

use crate::error::OpError;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::value::Keys;
use crate::value::Map;
use crate::value::Table;
use crate::value::Value;

fn failed(error: ort::Error) -> OpError {
    OpError::bad(error.to_string().lines().next().unwrap_or_default())
}

/// Hands a value over, without a copy of numbers where nobody else holds them.
///
/// # Errors
/// If onnxruntime has no such value.
pub fn give(value: Value) -> Result<DynValue, OpError> {
    match value {
        Value::Tensor(tensor) => give_tensor(Arc::unwrap_or_clone(tensor)),
        Value::Map(map) => give_map(&map),
        other => Err(OpError::unsupported(format!("{} cannot be given to onnxruntime", other.kind()))),
    }
}

fn give_tensor(tensor: Tensor) -> Result<DynValue, OpError> {
    let (shape, elements) = tensor.into_parts();
    let shape: Vec<i64> = shape.iter().map(|d| *d as i64).collect();
    macro_rules! give {
        ($v:expr) => {
            OrtTensor::from_array((shape, $v)).map(|t| t.into_dyn())
        };
    }
    let given = match elements {
        Elements::Bool(v) => give!(v),
        Elements::I8(v) => give!(v),
        Elements::I16(v) => give!(v),
        Elements::I32(v) => give!(v),
        Elements::I64(v) => give!(v),
        Elements::U8(v) => give!(v),
        Elements::U16(v) => give!(v),
        Elements::U32(v) => give!(v),
        Elements::U64(v) => give!(v),
        Elements::F16(v) => give!(v),
        Elements::F32(v) => give!(v),
        Elements::F64(v) => give!(v),
        Elements::Text(v) => OrtTensor::from_string_array((shape, v.as_slice())).map(|t| t.into_dyn()),
    };
    given.map_err(failed)
}

fn give_map(map: &Map) -> Result<DynValue, OpError> {
    let unknown = || OpError::unsupported("maps of whole numbers or texts to floats are given to onnxruntime");
    let len = map.keys.len() as i64;
    macro_rules! give {
        ($keys:expr, $ty:ty) => {{
            let keys = $keys.map_err(failed)?;
            let values = OrtTensor::from_array(([len], map.values.slice::<$ty>()?.to_vec())).map_err(failed)?;
            OrtMap::new_kv(keys, values).map(|m| m.into_dyn()).map_err(failed)
        }};
    }
    let texts = |k: &Vec<String>| OrtTensor::from_string_array(([len], k.as_slice()));
    let integers = |k: &Vec<i64>| OrtTensor::from_array(([len], k.clone()));
    match (&map.keys, map.values.elements()) {
        (Keys::Texts(k), Elements::F32(_)) => give!(texts(k), f32),
        (Keys::Texts(k), Elements::F64(_)) => give!(texts(k), f64),
        (Keys::Texts(k), Elements::I64(_)) => give!(texts(k), i64),
        (Keys::Integers(k), Elements::F32(_)) => give!(integers(k), f32),
        (Keys::Integers(k), Elements::F64(_)) => give!(integers(k), f64),
        _ => Err(unknown()),
    }
}

/// Copies a value out.
///
/// # Errors
/// If it is of a type that is not known here.
pub fn take(value: &DynValue) -> Result<Value, OpError> {
    match value.dtype() {
        ValueType::Tensor { ty, .. } => take_tensor(value, *ty).map(Value::from),
        ValueType::Map { key, .. } => take_map(value, *key).map(|m| Value::Map(Arc::new(m))),
        ValueType::Sequence(_) => {
            let all = value.try_extract_sequence::<ort::value::DynValueTypeMarker>().map_err(failed)?;
            let all = all.iter().map(take).collect::<Result<Vec<_>, _>>()?;
            Ok(table(&all).unwrap_or(Value::Sequence(Arc::new(all))))
        }
        ValueType::Optional(_) => Err(OpError::unsupported("optional outputs of onnxruntime are not read")),
    }
}

fn take_tensor(value: &DynValue, ty: TensorElementType) -> Result<Tensor, OpError> {
    macro_rules! take {
        ($ty:ty) => {{
            let (shape, values) = value.try_extract_tensor::<$ty>().map_err(failed)?;
            Tensor::new(&lengths(shape), values.to_vec())
        }};
    }
    match ty {
        TensorElementType::Bool => take!(bool),
        TensorElementType::Int8 => take!(i8),
        TensorElementType::Int16 => take!(i16),
        TensorElementType::Int32 => take!(i32),
        TensorElementType::Int64 => take!(i64),
        TensorElementType::Uint8 => take!(u8),
        TensorElementType::Uint16 => take!(u16),
        TensorElementType::Uint32 => take!(u32),
        TensorElementType::Uint64 => take!(u64),
        TensorElementType::Float16 => take!(f16),
        TensorElementType::Float32 => take!(f32),
        TensorElementType::Float64 => take!(f64),
        TensorElementType::String => {
            let (shape, values) = value.try_extract_strings().map_err(failed)?;
            Tensor::new(&lengths(shape), values)
        }
        other => Err(OpError::unsupported(format!("tensors of {other} are not read"))),
    }
}

fn lengths(shape: &[i64]) -> Vec<usize> {
    shape.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect()
}

/// A map with its keys in order.
fn take_map(value: &DynValue, key: TensorElementType) -> Result<Map, OpError> {
    if key == TensorElementType::String {
        let all: BTreeMap<String, f32> = value.try_extract_key_values().map_err(failed)?.into_iter().collect();
        let (keys, values): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        return Ok(Map { keys: Keys::Texts(keys), values: Tensor::vector(values) });
    }
    let all: BTreeMap<i64, f32> = value.try_extract_key_values().map_err(failed)?.into_iter().collect();
    let (keys, values): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    Ok(Map { keys: Keys::Integers(keys), values: Tensor::vector(values) })
}

/// Maps with the same keys, as ZipMap makes them.
fn table(all: &[Value]) -> Option<Value> {
    let maps = all.iter().map(|v| if let Value::Map(m) = v { Some(m) } else { None }).collect::<Option<Vec<_>>>()?;
    let keys = &maps.first()?.keys;
    let mut values = vec![];
    for map in &maps {
        if map.keys != *keys {
            return None;
        }
        values.extend_from_slice(map.values.slice::<f32>().ok()?);
    }
    let values = Tensor::new(&[maps.len(), keys.len()], values).ok()?;
    Some(Value::Table(Arc::new(Table { keys: Arc::new(keys.clone()), values })))
}
