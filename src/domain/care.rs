//! Care with a lane whose last owner ended unclean (rule J5): one of its next records may end the process again, where no
//! panic is caught: an abort, a stack overflow, memory.
//!
//! First short runs, one at a time: they cost next to nothing and tell, if the process ends again, that it is one of the
//! next few. Then those few one by one, each noted before it is processed. A record that was noted when a process ended is
//! processed with nothing else under way, so that it cannot be blamed for another; after enough such ends it is not
//! processed any more.
//!
//! Invariants, stated as properties in `tests/care.rs`:
//! - **K1** A record that ends the process is condemned after at most `tries` + 2 ends, wherever it stands.
//! - **K2** A record that ends no process is never condemned, however many others do.
//! - **K3** Care ends: once as many records have passed as can have been in flight, or the end of the log is reached.

use super::lane::Now;
use super::mutants;

/// Records of a short run, and records that are taken one by one.
pub const RUN: u32 = 64;

/// What a claim found out about the lane's last owners, kept until care ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Attempt {
    /// Unclean ends since care began.
    pub exits: u32,
    /// The record that was processed alone when an owner ended.
    pub current: Option<i64>,
    /// Unclean ends while it was.
    pub tries: u32,
}

impl Attempt {
    /// An owner ended unclean with its mark here; `before` is what was known until then. `noted`: it was this owner that noted
    /// the current record, not one before it that got no further.
    pub fn after_exit(before: Option<Attempt>, mark: i64, noted: bool) -> Attempt {
        let Some(before) = before else { return Attempt { exits: 1, current: None, tries: 0 } };
        let current = before.current.filter(|offset| *offset >= mark);
        let tries = if current.is_some() { before.tries + u32::from(noted) } else { 0 };
        Attempt { exits: before.exits + 1, current, tries }
    }

    /// The last owner that was believed to have ended lives after all: it released the lane late. `counted`: its end was a try.
    pub fn forgiven(self, counted: bool) -> Attempt {
        let tries = self.tries.saturating_sub(u32::from(counted));
        Attempt { exits: self.exits.saturating_sub(1), tries, ..self }
    }

    /// A record is about to be processed alone. (When a note is taken back all of this stays: only the owner's name goes.)
    pub fn noting(self, offset: i64) -> Attempt {
        let tries = if self.current == Some(offset) { self.tries } else { 0 };
        Attempt { current: Some(offset), tries, ..self }
    }
}

/// How the next record of a lane is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Up to so many at once, nothing else of the lane under way.
    Run(u32),
    /// One, noted before.
    Alone,
}

/// What to do with a record that was taken alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judgement {
    Process,
    /// With nothing else under way in the process.
    ProcessExclusively,
    /// It ended the process so often.
    Condemn(u32),
}

/// Care with one claimed lane.
#[derive(Clone, Debug)]
pub struct Care {
    attempt: Attempt,
    /// Unclean ends with one record that condemn it.
    tries: u32,
    /// Records that can have been in flight when the owner ended, less those that have passed.
    left: u64,
    alone: u32,
}

impl Care {
    pub fn new(attempt: Attempt, tries: u32, in_flight: u32) -> Care {
        let alone = if attempt.exits >= 2 || attempt.current.is_some() { RUN } else { 0 };
        Care { attempt, tries, left: u64::from(in_flight.max(1)), alone }
    }

    pub fn way(&self) -> Way {
        if self.alone > 0 { Way::Alone } else { Way::Run(RUN) }
    }

    pub fn judge(&self, offset: i64) -> Judgement {
        match self.attempt.current {
            Some(current) if current == offset && self.attempt.tries >= self.tries && !mutants::on("no_care") => {
                Judgement::Condemn(self.attempt.tries)
            }
            Some(current) if current == offset && !mutants::on("care_blames_anyone") => Judgement::ProcessExclusively,
            _ => Judgement::Process,
        }
    }

    /// So many records are durable; whether care ends.
    pub fn passed(&mut self, records: u32) -> bool {
        self.left = self.left.saturating_sub(u64::from(records));
        self.alone = self.alone.saturating_sub(records);
        self.left == 0
    }
}

/// Pace of noting again after the database did not answer.
pub const NOTE_AGAIN: Now = Now::from_millis(500);
