//! The first `model.toml`: which field of the events is which input is found by names, or by order where that is all there is.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::bail;
use serde_json::Value as Json;
use tidemill_onnx::engine::EngineName;
use tidemill_onnx::session::Session;
use tidemill_onnx::session::rows::RowPort;
use tidemill_onnx::session::worker::RowValues;
use tidemill_onnx::tensor::ElementType;
use tidemill_onnx::tensor::Elements;
use tidemill_onnx::tensor::Tensor;

use crate::app::model::ordered::Leaf;

/// Outputs of so many whole numbers become a column each; more are left to the user.
const COLUMNS_MAX: usize = 32;

/// Writes the text; `first` are the fields of the first event in their order.
///
/// # Errors
/// If an input is found in no field of the events.
pub fn manifest(
    name: &str,
    session: &Arc<Session>,
    made: Option<&[RowValues]>,
    first: &[Leaf],
    events: &[Json],
) -> anyhow::Result<String> {
    let mut out = String::from("# A first draft: look through types, `missing` and `wrong` before it is used.\n");
    writeln!(out, "name = {}\nversion = \"1\"", quoted(name))?;
    if session.engine_name == EngineName::Onnxruntime {
        out.push_str("engine = \"onnxruntime\"\n");
    }
    out.push_str("\n[golden]\n# Computed by Tidemill itself: they show changes, and do not vouch for the model.\nsource = \"self-made\"\n");
    let mut used: BTreeSet<String> = BTreeSet::new();
    for port in &session.inputs {
        input(&mut out, port, session.inputs.len() > 1, (first, events), &mut used)?;
    }
    for (i, port) in session.outputs.iter().enumerate() {
        match made.and_then(|m| m.get(i)) {
            Some(RowValues::Tensor(t)) => tensor_output(&mut out, &port.name, t)?,
            Some(RowValues::Table(t)) => {
                for class in (0..t.keys.len()).map(|k| t.keys.text(k)) {
                    let column = column(&format!("{}_{class}", port.name));
                    output(&mut out, &column, &port.name, &format!("class = {}\nkind = \"float\"", quoted(&class)))?;
                }
            }
            _ => {
                writeln!(out, "\n# The output {} could not be tried; write an [[output]] for it.", quoted(&port.name))?
            }
        }
    }
    Ok(out)
}

fn input(
    out: &mut String,
    port: &RowPort,
    many: bool,
    (leaves, events): (&[Leaf], &[Json]),
    used: &mut BTreeSet<String>,
) -> anyhow::Result<()> {
    let len = port.fixed_len();
    let same = |leaf: &&Leaf| leaf.path == port.name || leaf.path.ends_with(&format!(".{}", port.name));
    let chosen: Vec<&Leaf> = match leaves.iter().find(same) {
        Some(leaf) => vec![leaf],
        None => leaves.iter().filter(|l| !used.contains(&l.path) && fits(&l.value, port.element_type)).collect(),
    };
    let arrays = chosen.iter().map(|l| elements(&l.value)).sum::<usize>();
    if chosen.is_empty() || len.is_some_and(|len| len != arrays) {
        bail!(
            "input `{}` takes {} values a row, the first event has {arrays} fields for it; name a field like the input, \
             or give events with just the model's fields in their order",
            port.name,
            len.map_or("some".into(), |n| n.to_string())
        );
    }
    for leaf in chosen {
        used.insert(leaf.path.clone());
        writeln!(out, "\n[[feature]]")?;
        if many {
            writeln!(out, "input = {}", quoted(&port.name))?;
        }
        writeln!(out, "field = {}", quoted(&leaf.path))?;
        let mut value = &leaf.value;
        let mut lengths = vec![];
        while let Json::Array(all) = value {
            lengths.push(all.len());
            let Some(first) = all.first() else { break };
            value = first;
        }
        kind(out, value, port.element_type, &leaf.path, events)?;
        match lengths.as_slice() {
            [] => {}
            [one] => writeln!(out, "length = {one}")?,
            all => writeln!(out, "length = {all:?}")?,
        }
    }
    Ok(())
}

fn kind(out: &mut String, value: &Json, element_type: ElementType, path: &str, events: &[Json]) -> anyhow::Result<()> {
    match (value, element_type) {
        (Json::String(_), ElementType::Text) => writeln!(out, "type = \"text\"")?,
        (Json::String(_), _) => {
            let texts: BTreeSet<&str> = events.iter().filter_map(|e| at(e, path)?.as_str()).collect();
            let list: Vec<String> = texts.into_iter().map(quoted).collect();
            writeln!(out, "type = \"category\" # the index in this list: is it the order of training?")?;
            writeln!(out, "values = [{}]", list.join(", "))?;
        }
        (Json::Bool(_), _) => writeln!(out, "type = \"boolean\"")?,
        _ if element_type.is_integer() => writeln!(out, "type = \"integer\"")?,
        _ => {
            writeln!(out, "type = \"number\"")?;
            if events.iter().any(|e| at(e, path).is_none_or(Json::is_null)) {
                writeln!(out, "missing = \"nan\"")?;
            }
        }
    }
    Ok(())
}

/// Elements of an array and of those inside it.
fn elements(value: &Json) -> usize {
    value.as_array().map_or(1, |all| all.iter().map(elements).sum())
}

fn fits(value: &Json, element_type: ElementType) -> bool {
    match value {
        Json::Array(all) => all.first().is_some_and(|v| fits(v, element_type)),
        Json::String(_) => element_type == ElementType::Text,
        Json::Bool(_) | Json::Number(_) => element_type != ElementType::Text,
        Json::Null | Json::Object(_) => false,
    }
}

fn at<'a>(event: &'a Json, path: &str) -> Option<&'a Json> {
    path.split('.').try_fold(event, |value, key| value.get(key))
}

fn tensor_output(out: &mut String, name: &str, row: &Tensor) -> anyhow::Result<()> {
    let kind = match row.elements() {
        Elements::Text(_) => "label",
        Elements::Bool(_) => "boolean",
        Elements::F16(_) | Elements::F32(_) | Elements::F64(_) => "float",
        _ => "integer",
    };
    match row.len() {
        1 => output(out, &column(name), name, &format!("kind = \"{kind}\"")),
        _ if kind == "float" => output(out, &column(name), name, "kind = \"reals\""),
        len @ ..=COLUMNS_MAX => (0..len).try_for_each(|i| {
            output(out, &format!("{}_{i}", column(name)), name, &format!("index = {i}\nkind = \"{kind}\""))
        }),
        len => Ok(writeln!(
            out,
            "\n# The output {} has {len} values a row; write an [[output]] with `index` for those you need.",
            quoted(name)
        )?),
    }
}

fn output(out: &mut String, column: &str, tensor: &str, rest: &str) -> anyhow::Result<()> {
    Ok(writeln!(out, "\n[[output]]\nname = {}\ntensor = {}\n{rest}", quoted(column), quoted(tensor))?)
}

/// A name that needs no quotes in SQL.
fn column(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    let plain = plain.trim_matches('_');
    let start = plain.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    let named = if start { plain.to_string() } else { format!("output_{plain}") };
    named.trim_end_matches('_').chars().take(60).collect()
}

/// A TOML text: its escapes are JSON's.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is always JSON")
}
