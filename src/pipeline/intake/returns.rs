//! Pieces come home: permits are freed, ledgers advance, counters move together (rule J3).

use std::collections::BTreeMap;

use super::fill::Closed;
use super::Intake;
use crate::domain::lane::Lane;
use crate::domain::ledger::Settle;
use crate::domain::scored::Counts;
use crate::domain::verdict::Stage;
use crate::pipeline::message::{Fate, Return};

/// Running totals. `taken = stored + dead + skipped + handed back + in flight`, at every moment that anyone can look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub taken: u64,
    pub settled: Counts,
    /// Taken, then given up because the lane's epoch ended; whoever owns the lane reads them again.
    pub handed_back: u64,
    /// Delivered again below the position, dropped (rule W6). Not part of `taken`.
    pub stale: u64,
    pub taken_by_topic: BTreeMap<u16, u64>,
    pub dead: BTreeMap<(&'static str, &'static str), u64>,
    pub skipped: BTreeMap<u16, u64>,
    pub batches: BTreeMap<&'static str, u64>,
    pub batch_rows: u64,
    pub assigns: u64,
    pub revokes: u64,
    pub losses: u64,
    pub fenced: u64,
    pub restarts: u64,
    pub commits: u64,
    pub commit_errors: u64,
}

impl Totals {
    pub(super) fn take(&mut self, lane: Lane, records: u64) {
        self.taken += records;
        *self.taken_by_topic.entry(lane.topic).or_default() += records;
    }

    pub(super) fn closed(&mut self, why: Closed, rows: u64) {
        *self.batches.entry(why.name()).or_default() += 1;
        self.batch_rows += rows;
    }

    fn reasons(&mut self, reasons: &[(Stage, &'static str, u64)], skips: &[(u16, u64)]) {
        for (stage, reason, n) in reasons {
            *self.dead.entry((stage.name(), reason)).or_default() += n;
        }
        for (rule, n) in skips {
            *self.skipped.entry(*rule).or_default() += n;
        }
    }
}

impl Intake {
    pub(super) fn returned(&mut self, returns: Vec<Return>) {
        for Return { seq, piece, fate } in returns {
            let flight = self.flights.get_mut(&seq).expect("a piece comes home once, while its batch is in flight");
            flight.pieces -= 1;
            if flight.pieces == 0 {
                let flight = self.flights.remove(&seq).expect("it was there");
                self.in_flight_records -= flight.records;
                self.in_flight_bytes -= flight.bytes;
            }
            match fate {
                Fate::Settled(tally) => {
                    assert_eq!(tally.counts.total(), u64::from(piece.count), "P1: every record has one disposition");
                    self.totals.settled.add(tally.counts);
                    self.totals.reasons(&tally.reasons, &tally.skips);
                    let ledger = self.lanes.get_mut(&piece.lane).and_then(|c| c.ledger.as_mut());
                    let settled = ledger.map(|l| l.settle(piece.epoch, piece.end));
                    if settled == Some(Settle::Repeated) {
                        tracing::error!(lane = %piece.lane, end = piece.end, "a piece was settled twice");
                    }
                }
                Fate::Dropped => self.totals.handed_back += u64::from(piece.count),
            }
        }
    }

    /// Records taken and not yet home. A partly returned batch still holds its permit, but not these.
    pub(super) fn records_out(&self) -> u64 {
        let t = &self.totals;
        t.taken - t.settled.total() - t.handed_back
    }
}
