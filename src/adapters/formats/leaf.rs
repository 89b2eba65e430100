//! What a wanted field may become, whichever format it comes from.

use std::collections::HashSet;

use super::error::Error;
use super::rfc3339;
use super::table::Table;
use crate::domain::fields::FieldKind;
use crate::domain::fields::RowMut;
use crate::domain::fields::Step;
use crate::domain::fields::TimeUnit;

/// A field to be read. The `n`-th one fills slot `n`.
#[derive(Clone, Debug)]
pub struct Want {
    pub path: Vec<Step>,
    /// `None`: only whether any value but null is there (the slot is then 1).
    pub kind: Option<FieldKind>,
}

/// A [`FieldKind`], made ready for reading. Its tag is a byte of its own, which is quicker to look at than one that the table hides.
#[derive(Clone, Debug)]
#[repr(u8)]
pub enum Kind {
    Number,
    Integer,
    Boolean,
    Text,
    Category(Table),
    Timestamp(TimeUnit),
    Length,
    Bytes,
    Presence,
}

impl Kind {
    pub fn new(want: &Want) -> Result<Kind, Error> {
        Ok(match &want.kind {
            None => Kind::Presence,
            Some(FieldKind::Number) => Kind::Number,
            Some(FieldKind::Integer) => Kind::Integer,
            Some(FieldKind::Boolean) => Kind::Boolean,
            Some(FieldKind::Text) => Kind::Text,
            Some(FieldKind::Timestamp(unit)) => Kind::Timestamp(*unit),
            Some(FieldKind::Length { .. }) => Kind::Length,
            Some(FieldKind::Bytes) => Kind::Bytes,
            Some(FieldKind::Category(values)) => {
                let mut known = HashSet::new();
                if let Some(twice) = values.iter().find(|v| !known.insert(v.as_str())) {
                    return Err(Error::field(&want.path, format!("the category `{twice}` is listed twice")));
                }
                Kind::Category(Table::new(values.iter().map(|v| v.as_bytes())))
            }
        })
    }
}

/// One bit a slot.
#[derive(Clone, Debug, Default)]
pub struct Marks(Vec<u64>);

impl Marks {
    /// Clears all bits and makes room for `slots`.
    pub fn reset(&mut self, slots: usize) {
        self.0.clear();
        self.0.resize(slots.div_ceil(64), 0);
    }

    /// Clears all bits.
    pub fn clear_all(&mut self) {
        self.0.fill(0);
    }

    pub fn set(&mut self, slot: usize) {
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    pub fn clear(&mut self, slot: usize) {
        self.0[slot / 64] &= !(1 << (slot % 64));
    }

    pub fn get(&self, slot: usize) -> bool {
        self.0[slot / 64] >> (slot % 64) & 1 == 1
    }
}

/// Where one record's values go.
pub struct Target<'a, 'r> {
    pub row: &'a mut RowMut<'r>,
    /// Slots whose field was there with the wrong type.
    pub wrong: &'a mut Marks,
}

/// A value as the event holds it.
#[derive(Clone, Copy, Debug)]
pub enum Scalar<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    /// A number that is no integer of `i64`, or was written with a fraction or exponent.
    Number(f64),
    /// Text of valid UTF-8; `at` is its place in the batch's bytes, `None` when it had to be unescaped.
    Text {
        text: &'a [u8],
        at: Option<u32>,
    },
    /// An array or list of so many elements.
    List(u32),
    /// Bytes of any content.
    Bytes {
        bytes: &'a [u8],
        at: u32,
    },
    /// An object or struct, or an array that nobody counts: the wrong type for all but presence.
    Other,
}

/// Largest double below which every whole number is exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Target<'_, '_> {
    /// Puts a value into its slot, or marks the slot as absent or wrong; what was there before is forgotten.
    pub fn store(&mut self, slot: usize, kind: &Kind, value: Scalar<'_>) {
        self.row.clear(slot);
        self.wrong.clear(slot);
        let row = &mut *self.row;
        match (kind, value) {
            (_, Scalar::Null) => {}
            (Kind::Presence, _) => row.set_integer(slot, 1),
            (Kind::Number, Scalar::Integer(n)) => row.set_number(slot, n as f64),
            (Kind::Number, Scalar::Number(x)) if x.is_finite() => row.set_number(slot, x),
            (Kind::Integer, Scalar::Integer(n)) => row.set_integer(slot, n),
            (Kind::Integer, Scalar::Number(x)) if x.fract() == 0.0 && x.abs() <= EXACT => {
                row.set_integer(slot, x as i64);
            }
            (Kind::Boolean, Scalar::Boolean(b)) => row.set_integer(slot, i64::from(b)),
            (Kind::Length, Scalar::List(len)) => row.set_integer(slot, i64::from(len)),
            (Kind::Bytes, Scalar::Bytes { bytes, at }) => row.set_text(slot, at, bytes.len() as u32),
            (Kind::Text | Kind::Bytes, Scalar::Text { text, at }) => match at {
                Some(start) => row.set_text(slot, start, text.len() as u32),
                None => row.set_text_copied(slot, text),
            },
            (Kind::Category(table), Scalar::Text { text, .. }) => row.set_integer(slot, table.code(text)),
            (Kind::Timestamp(unit), value) => match micros(*unit, value) {
                Some(time) => row.set_integer(slot, time),
                None => self.wrong.set(slot),
            },
            _ => self.wrong.set(slot),
        }
    }

    /// Forgets what is in all slots: the event is read once more.
    pub fn start_over(&mut self) {
        self.row.clear_all();
        self.wrong.clear_all();
    }

    /// Forgets what is in a slot: the object around it comes again.
    #[cold]
    pub fn forget(&mut self, slot: usize) {
        self.row.clear(slot);
        self.wrong.clear(slot);
    }
}

/// Microseconds since 1970; `None` when the value is no time or outside `i64`.
fn micros(unit: TimeUnit, value: Scalar<'_>) -> Option<i64> {
    let factor = match unit {
        TimeUnit::Seconds => 1_000_000,
        TimeUnit::Milliseconds => 1_000,
        TimeUnit::Microseconds => 1,
    };
    match value {
        Scalar::Text { text, .. } => rfc3339::micros(text),
        Scalar::Integer(n) => n.checked_mul(factor),
        Scalar::Number(x) => {
            let time = (x * factor as f64).round();
            // 2^63 is the first double above all of i64
            (time >= i64::MIN as f64 && time < -(i64::MIN as f64)).then_some(time as i64)
        }
        _ => None,
    }
}
