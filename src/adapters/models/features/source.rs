//! From `[[feature]]` to the fields of the decoder and the cells that are made of them.

use std::sync::Arc;

use tidemill_onnx::tensor::ElementType;

use crate::adapters::models::features::ParsePath;
use crate::adapters::models::features::View;
use crate::adapters::models::features::cell;
use crate::adapters::models::features::cell::Cell;
use crate::adapters::models::manifest::feature::Constant;
use crate::adapters::models::manifest::feature::Feature;
use crate::adapters::models::manifest::feature::FeatureType;
use crate::adapters::models::manifest::feature::Fill;
use crate::adapters::models::manifest::feature::FillWord;
use crate::adapters::models::manifest::feature::Unit;
use crate::domain::fields::FieldKind;
use crate::domain::fields::FieldSpec;
use crate::domain::fields::Otherwise;
use crate::domain::fields::Step;
use crate::domain::fields::TimeUnit;

/// How one element of an input is made; the numbers are slots.
#[derive(Clone, PartialEq, Debug)]
pub enum Source {
    Number(usize),
    /// An integer, code or boolean that is always there.
    Integer(usize),
    /// One that may be absent.
    Optional(usize),
    /// Microseconds; may be absent.
    Time(usize),
    /// A text; the other one if it is absent.
    Text(usize, Arc<str>),
    /// 1 if both texts are the same, else 0; `missing` if one is absent.
    Equal {
        a: usize,
        b: usize,
        missing: Option<f64>,
    },
    Constant(Constant),
}

impl Source {
    /// The cell of one record.
    #[inline(always)]
    pub fn read<'a>(&'a self, view: &View<'a>) -> Cell<'a> {
        match self {
            Source::Number(s) => Cell::Float(f64::from_bits(view.row[*s])),
            Source::Integer(s) => Cell::Integer(view.row[*s] as i64),
            Source::Optional(s) => view.fields.integer(view.record, *s).map_or(Cell::Nothing, Cell::Integer),
            Source::Time(s) => view.fields.integer(view.record, *s).map_or(Cell::Nothing, Cell::Micros),
            Source::Text(s, otherwise) => {
                Cell::Text(view.fields.text(view.batch, view.record, *s).unwrap_or(otherwise.as_bytes()))
            }
            Source::Equal { a, b, missing } => {
                let text = |slot: &usize| view.fields.text(view.batch, view.record, *slot);
                match (text(a), text(b)) {
                    (Some(a), Some(b)) => Cell::Integer(i64::from(is_same(a, b))),
                    _ => missing.map_or(Cell::Nothing, Cell::Float),
                }
            }
            Source::Constant(constant) => of_constant(constant),
        }
    }

    /// A cell as a record might have it, for a first run.
    pub fn neutral(&self) -> Cell<'_> {
        match self {
            Source::Text(_, otherwise) => Cell::Text(otherwise.as_bytes()),
            Source::Constant(constant) => of_constant(constant),
            Source::Number(_) => Cell::Float(0.0),
            _ => Cell::Integer(0),
        }
    }

    /// The same over a decoder that has our `i`-th field in slot `slots[i]`.
    pub fn at(&self, slots: &[usize]) -> Source {
        match self {
            Source::Number(s) => Source::Number(slots[*s]),
            Source::Integer(s) => Source::Integer(slots[*s]),
            Source::Optional(s) => Source::Optional(slots[*s]),
            Source::Time(s) => Source::Time(slots[*s]),
            Source::Text(s, otherwise) => Source::Text(slots[*s], otherwise.clone()),
            Source::Equal { a, b, missing } => Source::Equal { a: slots[*a], b: slots[*b], missing: *missing },
            Source::Constant(constant) => Source::Constant(constant.clone()),
        }
    }
}

/// Compares byte by byte: most texts are codes of a few bytes, for which a call of the library takes longer.
#[inline(always)]
fn is_same(a: &[u8], b: &[u8]) -> bool {
    const SHORT: usize = 16;
    a.len() == b.len() && if a.len() <= SHORT { a.iter().zip(b).all(|(x, y)| x == y) } else { a == b }
}

