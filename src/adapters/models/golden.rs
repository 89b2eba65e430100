//! Golden records: events with known outputs, run through the real decoder and the real model before the process is ready.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::Map;

use crate::adapters::models::bundle::Bundle;
use crate::adapters::models::bundle::GOLDEN_FILE;
use crate::domain::batch::Batch;
use crate::domain::batch::Record;
use crate::domain::batch::Span;
use crate::domain::batch::TimestampKind;
use crate::domain::fault::Fault;
use crate::domain::fields::Fields;
use crate::domain::outputs::Column;
use crate::domain::outputs::Outputs;
use crate::domain::verdict::Verdict;
use crate::domain::verdict::Verdicts;
use crate::ports::Decoder;
use crate::ports::Model;

/// Largest difference between floats, absolutely or relatively.
pub const TOLERANCE: f64 = 1e-5;
/// Differences that are named; the rest is counted.
const NAMED_MAX: usize = 20;

/// What a passed check can say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GoldenReport {
    pub records: usize,
    /// Greatest difference of a float, by the measure of [`TOLERANCE`].
    pub worst: f64,
}

/// One output of one record that is not as recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch {
    /// Line of `golden.jsonl`, from 1.
    pub line: usize,
    /// The output, or `event` if the record did not get as far as the model.
    pub field: String,
    pub expected: String,
    pub got: String,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {} expected {}, got {}", self.line, self.field, self.expected, self.got)
    }
}

/// Why the golden records do not vouch for the model. All of them need a person.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    #[error("{path}: {source}; a bundle needs golden records, see models/README.md")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}:{line}: {why}")]
    Line { path: PathBuf, line: usize, why: String },
    #[error("{path} holds no records; a bundle needs one at least")]
    Empty { path: PathBuf },
    #[error("{path}: the model cannot be run on the golden records: {why}")]
    Run { path: PathBuf, why: String },
    #[error("{path}: {total} outputs differ: {}", .named.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Differs { path: PathBuf, total: usize, named: Vec<Mismatch> },
}

impl GoldenError {
    pub fn fault(&self) -> Fault {
        Fault::Stop
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    event: Option<Value>,
    event_text: Option<String>,
    outputs: Map<String, Value>,
}

/// Runs the bundle's golden records through `decoder` and `model`, all in one batch.
///
/// # Errors
/// See [`GoldenError`]; differences are named by line and output.
pub fn verify(bundle: &Bundle, decoder: &mut dyn Decoder, model: &mut dyn Model) -> Result<GoldenReport, GoldenError> {
    let path = bundle.dir.join(GOLDEN_FILE);
    let text = fs::read_to_string(&path).map_err(|source| GoldenError::Read { path: path.clone(), source })?;
    let mut batch = Batch::default();
    let mut expected = vec![];
    for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let bad = |why| GoldenError::Line { path: path.clone(), line: i + 1, why };
        let outputs = push(line, bundle, &mut batch).map_err(bad)?;
        expected.push((i + 1, outputs));
    }
    if expected.is_empty() {
        return Err(GoldenError::Empty { path });
    }
    let specs = bundle.outputs();
    let (mut fields, mut verdicts, mut outputs) = (Fields::default(), Verdicts::default(), Outputs::new(&specs));
    verdicts.reset(expected.len());
    decoder.decode(&batch, &mut fields, &mut verdicts);
    let kept: Vec<u32> = (0..expected.len()).filter(|r| verdicts.is_kept(*r)).map(|r| r as u32).collect();
    let run = model.run(&batch, &fields, &kept, &mut outputs);
    run.map_err(|e| GoldenError::Run { path: path.clone(), why: e.to_string() })?;

    let mut worst = 0f64;
    let mut differs = vec![];
    for (record, (line, _)) in expected.iter().enumerate().filter(|(r, _)| !verdicts.is_kept(*r)) {
        let got = match verdicts.of[record] {
            Verdict::Dead(why) => {
                let why = &verdicts.rejected[why as usize];
                format!("rejected at {} as {}: {}", why.stage.name(), why.reason, why.detail)
            }
            Verdict::Skip(rule) => format!("skipped by rule {rule}"),
            Verdict::Keep => unreachable!("filtered above"),
        };
        differs.push(Mismatch { line: *line, field: "event".into(), expected: "a score".into(), got });
    }
    for (row, record) in kept.iter().enumerate() {
        let (line, wanted) = &expected[*record as usize];
        for (spec, column) in specs.iter().zip(&outputs.columns) {
            let want = &wanted[&spec.name];
            if let Err(got) = agree(want, column, row, &mut worst) {
                differs.push(Mismatch { line: *line, field: spec.name.clone(), expected: want.to_string(), got });
            }
        }
    }
    if differs.is_empty() {
        return Ok(GoldenReport { records: expected.len(), worst });
    }
    differs.sort_by_key(|m| m.line);
    let total = differs.len();
    differs.truncate(NAMED_MAX);
    Err(GoldenError::Differs { path, total, named: differs })
}

