//! When a batch closes and what goes into it (rules T1, T2, T6).

use std::sync::Arc;

use super::Intake;
use super::alone::Alone;
use crate::domain::batch::{Batch, Piece};
use crate::domain::lane::{Lane, Now};
use crate::domain::scored::Scored;
use crate::failpoints::{self, Point};
use crate::pipeline::intake::Flight;
use crate::pipeline::message::Order;
use crate::ports::{Broker, Room};

/// Records taken from one lane before the next lane's turn: one busy partition must not starve the others.
const RUN: u32 = 256;

/// Why a batch closed; a metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closed {
    Rows,
    Bytes,
    /// A worker was free and nothing more was ready.
    Ready,
    /// The deliberate delay was over.
    Wait,
    /// All permits are out: waiting would not fill it.
    Permits,
    /// Drain or revoke.
    Flush,
}

impl Intake {
    pub(super) fn fill_and_close(&mut self, now: Now, broker: &mut dyn Broker, orders: &mut Vec<Order>) {
        loop {
            if self.outages.is_empty() {
                self.fill(now, broker);
            }
            match self.closing(now) {
                Some(why) => self.close(why, orders),
                None => return,
            }
        }
    }

    fn fill(&mut self, now: Now, broker: &mut dyn Broker) {
        while let Some(room) = self.room() {
            if self.alone.as_ref().is_some_and(Alone::is_exclusive) {
                return;
            }
            let Some(lane) = self.ready.pop_front() else { return };
            let revoked = self.revoke.as_ref().is_some_and(|r| r.lanes.contains(&lane));
            let Some(custody) = self.lanes.get_mut(&lane) else { continue };
            custody.queued = false;
            if revoked || !custody.is_reading() {
                continue;
            }
            let Some(room) = self.lane_room(lane, room) else {
                self.take_alone(now, lane, broker);
                continue;
            };
            let custody = self.lanes.get_mut(&lane).expect("it was just looked at");
            if self.open.is_empty() {
                self.opened = now;
            }
            let from = custody.ledger.as_ref().expect("a lane that is read has a ledger").position();
            let before = self.open.bytes.len() as u64;
            let taken = broker.take(lane, from, room, &mut self.open);
            self.totals.topic(lane).stale += u64::from(taken.stale);
            if taken.records > 0 {
                self.enter(lane, taken.records, self.open.bytes.len() as u64 - before);
                failpoints::hit(Point::InBatchFill);
            }
            if !taken.drained {
                self.queue(lane);
            }
        }
    }

    /// The part of the room that this lane may use now. One that gets none is queued again when that changes, or by the sweep.
    fn lane_room(&self, lane: Lane, room: Room) -> Option<Room> {
        let limits = [self.guarded_room(lane), self.careful_room(lane)];
        let records = limits.into_iter().flatten().fold(room.records, u32::min);
        (records > 0).then_some(Room { records, ..room })
    }

    /// What may still be taken into the open batch; `None` when it is full or all permits are out.
    fn room(&self) -> Option<Room> {
        let options = &self.settings.intake;
        let open = (self.open.records.len() as u64, self.open.bytes.len() as u64);
        let batch = u64::from(self.settings.batch.rows_max).saturating_sub(open.0);
        let permits = u64::from(options.in_flight_records).saturating_sub(self.in_flight_records + open.0);
        let batch_bytes = self.settings.batch.bytes_max.0.saturating_sub(open.1);
        let permit_bytes = options.in_flight_bytes.0.saturating_sub(self.in_flight_bytes + open.1);
        let records = batch.min(permits).min(u64::from(RUN)) as u32;
        let bytes = batch_bytes.min(permit_bytes) as usize;
        (records > 0 && bytes > 0).then_some(Room { records, bytes })
    }

