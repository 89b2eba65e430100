//! The split queues of assigned partitions, and the list of those that have something.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::Consumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::message::BorrowedMessage;

use crate::adapters::kafka::context::Context;
use crate::adapters::kafka::fetched::ReadError;
use crate::adapters::kafka::fetched::Source;
use crate::adapters::kafka::fetched::View;
use crate::domain::batch::Batch;
use crate::domain::batch::Record;
use crate::domain::batch::Span;
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
    source: Source,
    /// Keeps the callback.
    _queue: PartitionQueue<Context>,
    /// Next offset to hand out.
    pub position: i64,
    /// Size of the record that was handed out last, by which as many are asked for as fit the room. The first comes alone.
    size: usize,
    /// Age of the client when the partition was assigned: older statistics are about an older assignment.
    pub since: Duration,
    /// An error was met: nothing is handed out until the restart (rule W6).
    pub broken: bool,
    /// A restart that waits until a revoke is answered.
    pub restart: Option<i64>,
    /// A rebalance has thrown away what was fetched. The client's numbers may be from before for a while, when all of it had
    /// been fetched, so an end that lies ahead is believed only after a restart (rule T6).
    pub emptied: bool,
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
        let source = Source::new(consumer, topic, lane.partition)?;
        let ready = Arc::clone(ready);
        queue.set_nonempty_callback(move || ready.put(lane));
        Some(Queue {
            source,
            _queue: queue,
            position,
            size: usize::MAX,
            since,
            broken: false,
            restart: None,
            emptied: false,
        })
    }

    /// Everything that the client gave us was handed out.
    pub fn is_handed_out(&self) -> bool {
        self.source.is_empty()
    }

    /// See [`crate::ports::Broker::take`]; an error ends the call and breaks the queue.
    pub fn take(&mut self, from: i64, room: Room, batch: &mut Batch) -> (Taken, Option<ReadError>) {
        let mut taken = Taken::default();
        let start = batch.bytes.len();
        while !self.broken {
            let used = batch.bytes.len() - start;
            if taken.records >= room.records || used >= room.bytes {
                return (taken, None);
            }
            let most = ((room.records - taken.records) as usize).min((room.bytes - used) / self.size);
            let Some(fetched) = self.source.next(most) else { break };
            match fetched.view() {
                Err(error) => {
                    self.broken = true;
                    taken.drained = true;
                    return (taken, Some(error));
                }
                Ok(message) if message.offset() < from => taken.stale += 1,
                Ok(message) => {
                    self.position = message.offset() + 1;
                    append(message, batch);
                    self.size = (batch.bytes.len() - start - used).max(1);
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
    append(View::of(message), batch);
}

fn append(message: View<'_>, batch: &mut Batch) {
    let payload = batch.push_bytes(message.payload());
    let key = batch.push_bytes(message.key());
    let start = batch.bytes.len() as u32;
    message.push_headers(batch);
    let len = batch.bytes.len() as u32 - start;
    let (timestamp, kind) = message.timestamp();
    let headers = if len == 0 { Span::NULL } else { Span { start, len } };
    batch.records.push(Record { offset: message.offset(), timestamp, kind, key, payload, headers });
}