fn of_constant(constant: &Constant) -> Cell<'_> {
    match constant {
        Constant::Boolean(b) => Cell::Integer(i64::from(*b)),
        Constant::Integer(n) => Cell::Integer(*n),
        Constant::Number(x) => Cell::Float(*x),
        Constant::Text(text) => Cell::Text(text.as_bytes()),
    }
}

/// Fields that are wanted of the decoder, each once.
#[derive(Debug, Default)]
pub struct Wanted(pub Vec<FieldSpec>);

impl Wanted {
    pub fn slot(&mut self, spec: FieldSpec) -> usize {
        match self.0.iter().position(|w| *w == spec) {
            Some(slot) => slot,
            None => self.push(spec),
        }
    }

    /// Elements of arrays are too many to be compared with each other.
    fn push(&mut self, spec: FieldSpec) -> usize {
        self.0.push(spec);
        self.0.len() - 1
    }
}

/// Plans a feature that is no image: one source for each element.
///
/// # Errors
/// If a path cannot be read, or the feature cannot be of the input's type.
pub fn sources(
    feature: &Feature,
    element_type: ElementType,
    parse_path: ParsePath<'_>,
    wanted: &mut Wanted,
) -> Result<Vec<Source>, String> {
    suits(feature, element_type)?;
    if let Some([a, b]) = &feature.equal {
        return Ok(vec![equal(feature, [a, b], parse_path, wanted)?]);
    }
    if let Some(constant) = &feature.constant {
        let elements: u32 = feature.length.as_ref().map_or(1, |l| l.axes().iter().product());
        return Ok(vec![Source::Constant(constant.clone()); elements as usize]);
    }
    let path = parse_path(feature.field.as_deref().unwrap_or_default())?;
    let kind = kind(feature);
    let Some(length) = &feature.length else {
        let spec = FieldSpec {
            path,
            missing: otherwise(&feature.missing, &kind),
            wrong: otherwise(&feature.wrong, &kind),
            kind,
        };
        let source = of_field(feature, &spec, None);
        let slot = wanted.slot(spec);
        return Ok(vec![source.at(&[slot])]);
    };
    let mut out = vec![];
    array(&Array { feature, kind: &kind }, path, length.axes(), wanted, &mut out);
    Ok(out)
}

/// An array that is being planned.
struct Array<'a> {
    feature: &'a Feature,
    kind: &'a FieldKind,
}

/// Wants the length of an array, then its elements: a slot each.
fn array(of: &Array<'_>, path: Vec<Step>, axes: &[u32], wanted: &mut Wanted, out: &mut Vec<Source>) {
    let feature = of.feature;
    let Some((&len, inner)) = axes.split_first() else {
        let fill = feature.pad.as_ref().unwrap_or(&feature.missing);
        let spec = FieldSpec {
            path,
            kind: of.kind.clone(),
            missing: otherwise(fill, of.kind),
            wrong: otherwise(&feature.wrong, of.kind),
        };
        let source = of_field(feature, &spec, feature.pad.as_ref());
        let slot = wanted.push(spec);
        out.push(source.at(&[slot]));
        return;
    };
    let inner_array = path.iter().any(|s| matches!(s, Step::Index(_))) && feature.pad.is_some();
    let may_lack = !feature.missing.is_reject() || inner_array;
    wanted.push(FieldSpec {
        path: path.clone(),
        kind: FieldKind::Length {
            min: if feature.pad.is_some() { 0 } else { len },
            max: if feature.truncate { u32::MAX } else { len },
        },
        missing: if may_lack { Otherwise::Absent } else { Otherwise::Reject },
        wrong: Otherwise::Reject,
    });
    for i in 0..len {
        let mut path = path.clone();
        path.push(Step::Index(i));
        array(of, path, inner, wanted, out);
    }
}

