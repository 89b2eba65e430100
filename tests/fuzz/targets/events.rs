//! A batch of one event, decoded as the daemon does it.

use tidemill::domain::batch::Batch;
use tidemill::domain::batch::Record;
use tidemill::domain::batch::Span;
use tidemill::domain::batch::TimestampKind;
use tidemill::domain::fields::FieldKind;
use tidemill::domain::fields::FieldSpec;
use tidemill::domain::fields::Fields;
use tidemill::domain::fields::Otherwise;
use tidemill::domain::verdict::Verdict;
use tidemill::domain::verdict::Verdicts;
use tidemill::ports::Decoder;

/// What a slot holds, in a form that two readers can be compared by.
#[derive(Clone, PartialEq, Debug)]
pub enum Slot {
    Absent,
    /// Bits of the double.
    Number(u64),
    Integer(i64),
    Text(Vec<u8>),
}

/// The event with a key and a header, behind some bytes of something else.
pub fn batch(payload: &[u8]) -> Batch {
    let mut batch = Batch::default();
    batch.push_bytes(Some(b"before\xff{"));
    let key = batch.push_bytes(Some(b"k"));
    let start = batch.bytes.len() as u32;
    batch.push_header(b"h", Some(b"v"));
    let headers = Span { start, len: batch.bytes.len() as u32 - start };
    let payload = batch.push_bytes(Some(payload));
    batch.records.push(Record { offset: 7, timestamp: 0, kind: TimestampKind::Missing, key, payload, headers });
    batch
}

/// The verdict on the event, and the reason if it was rejected.
pub fn decode(decoder: &mut dyn Decoder, batch: &Batch, fields: &mut Fields) -> (Verdict, &'static str) {
    let mut verdicts = Verdicts::default();
    verdicts.reset(batch.records.len());
    decoder.decode(batch, fields, &mut verdicts);
    match verdicts.of[0] {
        Verdict::Dead(i) => (Verdict::Dead(i), verdicts.rejected[i as usize].reason),
        verdict => (verdict, ""),
    }
}

/// A field that is absent when it is missing or of another type.
pub fn spec(path: &str, kind: FieldKind) -> FieldSpec {
    let path = tidemill::adapters::formats::path::parse(path).expect("a path of the test");
    FieldSpec { path, kind, missing: Otherwise::Absent, wrong: Otherwise::Absent }
}

pub fn slot(kind: &FieldKind, fields: &Fields, batch: &Batch, slot: usize) -> Slot {
    if !fields.is_present(0, slot) {
        return Slot::Absent;
    }
    match kind {
        FieldKind::Number => Slot::Number(fields.number(0, slot).to_bits()),
        FieldKind::Text | FieldKind::Bytes => Slot::Text(fields.text(batch, 0, slot).expect("it is present").to_vec()),
        _ => Slot::Integer(fields.integer(0, slot).expect("it is present")),
    }
}
