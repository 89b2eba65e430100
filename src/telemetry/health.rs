//! Heartbeats of the stages, and the question whether one of them is stuck (rule J4).

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::domain::lane::Now;

/// An outage that a stage knows it waits for: then standing still is right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outage {
    Kafka,
    Postgres,
    /// A source of enrichment.
    Source,
    /// A person must act (permission, disk, contract); readiness says what.
    Operator,
}

const BUSY: u8 = 1;

impl Outage {
    pub fn name(self) -> &'static str {
        match self {
            Outage::Kafka => "kafka",
            Outage::Postgres => "postgres",
            Outage::Source => "source",
            Outage::Operator => "operator",
        }
    }
}

/// The pulse of one stage (one thread or task). Only its stage calls [`Beat::turn`]; anybody may look.
#[derive(Debug)]
pub struct Beat {
    stage: String,
    /// Milliseconds since the start of [`Health`].
    last_turn: AtomicU64,
    /// Bit 0: holds work. Bit 1: waits for a known outage.
    state: AtomicU8,
}

impl Beat {
    /// The stage has turned: its loop came round, whether or not it found something to do.
    pub fn turn(&self, now: Now, holds_work: bool, waits_on: Option<Outage>) {
        let state = u8::from(holds_work) | u8::from(waits_on.is_some()) << 1;
        self.last_turn.store(now.as_millis() as u64, Ordering::Relaxed);
        // Release: who sees the state sees the turn that set it.
        self.state.store(state, Ordering::Release);
    }
}

/// A stage that holds work, waits for no known outage, and does not turn.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Stuck {
    pub stage: String,
    /// Seconds since its last turn.
    pub seconds: u64,
}

/// All pulses of the process.
#[derive(Debug)]
pub struct Health {
    start: Instant,
    beats: Mutex<Vec<Arc<Beat>>>,
}

impl Default for Health {
    fn default() -> Health {
        Health::new(Instant::now())
    }
}

impl Health {
    /// `start` is the zero of every `now` that is passed to a beat.
    pub fn new(start: Instant) -> Health {
        Health { start, beats: Mutex::new(Vec::new()) }
    }

    /// Time since the start.
    pub fn now(&self) -> Now {
        self.start.elapsed()
    }

    /// Adds a stage. It is idle until its first turn.
    pub fn stage(&self, name: impl Into<String>) -> Arc<Beat> {
        let last_turn = AtomicU64::new(self.now().as_millis() as u64);
        let beat = Arc::new(Beat { stage: name.into(), last_turn, state: AtomicU8::new(0) });
        self.beats.lock().unwrap_or_else(PoisonError::into_inner).push(beat.clone());
        beat
    }

    /// The stages that have not turned for longer than `after`, though they hold work and wait for no outage.
    pub fn stuck(&self, now: Now, after: Duration) -> Vec<Stuck> {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let look = |beat: &Arc<Beat>| {
            let state = beat.state.load(Ordering::Acquire);
            let still = now.saturating_sub(Duration::from_millis(beat.last_turn.load(Ordering::Relaxed)));
            let is_stuck = state == BUSY && still > after;
            is_stuck.then(|| Stuck { stage: beat.stage.clone(), seconds: still.as_secs() })
        };
        beats.iter().filter_map(look).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn j4_only_a_busy_stage_without_an_outage_can_be_stuck() {
        let health = Health::default();
        let mill = health.stage("mill-0");
        let writer = health.stage("writer-0");
        let secs = Duration::from_secs;
        assert_eq!(health.stuck(secs(500), secs(60)), [], "nothing has begun");
        mill.turn(secs(10), true, None);
        writer.turn(secs(10), true, Some(Outage::Postgres));
        assert_eq!(health.stuck(secs(70), secs(60)), [], "exactly the limit");
        assert_eq!(health.stuck(secs(71), secs(60)), [Stuck { stage: "mill-0".into(), seconds: 61 }]);
        writer.turn(secs(20), true, None);
        assert_eq!(health.stuck(secs(600), secs(60)).len(), 2);
        mill.turn(secs(90), false, None);
        writer.turn(secs(590), true, None);
        assert_eq!(health.stuck(secs(600), secs(60)), [], "idle, and turning");
    }
}
