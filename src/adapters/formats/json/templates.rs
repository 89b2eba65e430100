//! Templates: events that are built like an earlier one are read without looking up a key.
//!
//! The structure of accepted events (all bytes between their scalar values) is kept as a trie. Following it is a masked
//! compare and one scalar a step. The same structure around valid scalars is the same event but for its values, so an
//! event that fits to its end needs no other check. One that does not fit is read anew by the plain reader, which alone
//! refuses events.

use super::cursor::Cursor;
use super::cursor::Read;
use super::notes::Act;
use super::notes::NOTES_MAX;
use super::notes::Notes;
use crate::adapters::formats::leaf::Scalar;

/// Structure that one step compares; longer runs take several steps.
const LITERAL: usize = 32;
/// Steps that are kept, about 100 KB.
const STEPS_MAX: usize = NOTES_MAX;
/// Different continuations of one place: an event that fits none of them has compared this many.
const BRANCHES_MAX: usize = 16;
const NIL: u32 = u32::MAX;

/// The rate of hits is a moving average over about 32 events; this is "all of them".
const RATE_FULL: u32 = 1024;
/// With fewer hits than this (30 %), templates are tried for one event in [`RARELY`] only.
const RATE_LOW: u32 = 307;
const RARELY: u32 = 64;
/// Learning costs more than reading: one miss in so many is learnt while most events hit.
const LEARN_EVERY: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Literal {
    want: [u64; LITERAL / 8],
    mask: [u64; LITERAL / 8],
    len: u32,
}

impl Literal {
    fn new(bytes: &[u8]) -> Literal {
        let (mut want, mut mask) = ([0; LITERAL], [0; LITERAL]);
        want[..bytes.len()].copy_from_slice(bytes);
        mask[..bytes.len()].fill(0xff);
        Literal { want: words(&want), mask: words(&mask), len: bytes.len() as u32 }
    }
}

#[inline(always)]
fn words(bytes: &[u8; LITERAL]) -> [u64; LITERAL / 8] {
    let (chunks, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|k| u64::from_le_bytes(chunks[k]))
}

/// Literal bytes, then an act. `next` follows when both went well, `other` is tried from the same place when not.
#[derive(Clone, Debug)]
struct Step {
    literal: Literal,
    act: Act,
    next: u32,
    other: u32,
}

/// The templates of one reader, and how well they do.
#[derive(Clone, Debug)]
pub struct Templates {
    steps: Vec<Step>,
    rate: u32,
    tick: u32,
    /// There was no room for an event that should have been learnt.
    full: bool,
    #[cfg(test)]
    pub hits: usize,
    #[cfg(test)]
    pub learnt: usize,
}

impl Default for Templates {
    fn default() -> Templates {
        Templates {
            steps: vec![],
            rate: RATE_FULL,
            tick: 0,
            full: false,
            #[cfg(test)]
            hits: 0,
            #[cfg(test)]
            learnt: 0,
        }
    }
}

impl Templates {
    /// Reads the event as [`Cursor::event`] does.
    #[inline]
    pub fn event(&mut self, cursor: &mut Cursor<'_, '_>, event: &[u8]) -> Read<()> {
        let len = event.len() as u32;
        if self.rate <= RATE_LOW {
            self.tick = self.tick.wrapping_add(1);
            if !self.tick.is_multiple_of(RARELY) {
                return cursor.event::<false>(len);
            }
        }
        if let Ok(true) = cursor.follow(&self.steps, len) {
            self.rate += (RATE_FULL - self.rate) >> 5;
            #[cfg(test)]
            {
                self.hits += 1;
            }
            return Ok(());
        }
        self.miss(cursor, event)
    }

    #[inline(never)]
    fn miss(&mut self, cursor: &mut Cursor<'_, '_>, event: &[u8]) -> Read<()> {
        self.rate -= self.rate >> 5;
        let low = self.rate <= RATE_LOW;
        if low && self.full {
            // other events than before come now
            self.steps.clear();
            self.full = false;
        }
        self.tick = self.tick.wrapping_add(1);
        cursor.start_over();
        let len = event.len() as u32;
        if !(low || self.steps.is_empty() || self.tick.is_multiple_of(LEARN_EVERY)) {
            return cursor.event::<false>(len);
        }
        #[cfg(test)]
        {
            self.learnt += 1;
        }
        cursor.notes.reset();
        cursor.event::<true>(len)?;
        if !cursor.notes.given_up && (cursor.is_ascii() || std::str::from_utf8(event).is_ok()) {
            self.learn(cursor.notes, event);
        }
        Ok(())
    }

