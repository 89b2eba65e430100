//! What intake publishes about the whole pipeline: one value, read whole, so that the counters add up at any moment (P9, rule J3).

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::domain::verdict::Stage;

/// Where the process is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Phase {
    /// Configuration, model, table, topics are being checked.
    #[default]
    Starting,
    Running,
    Draining,
    Stopped,
}

impl Phase {
    pub const ALL: [Phase; 4] = [Phase::Starting, Phase::Running, Phase::Draining, Phase::Stopped];

    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Draining => "draining",
            Phase::Stopped => "stopped",
        }
    }
}

/// State of a partition in this process (rule C1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LaneState {
    Given,
    Claiming,
    Assigned,
    Parked,
    Revoking,
}

impl LaneState {
    pub const ALL: [LaneState; 5] =
        [LaneState::Given, LaneState::Claiming, LaneState::Assigned, LaneState::Parked, LaneState::Revoking];

    pub fn name(self) -> &'static str {
        match self {
            LaneState::Given => "given",
            LaneState::Claiming => "claiming",
            LaneState::Assigned => "assigned",
            LaneState::Parked => "parked",
            LaneState::Revoking => "revoking",
        }
    }
}

/// Why the process is not ready.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Reason {
    /// Stable short code such as `postgres_down`: a metric label and what scripts look for.
    pub code: &'static str,
    /// One sentence for a person; no payloads, no secrets.
    pub detail: String,
}

/// Counts of one topic since the process started. Totals never fall.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TopicCounts {
    pub topic: Arc<str>,
    pub taken: u64,
    pub taken_bytes: u64,
    pub stored: u64,
    pub dead: Vec<(Stage, &'static str, u64)>,
    /// By the name of the rule.
    pub skipped: Vec<(Arc<str>, u64)>,
    pub handed_back: u64,
    /// Dropped before they were taken: not part of the sum.
    pub stale: u64,
    /// Times that the flood guard stopped the topic.
    pub floods: u64,
    pub in_flight: u64,
}

impl TopicCounts {
    /// `taken` minus all that the records may have become: 0, or a bug.
    pub fn unaccounted(&self) -> i128 {
        let dead: u64 = self.dead.iter().map(|d| d.2).sum();
        let skipped: u64 = self.skipped.iter().map(|s| s.1).sum();
        let settled = [self.stored, dead, skipped, self.handed_back, self.in_flight];
        i128::from(self.taken) - settled.iter().map(|n| i128::from(*n)).sum::<i128>()
    }
}

/// One partition of this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LaneMark {
    /// Index into [`Snapshot::topics`].
    pub topic: u16,
    pub partition: i32,
    pub state: LaneState,
    /// Everything below is durable.
    pub mark: i64,
    /// Next offset to take.
    pub position: i64,
    /// Records behind the end of the log, when the client knows.
    pub lag: Option<u64>,
    /// Offsets that a parked partition's log no longer has, when that is known.
    pub lost: Option<u64>,
}

/// Everything that intake knows, at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    pub phase: Phase,
    /// Empty means ready.
    pub not_ready: Vec<Reason>,
    pub topics: Vec<TopicCounts>,
    pub lanes: Vec<LaneMark>,
    pub in_flight_bytes: u64,
    pub in_flight_batches: u64,
    pub limit_records: u64,
    pub limit_bytes: u64,
}

impl Snapshot {
    pub fn unaccounted(&self) -> i128 {
        self.topics.iter().map(TopicCounts::unaccounted).sum()
    }

    /// Whether rows may be expected: running, and nothing speaks against it.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Running && self.not_ready.is_empty()
    }
}

/// The last published snapshot. Writers replace it whole, readers take it whole; the lock is held for a pointer's copy.
#[derive(Debug, Default)]
pub struct Published(Mutex<Arc<Snapshot>>);

impl Published {
    pub fn publish(&self, snapshot: Snapshot) {
        let new = Arc::new(snapshot);
        // The old value is dropped after the lock is free.
        let _old = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), new);
    }

    pub fn read(&self) -> Arc<Snapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
