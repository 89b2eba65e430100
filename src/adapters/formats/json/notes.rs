//! What reading an event did, as a list: bytes that say nothing but the structure, then what was done behind them.

use super::super::leaf::Scalar;
use super::cursor::Cursor;
use super::plan::Goal;
use super::plan::NONE;

/// Longer lists are given up: such an event makes no template.
pub const NOTES_MAX: usize = 1024;

/// What is done behind a note's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing: the bytes go on in the next step.
    Go,
    /// The event ends here.
    End,
    /// A scalar that nobody wants.
    Skip,
    /// A scalar for this slot.
    Leaf(u32),
    /// The scalar before, for one more slot.
    Again(u32),
    /// The slot's field is an object or array.
    Other(u32),
    /// The slot's field is an array of so many elements.
    List(u32, u32),
}

/// Bytes `from..to` of the event are structure (braces, commas, keys, white space).
#[derive(Clone, Copy, Debug)]
pub struct Note {
    pub from: u32,
    pub to: u32,
    pub act: Act,
}

/// The list of one event. Doing the same in the same order to an empty row gives the same row.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    pub list: Vec<Note>,
    /// Where the structure goes on that is in no note yet.
    next: u32,
    /// Something happened that notes cannot tell, or too much.
    pub given_up: bool,
}

impl Notes {
    pub fn reset(&mut self) {
        *self = Notes { list: std::mem::take(&mut self.list), ..Notes::default() };
        self.list.clear();
    }

    /// Structure up to `to`, then an act that takes everything up to `next`.
    fn put(&mut self, to: u32, next: u32, act: Act) {
        if self.list.len() >= NOTES_MAX {
            self.given_up = true;
            return;
        }
        self.list.push(Note { from: self.next, to, act });
        self.next = next;
    }
}

impl Cursor<'_, '_> {
    /// Notes what was done with the scalar from `from` up to `next`.
    #[inline(always)]
    pub fn note<const NOTE: bool>(&mut self, from: u32, next: u32, act: Act) {
        if NOTE {
            self.notes.put(from, next, act);
        }
    }

    /// An object or array is at the cursor, or an array ends before it: stores that in the slots of a goal.
    ///
    /// The bracket belongs to the note, so that no scalar can be in its place.
    #[inline(never)]
    pub fn container_for<const NOTE: bool>(&mut self, goal: &Goal, len: Option<u32>) {
        let plan = self.plan;
        for slot in std::iter::once(goal.first).filter(|s| *s != NONE).chain(goal.more.iter().copied()) {
            let (what, act, to) = match len {
                None => (Scalar::Other, Act::Other(slot), self.i + 1),
                Some(len) => (Scalar::List(len), Act::List(slot, len), self.i),
            };
            self.target.store(slot as usize, &plan.kinds[slot as usize], what);
            if NOTE {
                self.notes.put(to, to, act);
            }
        }
    }
}