    #[cfg(test)]
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Adds an accepted event, as far as it is not there already.
    #[cold]
    fn learn(&mut self, notes: &Notes, event: &[u8]) {
        let mut parts: Vec<(&[u8], Act)> = vec![];
        for note in &notes.list {
            let mut structure = &event[note.from as usize..note.to as usize];
            while let Some((part, rest)) = structure.split_at_checked(LITERAL).filter(|(_, rest)| !rest.is_empty()) {
                parts.push((part, Act::Go));
                structure = rest;
            }
            parts.push((structure, note.act));
        }
        // where the next step's number is to be written: `next` of a step, or `other`
        let (mut from, mut at) = (None, if self.steps.is_empty() { NIL } else { 0 });
        for (bytes, act) in parts {
            let literal = Literal::new(bytes);
            let mut branches = 0;
            while let Some(step) = self.steps.get(at as usize).filter(|s| s.literal != literal || s.act != act) {
                from = Some((at, true));
                at = step.other;
                branches += 1;
            }
            if at == NIL {
                if branches >= BRANCHES_MAX || self.steps.len() >= STEPS_MAX {
                    self.full = true;
                    return;
                }
                at = self.steps.len() as u32;
                self.steps.push(Step { literal, act, next: NIL, other: NIL });
                match from {
                    Some((step, true)) => self.steps[step as usize].other = at,
                    Some((step, false)) => self.steps[step as usize].next = at,
                    None => {}
                }
            }
            from = Some((at, false));
            at = self.steps[at as usize].next;
        }
    }
}

impl Cursor<'_, '_> {
    /// Reads an event by the trie. An error or false only says that it does not fit; slots may be filled.
    ///
    /// Bytes that were taken decide where in the event we are, so that of several steps at one place at most one goes
    /// well, and nothing needs to be taken back.
    #[inline(always)]
    fn follow(&mut self, steps: &[Step], len: u32) -> Read<bool> {
        let (mut at, mut i, mut scalar) = (0, 0, 0);
        loop {
            let Some(step) = steps.get(at as usize) else { return Ok(false) };
            if !self.fits(i, &step.literal)? {
                at = step.other;
                continue;
            }
            let behind = i + step.literal.len;
            let end = match step.act {
                Act::Go => behind,
                Act::Skip => self.skip_scalar(behind)?,
                Act::Leaf(slot) => {
                    scalar = behind;
                    match self.usual_for(behind, slot)? {
                        0 => self.unusual_at(behind, slot)?,
                        end => end,
                    }
                }
                Act::End if behind == len => return Ok(true),
                Act::End => 0,
                Act::Again(slot) => {
                    self.i = scalar;
                    self.leaf(slot)?;
                    self.i
                }
                Act::Other(slot) => self.store(slot, Scalar::Other, behind),
                Act::List(slot, len) => self.store(slot, Scalar::List(len), behind),
            };
            (at, i) = if end == 0 { (step.other, i) } else { (step.next, end) };
        }
    }

    #[inline(always)]
    fn fits(&self, i: u32, literal: &Literal) -> Read<bool> {
        let here = words(self.load::<LITERAL>(i)?);
        let differs = (0..here.len()).fold(0, |sum, k| sum | ((here[k] ^ literal.want[k]) & literal.mask[k]));
        Ok(differs == 0)
    }

    /// The place behind the scalar at `i`; 0 when an object or array is there.
    #[inline(never)]
    fn unusual_at(&mut self, i: u32, slot: u32) -> Read<u32> {
        self.i = i;
        Ok(if self.unusual(slot)? { self.i } else { 0 })
    }

    #[inline(never)]
    fn store(&mut self, slot: u32, what: Scalar<'_>, behind: u32) -> u32 {
        let plan = self.plan;
        self.target.store(slot as usize, &plan.kinds[slot as usize], what);
        behind
    }

    /// Forgets what was read of the event.
    fn start_over(&mut self) {
        self.i = 0;
        self.not_ascii = 0;
        self.target.start_over();
    }
}
