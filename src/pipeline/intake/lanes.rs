//! Lanes between being given and being handed over: claims, waits, parking, revokes (rules C1 to C5, W6).

use super::Intake;
use super::custody::{Custody, State};
use crate::domain::lane::{Lane, Now};
use crate::domain::ledger::Ledger;
use crate::domain::miss::Mark;
use crate::domain::mutants;
use crate::pipeline::message::{Order, TopicTrouble, Trouble};
use crate::ports::{Broker, ClaimError, Claimed, SinkError};

impl Intake {
    pub(super) fn claimed(
        &mut self,
        now: Now,
        lane: Lane,
        ticket: u64,
        answer: Result<Claimed, ClaimError>,
        broker: &mut dyn Broker,
        orders: &mut Vec<Order>,
    ) {
        let awaited = self.lanes.get(&lane).is_some_and(|c| c.ticket == ticket && c.state == State::Claiming);
        if let Ok(claimed) = &answer {
            let floor = self.floors.entry(lane).or_default();
            *floor = claimed.epoch.max(*floor);
        }
        let leaving = self.drain.is_some() || self.revoke.as_ref().is_some_and(|r| r.lanes.contains(&lane));
        if !awaited || leaving {
            // The lane went away while the database answered: dropped and released (rule C1).
            self.totals.late_claims += 1;
            if let Ok(claimed) = answer {
                self.release(lane, claimed.epoch, orders);
            }
            return;
        }
        let custody = self.lanes.get_mut(&lane).expect("it was awaited");
        custody.refused = match &answer {
            Err(ClaimError::Database(SinkError { fault, message, .. })) => {
                Some(Trouble { fault: *fault, text: message.clone() })
            }
            _ => None,
        };
        match (answer, self.remade(lane)) {
            // Its claim had begun before the topic was known to be another one.
            (Ok(claimed), Some(cause)) => {
                self.release(lane, claimed.epoch, orders);
                self.park(now, lane, &cause, orders);
            }
            (Ok(claimed), None) => self.begin(now, lane, claimed, broker, orders),
            (Err(ClaimError::Park(cause)), _) => self.park(now, lane, &cause, orders),
            (Err(error), _) => {
                let cause = error.to_string();
                let custody = self.lanes.get_mut(&lane).expect("it was awaited");
                if custody.backoff.failures() == 0 {
                    tracing::warn!(%lane, cause, "a partition could not be claimed; trying again");
                }
                let until = custody.backoff.failed(now, self.dice.unit());
                custody.state = State::Waiting { until, cause };
            }
        }
    }

    fn remade(&self, lane: Lane) -> Option<String> {
        match self.topics.get(&lane.topic) {
            Some(TopicTrouble::Remade(cause)) => Some(cause.clone()),
            _ => None,
        }
    }

    fn begin(&mut self, now: Now, lane: Lane, claimed: Claimed, broker: &mut dyn Broker, orders: &mut Vec<Order>) {
        let care = self.begin_care(claimed.attempt);
        if let Some(attempt) = claimed.attempt {
            let (exits, offset) = (attempt.exits, claimed.next_offset);
            tracing::warn!(%lane, exits, offset, "its last owner ended unclean: the next records are taken with care");
        }
        let custody = self.lanes.get_mut(&lane).expect("only a lane in custody is claimed");
        custody.care = care;
        let assigned = if custody.fetching && mutants::on("no_seek_back") {
            Ok(())
        } else if custody.fetching {
            broker.restart(lane, claimed.next_offset)
        } else {
            let assigned = broker.assign(&[(lane, claimed.next_offset)]);
            self.assign_owed &= assigned.is_err();
            assigned
        };
        custody.held = Some(claimed.epoch);
        if let Err(error) = assigned {
            let until = custody.backoff.failed(now, self.dice.unit());
            custody.state = State::Waiting { until, cause: error.to_string() };
            return;
        }
        custody.fetching = true;
        custody.ledger = Some(Ledger::new(claimed.epoch, claimed.next_offset));
        custody.state = State::Reading;
        custody.committed = -1;
        custody.idle_due = now + self.settings.intake.idle_interval.duration();
        orders.push(Order::Begin { lane, epoch: claimed.epoch, mark: claimed.next_offset });
        self.queue(lane);
    }

