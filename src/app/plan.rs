//! What a process will take of the machine, said at start: CPU plan and memory plan (rule T5).

use std::fmt;

use crate::adapters::kafka::memory::DoesNotFit;
use crate::adapters::kafka::memory::MemoryPlan;
use crate::adapters::models::bundle::Bundle;
use crate::config::Config;
use crate::domain::units::ByteSize;

/// Code, stacks, the libraries' threads and what the allocator keeps back, with small pages: read off processes under load.
const PROCESS: u64 = 40 << 20;

/// Threads and memory.
pub struct Plan {
    pub threads: usize,
    pub kafka: MemoryPlan,
    in_flight: u64,
    groups: u64,
    model: u64,
}

impl Plan {
    /// # Errors
    /// When `intake.memory` is too small for the partitions.
    pub fn new(config: &Config, bundle: Option<&Bundle>, partitions: u32) -> Result<Plan, DoesNotFit> {
        let threads = threads(config);
        let rows = config.batch.rows_max as usize;
        let model = bundle.map_or(0, |b| b.summary.memory(threads, rows) as u64);
        Ok(Plan {
            threads,
            kafka: MemoryPlan::new(config.intake.memory, partitions)?,
            // Raw bytes are kept until the record is durable, and encoded rows are about as large.
            in_flight: 2 * config.intake.in_flight_bytes.0,
            groups: u64::from(config.writer.writers) * config.writer.group_bytes.0,
            model,
        })
    }

    /// Bytes that the process takes at most, if records are as large and as compressed as the plan of the client counts.
    pub fn total(&self) -> u64 {
        self.kafka.total() + self.in_flight + self.groups + self.model + PROCESS
    }
}

/// Mill threads: as configured, or what the scheduler and the cgroup's CPU quota give.
pub fn threads(config: &Config) -> usize {
    let found = std::thread::available_parallelism().map_or(1, usize::from);
    config.mill.threads.map_or(found, |n| n as usize)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| ByteSize::mib(bytes.div_ceil(1 << 20));
        write!(
            f,
            "{} mill threads; memory at most {} = kafka {} + in flight {} + groups {} + model {} + process {}",
            self.threads,
            mib(self.total()),
            mib(self.kafka.total()),
            mib(self.in_flight),
            mib(self.groups),
            mib(self.model),
            mib(PROCESS)
        )
    }
}
