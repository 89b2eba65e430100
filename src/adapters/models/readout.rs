//! From the outputs of a run to columns.

use std::collections::BTreeMap;

use half::f16;
use tidemill_onnx::graph::Dim;
use tidemill_onnx::graph::Kind;
use tidemill_onnx::session::worker::RowValues;
use tidemill_onnx::tensor::ElementType;
use tidemill_onnx::tensor::Elements;
use tidemill_onnx::tensor::Tensor;
use tidemill_onnx::tensor::show;
use tidemill_onnx::value::Keys;
use tidemill_onnx::value::Value;

use crate::adapters::models::manifest::output::NanPolicy;
use crate::adapters::models::manifest::output::Output;
use crate::adapters::models::manifest::output::OutputType;
use crate::domain::outputs::Column;
use crate::domain::outputs::OutputKind;
use crate::domain::outputs::OutputSpec;

/// What is known of a graph's output before records come.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    element_type: Option<ElementType>,
    /// Values of a row.
    width: Option<usize>,
    /// Classes of a map.
    classes: Option<Vec<String>>,
    /// It is no tensor and no map.
    other: bool,
    /// As messages show it.
    shown: String,
}

impl Facts {
    /// From what a first run made.
    pub fn made(values: &RowValues) -> Facts {
        match values {
            RowValues::Tensor(t) => Facts {
                element_type: Some(t.element_type()),
                width: Some(t.shape().iter().skip(1).product()),
                shown: format!("{} {} a row", t.element_type(), show(t.shape().get(1..).unwrap_or_default())),
                ..Facts::default()
            },
            RowValues::Table(table) => Facts::map(&table.keys, table.values.element_type()),
            RowValues::Values(all) => match all.first() {
                Some(Value::Tensor(t)) => Facts {
                    element_type: Some(t.element_type()),
                    width: Some(t.len()),
                    shown: format!("{} {} a row", t.element_type(), show(t.shape())),
                    ..Facts::default()
                },
                Some(Value::Map(map)) => Facts::map(&map.keys, map.values.element_type()),
                other => {
                    let shown = other.map_or("nothing".into(), Value::kind);
                    Facts { other: true, shown, ..Facts::default() }
                }
            },
        }
    }

    fn map(keys: &Keys, element_type: ElementType) -> Facts {
        Facts {
            element_type: Some(element_type),
            width: Some(keys.len()),
            classes: Some((0..keys.len()).map(|i| keys.text(i)).collect()),
            other: false,
            shown: format!("a map of {} classes", keys.len()),
        }
    }

    /// From what the file declares; the first axis is taken for the rows.
    pub fn declared(kind: &Kind) -> Facts {
        let shown = kind.to_string();
        match kind {
            Kind::Tensor { element_type, shape } => {
                let width = |d: &Dim| if let Dim::Fixed(n) = d { Some(*n) } else { None };
                let width = shape.as_ref().and_then(|dims| dims.iter().skip(1).map(width).product());
                Facts { element_type: *element_type, width, shown, ..Facts::default() }
            }
            Kind::Unknown | Kind::Sequence(_) => Facts { shown, ..Facts::default() },
            Kind::Map { .. } | Kind::Optional(_) => Facts { other: true, shown, ..Facts::default() },
        }
    }
}

/// Which values of a row are read.
#[derive(Clone, Debug)]
enum Pick {
    All,
    Index(usize),
    /// The one of this class of a map.
    Class(String),
}

/// How one column is read from the outputs of a run.
#[derive(Clone, Debug)]
pub struct Readout {
    pub spec: OutputSpec,
    /// Position of the output in the session.
    position: usize,
    /// Values of a row.
    width: usize,
    pick: Pick,
    labels: BTreeMap<i64, String>,
}

