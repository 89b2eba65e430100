//! JSON events, read once from front to back straight into the slots of the fields that are wanted.
//!
//! The reader is strict RFC 8259: it takes and refuses exactly the texts that `serde_json` does when it reads a whole
//! `Value` from checked UTF-8 with `float_roundtrip`. Parts that nobody wants are checked as strictly as the others, so
//! that the decision about an event does not depend on the model. What RFC 8259 leaves open is settled so:
//!
//! - The event is one object, with nothing but white space around it.
//! - Of keys that come twice the last one counts, whole objects too: fields of the first object are forgotten.
//! - `null` means missing. A path through something that is no object (or array, for an index) is missing as well.
//! - Numbers in quotes are texts. NaN and infinities are not JSON; a number beyond the doubles (1e309) is refused.
//! - A number becomes the nearest double, also above 2^53. An integer is exact within `i64`, else of the wrong type;
//!   `1.0` and `1e2` are integers too, as long as they are whole as doubles and at most 2^53.
//! - A lone surrogate (`"\ud800"`) and invalid UTF-8 are refused, wherever they are.
//! - Objects and arrays may be nested to the configured depth; the event itself counts as one.
//!
//! In front of the reader stand [`templates`]: events that are built like earlier ones are read without looking up keys, with the
//! same results.

mod cursor;
mod marked;
mod notes;
mod number;
mod plan;
mod read;
mod skip;
mod templates;
mod text;
mod time;
mod value;

use std::sync::Arc;

use self::cursor::Bad;
use self::cursor::Cursor;
use self::cursor::PAD;
use self::notes::Notes;
use self::plan::Plan;
use self::templates::Templates;
use self::time::Day;
use super::error::Error;
use super::leaf::Marks;
use super::leaf::Target;
use super::leaf::Want;
use super::parser::Parser;
use super::reject;
use crate::domain::verdict::Rejected;

/// The reader of one thread: the shared plan and scratch memory.
#[derive(Clone, Debug)]
pub struct Json {
    plan: Arc<Plan>,
    depth_max: u32,
    padded: Vec<u8>,
    scratch: Vec<u8>,
    entered: Marks,
    day: Day,
    notes: Notes,
    /// Absent: every event is read by the plain reader.
    templates: Option<Templates>,
}

impl Json {
    /// Prepares for these fields; field `n` goes to slot `n`.
    pub fn new(wanted: &[Want], depth_max: u32, templates: bool) -> Result<Json, Error> {
        let plan = Plan::new(wanted, depth_max)?;
        Ok(Json {
            plan: Arc::new(plan),
            depth_max,
            padded: vec![],
            scratch: vec![],
            entered: Marks::default(),
            day: Day::default(),
            notes: Notes::default(),
            templates: templates.then(Templates::default),
        })
    }
}

impl Parser for Json {
    fn parse(&mut self, event: &[u8], base: u32, target: Target<'_, '_>) -> Result<(), Rejected> {
        // zeros behind the event end every scan, so that no step needs to ask whether the end was reached
        let need = event.len() + PAD;
        if self.padded.len() < need {
            self.padded.resize(need.next_power_of_two(), 0);
        }
        self.padded[..event.len()].copy_from_slice(event);
        self.padded[event.len()..need].fill(0);
        let mut cursor = Cursor {
            bytes: &self.padded[..need],
            i: 0,
            not_ascii: 0,
            base,
            depth_max: self.depth_max,
            plan: &self.plan,
            target,
            entered: &mut self.entered,
            scratch: &mut self.scratch,
            day: &mut self.day,
            notes: &mut self.notes,
        };
        let read = match &mut self.templates {
            Some(templates) => templates.event(&mut cursor, event),
            None => cursor.event::<false>(event.len() as u32),
        };
        let (place, ascii) = ((cursor.i as usize).min(event.len()), cursor.is_ascii());
        match read {
            Ok(()) if ascii => Ok(()),
            Ok(()) => match std::str::from_utf8(event) {
                Ok(_) => Ok(()),
                Err(e) => Err(reject("bad_utf8", format!("invalid UTF-8 at byte {}", e.valid_up_to()))),
            },
            Err(Bad::Syntax) => Err(reject("bad_json", format!("not valid JSON near byte {place}"))),
            Err(Bad::Depth) => {
                Err(reject("too_deep", format!("nested deeper than {} at byte {place}", self.depth_max)))
            }
        }
    }
}

#[cfg(test)]
mod template_tests;
#[cfg(test)]
mod tests;
