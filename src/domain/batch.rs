//! The micro-batch: raw records of several partitions in one buffer, with the pieces that the sink will move marks by.

use super::lane::{Epoch, Lane};

/// Where bytes lie in [`Batch::bytes`]. A length of `u32::MAX` means that there is no value (null key, tombstone).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

impl Span {
    pub const NULL: Span = Span { start: 0, len: u32::MAX };

    pub fn is_null(self) -> bool {
        self.len == u32::MAX
    }

    /// The bytes, or `None` for a null value.
    pub fn of(self, bytes: &[u8]) -> Option<&[u8]> {
        (!self.is_null()).then(|| &bytes[self.start as usize..(self.start + self.len) as usize])
    }
}

/// What a record's timestamp is, as the broker says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimestampKind {
    Missing,
    /// Set by the producer; it may hold any number.
    Create,
    /// Set by the broker on append.
    LogAppend,
}

/// One record as it was taken: coordinates and spans, 56 bytes, no allocation of its own.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub offset: i64,
    /// Milliseconds since 1970, as delivered; not to be trusted (see [`TimestampKind`]).
    pub timestamp: i64,
    pub kind: TimestampKind,
    pub key: Span,
    pub payload: Span,
    /// Headers in the encoding of [`push_header`].
    pub headers: Span,
}

/// A run of one partition's records inside a batch. The sink moves the partition's mark from `expected` to `end`.
///
/// `expected` is the end of the previous piece, never this piece's first offset: holes in offsets are legal (rule W2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    pub lane: Lane,
    pub epoch: Epoch,
    pub expected: i64,
    pub end: i64,
    /// First record of the run in [`Batch::records`].
    pub first: u32,
    pub count: u32,
}

impl Piece {
    pub fn records(&self) -> std::ops::Range<usize> {
        self.first as usize..(self.first + self.count) as usize
    }
}

/// The unit that travels. Its sequence number serves logs only: after a fence or revoke there are holes for ever (rule W1).
#[derive(Debug, Default)]
pub struct Batch {
    pub seq: u64,
    pub bytes: Vec<u8>,
    pub records: Vec<Record>,
    pub pieces: Vec<Piece>,
    /// It closed at a limit: more is waiting behind it (rule W9).
    pub full: bool,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub fn payload(&self, record: usize) -> Option<&[u8]> {
        self.records[record].payload.of(&self.bytes)
    }

    pub fn key(&self, record: usize) -> Option<&[u8]> {
        self.records[record].key.of(&self.bytes)
    }

    /// Headers in log order; a null value is `None`.
    pub fn headers(&self, record: usize) -> Headers<'_> {
        Headers(self.records[record].headers.of(&self.bytes).unwrap_or(&[]))
    }

    /// Appends bytes and says where they are.
    pub fn push_bytes(&mut self, value: Option<&[u8]>) -> Span {
        let Some(value) = value else { return Span::NULL };
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        Span { start, len: value.len() as u32 }
    }

    /// Appends one header at the end of the buffer: name length, name, value length (-1 for null), value; all lengths big-endian `i32`.
    pub fn push_header(&mut self, name: &[u8], value: Option<&[u8]>) {
        self.bytes.extend_from_slice(&(name.len() as i32).to_be_bytes());
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(&value.map_or(-1, |v| v.len() as i32).to_be_bytes());
        self.bytes.extend_from_slice(value.unwrap_or(&[]));
    }
}

/// Iterator over encoded headers.
#[derive(Clone, Debug)]
pub struct Headers<'a>(&'a [u8]);

impl<'a> Headers<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(n);
        self.0 = tail;
        head
    }

    fn length(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().expect("four bytes were taken"))
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let len = self.length() as usize;
        let name = self.take(len);
        let value = match self.length() {
            -1 => None,
            n => Some(self.take(n as usize)),
        };
        Some((name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_they_were_pushed() {
        let mut batch = Batch::default();
        let start = batch.bytes.len() as u32;
        batch.push_header(b"a", Some(b"1"));
        batch.push_header(b"", None);
        batch.push_header(b"b", Some(b""));
        let headers = Span { start, len: batch.bytes.len() as u32 - start };
        batch.records.push(Record {
            offset: 0,
            timestamp: 0,
            kind: TimestampKind::Missing,
            key: Span::NULL,
            payload: Span::NULL,
            headers,
        });
        let got: Vec<_> = batch.headers(0).collect();
        assert_eq!(got, [(&b"a"[..], Some(&b"1"[..])), (&b""[..], None), (&b"b"[..], Some(&b""[..]))]);
    }
}