    /// An assign is owed and no claim is under way that could answer it soon: the group must not wait for an outage or
    /// a drain of ours. What is claimed later is added then.
    pub(super) fn answer_assign(&mut self, broker: &mut dyn Broker) {
        let claiming = self.drain.is_none() && self.lanes.values().any(|c| c.state == State::Claiming);
        if self.assign_owed && !claiming {
            let assigned = broker.assign(&[]);
            self.assign_owed = assigned.is_err();
            if let Err(error) = assigned {
                tracing::warn!(%error, "could not answer the group's assignment");
            }
        }
    }

    pub(super) fn peeked(
        &mut self,
        now: Now,
        lane: Lane,
        ticket: u64,
        answer: Result<Option<Mark>, ClaimError>,
        orders: &mut Vec<Order>,
    ) {
        let recheck = now + self.settings.intake.parked_recheck.duration();
        let Some(custody) = self.lanes.get_mut(&lane).filter(|c| c.ticket == ticket) else { return };
        // The row that was read from until the lane parked names us. If the first one to be looked at names nobody, it
        // was set by hand in between. After a claim that parked it says nothing: that one gave the row up itself.
        let was_read = custody.stands_at.is_some();
        let State::Parked { recheck: due, peeking, seen, .. } = &mut custody.state else { return };
        (*due, *peeking) = (recheck, false);
        let Ok(row) = answer else { return };
        let set_meanwhile = seen.is_none() && was_read && row.is_some_and(|m| m.owner.is_none());
        if *seen.get_or_insert(row) != row || set_meanwhile {
            self.claim(lane, orders);
        }
    }

    pub(super) fn claim(&mut self, lane: Lane, orders: &mut Vec<Order>) {
        let ticket = self.ticket();
        let leaving = self.drain.is_some();
        let Some(custody) = self.lanes.get_mut(&lane) else { return };
        if leaving {
            // It would fence the last owner for nothing.
            custody.refused = None;
            custody.state = State::Waiting { until: Now::MAX, cause: "the process is stopping".to_owned() };
            return;
        }
        custody.ticket = ticket;
        custody.state = State::Claiming;
        let floor = self.floors.get(&lane).copied().unwrap_or_default();
        orders.push(Order::Claim { lane, ticket, floor });
    }

    /// Timers of waiting and parked lanes.
    pub(super) fn wake_lanes(&mut self, now: Now, orders: &mut Vec<Order>) {
        if self.drain.is_some() {
            return;
        }
        let revoked = |lane: &Lane| self.revoke.as_ref().is_some_and(|r| r.lanes.contains(lane));
        let mut due = vec![];
        for (lane, custody) in &mut self.lanes {
            match &mut custody.state {
                State::Waiting { until, .. } if *until <= now && !revoked(lane) => due.push(*lane),
                State::Parked { recheck, peeking, .. } if *recheck <= now && !*peeking => {
                    *peeking = true;
                    orders.push(Order::Peek { lane: *lane, ticket: custody.ticket });
                }
                _ => {}
            }
        }
        due.into_iter().for_each(|lane| self.claim(lane, orders));
    }

    /// Ends the lane's epoch in every stage and keeps custody.
    pub(super) fn give_up_epoch(&mut self, lane: Lane, orders: &mut Vec<Order>) {
        let Some(custody) = self.lanes.get_mut(&lane) else { return };
        if let Some(ledger) = custody.ledger.take() {
            self.note_abandoned(lane, &ledger);
            orders.push(Order::End { lane, epoch: ledger.epoch() });
        }
    }

