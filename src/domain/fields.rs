//! Decoded fields of a batch: a fixed number of typed slots a record, row by row, in flat buffers that are used again.

use super::batch::Batch;

/// One step into an event.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Step {
    Key(String),
    Index(u32),
}

/// What a slot holds and how a value becomes it.
#[derive(Clone, PartialEq, Debug)]
pub enum FieldKind {
    /// Any number, as `f64`.
    Number,
    /// A whole number, as `i64`; a fraction or a value outside `i64` is of the wrong type.
    Integer,
    Boolean,
    /// Text, kept where it lies in the event when it has no escapes.
    Text,
    /// Text that stands for its index in this list; a text outside the list is -1.
    Category(Vec<String>),
    /// Microseconds since 1970, from RFC 3339 text or from a number in the given unit.
    Timestamp(TimeUnit),
    /// The number of elements of an array, as `i64`; one outside `min..=max` rejects the record. Wanted beside elements
    /// of the same array only.
    Length {
        min: u32,
        max: u32,
    },
    /// A byte string, or the text that stands for it: kept where it lies, like a text. Who reads it knows which it is.
    Bytes,
}

/// Unit of a numeric timestamp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeUnit {
    Seconds,
    Milliseconds,
    Microseconds,
}

/// What to do when a field is absent or null, or has the wrong type.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Otherwise {
    /// The record is rejected.
    Reject,
    /// The slot is absent: NaN for a number, null in a column.
    Absent,
    /// The slot gets this number (code, 0/1, microseconds: as the kind says).
    Value(f64),
}

/// A field that somebody wants: the model as a feature, the table as a column, a skip rule as its subject.
#[derive(Clone, PartialEq, Debug)]
pub struct FieldSpec {
    pub path: Vec<Step>,
    pub kind: FieldKind,
    pub missing: Otherwise,
    pub wrong: Otherwise,
}

const IN_SCRATCH: u64 = 1 << 31;

/// Slots of all records of a batch. Slot `s` belongs to the `s`-th [`FieldSpec`] that the decoder was made with.
///
/// A number is stored by its bits, an integer, code, boolean or time as `i64`, a text as its place.
#[derive(Debug, Default)]
pub struct Fields {
    slots: usize,
    words: usize,
    values: Vec<u64>,
    present: Vec<u64>,
    scratch: Vec<u8>,
}

impl Fields {
    /// Makes room for `records` rows of `slots` slots, all absent; keeps what is allocated.
    pub fn reset(&mut self, records: usize, slots: usize) {
        self.slots = slots;
        self.words = slots.div_ceil(64);
        self.values.clear();
        self.values.resize(records * slots, f64::NAN.to_bits());
        self.present.clear();
        self.present.resize(records * self.words, 0);
        self.scratch.clear();
    }

    /// Raw slots of one record, for a decoder; see the type for what the bits mean.
    pub fn row_mut(&mut self, record: usize) -> RowMut<'_> {
        RowMut {
            values: &mut self.values[record * self.slots..(record + 1) * self.slots],
            present: &mut self.present[record * self.words..(record + 1) * self.words],
            scratch: &mut self.scratch,
        }
    }

    #[inline]
    pub fn is_present(&self, record: usize, slot: usize) -> bool {
        self.present[record * self.words + slot / 64] >> (slot % 64) & 1 == 1
    }

    /// All slots of one record by their bits; an absent slot holds NaN.
    #[inline]
    pub fn row(&self, record: usize) -> &[u64] {
        &self.values[record * self.slots..(record + 1) * self.slots]
    }

    /// A number slot; NaN when absent.
    pub fn number(&self, record: usize, slot: usize) -> f64 {
        f64::from_bits(self.row(record)[slot])
    }

    /// An integer, code, boolean (0, 1) or time slot, if present.
    #[inline]
    pub fn integer(&self, record: usize, slot: usize) -> Option<i64> {
        self.is_present(record, slot).then(|| self.row(record)[slot] as i64)
    }

    /// A text slot, if present. `batch` is the one that was decoded.
    #[inline]
    pub fn text<'a>(&'a self, batch: &'a Batch, record: usize, slot: usize) -> Option<&'a [u8]> {
        if !self.is_present(record, slot) {
            return None;
        }
        let value = self.row(record)[slot];
        let (start, len) = ((value >> 32) as usize, (value & (IN_SCRATCH - 1)) as usize);
        let from = if value & IN_SCRATCH != 0 { &self.scratch } else { &batch.bytes };
        Some(&from[start..start + len])
    }
}

