//! What happens to wanted fields that are missing or of the wrong type.

use super::error::Error;
use super::leaf::Marks;
use super::path;
use super::reject;
use crate::domain::fields::FieldKind;
use crate::domain::fields::FieldSpec;
use crate::domain::fields::Otherwise;
use crate::domain::fields::RowMut;
use crate::domain::verdict::Rejected;

/// A policy, made ready.
#[derive(Clone, Copy, Debug)]
enum Policy {
    Reject,
    Absent,
    Number(f64),
    Integer(i64),
}

/// Policies of one slot.
#[derive(Clone, Debug)]
struct Slot {
    slot: usize,
    path: String,
    missing: Policy,
    wrong: Policy,
}

/// How long the array of one slot may be.
#[derive(Clone, Debug)]
struct Bounds {
    slot: usize,
    path: String,
    min: u32,
    max: u32,
}

/// Policies of all slots that do not simply stay absent.
#[derive(Clone, Debug)]
pub struct Policies {
    slots: Vec<Slot>,
    /// Bits of these slots: a row that has them all, as most have, needs no look at each.
    needed: Vec<u64>,
    lengths: Vec<Bounds>,
}

impl Policies {
    /// # Errors
    /// [`Error::Field`] for a value that the field's kind cannot hold.
    pub fn new(wanted: &[FieldSpec]) -> Result<Policies, Error> {
        let (mut slots, mut lengths) = (vec![], vec![]);
        for (slot, spec) in wanted.iter().enumerate() {
            let (missing, wrong) = (policy(spec, spec.missing)?, policy(spec, spec.wrong)?);
            if !matches!((missing, wrong), (Policy::Absent, Policy::Absent)) {
                slots.push(Slot { slot, path: path::show(&spec.path), missing, wrong });
            }
            if let FieldKind::Length { min, max } = spec.kind {
                lengths.push(Bounds { slot, path: path::show(&spec.path), min, max });
            }
        }
        let mut needed = vec![0; wanted.len().div_ceil(64)];
        slots.iter().for_each(|s| needed[s.slot / 64] |= 1 << (s.slot % 64));
        Ok(Policies { slots, needed, lengths })
    }

    /// Settles a row that was read: `wrong` tells wrong fields from missing ones.
    pub fn apply(&self, row: &mut RowMut<'_>, wrong: &Marks) -> Result<(), Rejected> {
        for bounds in &self.lengths {
            bounds.hold(row)?;
        }
        if row.has_all(&self.needed) {
            return Ok(());
        }
        for slot in &self.slots {
            if row.is_present(slot.slot) {
                continue;
            }
            let is_wrong = wrong.get(slot.slot);
            match if is_wrong { slot.wrong } else { slot.missing } {
                Policy::Absent => {}
                Policy::Number(x) => row.set_number(slot.slot, x),
                Policy::Integer(n) => row.set_integer(slot.slot, n),
                Policy::Reject if is_wrong => {
                    return Err(reject("wrong_type", format!("field {} has the wrong type", slot.path)));
                }
                Policy::Reject => {
                    return Err(reject("missing_field", format!("field {} is missing or null", slot.path)));
                }
            }
        }
        Ok(())
    }
}

impl Bounds {
    /// An array of another length is said before the elements that it lacks are missed.
    fn hold(&self, row: &RowMut<'_>) -> Result<(), Rejected> {
        let Bounds { path, min, max, .. } = self;
        match row.integer(self.slot) {
            Some(len) if len < i64::from(*min) || len > i64::from(*max) => {
                let wanted = if min == max { format!("{min}") } else { format!("{min} to {max}") };
                Err(reject("wrong_length", format!("field {path} has {len} elements, wanted are {wanted}")))
            }
            _ => Ok(()),
        }
    }
}

fn policy(spec: &FieldSpec, otherwise: Otherwise) -> Result<Policy, Error> {
    let value = match otherwise {
        Otherwise::Reject => return Ok(Policy::Reject),
        Otherwise::Absent => return Ok(Policy::Absent),
        Otherwise::Value(value) => value,
    };
    let fail = |problem: &str| Err(Error::field(&spec.path, format!("the default {value} {problem}")));
    let whole = value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0;
    match &spec.kind {
        FieldKind::Number => return Ok(Policy::Number(value)),
        FieldKind::Text | FieldKind::Bytes => return fail("is a number, and the field is a text"),
        FieldKind::Length { .. } => return fail("is a number, and the field is an array"),
        FieldKind::Integer | FieldKind::Timestamp(_) if !whole => return fail("is not a whole number up to 2^53"),
        FieldKind::Boolean if value != 0.0 && value != 1.0 => return fail("is neither 0 nor 1"),
        FieldKind::Category(values) if !whole || value < -1.0 || value >= values.len() as f64 => {
            return fail("is no code of the category");
        }
        _ => {}
    }
    Ok(Policy::Integer(value as i64))
}
