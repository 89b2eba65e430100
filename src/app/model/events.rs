//! Events without a topic: lines become batches, and rows come back as JSON.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use tidemill_onnx::json::write::float;
use tidemill_onnx::json::write::text;

use crate::adapters::formats;
use crate::adapters::formats::options::Options as EventOptions;
use crate::adapters::models::bundle::Bundle;
use crate::domain::batch::Batch;
use crate::domain::batch::Piece;
use crate::domain::batch::Record;
use crate::domain::batch::Span;
use crate::domain::batch::TimestampKind;
use crate::domain::fields::Fields;
use crate::domain::lane::Epoch;
use crate::domain::lane::Lane;
use crate::domain::outputs::Column;
use crate::domain::outputs::OutputSpec;
use crate::domain::outputs::Outputs;
use crate::domain::scored::Rows;
use crate::domain::verdict::Verdicts;
use crate::pipeline::mill::Mill;
use crate::ports::RowEncoder;

/// One batch of these payloads, in their order.
pub fn batch<'a>(events: impl Iterator<Item = &'a [u8]>) -> Batch {
    let mut batch = Batch::default();
    for event in events {
        let payload = batch.push_bytes(Some(event));
        let offset = batch.records.len() as i64;
        let kind = TimestampKind::Missing;
        batch.records.push(Record { offset, timestamp: 0, kind, key: Span::NULL, payload, headers: Span::NULL });
    }
    let (lane, count) = (Lane { topic: 0, partition: 0 }, batch.records.len() as u32);
    batch.pieces.push(Piece { lane, epoch: Epoch(1), expected: 0, end: i64::from(count), first: 0, count });
    batch
}

/// Loads a bundle, without asking its golden records.
///
/// # Errors
/// What is wrong with it.
pub fn load(dir: &Path) -> anyhow::Result<Bundle> {
    Bundle::load(dir, &|text| formats::path::parse(text).map_err(|e| e.to_string())).map_err(|e| anyhow!("{e}"))
}

/// The daemon's mill over a bundle; rows are JSON objects from column to value.
///
/// # Errors
/// If the decoder refuses a field of the bundle.
pub fn mill(bundle: &Bundle, encoder: Arc<dyn RowEncoder>) -> anyhow::Result<Mill> {
    let slots: Vec<usize> = (0..bundle.wanted.len()).collect();
    let decoder = formats::build(&EventOptions::default(), &[], &bundle.wanted, Path::new(""))?;
    Ok(Mill::new(decoder, Some(bundle.model(&slots)), encoder, bundle.outputs().into()))
}

/// Rows as JSON objects.
pub struct JsonRows {
    pub specs: Vec<OutputSpec>,
}

impl RowEncoder for JsonRows {
    fn encode(&self, _: &Batch, _: &Fields, outputs: &Outputs, records: &[u32], rows: &mut Rows, _: &mut Verdicts) {
        for (row, record) in records.iter().enumerate() {
            let start = rows.bytes.len();
            rows.bytes.extend_from_slice(object(&self.specs, outputs, row).as_bytes());
            rows.spans[*record as usize] = (start as u32, (rows.bytes.len() - start) as u32);
        }
    }
}

fn object(specs: &[OutputSpec], outputs: &Outputs, row: usize) -> String {
    let mut out = String::from("{");
    for (i, (spec, column)) in specs.iter().zip(&outputs.columns).enumerate() {
        if i > 0 {
            out.push(',');
        }
        text(&mut out, &spec.name);
        out.push(':');
        value(&mut out, column, row);
    }
    out.push('}');
    out
}

fn value(out: &mut String, column: &Column, row: usize) {
    match column {
        Column::Float(v) => float(out, v[row], format_args!("{:?}", v[row])),
        Column::Integer(v) => write!(out, "{}", v[row]).expect("a String takes all"),
        Column::Boolean(v) => write!(out, "{}", v[row]).expect("a String takes all"),
        Column::Label { .. } => text(out, &String::from_utf8_lossy(column.label(row))),
        Column::Reals { width, values } => {
            out.push('[');
            for (i, v) in values[row * width..][..*width].iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                float(out, f64::from(*v), format_args!("{v:?}"));
            }
            out.push(']');
        }
    }
}
