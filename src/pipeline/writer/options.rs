//! Settings of the writers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::breaker;
use crate::domain::retry;
use crate::domain::units::{ByteSize, Millis};

/// `[writer]`: how rows go to Postgres.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Writers, each with one connection. One is best until its commits, not the CPU, are the limit: measure before raising.
    pub writers: u32,
    /// Most rows in one transaction (rule W9).
    pub group_rows: u32,
    /// Most bytes of encoded rows and payloads in one transaction.
    pub group_bytes: ByteSize,
    /// How long a group may grow while batches close because they are full; otherwise it is written at once.
    pub group_wait: Millis,
    /// Most percent of the time that the server may be busy with moving marks: where that is slow, groups go less often and grow, unless
    /// they are full.
    pub fence_share: u32,
    /// Longest wait for a larger group on that account.
    pub fence_wait_max: Millis,
    /// A partition without a write for this long has its row read, so that a database that went back is noticed (rule W7).
    pub verify_interval: Millis,
    /// Pace of retries while Postgres is away.
    pub retry: retry::Options,
    /// When a writer stops intake because Postgres fails, and starts it again. A lost connection stops it at once.
    pub breaker: breaker::Options,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            writers: 1,
            group_rows: 8192,
            group_bytes: ByteSize::mib(16),
            group_wait: Millis(10),
            fence_share: 25,
            fence_wait_max: Millis(500),
            verify_interval: Millis::secs(30),
            retry: retry::Options::default(),
            breaker: breaker::Options::default(),
        }
    }
}
