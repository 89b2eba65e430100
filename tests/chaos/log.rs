//! The log itself, read back by a client of its own at the end: the truth that everything else is compared with.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use std::time::Instant;

use rdkafka::Message;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::message::Headers;

use crate::event;
use crate::event::KIND;
use crate::event::Kind;
use crate::support::kafka::Kafka;
use crate::support::kafka::client;

const PATIENCE: Duration = Duration::from_secs(90);
/// Offsets of one partition that are compared by one checksum.
pub const WINDOW: i64 = 10_000;

/// First level of the comparison: a partition's clean records in one window of offsets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    pub count: i64,
    pub xor: i64,
    /// Weighted by the offset, so that two records in each other's places differ.
    pub weighted: i128,
}

/// A record that must be a dead letter.
#[derive(Clone, Debug)]
pub struct Poisoned {
    pub kind: Kind,
    pub key: Vec<u8>,
    pub payload: Vec<u8>,
}

#[derive(Default)]
pub struct Log {
    pub records: u64,
    pub clean: BTreeMap<(i32, i64), Sums>,
    pub poisoned: BTreeMap<(i32, i64), Poisoned>,
    /// By partition.
    pub tombstones: BTreeMap<i32, i64>,
    /// Offsets and checksums of the clean records, by partition: the second level.
    pub each: BTreeMap<i32, Vec<(i64, i64)>>,
    /// Every offset with a record.
    present: BTreeMap<i32, Vec<i64>>,
    pub ends: BTreeMap<i32, i64>,
    /// What could not have been produced by us.
    pub strange: Vec<String>,
}

/// The weight of an offset; `sums` of the oracle say the same in SQL.
pub fn weight(offset: i64) -> i64 {
    offset % 10_007 + 1
}

impl Log {
    /// Reads every committed record from the beginning.
    pub fn read(kafka: &Kafka, topic: &str) -> Log {
        let mut config = client(kafka.bootstrap());
        config.set("group.id", "reads-without-joining").set("enable.auto.commit", "false");
        config.set("enable.partition.eof", "true").set("isolation.level", "read_committed");
        config.set("auto.offset.reset", "error").set("fetch.queue.backoff.ms", "10");
        // As the corruption of a batch must be seen here and nowhere else.
        config.set("check.crcs", "true");
        let consumer: BaseConsumer = config.create().expect("these settings are right");
        let bounds = kafka.bounds(topic);
        let mut list = TopicPartitionList::new();
        for (partition, (first, _)) in &bounds {
            list.add_partition_offset(topic, *partition, Offset::Offset(*first)).expect("an offset from Kafka");
        }
        consumer.assign(&list).expect("an assignment is taken");
        let mut log = Log { ends: bounds.iter().map(|(p, (_, end))| (*p, *end)).collect(), ..Log::default() };
        let mut open: BTreeSet<i32> = bounds.into_keys().collect();
        let mut deadline = Instant::now() + PATIENCE;
        while !open.is_empty() {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    log.enter(&message);
                    deadline = Instant::now() + PATIENCE;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                // A lost connection or a moved leader; the client goes on by itself.
                Some(Err(_)) => {}
                None => assert!(Instant::now() < deadline, "the log cannot be read to its end\n{}", kafka.logs()),
            }
        }
        log
    }

    fn enter(&mut self, message: &BorrowedMessage<'_>) {
        let (partition, offset) = (message.partition(), message.offset());
        self.records += 1;
        self.present.entry(partition).or_default().push(offset);
        let letter = message.headers().and_then(|h| h.iter().find(|h| h.key == KIND)?.value?.first().copied());
        let Some(kind) = letter.and_then(Kind::of_letter) else {
            return self.strange.push(format!("{partition}/{offset} has no kind"));
        };
        match kind {
            Kind::Tombstone => *self.tombstones.entry(partition).or_default() += 1,
            Kind::Clean => {
                let Some(event) = message.payload().and_then(event::read) else {
                    return self.strange.push(format!("{partition}/{offset} is not whole"));
                };
                let sum = event.sum();
                let sums = self.clean.entry((partition, offset / WINDOW)).or_default();
                sums.count += 1;
                sums.xor ^= sum;
                sums.weighted += i128::from(sum) * i128::from(weight(offset));
                self.each.entry(partition).or_default().push((offset, sum));
            }
            kind => {
                let bytes = |part: Option<&[u8]>| part.unwrap_or_default().to_vec();
                let poisoned = Poisoned { kind, key: bytes(message.key()), payload: bytes(message.payload()) };
                self.poisoned.insert((partition, offset), poisoned);
            }
        }
    }

    pub fn has(&self, partition: i32, offset: i64) -> bool {
        self.present.get(&partition).is_some_and(|offsets| offsets.binary_search(&offset).is_ok())
    }
}
