//! The task around one writer: hears, asks the sink, tells intake. All deciding is the writer's.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::domain::breaker::State;
use crate::domain::miss::Miss;
use crate::domain::scored::Group;
use crate::pipeline::clock::{Clock, wall_micros};
use crate::pipeline::mailbox::Mailbox;
use crate::pipeline::message::{Message, ToWriter};
use crate::pipeline::writer::{Answer, Command, Step, Writer};
use crate::ports::{Sink, SinkError, SinkFault};
use crate::telemetry::health::{Beat, Outage};
use crate::telemetry::metrics::Writer as WriterMetrics;

/// Without a message or a deadline the task still comes round, so that its pulse is seen.
const PULSE: std::time::Duration = std::time::Duration::from_secs(1);

/// Everything a writer's task owns or shares.
pub struct Drive {
    pub writer: Writer,
    pub sink: Box<dyn Sink>,
    pub mailbox: Arc<Mailbox<ToWriter>>,
    pub notify: Arc<Notify>,
    pub home: Arc<Mailbox<Message>>,
    pub clock: Clock,
    pub metrics: WriterMetrics,
    pub beat: Arc<Beat>,
    /// "Give up now": intake has ended.
    pub stop: CancellationToken,
    /// The last call was answered by the database.
    pub connected: bool,
    /// What the metrics show of the breaker: state, times opened, retries without budget.
    pub shown: Option<(State, u64, u64)>,
}

impl Drive {
    pub async fn run(mut self) {
        let mut heard = VecDeque::new();
        loop {
            self.mailbox.drain(&mut heard);
            let now = self.clock.now();
            heard.drain(..).for_each(|message| self.writer.hear(now, message));
            self.tell();
            self.pulse();
            match self.writer.step(self.clock.now()) {
                Step::Do(command) => {
                    let answer = self.ask(command).await;
                    self.note_connection(&answer);
                    self.writer.answer(self.clock.now(), answer, self.sink.generation());
                    self.tell();
                }
                Step::Wait(until) => {
                    let latest = self.clock.now() + PULSE;
                    let until = self.clock.instant(until.map_or(latest, |u| u.min(latest)));
                    // Nothing is lost with a branch that is dropped: messages stay in the mailbox, a permit is kept by the notify.
                    tokio::select! {
                        biased;
                        () = self.stop.cancelled() => return,
                        () = self.notify.notified() => {}
                        () = tokio::time::sleep_until(until.into()) => {}
                    }
                }
            }
            if self.stop.is_cancelled() {
                return;
            }
        }
    }

    async fn ask(&mut self, command: Command) -> Answer {
        match command {
            Command::Store(group) => {
                let start = self.clock.now();
                let answer = self.sink.store(&group).await;
                match &answer {
                    Ok(_) => {
                        let fence = self.sink.fence_time();
                        self.metrics.fence.record(fence.as_secs_f64());
                        self.writer.pace(start, fence);
                        self.count_group(&group, start);
                    }
                    Err(error) => self.count_retry(error),
                }
                Answer::Stored(answer)
            }
            Command::Marks(lanes) => {
                let answer = self.sink.marks(&lanes).await;
                if let Err(error) = &answer {
                    self.count_retry(error);
                }
                Answer::Marks(answer)
            }
            Command::Isolate(group) => Answer::Isolated(self.sink.isolate(&group).await),
        }
    }

    /// All writers share the gauge, so each adds and takes away its own one.
    fn note_connection(&mut self, answer: &Answer) {
        let error = match answer {
            Answer::Stored(answer) => answer.as_ref().err(),
            Answer::Marks(answer) => answer.as_ref().err(),
            Answer::Isolated(answer) => answer.as_ref().err(),
        };
        let connected = error.is_none_or(|e| e.sqlstate.is_some());
        if connected != std::mem::replace(&mut self.connected, connected) {
            self.metrics.connections.increment(if connected { 1.0 } else { -1.0 });
        }
    }

    fn tell(&mut self) {
        for message in self.writer.take_messages() {
            if let Message::Missed { miss, .. } = &message {
                match miss {
                    Miss::Fenced => self.metrics.misses.fenced.increment(1),
                    Miss::Restart => self.metrics.misses.restart.increment(1),
                    Miss::Park => self.metrics.misses.park.increment(1),
                    Miss::AsExpected | Miss::StoredTo(_) => {}
                }
            }
            self.home.push(message);
        }
    }

    fn pulse(&mut self) {
        let waits = self.writer.in_outage().then_some(Outage::Postgres);
        self.beat.turn(self.clock.now(), self.writer.holds_work(), waits);
        let stats = self.writer.stats();
        self.metrics.backlog.set(stats.pending as f64);
        self.metrics.misses.again.absolute(stats.again);
        self.metrics.misses.stored.absolute(stats.found_stored);
        self.metrics.fenced.absolute(stats.dropped);
        self.show_breaker();
    }

    /// All writers share the numbers, so each adds what is new of its own.
    fn show_breaker(&mut self) {
        let (m, breaker) = (&self.metrics.breaker, self.writer.breaker());
        let (state, opened, exhausted) = (breaker.state(), breaker.opened(), breaker.backoff().exhausted());
        let before = self.shown.replace((state, opened, exhausted));
        if before.is_none_or(|b| b.0 != state) {
            before.inspect(|b| m.of(b.0).decrement(1.0));
            m.of(state).increment(1.0);
        }
        let (_, old_opened, old_exhausted) = before.unwrap_or_default();
        m.opened.increment(opened - old_opened);
        m.exhausted.increment(exhausted - old_exhausted);
    }

    fn count_group(&self, group: &Group, start: crate::domain::lane::Now) {
        let m = &self.metrics;
        m.group_rows.record(group.rows() as f64);
        let seconds = (self.clock.now() - start).as_secs_f64();
        let path = if self.sink.copies(group) { &m.copy } else { &m.statement };
        path.record(seconds);
        let now = wall_micros() / 1000;
        for piece in &group.pieces {
            let records = piece.piece().records();
            if let Some(first) = piece.scored.batch.records.get(records.start).filter(|_| !records.is_empty()) {
                m.record_age.record((now - first.timestamp).max(0) as f64 / 1e3);
            }
        }
    }

    fn count_retry(&self, error: &SinkError) {
        let r = &self.metrics.retries;
        let counter = match error.fault {
            SinkFault::Transient => &r.transient,
            SinkFault::Ambiguous => &r.ambiguous,
            SinkFault::Operator => &r.operator,
            SinkFault::Contract => &r.contract,
            SinkFault::Data => &r.data,
            SinkFault::Bug => &r.bug,
        };
        counter.increment(1);
    }
}
