//! The thread around intake: turns it, carries out its orders, publishes its picture. All deciding is intake's.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::batch::Batch;
use crate::domain::lane::{Lane, Now};
use crate::domain::scored::ScoredPiece;
use crate::pipeline::clock::Clock;
use crate::pipeline::errands::Errands;
use crate::pipeline::intake::{Closed, Intake, Outcome, Status};
use crate::pipeline::mailbox::{Mailbox, WorkQueue};
use crate::pipeline::message::{Message, Order, ToWriter, writer_of};
use crate::pipeline::publish::{Names, snapshot};
use crate::ports::Broker;
use crate::telemetry::health::{Beat, Outage};
use crate::telemetry::metrics::Intake as IntakeMetrics;
use crate::telemetry::snapshot::Published;

/// Pace of publishing: fresh enough for any scrape, rare enough to cost nothing.
const PUBLISH: Duration = Duration::from_millis(50);
/// Pace of asking the client for lags.
const LAG: Duration = Duration::from_millis(500);

/// Everything the thread owns or shares.
pub struct IntakeThread<B> {
    pub intake: Intake,
    pub broker: B,
    pub home: Arc<Mailbox<Message>>,
    pub mill: Arc<WorkQueue<Batch>>,
    pub writers: Vec<Arc<Mailbox<ToWriter>>>,
    pub errands: Errands,
    pub clock: Clock,
    pub metrics: IntakeMetrics,
    pub published: Arc<Published>,
    pub names: Names,
    pub beat: Arc<Beat>,
    pub rows_max: u32,
}

impl<B: Broker> IntakeThread<B> {
    /// Runs to the end of the drain; gives the client back, so that it is closed under a watchdog.
    pub fn run(mut self) -> (Outcome, Status, B) {
        let (mut messages, mut orders) = (VecDeque::new(), vec![]);
        let (mut published, mut lags_due) = (Now::ZERO, Now::ZERO);
        let mut lags: BTreeMap<Lane, i64> = BTreeMap::new();
        loop {
            self.home.drain(&mut messages);
            let now = self.clock.now();
            let turn = self.intake.turn(now, &mut self.broker, &mut messages, &mut orders);
            orders.drain(..).for_each(|order| self.obey(order));
            if now >= lags_due {
                lags_due = now + LAG;
                let mut list = vec![];
                self.broker.lag(&mut list);
                lags = list.into_iter().collect();
            }
            if now >= published || turn.done.is_some() {
                published = now + PUBLISH;
                let status = self.publish(now, &lags);
                if let Some(outcome) = turn.done {
                    return (outcome, status, self.broker);
                }
            }
            let now = self.clock.now();
            if self.home.is_empty() && turn.next > now {
                std::thread::park_timeout(turn.next - now);
            }
        }
    }

    fn obey(&self, order: Order) {
        let to = |lane| &self.writers[writer_of(lane, self.writers.len())];
        match order {
            Order::Claim { lane, ticket, floor } => self.errands.claim(lane, ticket, floor),
            Order::Peek { lane, ticket } => self.errands.peek(lane, ticket),
            Order::Release { lane, epoch } => self.errands.release(lane, epoch),
            Order::Note { lane, epoch, ticket, offset } => self.errands.note(lane, epoch, ticket, offset),
            Order::Calm { lane, epoch } => self.errands.calm(lane, epoch),
            Order::Accepted => self.errands.accepted(),
            Order::Begin { lane, epoch, mark } => {
                tracing::info!(partition = self.names.lane(lane), epoch = epoch.0, offset = mark, "partition claimed");
                to(lane).push(ToWriter::Begin { lane, epoch, mark });
            }
            Order::End { lane, epoch } => {
                tracing::info!(partition = self.names.lane(lane), epoch = epoch.0, "partition given up");
                to(lane).push(ToWriter::End { lane, epoch });
            }
            Order::Mill { batch, why } => {
                self.count(&batch, why);
                self.mill.push(batch);
            }
            Order::Idle(scored) => {
                let lane = scored.batch.pieces[0].lane;
                let piece = ScoredPiece::new(scored, 0);
                to(lane).push(ToWriter::Piece { piece, full: false });
            }
        }
    }

    fn count(&self, batch: &Batch, why: Closed) {
        let m = &self.metrics;
        let closed = match why {
            Closed::Rows => &m.closed_rows,
            Closed::Bytes => &m.closed_bytes,
            Closed::Ready => &m.closed_idle,
            Closed::Wait => &m.closed_wait,
            Closed::Permits => &m.closed_permits,
            Closed::Flush => &m.closed_drain,
        };
        closed.increment(1);
        m.batch_rows.record(batch.records.len() as f64);
        m.batch_fill.record(batch.records.len() as f64 / f64::from(self.rows_max.max(1)));
    }

    fn publish(&self, now: Now, lags: &BTreeMap<Lane, i64>) -> Status {
        let status = self.intake.status();
        let m = &self.metrics;
        self.errands.metrics.late.absolute(status.totals.late_claims);
        m.given.absolute(status.totals.assigns);
        m.revoked.absolute(status.totals.revokes);
        m.lost.absolute(status.totals.losses);
        m.commits_ok.absolute(status.totals.commits);
        m.commits_failed.absolute(status.totals.commit_errors);
        let outage = status.reasons.iter().find_map(|(code, _)| match *code {
            "postgres" => Some(Outage::Postgres),
            "postgres_operator" | "postgres_contract" | "postgres_bug" => Some(Outage::Operator),
            "kafka" => Some(Outage::Kafka),
            _ => None,
        });
        self.beat.turn(now, status.busy, outage);
        self.published.publish(snapshot(&status, lags, &self.names));
        status
    }
}
