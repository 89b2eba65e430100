//! Pieces come home: permits are freed, ledgers advance, counters move together (rule J3).

use std::collections::BTreeMap;

use super::Intake;
use crate::domain::batch::Piece;
use crate::domain::lane::{Lane, Now};
use crate::domain::ledger::Settle;
use crate::domain::scored::Counts;
use crate::domain::verdict::Stage;
use crate::failpoints::{self, Point};
use crate::pipeline::message::{Fate, Order, Return, Tally};

/// Running totals of one topic. `taken = stored + dead + skipped + handed back + in flight`, at every moment that anyone can look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicTotals {
    pub taken: u64,
    pub taken_bytes: u64,
    pub settled: Counts,
    /// Taken, then given up because the lane's epoch ended; whoever owns the lane reads them again.
    pub handed_back: u64,
    /// Delivered again below the position, dropped (rule W6). Not part of `taken`.
    pub stale: u64,
    /// Times that the flood guard stopped the topic.
    pub floods: u64,
    pub dead: BTreeMap<(Stage, &'static str), u64>,
    pub skipped: BTreeMap<u16, u64>,
}

impl TopicTotals {
    /// Taken and not yet home. A partly returned batch still holds its permit, but not these.
    pub fn in_flight(&self) -> u64 {
        self.taken - self.settled.total() - self.handed_back
    }

    fn settle(&mut self, tally: &Tally) {
        self.settled.add(tally.counts);
        for (stage, reason, n) in &tally.reasons {
            *self.dead.entry((*stage, reason)).or_default() += n;
        }
        for (rule, n) in &tally.skips {
            *self.skipped.entry(*rule).or_default() += n;
        }
    }
}

/// Running totals of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub topics: BTreeMap<u16, TopicTotals>,
    pub assigns: u64,
    pub revokes: u64,
    pub losses: u64,
    /// Claims that answered after revoke, loss or drain.
    pub late_claims: u64,
    pub fenced: u64,
    pub restarts: u64,
    pub commits: u64,
    pub commit_errors: u64,
}

impl Totals {
    pub(super) fn topic(&mut self, lane: Lane) -> &mut TopicTotals {
        self.topics.entry(lane.topic).or_default()
    }

    /// One number over all topics.
    pub fn sum(&self, of: impl Fn(&TopicTotals) -> u64) -> u64 {
        self.topics.values().map(of).sum()
    }
}

impl Intake {
    fn settled(&mut self, now: Now, piece: &Piece, orders: &mut Vec<Order>) {
        let Some(custody) = self.lanes.get_mut(&piece.lane) else { return };
        let Some(ledger) = &mut custody.ledger else { return };
        match ledger.settle(piece.epoch, piece.end) {
            // Only what is durable ends a row of failures: taking alone would let a lane that is fenced or restarted
            // for ever come back at full speed (rule C5).
            Settle::Advanced(_) | Settle::Held => {
                custody.backoff.succeeded(now);
                self.tried(piece);
                self.calm(piece.lane, Some(piece.count), orders);
            }
            Settle::Stale => {}
            Settle::Repeated => tracing::error!(lane = %piece.lane, end = piece.end, "a piece was settled twice"),
        }
    }

    pub(super) fn returned(&mut self, now: Now, returns: Vec<Return>, orders: &mut Vec<Order>) {
        for Return { seq, piece, fate } in returns {
            let flight = self.flights.get_mut(&seq).expect("a piece comes home once, while its batch is in flight");
            flight.pieces -= 1;
            if flight.pieces == 0 {
                let flight = self.flights.remove(&seq).expect("it was there");
                self.in_flight_records -= flight.records;
                self.in_flight_bytes -= flight.bytes;
                self.landed(seq);
            }
            match fate {
                Fate::Settled(tally) => {
                    assert_eq!(tally.counts.total(), u64::from(piece.count), "P1: every record has one disposition");
                    self.totals.topic(piece.lane).settle(&tally);
                    self.settled(now, &piece, orders);
                }
                Fate::Dropped => self.totals.topic(piece.lane).handed_back += u64::from(piece.count),
            }
        }
        failpoints::hit(Point::AfterSettle);
    }
}
