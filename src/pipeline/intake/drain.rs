//! Stopping within one budget (promise P7): take nothing more, let the work end, leave the group, release the lanes.

use super::Intake;
use super::fill::Closed;
use crate::domain::lane::{Lane, Now};
use crate::domain::ledger::Ledger;
use crate::failpoints::{self, Point};
use crate::pipeline::message::Order;
use crate::ports::Broker;

/// How the process ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything taken is durable; nothing will be re-read.
    Drained,
    /// The budget was over; these ranges `[from, to)` will be re-read by the next owner.
    Abandoned(Vec<(Lane, i64, i64)>),
    /// The client or a stage cannot go on.
    Failed(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Flush,
    Leave,
    Release,
}

#[derive(Debug)]
pub(super) struct Drain {
    step: Step,
    /// End of flushing, then of leaving, then of releasing.
    deadline: Now,
    abandoned: Vec<(Lane, i64, i64)>,
    /// Everything taken had come home when the group was left.
    clean: bool,
    failed: Option<String>,
}

impl Intake {
    pub(super) fn begin_drain(&mut self, now: Now) {
        if self.drain.is_none() {
            let shutdown = &self.settings.shutdown;
            let flush = shutdown.budget.duration().saturating_sub(shutdown.leave.duration());
            self.drain =
                Some(Drain { step: Step::Flush, deadline: now + flush, abandoned: vec![], clean: true, failed: None });
        }
    }

    /// Something fatal: drain what can be drained, then say so.
    pub(super) fn fail(&mut self, now: Now, cause: String) {
        tracing::error!(cause, "cannot go on; draining");
        self.begin_drain(now);
        if let Some(drain) = &mut self.drain {
            drain.failed.get_or_insert(cause);
        }
    }

    pub(super) fn step_drain(&mut self, now: Now, broker: &mut dyn Broker, orders: &mut Vec<Order>) -> Option<Outcome> {
        let (step, deadline) = self.drain.as_ref().map(|d| (d.step, d.deadline))?;
        failpoints::hit(Point::InDrain);
        match step {
            Step::Flush => {
                if !self.open.is_empty() {
                    self.close(Closed::Flush, orders);
                }
                if self.flights.is_empty() && self.alone.is_none() || now >= deadline {
                    self.leave(now, broker, orders);
                }
                None
            }
            Step::Leave => {
                if self.lanes.is_empty() || now >= deadline {
                    let left: Vec<Lane> = self.lanes.keys().copied().collect();
                    self.hand_over(&left, broker, orders);
                    self.enter_step(now, Step::Release);
                }
                None
            }
            Step::Release => (self.releasing == 0 || now >= deadline).then(|| self.outcome()),
        }
    }

    fn leave(&mut self, now: Now, broker: &mut dyn Broker, orders: &mut Vec<Order>) {
        let open: Vec<(Lane, Ledger)> = self.lanes.iter().filter_map(|(l, c)| Some((*l, c.ledger.clone()?))).collect();
        for (lane, ledger) in open.iter().filter(|(_, ledger)| !ledger.is_drained()) {
            self.note_abandoned(*lane, ledger);
            orders.push(Order::End { lane: *lane, epoch: ledger.epoch() });
        }
        self.commit_now(broker);
        broker.unsubscribe();
        if let Some(drain) = &mut self.drain {
            drain.clean = self.flights.is_empty() && self.alone.is_none();
        }
        self.enter_step(now, Step::Leave);
    }

    /// A lane is given up while the process stops: whoever gets it reads this again.
    pub(super) fn note_abandoned(&mut self, lane: Lane, ledger: &Ledger) {
        if let Some(drain) = self.drain.as_mut().filter(|_| !ledger.is_drained()) {
            let known = drain.abandoned.iter().any(|(l, _, _)| *l == lane);
            if !known {
                drain.abandoned.push((lane, ledger.mark(), ledger.position()));
            }
        }
    }

    fn enter_step(&mut self, now: Now, step: Step) {
        let third = self.settings.shutdown.leave.duration() / 3;
        if let Some(drain) = &mut self.drain {
            drain.step = step;
            drain.deadline = now + third;
        }
    }

    fn outcome(&mut self) -> Outcome {
        let drain = self.drain.as_mut().expect("only a draining intake ends");
        if let Some(cause) = drain.failed.take() {
            return Outcome::Failed(cause);
        }
        // A lane that was taken from us with work under way is re-read too, even when everything else came home.
        if drain.clean && drain.abandoned.is_empty() {
            Outcome::Drained
        } else {
            Outcome::Abandoned(std::mem::take(&mut drain.abandoned))
        }
    }
}