    pub(super) fn set_state(&mut self, lane: Lane, state: State) {
        if let Some(custody) = self.lanes.get_mut(&lane) {
            custody.state = state;
        }
    }

    /// Fenced while the group still gives us the lane: wait, and if no revoke comes, claim again (rule C5).
    pub(super) fn wait_and_reclaim(&mut self, now: Now, lane: Lane, cause: &str, orders: &mut Vec<Order>) {
        self.give_up_epoch(lane, orders);
        let Some(custody) = self.lanes.get_mut(&lane) else { return };
        let until = custody.backoff.failed(now, self.dice.unit());
        custody.state = State::Waiting { until, cause: cause.to_owned() };
    }

    /// The one restart for every cause: new claim, all work of the old epoch dropped, seek (rule W6).
    pub(super) fn restart(&mut self, now: Now, lane: Lane, cause: &str, orders: &mut Vec<Order>) {
        let first = self.lanes.get(&lane).is_some_and(|c| c.is_reading() && c.backoff.failures() == 0);
        if !self.lanes.get(&lane).is_some_and(|c| c.is_reading()) {
            return;
        }
        tracing::warn!(%lane, cause, "partition restarts from its mark");
        self.wait_and_reclaim(now, lane, cause, orders);
        if first {
            self.set_state(lane, State::Waiting { until: now, cause: cause.to_owned() });
        }
    }

    pub(super) fn park(&mut self, now: Now, lane: Lane, cause: &str, orders: &mut Vec<Order>) {
        tracing::error!(%lane, cause, "partition parked");
        if let Some(custody) = self.lanes.get_mut(&lane) {
            custody.stands_at = custody.ledger.as_ref().map(Ledger::mark);
            custody.bounds = None;
        }
        self.give_up_epoch(lane, orders);
        self.set_state(lane, State::Parked { recheck: now, cause: cause.to_owned(), peeking: false, seen: None });
    }

    /// Answers the revoke when the lanes' work is durable, or its time is over.
    pub(super) fn finish_revoke(&mut self, now: Now, broker: &mut dyn Broker, orders: &mut Vec<Order>) {
        let Some(revoke) = &self.revoke else { return };
        let drained = revoke.lanes.iter().all(|l| self.lanes.get(l).is_none_or(Custody::is_drained));
        if !drained && now < revoke.deadline {
            return;
        }
        let lanes = self.revoke.take().expect("it was there").lanes;
        self.commit_now(broker);
        self.hand_over(&lanes, broker, orders);
    }

    /// Gives lanes back to the group: exactly those that were assigned are named (rule C2).
    pub(super) fn hand_over(&mut self, lanes: &[Lane], broker: &mut dyn Broker, orders: &mut Vec<Order>) {
        let mut assigned = vec![];
        for lane in lanes {
            let Some(custody) = self.lanes.remove(lane) else { continue };
            if custody.fetching {
                assigned.push(*lane);
            }
            self.end_epoch(*lane, custody, orders);
        }
        if let Err(error) = broker.unassign(&assigned) {
            tracing::warn!(%error, "could not answer the group's revoke");
        }
        if self.lanes.is_empty() {
            self.assign_owed = false;
        }
    }

    pub(super) fn end_epoch(&mut self, lane: Lane, custody: Custody, orders: &mut Vec<Order>) {
        if let Some(ledger) = custody.ledger {
            self.note_abandoned(lane, &ledger);
            orders.push(Order::End { lane, epoch: ledger.epoch() });
        }
        // Also of a lane that waits or is parked: its row still names us.
        if let Some(epoch) = custody.held {
            self.release(lane, epoch, orders);
        }
    }

    pub(super) fn release(&mut self, lane: Lane, epoch: crate::domain::lane::Epoch, orders: &mut Vec<Order>) {
        self.releasing += 1;
        orders.push(Order::Release { lane, epoch });
    }
}
