//! The split queues of assigned partitions, and the list of those that have something.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::Timestamp;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::Consumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;

use crate::adapters::kafka::context::Context;
use crate::adapters::kafka::native;
use crate::domain::batch::Batch;
use crate::domain::batch::Record;
use crate::domain::batch::Span;
use crate::domain::batch::TimestampKind;
use crate::domain::lane::Lane;
use crate::ports::Room;
use crate::ports::Taken;

/// Unparks intake. Called from the client's threads: it must not block and not call the client.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Lanes whose queue stopped being empty.
pub(super) struct Ready {
    lanes: Mutex<Vec<Lane>>,
    wake: Wake,
}

impl Ready {
    pub fn new(wake: Wake) -> Ready {
        Ready { lanes: Mutex::default(), wake }
    }

    pub fn put(&self, lane: Lane) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
        (self.wake)();
    }

    /// Moves the lanes that `keep` says yes to, each once.
    pub fn drain(&self, into: &mut Vec<Lane>, keep: impl Fn(&Lane) -> bool) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        // The client's own barriers ring as well, so a lane may be here twice.
        lanes.sort_unstable();
        lanes.dedup();
        into.extend(lanes.drain(..).filter(keep));
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

/// An assigned partition. Dropping it leaves the partition silent until it is split again, so it lives as long as the assignment.
pub(super) struct Queue {
    queue: PartitionQueue<Context>,
    /// Next offset to hand out.
    pub position: i64,
    /// Age of the client when the partition was assigned: older statistics are about an older assignment.
    pub since: Duration,
    /// An error was met: nothing is handed out until the restart (rule W6).
    pub broken: bool,
    /// A restart that waits until a revoke is answered.
    pub restart: Option<i64>,
}

/// The queues of all assigned partitions.
pub(super) type Queues = HashMap<Lane, Queue>;

impl Queue {
    /// Splits a partition off the main queue; before it is assigned, so that nothing can reach the main queue.
    ///
    /// The callback fires only when an empty queue gets something, so the caller puts the lane on the ready list once.
    pub fn split(
        consumer: &Arc<BaseConsumer<Context>>,
        ready: &Arc<Ready>,
        lane: Lane,
        position: i64,
        since: Duration,
    ) -> Option<Queue> {
        let topic = consumer.context().topic(lane);
        let mut queue = consumer.split_partition_queue(topic, lane.partition)?;
        let ready = Arc::clone(ready);
        queue.set_nonempty_callback(move || ready.put(lane));
        Some(Queue { queue, position, since, broken: false, restart: None })
    }

    /// See [`crate::ports::Broker::take`]; an error ends the call and breaks the queue.
    pub fn take(&mut self, from: i64, room: Room, batch: &mut Batch) -> (Taken, Option<KafkaError>) {
        let mut taken = Taken::default();
        let start = batch.bytes.len();
        while !self.broken {
            if taken.records >= room.records || batch.bytes.len() - start >= room.bytes {
                return (taken, None);
            }
            match self.queue.poll(Duration::ZERO) {
                None => break,
                Some(Err(error)) => {
                    self.broken = true;
                    taken.drained = true;
                    return (taken, Some(error));
                }
                Some(Ok(message)) if message.offset() < from => taken.stale += 1,
                Some(Ok(message)) => {
                    self.position = message.offset() + 1;
                    copy(&message, batch);
                    taken.records += 1;
                }
            }
        }
        taken.drained = true;
        (taken, None)
    }
}

/// Appends a record: payload, key, headers, timestamp and its kind, offset (rule T4).
pub(super) fn copy(message: &BorrowedMessage<'_>, batch: &mut Batch) {
    let payload = batch.push_bytes(message.payload());
    let key = batch.push_bytes(message.key());
    let start = batch.bytes.len() as u32;
    native::push_headers(message, batch);
    let len = batch.bytes.len() as u32 - start;
    let (timestamp, kind) = match message.timestamp() {
        Timestamp::NotAvailable => (-1, TimestampKind::Missing),
        Timestamp::CreateTime(ms) => (ms, TimestampKind::Create),
        Timestamp::LogAppendTime(ms) => (ms, TimestampKind::LogAppend),
    };
    let headers = if len == 0 { Span::NULL } else { Span { start, len } };
    batch.records.push(Record { offset: message.offset(), timestamp, kind, key, payload, headers });
}
