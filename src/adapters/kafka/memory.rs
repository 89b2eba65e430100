//! How much the client may hold: the intake's memory shared among the partitions (rule T5).

use std::fmt;
use std::ops::RangeInclusive;

use crate::domain::units::ByteSize;

/// A fetch is compressed, and so many times as large when it is read: what JSON comes to with lz4 or zstd.
const EXPANSION: u64 = 4;
/// What librdkafka keeps of a record beside its bytes, in bytes (`rd_kafka_op_t` and its share of the queue).
const RECORD_COST: u64 = 400;
/// Mean size that records are counted with, in bytes; smaller ones take more than the plan says.
const RECORD_SIZE: u64 = 256;
/// Least that a fetch of one partition may ask for: producers send batches of this size unless told otherwise.
const FETCH_MIN: u64 = 16 << 10;
/// A larger fetch per partition gains nothing that was measured.
const FETCH_MAX: u64 = 1 << 20;
/// Part of a partition's share that a fetch is: read, and with what is kept beside the records, it is ten times as large.
const FETCH_PART: u64 = 16;
/// Least share of a partition: the smallest fetch and a few records in the queue.
const SHARE_MIN: u64 = 192 << 10;
/// Share with which a fetch brings enough of a partition: with a quarter of it, requests for a few records of one partition
/// cost more than the records (256 partitions: twice the processor time).
const SHARE_AMPLE: u64 = 1 << 20;
/// Memory without a setting: ample shares between these.
const MEMORY: RangeInclusive<u64> = (64 << 20)..=(256 << 20);
/// Largest values that librdkafka takes.
const QUEUE_KIB_MAX: u64 = 2_097_151;
const QUEUE_RECORDS_MAX: u64 = 10_000_000;
const RESPONSE_MAX: u64 = 50 << 20;

/// Memory that records of so many bytes take.
fn held(bytes: u64) -> u64 {
    bytes + bytes / RECORD_SIZE * RECORD_COST
}

/// Limits of the client's queues. Fixed when the client is made: a partition that is added later comes on top.
///
/// A partition holds its queue plus at most one fetch that began while the queue had room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryPlan {
    pub memory: u64,
    pub partitions: u32,
    pub queued_kib: u64,
    pub queued_records: u64,
    pub partition_fetch: u64,
    pub response: u64,
}

/// The memory is too small for the partitions.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "intake.memory = {memory} does not fit {partitions} partitions: each needs 192KiB for a queue and a fetch; \
     set it to {needed} or more, or run more processes with fewer topics each"
)]
pub struct DoesNotFit {
    pub memory: ByteSize,
    pub partitions: u32,
    pub needed: ByteSize,
}

impl MemoryPlan {
    /// Divides `memory`, or what is usual for so many, among all partitions of the subscribed topics (any of them may be given
    /// to this process).
    ///
    /// # Errors
    /// If the share is less than a partition needs.
    pub fn new(memory: Option<ByteSize>, partitions: u32) -> Result<MemoryPlan, DoesNotFit> {
        let usual = (u64::from(partitions) * SHARE_AMPLE).clamp(*MEMORY.start(), *MEMORY.end());
        let memory = memory.unwrap_or(ByteSize(usual));
        let count = u64::from(partitions.max(1));
        let share = memory.0 / count;
        if share < SHARE_MIN {
            return Err(DoesNotFit { memory, partitions, needed: ByteSize(count * SHARE_MIN) });
        }
        let partition_fetch = (share / FETCH_PART).clamp(FETCH_MIN, FETCH_MAX);
        let queued = (share - held(EXPANSION * partition_fetch)) * RECORD_SIZE / (RECORD_SIZE + RECORD_COST);
        let queued_kib = (queued >> 10).min(QUEUE_KIB_MAX);
        let queued_records = ((queued_kib << 10) / RECORD_SIZE).min(QUEUE_RECORDS_MAX);
        let response = (count * partition_fetch).min(RESPONSE_MAX);
        Ok(MemoryPlan { memory: memory.0, partitions, queued_kib, queued_records, partition_fetch, response })
    }

    /// Bytes that the client holds at most, with what it keeps beside the records.
    pub fn total(&self) -> u64 {
        u64::from(self.partitions.max(1)) * (held(self.queued_kib << 10) + held(EXPANSION * self.partition_fetch))
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} partitions x ({}KiB queue of at most {} records + {}KiB fetch that grows by {}, {} bytes beside a record) = {}KiB of {}KiB",
            self.partitions,
            self.queued_kib,
            self.queued_records,
            self.partition_fetch >> 10,
            EXPANSION,
            RECORD_COST,
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
                match MemoryPlan::new(Some(memory), partitions) {
                    Ok(plan) => {
                        assert!(plan.total() <= memory.0, "{plan}");
                        assert!(
                            plan.queued_kib >= 10 && plan.queued_records >= 40 && plan.partition_fetch >= FETCH_MIN,
                            "{plan}"
                        );
                    }
                    Err(e) => {
                        assert!(MemoryPlan::new(Some(e.needed), partitions).is_ok(), "{e}");
                        assert!(e.needed > memory);
                    }
                }
            }
        }
    }

    #[test]
    fn t5_the_sum_is_printed() {
        let plan = MemoryPlan::new(Some(ByteSize::mib(64)), 256).unwrap();
        let want = "256 partitions x (35KiB queue of at most 140 records + 16KiB fetch that grows by 4, 400 bytes beside a \
                    record) = 64944KiB of 65536KiB";
        assert_eq!(plan.to_string(), want);
        let error = MemoryPlan::new(Some(ByteSize::mib(64)), 513).unwrap_err().to_string();
        assert!(error.contains("64MiB") && error.contains("513") && error.contains("98496KiB"), "{error}");
    }

    #[test]
    fn t5_without_a_setting_many_partitions_get_more() {
        let memory = |partitions| MemoryPlan::new(None, partitions).map(|plan| plan.memory >> 20);
        assert_eq!([1, 12, 64, 100, 256, 1365].map(|n| memory(n).unwrap()), [64, 64, 64, 100, 256, 256]);
        assert_eq!(memory(1366).unwrap_err().needed, ByteSize(1366 * SHARE_MIN));
    }
}