/// The source of a field in slot 0.
fn of_field(feature: &Feature, spec: &FieldSpec, pad: Option<&Fill>) -> Source {
    let may_be_absent = spec.missing == Otherwise::Absent || spec.wrong == Otherwise::Absent;
    match &spec.kind {
        FieldKind::Number => Source::Number(0),
        FieldKind::Timestamp(_) => Source::Time(0),
        FieldKind::Text => {
            let fills = pad.into_iter().chain([&feature.missing, &feature.wrong]);
            let text = fills.filter_map(|f| if let Fill::Text(t) = f { Some(t.text.as_str()) } else { None }).next();
            Source::Text(0, text.unwrap_or_default().into())
        }
        _ if may_be_absent => Source::Optional(0),
        _ => Source::Integer(0),
    }
}

fn kind(feature: &Feature) -> FieldKind {
    match feature.kind.unwrap_or(FeatureType::Number) {
        FeatureType::Number => FieldKind::Number,
        FeatureType::Integer => FieldKind::Integer,
        FeatureType::Boolean => FieldKind::Boolean,
        FeatureType::Text => FieldKind::Text,
        FeatureType::Image => FieldKind::Bytes,
        FeatureType::Category => FieldKind::Category(feature.values.clone()),
        FeatureType::Timestamp => FieldKind::Timestamp(match feature.unit {
            Some(Unit::Seconds) => TimeUnit::Seconds,
            Some(Unit::Microseconds) => TimeUnit::Microseconds,
            Some(Unit::Milliseconds) | None => TimeUnit::Milliseconds,
        }),
    }
}

fn otherwise(fill: &Fill, kind: &FieldKind) -> Otherwise {
    match fill {
        Fill::Word(FillWord::Reject) => Otherwise::Reject,
        // a text's own is put in when it is read
        Fill::Word(FillWord::Nan) | Fill::Text(_) => Otherwise::Absent,
        // the slot holds microseconds
        Fill::Number(n) if matches!(kind, FieldKind::Timestamp(_)) => Otherwise::Value(n * 1e6),
        Fill::Number(n) => Otherwise::Value(*n),
    }
}

fn equal(
    feature: &Feature,
    paths: [&String; 2],
    parse_path: ParsePath<'_>,
    wanted: &mut Wanted,
) -> Result<Source, String> {
    let (missing, value) = match feature.missing {
        Fill::Word(FillWord::Reject) | Fill::Text(_) => (Otherwise::Reject, None),
        Fill::Word(FillWord::Nan) => (Otherwise::Absent, None),
        Fill::Number(n) => (Otherwise::Absent, Some(n)),
    };
    let wrong = if feature.wrong.is_reject() { Otherwise::Reject } else { missing };
    let mut text = |path: &str| {
        let path = parse_path(path)?;
        Ok::<_, String>(wanted.slot(FieldSpec { path, kind: FieldKind::Text, missing, wrong }))
    };
    Ok(Source::Equal { a: text(paths[0])?, b: text(paths[1])?, missing: value })
}

/// Whether a feature and its fills can be of the input's type.
fn suits(feature: &Feature, element_type: ElementType) -> Result<(), String> {
    let text = feature.kind == Some(FeatureType::Text) || matches!(feature.constant, Some(Constant::Text(_)));
    match (text, element_type == ElementType::Text) {
        (true, false) => {
            return Err(format!("a text cannot be {element_type}; give type = \"category\" with its `values`"));
        }
        (false, true) => return Err("the input is of texts; give type = \"text\"".into()),
        _ => {}
    }
    if let Some(constant) = &feature.constant {
        cell::fits(of_constant(constant), element_type).map_err(|why| format!("`constant`: {why}"))?;
    }
    let pad = feature.pad.clone().unwrap_or_default();
    for (key, fill) in [("missing", &feature.missing), ("wrong", &feature.wrong), ("pad", &pad)] {
        let cell = match fill {
            Fill::Word(FillWord::Nan) => Cell::Nothing,
            Fill::Number(n) => Cell::Float(*n),
            _ => continue,
        };
        cell::fits(cell, element_type).map_err(|why| format!("`{key}`, {element_type}: {why}"))?;
    }
    Ok(())
}
