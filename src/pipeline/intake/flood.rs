//! Topics that the flood guard has stopped (rule J1): one record is tried now and then, a person may accept the cause.

use super::Intake;
use super::custody::State;
use crate::domain::batch::Piece;
use crate::domain::guard::{Accepted, Flood};
use crate::domain::lane::{Epoch, Lane, Now};
use crate::pipeline::message::Order;
use crate::ports::ClaimError;

/// A stopped topic.
#[derive(Debug)]
pub(super) struct Stopped {
    pub flood: Flood,
    /// Its first piece would have made the flood. Only this lane is tried.
    lane: Lane,
    /// Once the lane's mark is here, what was held has passed.
    end: i64,
    /// Records of the next try: one, and twice as many after each that passed.
    size: u32,
}

impl Intake {
    /// A writer holds a piece: its lane goes back to its mark and waits, and its topic with it.
    pub(super) fn flooded(
        &mut self,
        now: Now,
        lane: Lane,
        epoch: Epoch,
        end: i64,
        flood: Flood,
        orders: &mut Vec<Order>,
    ) {
        let ours = self.lanes.get(&lane).and_then(|c| c.ledger.as_ref()).is_some_and(|l| l.epoch() == epoch);
        if !ours {
            return;
        }
        self.give_up_epoch(lane, orders);
        let until = now + self.settings.guard.retry.duration();
        self.set_state(lane, State::Waiting { until, cause: "it waits for the flood guard".to_owned() });
        let known = self.stopped.get(&lane.topic);
        if known.is_none() {
            self.totals.topic(lane).floods += 1;
            self.accepted_due = now;
            tracing::error!(%lane, cause = %flood.cause, rejected = flood.rejected, of = flood.of,
                "too many records are rejected for one cause: intake of the topic stops");
        }
        if known.is_none_or(|s| s.lane == lane) {
            self.stopped.insert(lane.topic, Stopped { flood, lane, end, size: 1 });
        }
    }

    /// Records that may be taken from the lane now; `None`: no limit.
    pub(super) fn guarded_room(&self, lane: Lane) -> Option<u32> {
        let stopped = self.stopped.get(&lane.topic)?;
        let idle = self.lanes.get(&lane).and_then(|c| c.ledger.as_ref()).is_some_and(|l| l.in_flight() == 0);
        Some(if stopped.lane == lane && idle { stopped.size } else { 0 })
    }

    /// A piece of a stopped topic's lane passed.
    pub(super) fn tried(&mut self, piece: &Piece) {
        let Some(stopped) = self.stopped.get_mut(&piece.lane.topic).filter(|s| s.lane == piece.lane) else { return };
        stopped.size = stopped.size.saturating_mul(2);
        self.queue(piece.lane);
    }

    /// Lets topics go on whose held piece has passed or is no longer ours, and asks what a person has accepted.
    pub(super) fn watch_floods(&mut self, now: Now, orders: &mut Vec<Order>) {
        // Also while an accepted topic goes on: the word may be taken back, and the guard would not hear of it.
        if self.stopped.is_empty() && now >= self.accepted_until {
            return;
        }
        let lanes = &self.lanes;
        let holds = |s: &Stopped| {
            let custody = lanes.get(&s.lane).filter(|c| !matches!(c.state, State::Parked { .. }));
            custody.is_some_and(|c| c.ledger.as_ref().is_none_or(|l| l.mark() < s.end))
        };
        self.stopped.retain(|_, s| holds(s));
        let wanted = !self.stopped.is_empty() || now < self.accepted_until;
        if wanted && !self.asking_accepted && now >= self.accepted_due && self.drain.is_none() {
            self.asking_accepted = true;
            orders.push(Order::Accepted);
        }
    }

    pub(super) fn accepted(&mut self, now: Now, answer: Result<Vec<Accepted>, ClaimError>) {
        self.asking_accepted = false;
        self.accepted_due = now + self.settings.guard.poll.duration();
        let Ok(list) = answer else { return };
        self.accepted_until = list.iter().map(|a| now + a.left).max().unwrap_or(Now::ZERO);
        let mut guard = self.guard.lock();
        guard.accept(now, &list);
        for (topic, stopped) in &mut self.stopped {
            if !guard.is_accepted(now, *topic, stopped.flood.cause) || stopped.size == u32::MAX {
                continue;
            }
            tracing::warn!(topic, cause = %stopped.flood.cause, "the cause was accepted: its records become dead letters");
            stopped.size = u32::MAX;
            if let Some(State::Waiting { until, .. }) = self.lanes.get_mut(&stopped.lane).map(|c| &mut c.state) {
                *until = now;
            }
        }
    }
}
