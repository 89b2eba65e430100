//! Reads one record of the log, to see whether it is still the one that was stored (rule C4, promise P8).

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
use crate::domain::lane::Lane;
use crate::domain::scored::fingerprint;

/// Pace of looking whether something came.
const PACE: Duration = Duration::from_millis(100);

impl Scout {
    /// Fingerprint of the record at exactly this offset. `None` when there is none that can be read: compacted away, a
    /// transaction's marker, or outside the log, which the fetch itself will tell (rule J2).
    ///
    /// Several lanes may be probed at the same time, one thread each.
    pub fn fingerprint_at(&self, lane: Lane, offset: i64) -> Result<Option<i64>, ScoutError> {
        let failed = |message: String| ScoutError::NoAnswer {
            what: format!("the record {offset} of {}[{}]", self.topic(lane), lane.partition),
            message,
        };
        self.serve();
        let mut list = TopicPartitionList::new();
        let place = list.add_partition_offset(self.topic(lane), lane.partition, Offset::Offset(offset));
        place.map_err(|e| failed(e.to_string()))?;
        // A queue of its own: what is fetched for one lane is not taken by the probe of another.
        let queue = self.consumer.split_partition_queue(self.topic(lane), lane.partition);
        let queue = queue.ok_or_else(|| failed("the partition cannot be split off".into()))?;
        self.consumer.incremental_assign(&list).map_err(|e| failed(e.to_string()))?;
        let end = Instant::now() + self.timeout;
        let found = loop {
            match queue.poll(PACE) {
                Some(Ok(message)) => {
                    break Ok((message.offset() == offset).then(|| {
                        let mut batch = Batch::default();
                        copy(&message, &mut batch);
                        fingerprint(&batch, 0)
                    }));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break Ok(None),
                Some(Err(e)) if e.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => break Ok(None),
                Some(Err(e)) => tracing::debug!(target: "kafka", %lane, error = %e, "a probe met an error"),
                None => {}
            }
            if Instant::now() > end {
                break Err(failed("nothing came".into()));
            }
        };
        drop(queue);
        self.consumer.incremental_unassign(&list).map_err(|e| failed(e.to_string()))?;
        found
    }
}
