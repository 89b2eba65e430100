//! From JSON lines to tensors.

use std::sync::Arc;

use half::f16;
use serde_json::Value as Json;

use crate::graph::Dim;
use crate::graph::Kind;
use crate::json::JsonError;
use crate::session::rows::RowPort;
use crate::tensor::ElementType;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::value::Keys;
use crate::value::Map;
use crate::value::Value;

/// One row, an entry for each input.
pub type Row = Vec<Value>;

/// Reads one line.
///
/// # Errors
/// If it is no object, lacks an input, names an unknown one, or a value does not fit.
pub fn row(ports: &[RowPort], line: &str) -> Result<Row, JsonError> {
    let json: Json = serde_json::from_str(line)
        .map_err(|e| JsonError::NotJson(format!("{} at column {}", category(&e), e.column())))?;
    let Json::Object(fields) = json else { return Err(JsonError::NotJson("it is another value".into())) };
    if let Some(name) = fields.keys().find(|k| !ports.iter().any(|p| p.name == **k)) {
        let known: Vec<String> = ports.iter().map(|p| format!("`{}`", p.name)).collect();
        return Err(JsonError::Unknown { name: name.clone(), known: known.join(", ") });
    }
    let value = |port: &RowPort| match fields.get(&port.name) {
        None if matches!(port.kind, Kind::Optional(_)) => Ok(Value::Absent),
        None => Err(JsonError::Missing(port.name.clone())),
        Some(json) => input(port, json).map_err(|what| JsonError::Input { name: port.name.clone(), what }),
    };
    ports.iter().map(value).collect()
}

fn category(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        // a class of its own in serde_json's words alone
        _ if error.to_string().starts_with("number out of range") => "a number too large for a double",
        _ => "a syntax error",
    }
}

fn input(port: &RowPort, json: &Json) -> Result<Value, String> {
    match &port.kind {
        Kind::Tensor { .. } | Kind::Unknown => {
            let tensor = tensor(port.element_type, json)?;
            fits(port, tensor.shape())?;
            Ok(tensor.into())
        }
        kind => nested(kind, json),
    }
}

fn nested(kind: &Kind, json: &Json) -> Result<Value, String> {
    match (kind, json) {
        (Kind::Optional(_), Json::Null) => Ok(Value::Absent),
        (Kind::Optional(inner), json) => nested(inner, json),
        (Kind::Sequence(inner), Json::Array(all)) => {
            Ok(Value::Sequence(Arc::new(all.iter().map(|j| nested(inner, j)).collect::<Result<_, _>>()?)))
        }
        (Kind::Map { key, value }, Json::Object(all)) => {
            let keys = if *key == ElementType::Text {
                Keys::Texts(all.keys().cloned().collect())
            } else {
                let parsed = all.keys().map(|k| k.parse().map_err(|_| "a key is no whole number".to_string()));
                Keys::Integers(parsed.collect::<Result<_, _>>()?)
            };
            let element_type = match &**value {
                Kind::Tensor { element_type: Some(t), .. } => *t,
                _ => ElementType::F32,
            };
            let values = tensor(element_type, &Json::Array(all.values().cloned().collect()))?;
            Ok(Value::Map(Arc::new(Map { keys, values })))
        }
        (Kind::Tensor { element_type, .. }, json) => Ok(tensor(element_type.unwrap_or(ElementType::F32), json)?.into()),
        (kind, _) => Err(format!("expected {kind}")),
    }
}

fn fits(port: &RowPort, shape: &[usize]) -> Result<(), String> {
    let Some(dims) = &port.shape else { return Ok(()) };
    let one = |(dim, n): (&Dim, &usize)| !matches!(dim, Dim::Fixed(d) if d != n);
    if dims.len() == shape.len() && dims.iter().zip(shape).all(one) {
        return Ok(());
    }
    let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
    Err(format!("shape {}, expected [{}] for one row", crate::tensor::show(shape), dims.join(", ")))
}

/// A tensor of nested arrays; the shape is theirs.
///
/// # Errors
/// If the arrays are ragged or a value is of another type.
pub fn tensor(element_type: ElementType, json: &Json) -> Result<Tensor, String> {
    let mut shape = vec![];
    let mut at = json;
    while let Json::Array(all) = at {
        shape.push(all.len());
        match all.first() {
            Some(first) => at = first,
            None => break,
        }
    }
    let mut leaves = vec![];
    flatten(json, &shape, &mut leaves)?;
    let elements = elements(element_type, &leaves)?;
    Tensor::from_elements(&shape, elements).map_err(|e| e.to_string())
}

fn flatten<'a>(json: &'a Json, shape: &[usize], out: &mut Vec<&'a Json>) -> Result<(), String> {
    match (json, shape) {
        (Json::Array(all), [len, rest @ ..]) if all.len() == *len => all.iter().try_for_each(|j| flatten(j, rest, out)),
        (Json::Array(_), _) | (_, [_, ..]) => Err("nested arrays of one length each are needed".into()),
        (leaf, []) => {
            out.push(leaf);
            Ok(())
        }
    }
}

