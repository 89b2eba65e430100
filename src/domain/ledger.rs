//! The ledger of one claimed lane: what was taken, what of it is durable, and how far the log may be called done.
//!
//! *Take* = records enter our care; *settle* = their fate is durable; the *mark* is the offset below which all is settled.
//!
//! Invariants, each asserted here and stated as a property in `tests/ledger.rs`:
//! - **I1** The mark is never above the end of the first unsettled piece's predecessor: nothing unsettled lies below it.
//! - **I2** Within an epoch neither mark nor position goes back.
//! - **I3** A settlement of another epoch changes nothing.
//! - **I4** Offsets that never arrived (compaction, transaction markers) count as settled with the piece that passes them.
//! - **I5** `in_flight` equals the records of the unsettled pieces.
//! - **I6** Settling a piece twice is reported and not counted twice.
//! - **I7** When all is settled, the mark is the position.
//! - **I8** A piece that is never settled holds the mark back; it never lets it pass.

use std::collections::VecDeque;

use super::lane::Epoch;
use super::mutants;

#[derive(Clone, Copy, Debug)]
struct Taken {
    end: i64,
    records: u64,
    settled: bool,
}

/// What a settlement did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settle {
    /// The mark moved to this offset.
    Advanced(i64),
    /// Settled, but something before it is not.
    Held,
    /// Of an ended epoch (I3).
    Stale,
    /// Was settled before, or never taken (I6).
    Repeated,
}

/// Ledger of one lane under one claim.
#[derive(Clone, Debug)]
pub struct Ledger {
    epoch: Epoch,
    mark: i64,
    position: i64,
    in_flight: u64,
    pieces: VecDeque<Taken>,
}

impl Ledger {
    pub fn new(epoch: Epoch, next_offset: i64) -> Ledger {
        Ledger { epoch, mark: next_offset, position: next_offset, in_flight: 0, pieces: VecDeque::new() }
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Everything below is durable.
    pub fn mark(&self) -> i64 {
        self.mark
    }

    /// Where the next piece begins, whatever offset its first record has (I4).
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Records taken and not settled.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub fn is_drained(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Takes a piece of `records` records that ends before offset `end`; the answer is where it begins.
    ///
    /// # Panics
    /// If `end` is not above the position: a log is read forward only (I2).
    pub fn take(&mut self, end: i64, records: u64) -> i64 {
        assert!(end > self.position, "I2: a piece ends at {end}, position is {}", self.position);
        let expected = self.position;
        self.pieces.push_back(Taken { end, records, settled: false });
        self.position = end;
        self.in_flight += records;
        expected
    }

    /// The last piece grows: a batch took more of the same lane before it was closed.
    ///
    /// # Panics
    /// If there is no unsettled last piece or `end` does not advance.
    pub fn extend(&mut self, end: i64, records: u64) {
        let last = self.pieces.back_mut().expect("only the piece of an open batch is extended");
        assert!(!last.settled && end > last.end, "I2: a piece is extended to {end} from {}", last.end);
        last.end = end;
        last.records += records;
        self.position = end;
        self.in_flight += records;
    }

    /// The piece that ends at `end` is durable.
    pub fn settle(&mut self, epoch: Epoch, end: i64) -> Settle {
        if epoch != self.epoch && !mutants::on("settle_any_epoch") {
            return Settle::Stale;
        }
        let Ok(i) = self.pieces.binary_search_by_key(&end, |p| p.end) else { return Settle::Repeated };
        if self.pieces[i].settled && !mutants::on("settle_twice") {
            return Settle::Repeated;
        }
        self.pieces[i].settled = true;
        if !mutants::on("settle_keeps_in_flight") {
            self.in_flight = self.in_flight.saturating_sub(self.pieces[i].records);
        }
        let before = self.mark;
        if mutants::on("mark_highest_seen") {
            self.mark = self.mark.max(end);
        }
        while let Some(first) = self.pieces.front().filter(|p| p.settled) {
            assert!(
                first.end > self.mark || mutants::on("mark_highest_seen"),
                "I2: the mark goes back to {}",
                first.end
            );
            self.mark = first.end.max(self.mark);
            self.pieces.pop_front();
            if mutants::on("settle_behind") {
                break;
            }
        }
        if mutants::on("mark_goes_back") && self.pieces.len() == 3 {
            self.mark = before - 1;
        }
        if mutants::on("drained_below_position") && self.pieces.is_empty() {
            self.mark = self.position - 1;
        }
        assert!(
            !self.pieces.is_empty() || self.mark == self.position || mutants::any(),
            "I7: drained below the position"
        );
        if self.mark > before { Settle::Advanced(self.mark) } else { Settle::Held }
    }
}
