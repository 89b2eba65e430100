//! The newest records of the topics, without joining the group: what `check --sample` judges.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use rdkafka::Message;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::error::RDKafkaErrorCode;

use crate::adapters::kafka::queues::copy;
use crate::adapters::kafka::scout::Scout;
use crate::adapters::kafka::scout::ScoutError;
use crate::domain::batch::Batch;
use crate::domain::batch::Piece;
use crate::domain::batch::Record;
use crate::domain::batch::Span;
use crate::domain::lane::Epoch;
use crate::domain::lane::Lane;

/// Bytes that end a sample early: positions in a batch are 32-bit numbers.
const BYTES_MAX: usize = 256 << 20;

impl Scout {
    /// Reads about `count` of the newest records, evenly over the partitions: one piece a partition, in log order.
    /// Returns what it has after `within`, if anything; empty topics give an empty batch.
    pub fn sample(&self, count: usize, within: Duration) -> Result<Batch, ScoutError> {
        let end = Instant::now() + within;
        let topics = self.topics()?;
        let lanes: usize = topics.iter().map(|t| t.partitions as usize).sum();
        let share = count.div_ceil(lanes.max(1)) as i64;
        let mut batch = Batch::default();
        let mut bytes = 0;
        for (topic, facts) in topics.iter().enumerate() {
            let got = self.newest(topic as u16, facts.partitions, share, end, &mut bytes)?;
            for (lane, records) in got {
                let room = count - batch.records.len().min(count);
                append(&mut batch, lane, &records, room.min(share as usize));
            }
        }
        Ok(batch)
    }

    /// The last `share` records of each partition of a topic.
    fn newest(
        &self,
        topic: u16,
        partitions: u32,
        share: i64,
        end: Instant,
        bytes: &mut usize,
    ) -> Result<BTreeMap<Lane, Batch>, ScoutError> {
        let refused = |e: KafkaError| ScoutError::NoAnswer { what: "a sample".into(), message: e.to_string() };
        let mut list = TopicPartitionList::new();
        // Partitions that are still read, with the offset that ends the sample.
        let mut open = BTreeMap::new();
        for partition in 0..partitions as i32 {
            let lane = Lane { topic, partition };
            let (low, high) = self.watermarks(lane)?;
            if high > low {
                let from = Offset::Offset(low.max(high - share));
                list.add_partition_offset(self.topic(lane), partition, from).map_err(refused)?;
                open.insert(partition, high);
            }
        }
        let mut got = BTreeMap::<Lane, Batch>::new();
        let mut lost = 0;
        self.consumer.assign(&list).map_err(refused)?;
        while open.len() > lost && *bytes < BYTES_MAX && Instant::now() < end {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    // What was produced since the ends were asked for is left out: a busy topic would never end.
                    let Some(high) = open.get(&partition).copied() else { continue };
                    if offset < high {
                        let batch = got.entry(Lane { topic, partition }).or_default();
                        let before = batch.bytes.len();
                        copy(&message, batch);
                        *bytes += batch.bytes.len() - before;
                    }
                    if offset + 1 >= high {
                        open.remove(&partition);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
                // Retention was faster: nothing more comes from this partition, and the error does not name it.
                Some(Err(e)) if e.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => lost += 1,
                Some(Err(_)) | None => {}
            }
        }
        self.consumer.unassign().map_err(refused)?;
        if got.is_empty() && open.len() > lost {
            let message = "no record came in time".into();
            return Err(ScoutError::NoAnswer { what: "a sample".into(), message });
        }
        Ok(got)
    }
}

/// Appends the last `most` records of one partition as a piece.
fn append(batch: &mut Batch, lane: Lane, from: &Batch, most: usize) {
    let first = batch.records.len();
    for record in &from.records[from.records.len().saturating_sub(most)..] {
        let mut span = |s: Span| batch.push_bytes(s.of(&from.bytes));
        let (payload, key, headers) = (span(record.payload), span(record.key), span(record.headers));
        batch.records.push(Record { payload, key, headers, ..*record });
    }
    let Some((head, last)) = batch.records.get(first).zip(batch.records.last()) else { return };
    let (expected, end) = (head.offset, last.offset + 1);
    let count = (batch.records.len() - first) as u32;
    batch.pieces.push(Piece { lane, epoch: Epoch(0), expected, end, first: first as u32, count });
}