/// The events of the golden records, as they stand in the file.
///
/// # Errors
/// If the file cannot be read or a line is no golden record.
pub fn events(bundle: &Bundle) -> Result<Vec<Vec<u8>>, GoldenError> {
    let path = bundle.dir.join(GOLDEN_FILE);
    let text = fs::read_to_string(&path).map_err(|source| GoldenError::Read { path: path.clone(), source })?;
    let mut batch = Batch::default();
    for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let bad = |why| GoldenError::Line { path: path.clone(), line: i + 1, why };
        push(line, bundle, &mut batch).map_err(bad)?;
    }
    Ok((0..batch.records.len()).filter_map(|r| batch.payload(r)).map(<[u8]>::to_vec).collect())
}

/// Reads a line, appends its event to the batch and returns the expected outputs.
fn push(line: &str, bundle: &Bundle, batch: &mut Batch) -> Result<Map<String, Value>, String> {
    let parsed: Line = serde_json::from_str(line).map_err(|e| format!("not a golden record: {e}"))?;
    let event = match (&parsed.event, &parsed.event_text) {
        (Some(event), None) => verbatim(line).map_or_else(|| event.to_string(), str::to_string),
        (None, Some(text)) => text.clone(),
        _ => return Err("exactly one of `event` and `event_text` is needed".into()),
    };
    let specs = bundle.outputs();
    for spec in &specs {
        if !parsed.outputs.contains_key(&spec.name) {
            return Err(format!("output `{}` is missing", spec.name));
        }
    }
    if let Some(extra) = parsed.outputs.keys().find(|k| !specs.iter().any(|s| s.name == **k)) {
        return Err(format!("output `{extra}` is not in model.toml"));
    }
    let payload = batch.push_bytes(Some(event.as_bytes()));
    batch.records.push(Record {
        offset: batch.records.len() as i64,
        timestamp: 0,
        kind: TimestampKind::Missing,
        key: Span::NULL,
        payload,
        headers: Span::NULL,
    });
    Ok(parsed.outputs)
}

/// The bytes of the event as they stand, if it is the first member of the line: no number is read and written again.
fn verbatim(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix('{')?.trim_start().strip_prefix("\"event\"")?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start();
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<serde::de::IgnoredAny>();
    values.next()?.ok()?;
    Some(&rest[..values.byte_offset()])
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "inf" | "Infinity" => Some(f64::INFINITY),
            "-inf" | "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// How far two floats are apart: the smaller of the absolute and the relative difference.
fn distance(a: f64, b: f64) -> f64 {
    if a == b || a.is_nan() && b.is_nan() {
        return 0.0;
    }
    let difference = (a - b).abs();
    if difference.is_finite() { difference.min(difference / b.abs()) } else { f64::INFINITY }
}

/// Compares one value; the error is what the model said.
fn agree(want: &Value, column: &Column, row: usize, worst: &mut f64) -> Result<(), String> {
    let mut close = |got: f64, want: &Value| {
        let apart = number(want).map_or(f64::INFINITY, |want| distance(got, want));
        *worst = worst.max(if apart <= TOLERANCE { apart } else { 0.0 });
        apart <= TOLERANCE
    };
    let (same, got) = match column {
        Column::Float(v) => (close(v[row], want), v[row].to_string()),
        Column::Integer(v) => (want.as_i64() == Some(v[row]), v[row].to_string()),
        Column::Boolean(v) => {
            let want = want.as_bool().or(want.as_i64().filter(|i| matches!(i, 0 | 1)).map(|i| i == 1));
            (want == Some(v[row]), v[row].to_string())
        }
        Column::Label { .. } => {
            let got = column.label(row);
            (want.as_str().map(str::as_bytes) == Some(got), format!("{:?}", String::from_utf8_lossy(got)))
        }
        Column::Reals { width, values } => {
            let got = &values[row * width..][..*width];
            let list = want.as_array().map_or(&[][..], Vec::as_slice);
            let same = list.len() == *width && list.iter().zip(got).all(|(w, g)| close(f64::from(*g), w));
            (same, format!("{got:?}"))
        }
    };
    if same { Ok(()) } else { Err(got) }
}