impl Readout {
    /// Checks an output of the manifest against what is known of the graph's output that it names.
    ///
    /// # Errors
    /// One sentence that names the output's shape or type and what to change.
    pub fn new(output: &Output, position: usize, facts: &Facts) -> Result<Readout, String> {
        let at = format!("output `{}` (tensor `{}`)", output.name, output.tensor);
        if facts.other {
            return Err(format!("{at} is {}; only tensors and maps of ZipMap become columns", facts.shown));
        }
        let Some(width) = facts.width.filter(|w| *w > 0) else {
            return Err(format!("{at} is {}: nobody can say how many values a row has", facts.shown));
        };
        let pick = match (output.kind, output.index, &output.class) {
            (OutputType::Reals, ..) => Pick::All,
            (_, _, Some(class)) => match &facts.classes {
                Some(known) if known.contains(class) => Pick::Class(class.clone()),
                Some(known) => return Err(format!("{at} has no class `{class}`; it has {}", known.join(", "))),
                None => return Err(format!("{at} has no classes, it is {}; use `index`", facts.shown)),
            },
            (_, Some(index), _) if index < width => Pick::Index(index),
            (_, Some(index), _) => return Err(format!("{at} has {width} columns, `index` is {index}")),
            (_, None, _) if width == 1 => Pick::Index(0),
            (_, None, _) => {
                let class = if facts.classes.is_some() { "`class` or " } else { "" };
                return Err(format!(
                    "{at} has {width} columns: say which one by {class}`index`, or use kind \"reals\""
                ));
            }
        };
        if let Some(ty) = facts.element_type
            && (!fits(output.kind, ty) || ty == ElementType::Text && !output.labels.is_empty())
        {
            return Err(format!("{at} holds {ty}, which does not make a column of this kind"));
        }
        let kind = match output.kind {
            OutputType::Float => OutputKind::Float,
            OutputType::Integer => OutputKind::Integer,
            OutputType::Boolean => OutputKind::Boolean,
            OutputType::Label => OutputKind::Label,
            OutputType::Reals => OutputKind::Reals { width },
        };
        let labels = output.labels.iter().filter_map(|(k, v)| Some((k.parse().ok()?, v.clone()))).collect();
        let spec = OutputSpec { name: output.name.clone(), kind, nan_allowed: output.nan == NanPolicy::Store };
        Ok(Readout { spec, position, width, pick, labels })
    }

    /// Appends `rows` values to `column`.
    ///
    /// # Errors
    /// If the run made an output of another shape, type or other classes than at load.
    pub fn append(&self, run: &[RowValues], rows: usize, column: &mut Column) -> Result<(), String> {
        let found = match run.get(self.position) {
            None => return Err(self.says("the run did not make it")),
            Some(RowValues::Tensor(t)) => self.tensor(t, None, rows, column),
            Some(RowValues::Table(table)) => self.tensor(&table.values, Some(&table.keys), rows, column),
            Some(RowValues::Values(all)) if all.len() == rows => all.iter().try_for_each(|value| match value {
                Value::Tensor(t) => self.tensor(t, None, 1, column),
                Value::Map(map) => self.tensor(&map.values, Some(&map.keys), 1, column),
                other => Err(format!("{} for one row", other.kind())),
            }),
            Some(RowValues::Values(all)) => Err(format!("{} values for {rows} rows", all.len())),
        };
        found.map_err(|what| self.says(&what))
    }

    fn says(&self, what: &str) -> String {
        format!("output `{}`: {what}", self.spec.name)
    }

    fn tensor(&self, t: &Tensor, keys: Option<&Keys>, rows: usize, column: &mut Column) -> Result<(), String> {
        if t.len() != rows * self.width {
            return Err(format!("{} values for {rows} rows of {}", t.len(), self.width));
        }
        let index = match &self.pick {
            Pick::All => 0,
            Pick::Index(index) => *index,
            Pick::Class(class) => keys.and_then(|k| position(k, class)).ok_or("the class is not there")?,
        };
        match column {
            Column::Float(to) => self.floats(t.elements(), index, to),
            Column::Integer(to) => self.integers(t.elements(), index, |v| to.push(v)),
            Column::Boolean(to) => self.integers(t.elements(), index, |v| to.push(v != 0)),
            Column::Label { bytes, ends } => {
                let mut push = |text: &[u8]| {
                    bytes.extend_from_slice(text);
                    ends.push(bytes.len() as u32);
                };
                if let Elements::Text(texts) = t.elements() {
                    self.each(texts, index).for_each(|text| push(text.as_bytes()));
                    return Ok(());
                }
                self.integers(t.elements(), index, |v| match self.labels.get(&v) {
                    Some(text) => push(text.as_bytes()),
                    None => push(v.to_string().as_bytes()),
                })
            }
            Column::Reals { values, .. } => reals(t.elements(), values),
        }
    }

