//! Typed handles for everything that is counted outside the published state. Made once, cloned into the parts that record.
//!
//! Record once a micro-batch or a transaction, never once a record.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use metrics::Counter;
use metrics::Gauge;
use metrics::Histogram;

use crate::domain::breaker::State;

use super::recorder::Recorder;

/// All handles. Clones share the same numbers.
#[derive(Clone)]
pub struct Metrics {
    pub intake: Intake,
    pub mill: Mill,
    pub writer: Writer,
    pub claims: Claims,
    pub letters: Letters,
    pub snapshots: Snapshots,
    pub runtime_loop_lag: Histogram,
    pub shutdown: Shutdown,
}

#[derive(Clone)]
pub struct Intake {
    pub given: Counter,
    pub revoked: Counter,
    pub lost: Counter,
    pub commits_ok: Counter,
    pub commits_failed: Counter,
    /// A worker was free and nothing more was ready.
    pub closed_idle: Counter,
    pub closed_rows: Counter,
    pub closed_bytes: Counter,
    /// The configured `wait` ended.
    pub closed_wait: Counter,
    /// All permits were out.
    pub closed_permits: Counter,
    /// Drain or revoke wanted it out.
    pub closed_drain: Counter,
    pub batch_rows: Histogram,
    pub batch_fill: Histogram,
}

#[derive(Clone)]
pub struct Mill {
    pub threads: Gauge,
    pub decode: Histogram,
    pub infer: Histogram,
    pub encode: Histogram,
    pub panics: Counter,
    pub bisections: Counter,
}

#[derive(Clone)]
pub struct Writer {
    pub group_rows: Histogram,
    pub statement: Histogram,
    pub copy: Histogram,
    pub fence: Histogram,
    pub retries: Retries,
    pub fenced: Counter,
    pub misses: Misses,
    pub connections: Gauge,
    pub backlog: Gauge,
    pub record_age: Histogram,
    pub breaker: Breaker,
}

/// Breakers of one dependency.
#[derive(Clone)]
pub struct Breaker {
    pub closed: Gauge,
    pub open: Gauge,
    pub half_open: Gauge,
    pub opened: Counter,
    pub exhausted: Counter,
}

impl Breaker {
    fn new(r: &Recorder, dependency: &'static str) -> Breaker {
        let state = |state: State| r.gauge("tidemill_breaker_current_breakers", &[dependency, state.name()]);
        Breaker {
            closed: state(State::Closed),
            open: state(State::Open),
            half_open: state(State::HalfOpen),
            opened: r.counter("tidemill_breaker_opened_events_total", &[dependency]),
            exhausted: r.counter("tidemill_breaker_unbudgeted_retries_total", &[dependency]),
        }
    }

    pub fn of(&self, state: State) -> &Gauge {
        match state {
            State::Closed => &self.closed,
            State::Open => &self.open,
            State::HalfOpen => &self.half_open,
        }
    }
}

/// One counter for each fault of the sink that is answered by another try.
#[derive(Clone)]
pub struct Retries {
    pub transient: Counter,
    pub ambiguous: Counter,
    pub operator: Counter,
    pub contract: Counter,
    pub data: Counter,
    pub bug: Counter,
}

/// What the progress row said after a mark did not move (rule W5).
#[derive(Clone)]
pub struct Misses {
    pub fenced: Counter,
    pub stored: Counter,
    pub again: Counter,
    pub restart: Counter,
    pub park: Counter,
}

#[derive(Clone)]
pub struct Claims {
    pub seconds: Histogram,
    pub granted: Counter,
    pub retried: Counter,
    pub parked: Counter,
    /// Answered after revoke, loss or drain: released again.
    pub late: Counter,
}

/// The oldest snapshot in the database, by who holds it.
#[derive(Clone)]
pub struct Snapshots {
    recorder: Recorder,
    /// Holders that have a series.
    known: Arc<Mutex<BTreeSet<String>>>,
}

/// Holders with a series of their own. Names of applications are up to others: some put a number of their own into each.
const HOLDERS_MAX: usize = 32;

impl Snapshots {
    fn new(r: &Recorder) -> Snapshots {
        let snapshots = Snapshots { recorder: r.clone(), known: Arc::default() };
        snapshots.of("nobody").set(0.0);
        snapshots
    }

    /// A series lives as long as the process, so only the first holders have one of their own; the rest share `others`.
    pub fn of(&self, holder: &str) -> Gauge {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let own = known.contains(holder) || known.len() < HOLDERS_MAX && known.insert(holder.to_owned());
        self.recorder.gauge("tidemill_postgres_oldest_snapshot_transactions", &[if own { holder } else { "others" }])
    }
}

