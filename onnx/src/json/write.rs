//! From values to JSON, floats with all the digits of their own type.

use std::fmt::Display;
use std::fmt::Write as _;

use crate::session::worker::RowValues;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::value::Keys;
use crate::value::Value;

/// Appends one line, without its end: row `i` of every output.
///
/// # Errors
/// If an output has no such row.
pub fn line(out: &mut String, names: &[String], outputs: &[RowValues], i: usize) -> Result<(), crate::error::OpError> {
    out.push('{');
    for (at, (name, output)) in names.iter().zip(outputs).enumerate() {
        if at > 0 {
            out.push(',');
        }
        text(out, name);
        out.push(':');
        value(out, &output.row(i)?);
    }
    out.push('}');
    Ok(())
}

/// Appends a value: nested arrays, an object for a map, null for nothing.
pub fn value(out: &mut String, value_: &Value) {
    match value_ {
        Value::Absent => out.push_str("null"),
        Value::Tensor(t) => tensor(out, t),
        Value::Sequence(all) => list(out, all.len(), |out, i| value(out, &all[i])),
        Value::Map(map) => object(out, &map.keys, &map.values, 0),
        Value::Table(table) => {
            let width = table.keys.len();
            let rows = table.values.shape().first().copied().unwrap_or(0);
            list(out, rows, |out, i| object(out, &table.keys, &table.values, i * width));
        }
    }
}

fn object(out: &mut String, keys: &Keys, values: &Tensor, from: usize) {
    out.push('{');
    for i in 0..keys.len() {
        if i > 0 {
            out.push(',');
        }
        text(out, &keys.text(i));
        out.push(':');
        element(out, values, from + i);
    }
    out.push('}');
}

fn list(out: &mut String, len: usize, each: impl Fn(&mut String, usize)) {
    out.push('[');
    for i in 0..len {
        if i > 0 {
            out.push(',');
        }
        each(out, i);
    }
    out.push(']');
}

fn tensor(out: &mut String, t: &Tensor) {
    fn axis(out: &mut String, t: &Tensor, shape: &[usize], from: usize) {
        match shape {
            [] => element(out, t, from),
            [len, rest @ ..] => {
                let step: usize = rest.iter().product();
                list(out, *len, |out, i| axis(out, t, rest, from + i * step));
            }
        }
    }
    axis(out, t, t.shape(), 0);
}

fn element(out: &mut String, t: &Tensor, i: usize) {
    match t.elements() {
        Elements::Bool(v) => out.push_str(if v[i] { "true" } else { "false" }),
        Elements::I8(v) => plain(out, v[i]),
        Elements::I16(v) => plain(out, v[i]),
        Elements::I32(v) => plain(out, v[i]),
        Elements::I64(v) => plain(out, v[i]),
        Elements::U8(v) => plain(out, v[i]),
        Elements::U16(v) => plain(out, v[i]),
        Elements::U32(v) => plain(out, v[i]),
        Elements::U64(v) => plain(out, v[i]),
        Elements::F16(v) => float(out, f64::from(v[i].to_f32()), format_args!("{:?}", v[i].to_f32())),
        Elements::F32(v) => float(out, f64::from(v[i]), format_args!("{:?}", v[i])),
        Elements::F64(v) => float(out, v[i], format_args!("{:?}", v[i])),
        Elements::Text(v) => text(out, &v[i]),
    }
}

fn plain(out: &mut String, value: impl Display) {
    write!(out, "{value}").expect("a String takes all");
}

/// Appends a float; `shown` is the shortest text that reads back as the same number of its own type.
pub fn float(out: &mut String, value: f64, shown: std::fmt::Arguments<'_>) {
    if value.is_nan() {
        out.push_str("\"NaN\"");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else {
        out.write_fmt(shown).expect("a String takes all");
    }
}

/// Appends a text in quotes.
pub fn text(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(text).expect("a text is always JSON"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_all_digits_of_their_type() {
        let mut out = String::new();
        let t = Tensor::new(&[2, 3], vec![0.1f32, f32::NAN, -0.0, f32::INFINITY, 1e30, 1.0]).unwrap();
        value(&mut out, &t.into());
        assert_eq!(out, r#"[[0.1,"NaN",-0.0],["Infinity",1e30,1.0]]"#);
        assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok());
    }
}