/// The slots of one record, being written.
#[derive(Debug)]
pub struct RowMut<'a> {
    values: &'a mut [u64],
    present: &'a mut [u64],
    scratch: &'a mut Vec<u8>,
}

impl RowMut<'_> {
    #[inline]
    fn set(&mut self, slot: usize, bits: u64) {
        self.values[slot] = bits;
        self.present[slot / 64] |= 1 << (slot % 64);
    }

    #[inline]
    pub fn set_number(&mut self, slot: usize, value: f64) {
        self.set(slot, value.to_bits());
    }

    #[inline]
    pub fn set_integer(&mut self, slot: usize, value: i64) {
        self.set(slot, value as u64);
    }

    /// Text that lies in the batch's own bytes at `start`.
    #[inline]
    pub fn set_text(&mut self, slot: usize, start: u32, len: u32) {
        debug_assert!(u64::from(len) < IN_SCRATCH);
        self.set(slot, u64::from(start) << 32 | u64::from(len));
    }

    /// Text that had to be unescaped: copied to a buffer that lives as long as the batch.
    pub fn set_text_copied(&mut self, slot: usize, text: &[u8]) {
        let start = self.scratch.len() as u64;
        self.scratch.extend_from_slice(text);
        self.set(slot, start << 32 | IN_SCRATCH | text.len() as u64);
    }

    /// Makes a slot absent again (a later duplicate key was null).
    #[inline]
    pub fn clear(&mut self, slot: usize) {
        self.values[slot] = f64::NAN.to_bits();
        self.present[slot / 64] &= !(1 << (slot % 64));
    }

    /// Whether all slots of these bits are present.
    pub fn has_all(&self, needed: &[u64]) -> bool {
        needed.iter().zip(&*self.present).all(|(needed, present)| needed & !present == 0)
    }

    /// Makes all slots absent again.
    pub fn clear_all(&mut self) {
        self.values.fill(f64::NAN.to_bits());
        self.present.fill(0);
    }

    pub fn is_present(&self, slot: usize) -> bool {
        self.present[slot / 64] >> (slot % 64) & 1 == 1
    }

    /// An integer, code, boolean, time or length slot, if present.
    pub fn integer(&self, slot: usize) -> Option<i64> {
        self.is_present(slot).then(|| self.values[slot] as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_keep_their_kinds_and_absence() {
        let mut batch = Batch::default();
        let span = batch.push_bytes(Some(b"hello")).start;
        let mut fields = Fields::default();
        fields.reset(2, 70);
        let mut row = fields.row_mut(1);
        row.set_number(0, 1.5);
        row.set_integer(65, -3);
        row.set_text(66, span + 1, 3);
        row.set_text_copied(67, b"copied");
        row.set_number(68, 2.0);
        row.clear(68);
        assert_eq!(fields.number(1, 0), 1.5);
        assert_eq!(fields.integer(1, 65), Some(-3));
        assert_eq!(fields.text(&batch, 1, 66), Some(&b"ell"[..]));
        assert_eq!(fields.text(&batch, 1, 67), Some(&b"copied"[..]));
        assert!(fields.number(1, 68).is_nan() && !fields.is_present(1, 68));
        assert!(!fields.is_present(0, 0) && fields.integer(0, 65).is_none());
    }
}
