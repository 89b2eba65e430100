//! One lane in intake's care: given, claimed, assigned, and everything that can interrupt that.

use crate::domain::care::Care;
use crate::domain::lane::{Epoch, Now};
use crate::domain::ledger::Ledger;
use crate::domain::miss::Mark;
use crate::domain::retry::Backoff;
use crate::pipeline::message::Trouble;

/// Where a lane stands. A lane without custody is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// A claim is under way.
    Claiming,
    /// Claimed and fetched from.
    Reading,
    /// No reading until then; after that a new claim.
    Waiting { until: Now, cause: String },
    /// A person must decide. The row is read now and then; once it is not what was `seen` first, the lane is claimed again.
    Parked { recheck: Now, cause: String, peeking: bool, seen: Option<Option<Mark>> },
}

/// A lane that the group gives to us.
#[derive(Clone, Debug)]
pub struct Custody {
    pub state: State,
    /// The claim that is awaited; an answer with another ticket is of an older custody.
    pub ticket: u64,
    /// Present from a claim to the end of its epoch.
    pub ledger: Option<Ledger>,
    /// The client fetches this lane: it must be named when the group takes it back, and only then (rule C2).
    pub fetching: bool,
    /// On intake's ready list.
    pub queued: bool,
    /// The last claim that the database granted: its row names us until it is released (rule C5).
    pub held: Option<Epoch>,
    /// Offset that the broker called out of range once already.
    pub out_of_range: Option<i64>,
    /// Of a parked lane: what its log holds, and the mark that it stands at, as far as they are known.
    pub bounds: Option<(i64, i64)>,
    pub stands_at: Option<i64>,
    /// Mark that Kafka was last told.
    pub committed: i64,
    pub idle_due: Now,
    pub backoff: Backoff,
    /// What the database said to the last claim, from its failure until a claim has another outcome.
    pub refused: Option<Trouble>,
    /// An owner before us ended unclean.
    pub care: Option<Care>,
}

impl Custody {
    pub fn new(ticket: u64, backoff: Backoff) -> Custody {
        Custody {
            state: State::Claiming,
            ticket,
            ledger: None,
            fetching: false,
            queued: false,
            held: None,
            out_of_range: None,
            bounds: None,
            stands_at: None,
            committed: -1,
            idle_due: Now::ZERO,
            backoff,
            refused: None,
            care: None,
        }
    }

    pub fn is_reading(&self) -> bool {
        self.state == State::Reading
    }

    /// Nothing of this lane is under way in later steps.
    pub fn is_drained(&self) -> bool {
        self.ledger.as_ref().is_none_or(Ledger::is_drained)
    }

    /// Why this lane is not being read, for `/readyz`.
    pub fn cause(&self) -> Option<String> {
        match (&self.state, self.bounds) {
            // Also while it is asked again: an outage may take longer than the question.
            (State::Claiming, _) => self.refused.as_ref().map(|r| r.text.clone()),
            (State::Parked { cause, .. }, Some((first, end))) if first < end => {
                Some(format!("{cause}; the log holds offsets {first} to {}", end - 1))
            }
            (State::Parked { cause, .. }, Some((_, end))) => {
                Some(format!("{cause}; the log is empty, its next offset is {end}"))
            }
            (State::Waiting { cause, .. } | State::Parked { cause, .. }, _) => Some(cause.clone()),
            (State::Reading, _) => None,
        }
    }

    /// Offsets between the mark of a parked lane and the first that its log still has: what was lost, as far as is known.
    pub fn lost(&self) -> Option<u64> {
        if !matches!(self.state, State::Parked { .. }) {
            return None;
        }
        let (first, _) = self.bounds?;
        Some(u64::try_from(first - self.stands_at?).unwrap_or(0))
    }
}
