//! From decoded fields to rows of the input tensor.

use crate::adapters::models::manifest::Feature;
use crate::adapters::models::manifest::FeatureType;
use crate::adapters::models::manifest::Fill;
use crate::adapters::models::manifest::FillWord;
use crate::adapters::models::manifest::Unit;
use crate::domain::batch::Batch;
use crate::domain::fields::FieldKind;
use crate::domain::fields::FieldSpec;
use crate::domain::fields::Fields;
use crate::domain::fields::Otherwise;
use crate::domain::fields::Step;
use crate::domain::fields::TimeUnit;

/// Reads the text form of a path. The formats own it; here it is only passed through.
pub type ParsePath<'a> = &'a dyn Fn(&str) -> Result<Vec<Step>, String>;

/// How one column of the tensor is made; the numbers are slots.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Source {
    Number(usize),
    /// An integer, code or boolean that is always there.
    Integer(usize),
    /// One that is NaN when absent.
    IntegerOrNan(usize),
    /// Microseconds that become seconds; NaN when absent.
    Seconds(usize),
    /// 1 if both texts are the same, else 0; `missing` if one is absent.
    Equal {
        a: usize,
        b: usize,
        missing: f32,
    },
}

/// The plan by which a record becomes a row.
#[derive(Clone, Debug)]
pub struct Features {
    sources: Vec<Source>,
}

impl Features {
    /// Plans the features and says which fields they need, each once; slots are positions in that list.
    ///
    /// # Errors
    /// All paths that cannot be read.
    pub fn plan(features: &[Feature], parse_path: ParsePath<'_>) -> Result<(Features, Vec<FieldSpec>), Vec<String>> {
        let mut wanted = vec![];
        let mut problems = vec![];
        let mut sources = vec![];
        for (i, feature) in features.iter().enumerate() {
            match source(feature, parse_path, &mut wanted) {
                Ok(source) => sources.push(source),
                Err(why) => problems.push(format!("feature {} ({}): {why}", i + 1, feature.title())),
            }
        }
        if problems.is_empty() { Ok((Features { sources }, wanted)) } else { Err(problems) }
    }

    /// The same plan over a decoder that has our `i`-th field in slot `slots[i]`.
    ///
    /// # Panics
    /// If `slots` is shorter than the list of wanted fields.
    pub fn at(&self, slots: &[usize]) -> Features {
        let sources = self.sources.iter().map(|source| match *source {
            Source::Number(s) => Source::Number(slots[s]),
            Source::Integer(s) => Source::Integer(slots[s]),
            Source::IntegerOrNan(s) => Source::IntegerOrNan(slots[s]),
            Source::Seconds(s) => Source::Seconds(slots[s]),
            Source::Equal { a, b, missing } => Source::Equal { a: slots[a], b: slots[b], missing },
        });
        Features { sources: sources.collect() }
    }

    /// Columns of a row.
    pub fn width(&self) -> usize {
        self.sources.len()
    }

    /// Fills `out`, one row for each record of `records`.
    pub fn gather(&self, batch: &Batch, fields: &Fields, records: &[u32], out: &mut [f32]) {
        for (record, out) in records.iter().zip(out.chunks_exact_mut(self.sources.len().max(1))) {
            let record = *record as usize;
            let row = fields.row(record);
            for (source, out) in self.sources.iter().zip(out) {
                *out = match *source {
                    Source::Number(s) => f64::from_bits(row[s]) as f32,
                    Source::Integer(s) => row[s] as i64 as f32,
                    Source::IntegerOrNan(s) => fields.integer(record, s).map_or(f32::NAN, |v| v as f32),
                    Source::Seconds(s) => fields.integer(record, s).map_or(f32::NAN, |v| (v as f64 / 1e6) as f32),
                    Source::Equal { a, b, missing } => {
                        match (fields.text(batch, record, a), fields.text(batch, record, b)) {
                            (Some(a), Some(b)) => f32::from(u8::from(a == b)),
                            _ => missing,
                        }
                    }
                };
            }
        }
    }
}

fn slot(wanted: &mut Vec<FieldSpec>, spec: FieldSpec) -> usize {
    wanted.iter().position(|w| *w == spec).unwrap_or_else(|| {
        wanted.push(spec);
        wanted.len() - 1
    })
}

fn source(feature: &Feature, parse_path: ParsePath<'_>, wanted: &mut Vec<FieldSpec>) -> Result<Source, String> {
    if let Some([a, b]) = &feature.equal {
        let (missing, value) = match feature.missing {
            Fill::Word(FillWord::Reject) => (Otherwise::Reject, f32::NAN),
            Fill::Word(FillWord::Nan) => (Otherwise::Absent, f32::NAN),
            Fill::Number(n) => (Otherwise::Absent, n as f32),
        };
        let wrong = if feature.wrong == Fill::default() { Otherwise::Reject } else { missing };
        let mut text = |path: &str| {
            let path = parse_path(path)?;
            Ok::<_, String>(slot(wanted, FieldSpec { path, kind: FieldKind::Text, missing, wrong }))
        };
        return Ok(Source::Equal { a: text(a)?, b: text(b)?, missing: value });
    }
    let path = parse_path(feature.field.as_deref().unwrap_or_default())?;
    let kind = match feature.kind.unwrap_or(FeatureType::Number) {
        FeatureType::Number => FieldKind::Number,
        FeatureType::Integer => FieldKind::Integer,
        FeatureType::Boolean => FieldKind::Boolean,
        FeatureType::Category => FieldKind::Category(feature.values.clone()),
        FeatureType::Timestamp => FieldKind::Timestamp(match feature.unit {
            Some(Unit::Seconds) => TimeUnit::Seconds,
            Some(Unit::Microseconds) => TimeUnit::Microseconds,
            Some(Unit::Milliseconds) | None => TimeUnit::Milliseconds,
        }),
    };
    let seconds = matches!(kind, FieldKind::Timestamp(_));
    let fill = |fill| match fill {
        Fill::Word(FillWord::Reject) => Otherwise::Reject,
        Fill::Word(FillWord::Nan) => Otherwise::Absent,
        // the slot holds microseconds
        Fill::Number(n) => Otherwise::Value(if seconds { n * 1e6 } else { n }),
    };
    let spec = FieldSpec { path, missing: fill(feature.missing), wrong: fill(feature.wrong), kind };
    let may_be_absent = spec.missing == Otherwise::Absent || spec.wrong == Otherwise::Absent;
    let number = spec.kind == FieldKind::Number;
    let slot = slot(wanted, spec);
    Ok(match (number, seconds, may_be_absent) {
        (true, ..) => Source::Number(slot),
        (_, true, _) => Source::Seconds(slot),
        (.., true) => Source::IntegerOrNan(slot),
        (.., false) => Source::Integer(slot),
    })
}
