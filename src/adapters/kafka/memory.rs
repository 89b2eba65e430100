//! How much the client may hold: the intake's memory shared among the partitions (rule T5).

use std::fmt;

use crate::domain::units::ByteSize;

/// Least that a partition's queue, and one fetch of it, may hold.
const FLOOR: u64 = 64 << 10;
/// A larger fetch per partition gains nothing that was measured.
const FETCH_MAX: u64 = 1 << 20;
/// Largest values that librdkafka takes.
const QUEUE_KIB_MAX: u64 = 2_097_151;
const RESPONSE_MAX: u64 = 50 << 20;

/// Limits of the client's queues. Fixed when the client is made: a partition that is added later comes on top.
///
/// A partition holds its queue plus at most one fetch that began while the queue had room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryPlan {
    pub memory: u64,
    pub partitions: u32,
    pub queued_kib: u64,
    pub partition_fetch: u64,
    pub response: u64,
}

/// The memory is too small for the partitions.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "intake.memory = {memory} does not fit {partitions} partitions: each needs a queue and a fetch of 64KiB; \
     set it to {needed} or more, or run more processes with fewer topics each"
)]
pub struct DoesNotFit {
    pub memory: ByteSize,
    pub partitions: u32,
    pub needed: ByteSize,
}

impl MemoryPlan {
    /// Divides `memory` among all partitions of the subscribed topics (any of them may be given to this process).
    pub fn new(memory: ByteSize, partitions: u32) -> Result<MemoryPlan, DoesNotFit> {
        let count = u64::from(partitions.max(1));
        let share = memory.0 / count;
        if share < 2 * FLOOR {
            return Err(DoesNotFit { memory, partitions, needed: ByteSize(count * 2 * FLOOR) });
        }
        let partition_fetch = (share / 2).min(FETCH_MAX);
        let queued_kib = ((share - partition_fetch) >> 10).min(QUEUE_KIB_MAX);
        let response = (count * partition_fetch).min(RESPONSE_MAX);
        Ok(MemoryPlan { memory: memory.0, partitions, queued_kib, partition_fetch, response })
    }

    /// Bytes that the client holds at most, as fetched (a compressed batch grows when it is read).
    pub fn total(&self) -> u64 {
        u64::from(self.partitions.max(1)) * ((self.queued_kib << 10) + self.partition_fetch)
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} partitions x ({}KiB queue + {}KiB fetch) = {}KiB of {}KiB",
            self.partitions,
            self.queued_kib,
            self.partition_fetch >> 10,
            self.total() >> 10,
            self.memory >> 10
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t5_the_sum_never_passes_the_memory() {
        for memory in [ByteSize::mib(1), ByteSize::mib(64), ByteSize::mib(100), ByteSize::mib(8192)] {
            for partitions in [1, 3, 12, 100, 256, 512, 1000, 65_536] {
                match MemoryPlan::new(memory, partitions) {
                    Ok(plan) => {
                        assert!(plan.total() <= memory.0, "{plan}");
                        assert!(plan.queued_kib >= 64 && plan.partition_fetch >= FLOOR, "{plan}");
                    }
                    Err(e) => {
                        assert!(MemoryPlan::new(e.needed, partitions).is_ok(), "{e}");
                        assert!(e.needed > memory);
                    }
                }
            }
        }
    }

    #[test]
    fn t5_the_sum_is_printed() {
        let plan = MemoryPlan::new(ByteSize::mib(64), 256).unwrap();
        assert_eq!(plan.to_string(), "256 partitions x (128KiB queue + 128KiB fetch) = 65536KiB of 65536KiB");
        let error = MemoryPlan::new(ByteSize::mib(64), 513).unwrap_err().to_string();
        assert!(error.contains("64MiB") && error.contains("513") && error.contains("65664KiB"), "{error}");
    }
}
