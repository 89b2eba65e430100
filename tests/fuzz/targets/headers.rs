//! Headers in the batch's own encoding: whatever a producer writes comes back as it was.

use tidemill::domain::batch::Batch;
use tidemill::domain::batch::Record;
use tidemill::domain::batch::Span;
use tidemill::domain::batch::TimestampKind;

use super::Target;
use crate::random::hash;

pub struct Headers;

impl Target for Headers {
    fn name(&self) -> &'static str {
        "headers"
    }

    /// The input is cut into headers: a byte for the length of the name, one for that of the value (255: null), the two.
    fn run(&mut self, input: &[u8]) -> u64 {
        let mut wanted = vec![];
        let mut rest = input;
        while let [name, value, tail @ ..] = rest {
            let (name_end, is_null) = (usize::from(*name).min(tail.len()), *value == 255);
            let (name, tail) = tail.split_at(name_end);
            let (value, tail) = tail.split_at(if is_null { 0 } else { usize::from(*value).min(tail.len()) });
            wanted.push((name, (!is_null).then_some(value)));
            rest = tail;
        }
        let mut batch = Batch::default();
        batch.push_bytes(Some(b"before"));
        let start = batch.bytes.len() as u32;
        wanted.iter().for_each(|(name, value)| batch.push_header(name, *value));
        let headers = Span { start, len: batch.bytes.len() as u32 - start };
        batch.push_bytes(Some(b"behind"));
        let (key, payload, kind) = (Span::NULL, Span::NULL, TimestampKind::Missing);
        batch.records.push(Record { offset: 0, timestamp: 0, kind, key, payload, headers });
        assert_eq!(batch.headers(0).collect::<Vec<_>>(), wanted);
        let nulls = wanted.iter().filter(|h| h.1.is_none()).count();
        hash(&[&[wanted.len().min(40) as u8, nulls.min(10) as u8]])
    }
}
