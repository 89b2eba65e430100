//! A lane as its writer holds it: the mark, and the pieces that wait for it.

use std::collections::VecDeque;

use crate::domain::guard::Flood;
use crate::domain::lane::{Epoch, Now};
use crate::domain::scored::ScoredPiece;

/// A piece that waits for its turn.
#[derive(Debug)]
pub(super) struct Pending {
    pub piece: ScoredPiece,
    pub full: bool,
    pub since: Now,
}

impl Pending {
    pub fn expected(&self) -> i64 {
        self.piece.piece().expected
    }

    pub fn end(&self) -> i64 {
        self.piece.piece().end
    }

    /// Bytes that storing it moves, roughly: encoded rows of the batch and raw bytes, by the piece's share.
    pub fn bytes(&self) -> u64 {
        let scored = &self.piece.scored;
        let all = (scored.rows.bytes.len() + scored.batch.bytes.len()) as u64;
        all * u64::from(self.piece.piece().count) / (scored.batch.records.len() as u64).max(1)
    }
}

/// Where a lane stops for the flood guard: at the piece that begins here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub expected: i64,
    pub end: i64,
    pub flood: Flood,
}

/// One claim of one lane.
#[derive(Debug)]
pub(super) struct Held {
    pub epoch: Epoch,
    /// Everything below is durable; the next piece must begin here.
    pub mark: i64,
    /// In the order of `expected`; pieces come from the mill in any order.
    pub pending: VecDeque<Pending>,
    /// When the row was last seen to be what we believe, by a write or by reading it.
    pub checked: Now,
    pub stop: Option<Stop>,
}

impl Held {
    pub fn new(epoch: Epoch, mark: i64, now: Now) -> Held {
        Held { epoch, mark, pending: VecDeque::new(), checked: now, stop: None }
    }

    pub fn insert(&mut self, pending: Pending) {
        let at = self.pending.partition_point(|p| p.expected() < pending.expected());
        self.pending.insert(at, pending);
    }

    /// The next piece may be written (rule W1).
    pub fn is_ready(&self) -> bool {
        self.pending.front().is_some_and(|p| p.expected() == self.mark)
    }
}