/// Dead letters that wait for a person.
#[derive(Clone)]
pub struct Letters {
    pub open: Gauge,
    pub oldest: Gauge,
}

#[derive(Clone)]
pub struct Shutdown {
    pub started: Counter,
    pub drained: Counter,
    pub expired: Counter,
}

impl Metrics {
    /// Registers every handle, so that all families are there, at zero, from the first scrape on.
    pub fn new(r: &Recorder) -> Metrics {
        Metrics {
            intake: Intake::new(r),
            mill: Mill::new(r),
            writer: Writer::new(r),
            claims: Claims::new(r),
            snapshots: Snapshots::new(r),
            letters: Letters {
                open: r.gauge("tidemill_dead_letter_open_records", &[]),
                oldest: r.gauge("tidemill_dead_letter_oldest_seconds", &[]),
            },
            runtime_loop_lag: r.histogram("tidemill_runtime_loop_lag_seconds", &[]),
            shutdown: Shutdown::new(r),
        }
    }
}

impl Intake {
    fn new(r: &Recorder) -> Intake {
        let event = |kind| r.counter("tidemill_intake_rebalance_events_total", &[kind]);
        let commit = |outcome| r.counter("tidemill_intake_kafka_commits_total", &[outcome]);
        let closed = |reason| r.counter("tidemill_intake_closed_batches_total", &[reason]);
        Intake {
            given: event("given"),
            revoked: event("revoked"),
            lost: event("lost"),
            commits_ok: commit("ok"),
            commits_failed: commit("failed"),
            closed_idle: closed("idle"),
            closed_rows: closed("rows"),
            closed_bytes: closed("bytes"),
            closed_wait: closed("wait"),
            closed_permits: closed("permits"),
            closed_drain: closed("drain"),
            batch_rows: r.histogram("tidemill_intake_batch_rows", &[]),
            batch_fill: r.histogram("tidemill_intake_batch_fill_ratio", &[]),
        }
    }
}

impl Mill {
    fn new(r: &Recorder) -> Mill {
        let step = |step| r.histogram("tidemill_mill_step_seconds", &[step]);
        Mill {
            threads: r.gauge("tidemill_mill_threads", &[]),
            decode: step("decode"),
            infer: step("infer"),
            encode: step("encode"),
            panics: r.counter("tidemill_mill_panic_events_total", &[]),
            bisections: r.counter("tidemill_mill_bisection_runs_total", &[]),
        }
    }
}

impl Writer {
    fn new(r: &Recorder) -> Writer {
        let seconds = |path| r.histogram("tidemill_writer_group_seconds", &[path]);
        let retry = |fault| r.counter("tidemill_writer_repeated_retries_total", &[fault]);
        let miss = |verdict| r.counter("tidemill_writer_mark_misses_total", &[verdict]);
        Writer {
            group_rows: r.histogram("tidemill_writer_group_rows", &[]),
            statement: seconds("statement"),
            copy: seconds("copy"),
            retries: Retries {
                transient: retry("transient"),
                ambiguous: retry("ambiguous"),
                operator: retry("operator"),
                contract: retry("contract"),
                data: retry("data"),
                bug: retry("bug"),
            },
            fence: r.histogram("tidemill_writer_fence_seconds", &[]),
            fenced: r.counter("tidemill_writer_fenced_pieces_total", &[]),
            misses: Misses {
                fenced: miss("fenced"),
                stored: miss("stored"),
                again: miss("again"),
                restart: miss("restart"),
                park: miss("park"),
            },
            connections: r.gauge("tidemill_writer_open_connections", &[]),
            backlog: r.gauge("tidemill_writer_backlog_pieces", &[]),
            record_age: r.histogram("tidemill_writer_record_age_seconds", &[]),
            breaker: Breaker::new(r, "postgres"),
        }
    }
}

impl Claims {
    fn new(r: &Recorder) -> Claims {
        let outcome = |outcome| r.counter("tidemill_claim_answered_claims_total", &[outcome]);
        Claims {
            seconds: r.histogram("tidemill_claim_wait_seconds", &[]),
            granted: outcome("granted"),
            retried: outcome("retried"),
            parked: outcome("parked"),
            late: outcome("late"),
        }
    }
}

impl Shutdown {
    fn new(r: &Recorder) -> Shutdown {
        let completed = |outcome| r.counter("tidemill_shutdown_completed_events_total", &[outcome]);
        Shutdown {
            started: r.counter("tidemill_shutdown_started_events_total", &[]),
            drained: completed("drained"),
            expired: completed("expired"),
        }
    }
}
