//! Records that are taken with care, since an owner of their lane ended unclean (rule J5).

use std::sync::Arc;

use super::Intake;
use super::fill::Closed;
use crate::domain::batch::{Batch, Piece};
use crate::domain::care::{Attempt, Care, Judgement, NOTE_AGAIN, Way};
use crate::domain::lane::{Epoch, Lane, Now};
use crate::domain::scored::{Rows, Scored};
use crate::domain::verdict::{Rejected, Stage, Verdicts};
use crate::pipeline::message::Order;
use crate::ports::{Broker, ClaimError, Room};

/// The one record of the process that is taken alone, from taking to storing.
#[derive(Debug)]
pub(super) struct Alone {
    lane: Lane,
    epoch: Epoch,
    judgement: Judgement,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// Taken; it is noted once what must be home is home.
    Taken {
        batch: Batch,
        due: Now,
    },
    /// The note is on its way to the database.
    Noting {
        batch: Batch,
        ticket: u64,
    },
    Flying {
        seq: u64,
        noted: bool,
    },
}

impl Alone {
    /// Nothing else may be under way.
    pub fn is_exclusive(&self) -> bool {
        self.judgement == Judgement::ProcessExclusively
    }
}

impl Intake {
    pub(super) fn begin_care(&self, attempt: Option<Attempt>) -> Option<Care> {
        let options = &self.settings.intake;
        attempt.map(|a| Care::new(a, options.crash_tries, options.in_flight_records))
    }

    /// Records that may be taken from the lane into the open batch; `None`: no limit.
    pub(super) fn careful_room(&self, lane: Lane) -> Option<u32> {
        let custody = self.lanes.get(&lane)?;
        let idle = custody.ledger.as_ref().is_some_and(|l| l.in_flight() == 0);
        match custody.care.as_ref()?.way() {
            Way::Run(records) if idle => Some(records),
            Way::Run(_) | Way::Alone => Some(0),
        }
    }

    /// Takes one record of the lane alone, if it is to be and nothing forbids it.
    pub(super) fn take_alone(&mut self, now: Now, lane: Lane, broker: &mut dyn Broker) {
        if self.alone.is_some() || self.guarded_room(lane) == Some(0) {
            return;
        }
        let Some(custody) = self.lanes.get_mut(&lane) else { return };
        let alone = custody.care.as_ref().filter(|c| c.way() == Way::Alone);
        let (Some(care), Some(ledger)) = (alone, &mut custody.ledger) else { return };
        if ledger.in_flight() > 0 {
            return;
        }
        let mut batch = Batch::default();
        let room = Room { records: 1, bytes: self.settings.batch.bytes_max.bytes() };
        let taken = broker.take(lane, ledger.position(), room, &mut batch);
        let totals = self.totals.topic(lane);
        totals.stale += u64::from(taken.stale);
        let Some(record) = batch.records.first() else { return };
        let (judgement, end) = (care.judge(record.offset), record.offset + 1);
        totals.taken += 1;
        totals.taken_bytes += batch.bytes.len() as u64;
        let (epoch, expected) = (ledger.epoch(), ledger.take(end, 1));
        batch.pieces.push(Piece { lane, epoch, expected, end, first: 0, count: 1 });
        self.alone = Some(Alone { lane, epoch, judgement, step: Step::Taken { batch, due: now } });
    }

    /// Moves the record that was taken alone on.
    pub(super) fn step_alone(&mut self, now: Now, orders: &mut Vec<Order>) {
        let Some(Alone { lane, epoch, judgement, step }) = self.alone.take() else { return };
        let ledger = self.lanes.get(&lane).and_then(|c| c.ledger.as_ref());
        let ours = ledger.is_some_and(|l| l.epoch() == epoch);
        let step = match step {
            Step::Taken { .. } | Step::Noting { .. } if !ours => {
                self.totals.topic(lane).handed_back += 1;
                return;
            }
            Step::Taken { batch, .. } if matches!(judgement, Judgement::Condemn(_)) => {
                let Judgement::Condemn(tries) = judgement else { return };
                self.condemn(lane, batch, tries, orders)
            }
            Step::Taken { batch, due } => {
                let quiet = self.flights.is_empty() && self.open.is_empty();
                let exclusive = judgement == Judgement::ProcessExclusively;
                if now >= due && (quiet || !exclusive) {
                    let ticket = self.ticket();
                    let offset = Some(batch.records[0].offset);
                    orders.push(Order::Note { lane, epoch, ticket, offset });
                    Step::Noting { batch, ticket }
                } else {
                    Step::Taken { batch, due }
                }
            }
            // What cannot be stored for an outage must not be blamed if the process ends meanwhile.
            Step::Flying { seq, noted: true } if ours && !self.outages.is_empty() => {
                let ticket = self.ticket();
                orders.push(Order::Note { lane, epoch, ticket, offset: None });
                Step::Flying { seq, noted: false }
            }
            other => other,
        };
        self.alone = Some(Alone { lane, epoch, judgement, step });
    }

    pub(super) fn noted(&mut self, now: Now, of: u64, answer: Result<(), ClaimError>, orders: &mut Vec<Order>) {
        let Some(alone) = &mut self.alone else { return };
        let Step::Noting { batch, ticket } = &mut alone.step else { return };
        if *ticket != of {
            return;
        }
        let mut batch = std::mem::take(batch);
        let ledger = self.lanes.get(&alone.lane).and_then(|c| c.ledger.as_ref());
        if answer.is_err() || ledger.is_none_or(|l| l.epoch() != alone.epoch) {
            alone.step = Step::Taken { batch, due: now + NOTE_AGAIN };
            return;
        }
        self.fly(&mut batch);
        let seq = batch.seq;
        self.in_mill += 1;
        orders.push(Order::Mill { batch, why: Closed::Flush });
        if let Some(alone) = &mut self.alone {
            alone.step = Step::Flying { seq, noted: true };
        }
    }

    /// A dead letter without another try: past the mill, straight to the writer.
    fn condemn(&mut self, lane: Lane, mut batch: Batch, tries: u32, orders: &mut Vec<Order>) -> Step {
        let offset = batch.records[0].offset;
        tracing::error!(%lane, offset, tries, "this record ended the process so often that it becomes a dead letter");
        let mut verdicts = Verdicts::default();
        verdicts.reset(1);
        let detail = format!("the process ended unclean {tries} times while it processed this record alone");
        verdicts.reject(0, Rejected::new(Stage::Process, "crashed_process", detail));
        let mut rows = Rows::default();
        rows.reset(1);
        self.fly(&mut batch);
        let seq = batch.seq;
        orders.push(Order::Idle(Arc::new(Scored { batch, verdicts, rows })));
        Step::Flying { seq, noted: false }
    }

    /// A batch is home for good.
    pub(super) fn landed(&mut self, seq: u64) {
        if self.alone.as_ref().is_some_and(|a| matches!(a.step, Step::Flying { seq: s, .. } if s == seq)) {
            self.alone = None;
        }
    }

    /// So many records of a lane are durable, or its end is reached (`None`): care may end.
    pub(super) fn calm(&mut self, lane: Lane, records: Option<u32>, orders: &mut Vec<Order>) {
        let Some(custody) = self.lanes.get_mut(&lane) else { return };
        let (Some(care), Some(ledger)) = (&mut custody.care, &custody.ledger) else { return };
        if records.is_none_or(|n| care.passed(n)) {
            let epoch = ledger.epoch();
            custody.care = None;
            orders.push(Order::Calm { lane, epoch });
        }
        self.queue(lane);
    }
}