    fn enter(&mut self, lane: Lane, records: u32, bytes: u64) {
        let last = self.open.records.last().expect("records were taken");
        let (end, first) = (last.offset + 1, self.open.records.len() as u32 - records);
        let custody = self.lanes.get_mut(&lane).expect("it was taken from");
        custody.out_of_range = None;
        let ledger = custody.ledger.as_mut().expect("a lane that is read has a ledger");
        let totals = self.totals.topic(lane);
        totals.taken += u64::from(records);
        totals.taken_bytes += bytes;
        match self.open.pieces.last_mut() {
            Some(piece) if piece.lane == lane && piece.epoch == ledger.epoch() => {
                ledger.extend(end, u64::from(records));
                piece.end = end;
                piece.count += records;
            }
            _ => {
                let expected = ledger.take(end, u64::from(records));
                self.open.pieces.push(Piece { lane, epoch: ledger.epoch(), expected, end, first, count: records });
            }
        }
    }

    fn closing(&self, now: Now) -> Option<Closed> {
        if self.open.is_empty() {
            return None;
        }
        let workers = self.settings.workers;
        let full = if self.open.records.len() >= self.settings.batch.rows_max as usize {
            Some(Closed::Rows)
        } else if self.open.bytes.len() as u64 >= self.settings.batch.bytes_max.0 {
            Some(Closed::Bytes)
        } else {
            None
        };
        // A full batch may queue before a busy worker, one for each: the worker then never waits for us.
        if full.is_some() {
            return full.filter(|_| self.in_mill < 2 * workers);
        }
        if self.in_mill >= workers {
            return None;
        }
        let wait = self.settings.batch.wait.duration();
        if self.room().is_none() {
            Some(Closed::Permits)
        } else if self.revoke.is_some() || !self.outages.is_empty() {
            Some(Closed::Flush)
        } else if wait.is_zero() {
            Some(Closed::Ready)
        } else {
            (now >= self.opened + wait).then_some(Closed::Wait)
        }
    }

    pub(super) fn close(&mut self, why: Closed, orders: &mut Vec<Order>) {
        let mut batch = std::mem::take(&mut self.open);
        // The next one will be about as large, or a little larger: no growing, no copying.
        let bytes = batch.bytes.len().min(self.settings.batch.bytes_max.bytes());
        self.open.bytes.reserve(bytes + bytes / 16);
        self.open.records.reserve(batch.records.len());
        batch.full = matches!(why, Closed::Rows | Closed::Bytes);
        self.fly(&mut batch);
        self.in_mill += 1;
        orders.push(Order::Mill { batch, why });
    }

    pub(super) fn fly(&mut self, batch: &mut Batch) {
        self.seq += 1;
        batch.seq = self.seq;
        let (records, bytes) = (batch.records.len() as u64, batch.bytes.len() as u64);
        self.in_flight_records += records;
        self.in_flight_bytes += bytes;
        self.flights.insert(self.seq, Flight { pieces: batch.pieces.len() as u32, records, bytes });
    }

    /// A lane that was read to its end: its mark follows past markers and compacted offsets (rule T6).
    pub(super) fn move_idle(&mut self, now: Now, broker: &mut dyn Broker, orders: &mut Vec<Order>) {
        if !self.outages.is_empty() || self.revoke.is_some() {
            return;
        }
        let interval = self.settings.intake.idle_interval.duration();
        let (mut idle, mut read) = (vec![], vec![]);
        for (lane, custody) in self.lanes.iter_mut().filter(|(_, c)| c.is_reading() && c.idle_due <= now) {
            custody.idle_due = now + interval;
            let ledger = custody.ledger.as_mut().expect("a lane that is read has a ledger");
            if !ledger.is_drained() {
                continue;
            }
            let end = broker.idle_end(*lane);
            if end.is_some() && custody.care.is_some() {
                read.push(*lane);
            }
            if let Some(end) = end.filter(|end| *end > ledger.position()) {
                let epoch = ledger.epoch();
                idle.push(Piece { lane: *lane, epoch, expected: ledger.take(end, 0), end, first: 0, count: 0 });
            }
        }
        // All that its last owner can have taken has passed.
        read.into_iter().for_each(|lane| self.calm(lane, None, orders));
        for piece in idle {
            let mut batch = Batch { pieces: vec![piece], ..Batch::default() };
            self.fly(&mut batch);
            orders.push(Order::Idle(Arc::new(Scored { batch, ..Scored::default() })));
        }
    }
}