    fn each<'a, T>(&self, values: &'a [T], index: usize) -> impl Iterator<Item = &'a T> {
        values.iter().skip(index).step_by(self.width)
    }

    fn floats(&self, elements: &Elements, index: usize, to: &mut Vec<f64>) -> Result<(), String> {
        match elements {
            Elements::F32(v) => to.extend(self.each(v, index).map(|v| f64::from(*v))),
            Elements::F64(v) => to.extend(self.each(v, index)),
            Elements::F16(v) => to.extend(self.each(v, index).map(|v| v.to_f64())),
            Elements::U64(v) => to.extend(self.each(v, index).map(|v| *v as f64)),
            other => return self.integers(other, index, |v| to.push(v as f64)),
        }
        Ok(())
    }

    fn integers(&self, elements: &Elements, index: usize, mut push: impl FnMut(i64)) -> Result<(), String> {
        macro_rules! all {
            ($v:expr) => {
                self.each($v, index).for_each(|v| push(i64::from(*v)))
            };
        }
        match elements {
            Elements::I64(v) => all!(v),
            Elements::I32(v) => all!(v),
            Elements::I16(v) => all!(v),
            Elements::I8(v) => all!(v),
            Elements::U8(v) => all!(v),
            Elements::U16(v) => all!(v),
            Elements::U32(v) => all!(v),
            Elements::Bool(v) => all!(v),
            Elements::U64(v) => {
                for value in self.each(v, index) {
                    push(i64::try_from(*value).map_err(|_| "a number is outside the 64-bit integers".to_owned())?);
                }
            }
            other => return Err(format!("{} where whole numbers are expected", other.element_type())),
        }
        Ok(())
    }
}

fn position(keys: &Keys, class: &str) -> Option<usize> {
    match keys {
        Keys::Texts(all) => all.iter().position(|k| k == class),
        Keys::Integers(all) => class.parse().ok().and_then(|class: i64| all.iter().position(|k| *k == class)),
    }
}

fn fits(kind: OutputType, ty: ElementType) -> bool {
    let whole = ty.is_integer() || ty == ElementType::Bool;
    match kind {
        OutputType::Float | OutputType::Reals => ty != ElementType::Text,
        OutputType::Integer | OutputType::Boolean => whole,
        OutputType::Label => whole || ty == ElementType::Text,
    }
}

fn reals(elements: &Elements, to: &mut Vec<f32>) -> Result<(), String> {
    match elements {
        Elements::F32(v) => to.extend_from_slice(v),
        Elements::F64(v) => to.extend(v.iter().map(|v| *v as f32)),
        Elements::F16(v) => to.extend(v.iter().copied().map(f16::to_f32)),
        Elements::Bool(v) => to.extend(v.iter().map(|v| f32::from(u8::from(*v)))),
        Elements::I8(v) => to.extend(v.iter().map(|v| f32::from(*v))),
        Elements::U8(v) => to.extend(v.iter().map(|v| f32::from(*v))),
        Elements::I16(v) => to.extend(v.iter().map(|v| f32::from(*v))),
        Elements::U16(v) => to.extend(v.iter().map(|v| f32::from(*v))),
        Elements::I32(v) => to.extend(v.iter().map(|v| *v as f32)),
        Elements::U32(v) => to.extend(v.iter().map(|v| *v as f32)),
        Elements::I64(v) => to.extend(v.iter().map(|v| *v as f32)),
        Elements::U64(v) => to.extend(v.iter().map(|v| *v as f32)),
        Elements::Text(_) => return Err("texts where numbers are expected".into()),
    }
    Ok(())
}