fn elements(element_type: ElementType, leaves: &[&Json]) -> Result<Elements, String> {
    macro_rules! whole {
        ($variant:ident, $ty:ty) => {
            Elements::$variant(leaves.iter().map(|j| integer::<$ty>(j, element_type)).collect::<Result<_, _>>()?)
        };
    }
    let floats = || leaves.iter().map(|j| float(j, element_type));
    Ok(match element_type {
        ElementType::Bool => Elements::Bool(leaves.iter().map(|j| boolean(j)).collect::<Result<_, _>>()?),
        ElementType::Text => Elements::Text(leaves.iter().map(|j| text(j)).collect::<Result<_, _>>()?),
        ElementType::F16 => Elements::F16(floats().map(|v| v.map(f16::from_f64)).collect::<Result<_, _>>()?),
        ElementType::F32 => Elements::F32(floats().map(|v| v.map(|v| v as f32)).collect::<Result<_, _>>()?),
        ElementType::F64 => Elements::F64(floats().collect::<Result<_, _>>()?),
        ElementType::I8 => whole!(I8, i8),
        ElementType::I16 => whole!(I16, i16),
        ElementType::I32 => whole!(I32, i32),
        ElementType::I64 => whole!(I64, i64),
        ElementType::U8 => whole!(U8, u8),
        ElementType::U16 => whole!(U16, u16),
        ElementType::U32 => whole!(U32, u32),
        ElementType::U64 => whole!(U64, u64),
    })
}

fn float(json: &Json, wanted: ElementType) -> Result<f64, String> {
    match json {
        Json::Number(n) => n.as_f64().ok_or_else(|| format!("a number is outside {wanted}")),
        Json::String(s) if s == "NaN" => Ok(f64::NAN),
        Json::String(s) if s == "Infinity" => Ok(f64::INFINITY),
        Json::String(s) if s == "-Infinity" => Ok(f64::NEG_INFINITY),
        Json::String(_) => {
            Err(format!(r#"expected {wanted}, found a text, and none of "NaN", "Infinity" and "-Infinity""#))
        }
        _ => Err(format!("expected {wanted}, found {}", kind(json))),
    }
}

fn integer<T: TryFrom<i128>>(json: &Json, wanted: ElementType) -> Result<T, String> {
    let number = json.as_i64().map(i128::from).or(json.as_u64().map(i128::from)).or_else(|| {
        // 3.0 is a whole number too
        json.as_f64().filter(|v| v.fract() == 0.0 && v.abs() < 9e15).map(|v| v as i128)
    });
    let found = if json.is_number() { "a number that is not whole, or too large" } else { kind(json) };
    let number = number.ok_or_else(|| format!("expected {wanted}, found {found}"))?;
    T::try_from(number).map_err(|_| format!("a number is outside {wanted}"))
}

fn boolean(json: &Json) -> Result<bool, String> {
    match (json.as_bool(), json.as_i64()) {
        (Some(b), _) => Ok(b),
        (_, Some(n @ (0 | 1))) => Ok(n == 1),
        _ => Err(format!("expected bool, found {}", kind(json))),
    }
}

fn text(json: &Json) -> Result<String, String> {
    json.as_str().map(String::from).ok_or_else(|| format!("expected string, found {}", kind(json)))
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

/// Rows that can be one batch: how many from the front have the same shapes.
pub fn uniform(rows: &[Row]) -> usize {
    let shapes =
        |row: &Row| -> Vec<Option<Vec<usize>>> { row.iter().map(|v| v.tensor().map(|t| t.shape().to_vec())).collect() };
    let Some(first) = rows.first().map(shapes) else { return 0 };
    rows.iter().take_while(|r| shapes(r) == first).count()
}

/// Puts rows of the same shapes behind each other, an entry for each input, as a worker takes them.
///
/// # Errors
/// If the shapes differ.
pub fn stack(ports: &[RowPort], rows: Vec<Row>) -> Result<Vec<Value>, crate::error::OpError> {
    let mut columns: Vec<Vec<Value>> = ports.iter().map(|_| vec![]).collect();
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    let one = |column: Vec<Value>| {
        let tensors: Option<Vec<Tensor>> = column.iter().map(|v| v.tensor().cloned()).collect();
        let Some(tensors) = tensors else { return Ok(Value::Sequence(Arc::new(column))) };
        let rows = tensors.into_iter().map(|t| {
            let mut shape = vec![1];
            shape.extend_from_slice(t.shape());
            t.reshaped(&shape)
        });
        crate::session::rows::join(rows.collect::<Result<_, _>>()?).map(Value::from)
    };
    columns.into_iter().map(one).collect()
}
