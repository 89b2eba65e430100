//! Scored records become rows in COPY BINARY form, straight into the batch's buffer (rule W10).

use std::sync::Arc;

use bytes::BufMut;

use crate::domain::batch::Batch;
use crate::domain::batch::Piece;
use crate::domain::batch::TimestampKind;
use crate::domain::fields::Fields;
use crate::domain::lane::Lane;
use crate::domain::outputs::Column as Output;
use crate::domain::outputs::Outputs;
use crate::domain::scored::Rows;
use crate::domain::verdict::Rejected;
use crate::domain::verdict::Stage;
use crate::domain::verdict::Verdicts;
use crate::ports::RowEncoder;

use super::contract::Column;
use super::contract::Table;
use super::options::FieldType;
use super::options::TableOptions;
use super::register::Registered;
use super::table::Value;
use super::types;
use super::types::Unfit;
use super::types::Wire;

/// Microseconds since 1970.
pub type Clock = fn() -> i64;

/// Where the decoder leaves the fields that the table wants.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    /// Slot of each entry of [`TableOptions::fields`], in that order.
    pub fields: Vec<usize>,
    /// Slot of [`TableOptions::event_time`], a timestamp.
    pub event_time: Option<usize>,
}

/// Encodes rows of one table. Shared by all mill threads.
pub struct Encoder {
    table: Arc<Table>,
    registered: Arc<Registered>,
    /// Slot and type of each mapped field.
    fields: Vec<(usize, FieldType)>,
    event_time: Option<usize>,
    clock: Clock,
}

/// What all values of one record are taken from.
struct Subject<'a> {
    batch: &'a Batch,
    fields: &'a Fields,
    outputs: &'a Outputs,
    lane: Lane,
    record: usize,
    /// Row in the output columns.
    row: usize,
    now: i64,
}

impl Encoder {
    /// # Panics
    /// When `slots.fields` is not as long as `options.fields`: the caller wires both.
    pub fn new(
        table: Arc<Table>,
        registered: Arc<Registered>,
        options: &TableOptions,
        slots: &Slots,
        clock: Clock,
    ) -> Self {
        assert_eq!(slots.fields.len(), options.fields.len(), "every mapped field needs a slot");
        let fields = slots.fields.iter().copied().zip(options.fields.iter().map(|f| f.kind)).collect();
        Encoder { table, registered, fields, event_time: slots.event_time, clock }
    }

    fn row(&self, s: &Subject<'_>, out: &mut Vec<u8>) -> Result<(), (usize, Unfit)> {
        out.put_i16(self.table.columns.len() as i16);
        for (i, column) in self.table.columns.iter().enumerate() {
            let start = out.len();
            self.value(s, column, out).map_err(|e| (i, e))?;
            if column.not_null && out[start..] == [0xff; 4] {
                return Err((i, Unfit("must not be null")));
            }
        }
        Ok(())
    }

    fn value(&self, s: &Subject<'_>, column: &Column, out: &mut Vec<u8>) -> Result<(), Unfit> {
        let wire = column.wire;
        match column.value {
            Value::Source => {
                let source = &self.registered.sources[usize::from(s.lane.topic)];
                named(out, wire, source.id, &source.topic)
            }
            Value::Model => named(out, wire, self.registered.model, &self.registered.model_name),
            Value::Partition => types::integer(out, wire, i64::from(s.lane.partition)),
            Value::Offset => types::integer(out, wire, s.batch.records[s.record].offset),
            Value::ProcessedAt => types::timestamp(out, wire, s.now),
            Value::Key => match s.batch.key(s.record) {
                None => absent(out),
                Some(key) => types::text(out, wire, key),
            },
            Value::EventTime => match self.event_time(s) {
                None => absent(out),
                Some(micros) => types::timestamp(out, wire, micros),
            },
            Value::Output(i) => output(out, wire, &s.outputs.columns[i], s.row),
            Value::Field(i) => {
                let (slot, kind) = self.fields[i];
                field(out, wire, s, slot, kind)
            }
        }
    }

    fn event_time(&self, s: &Subject<'_>) -> Option<i64> {
        if let Some(slot) = self.event_time {
            return s.fields.integer(s.record, slot);
        }
        let record = &s.batch.records[s.record];
        (record.kind != TimestampKind::Missing).then(|| record.timestamp.saturating_mul(1000))
    }
}

fn absent(out: &mut Vec<u8>) -> Result<(), Unfit> {
    types::null(out);
    Ok(())
}

fn named(out: &mut Vec<u8>, wire: Wire, id: i16, name: &str) -> Result<(), Unfit> {
    match wire {
        Wire::Text { .. } => types::text(out, wire, name.as_bytes()),
        wire => types::integer(out, wire, i64::from(id)),
    }
}

fn output(out: &mut Vec<u8>, wire: Wire, column: &Output, row: usize) -> Result<(), Unfit> {
    match column {
        Output::Float(v) => types::float(out, wire, v[row]),
        Output::Integer(v) => types::integer(out, wire, v[row]),
        Output::Boolean(v) => types::boolean(out, wire, v[row]),
        Output::Label { .. } => types::text(out, wire, column.label(row)),
        Output::Reals { width, values } => types::reals(out, wire, &values[row * width..(row + 1) * width]),
    }
}

fn field(out: &mut Vec<u8>, wire: Wire, s: &Subject<'_>, slot: usize, kind: FieldType) -> Result<(), Unfit> {
    if !s.fields.is_present(s.record, slot) {
        return absent(out);
    }
    let integer = || s.fields.integer(s.record, slot).expect("presence was checked");
    match kind {
        FieldType::Number => types::float(out, wire, s.fields.number(s.record, slot)),
        FieldType::Integer => types::integer(out, wire, integer()),
        FieldType::Boolean => types::boolean(out, wire, integer() != 0),
        FieldType::Text => {
            types::text(out, wire, s.fields.text(s.batch, s.record, slot).expect("presence was checked"))
        }
        FieldType::Timestamp | FieldType::TimestampSeconds | FieldType::TimestampMicros => {
            types::timestamp(out, wire, integer())
        }
    }
}

impl RowEncoder for Encoder {
    fn encode(
        &self,
        batch: &Batch,
        fields: &Fields,
        outputs: &Outputs,
        records: &[u32],
        rows: &mut Rows,
        verdicts: &mut Verdicts,
    ) {
        if rows.spans.len() != batch.records.len() {
            rows.reset(batch.records.len());
        }
        let now = (self.clock)();
        let mut piece: Option<&Piece> = None;
        for (row, &number) in records.iter().enumerate() {
            let record = number as usize;
            if !piece.is_some_and(|p| p.records().contains(&record)) {
                piece = batch.pieces.iter().find(|p| p.records().contains(&record));
            }
            let lane = piece.expect("every record of a batch lies in one of its pieces").lane;
            let start = rows.bytes.len();
            let subject = Subject { batch, fields, outputs, lane, record, row, now };
            match self.row(&subject, &mut rows.bytes) {
                Ok(()) => rows.spans[record] = (start as u32, (rows.bytes.len() - start) as u32),
                Err((column, unfit)) => {
                    rows.bytes.truncate(start);
                    let detail = format!("column {} {}", self.table.columns[column].name, unfit.0);
                    verdicts.reject(record, Rejected::new(Stage::Write, "does_not_fit", detail));
                }
            }
        }
    }
}
