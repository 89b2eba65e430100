//! Settings of intake and of the micro-batch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::units::{ByteSize, Millis};

/// `[intake]`: how much may be under way at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Memory for records that the Kafka client has fetched ahead; divided among the partitions of all topics (rule T5).
    /// Unset: 1MiB for each of them, at least 64MiB and at most 256MiB.
    pub memory: Option<ByteSize>,
    /// Most records between taking and storing. A crash re-reads at most these.
    pub in_flight_records: u32,
    /// Most payload bytes between taking and storing; a record that is larger passes alone.
    pub in_flight_bytes: ByteSize,
    /// First wait before a fenced or restarted partition is claimed again; doubles up to `reclaim_cap` (rule C5).
    pub reclaim_after: Millis,
    /// Longest wait before a partition is claimed again.
    pub reclaim_cap: Millis,
    /// How often a parked partition's row is read again.
    pub parked_recheck: Millis,
    /// Second try after the broker said that an offset is outside the log; the next such answer parks (rule J2).
    pub out_of_range_retry: Millis,
    /// A record that was processed alone in so many unclean ends of a process (an abort, no memory) is a dead letter (rule J5).
    pub crash_tries: u32,
    /// How often an idle partition's mark is moved to the end of the log (rule T6).
    pub idle_interval: Millis,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            memory: None,
            in_flight_records: 32_768,
            in_flight_bytes: ByteSize::mib(32),
            reclaim_after: Millis::secs(2),
            reclaim_cap: Millis::secs(30),
            parked_recheck: Millis::secs(5),
            out_of_range_retry: Millis::secs(10),
            crash_tries: 3,
            idle_interval: Millis::secs(1),
        }
    }
}

/// `[batch]`: when a micro-batch closes. It closes when a worker is free and nothing more is ready, or at a limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BatchOptions {
    /// Most records in a micro-batch. Larger saves calls, smaller saves latency under backlog.
    pub rows_max: u32,
    /// Most payload bytes in a micro-batch.
    pub bytes_max: ByteSize,
    /// Deliberate delay from the first record on, for models that gain much from large batches. Usually zero.
    pub wait: Millis,
}

impl Default for BatchOptions {
    fn default() -> BatchOptions {
        BatchOptions { rows_max: 1024, bytes_max: ByteSize::mib(4), wait: Millis(0) }
    }
}

/// `[shutdown]`: how long stopping may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShutdownOptions {
    /// From SIGTERM to exit. Keep it below the pod's grace period.
    pub budget: Millis,
    /// Drain of partitions that the group takes back; keep it well below `kafka.session_timeout`.
    pub revoke: Millis,
    /// Part of the budget kept for leaving the group and closing the client.
    pub leave: Millis,
}

impl Default for ShutdownOptions {
    fn default() -> ShutdownOptions {
        ShutdownOptions { budget: Millis::secs(25), revoke: Millis::secs(10), leave: Millis::secs(3) }
    }
}
