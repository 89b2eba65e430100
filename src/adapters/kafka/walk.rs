//! Reads stretches of the log from beginning to end, without a group: what `verify` compares the tables with.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use rdkafka::Message;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;

use crate::adapters::kafka::broker::OpenError;
use crate::adapters::kafka::client;
use crate::adapters::kafka::options::Options;
use crate::adapters::kafka::queues::copy;
use crate::adapters::kafka::scout::Scout;
use crate::adapters::kafka::scout::ScoutError;
use crate::domain::batch::Batch;
use crate::domain::lane::Lane;

/// Offsets of a lane to read: `from` up to but not including `to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    pub lane: Lane,
    pub from: i64,
    pub to: i64,
}

/// A record of the log as it passes.
#[derive(Debug)]
pub struct Seen<'a> {
    pub lane: Lane,
    pub offset: i64,
    message: &'a BorrowedMessage<'a>,
}

impl Seen<'_> {
    /// Appends the whole record, as intake would.
    pub fn copy_into(&self, batch: &mut Batch) {
        copy(self.message, batch);
    }
}

/// When reading is given up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest time without anything from the brokers.
    pub silence: Duration,
    /// End of all reading.
    pub deadline: Instant,
}

/// Partitions of one topic that are being read: the next offset, and where to stop.
type Open = BTreeMap<i32, (i64, i64)>;

impl Scout {
    /// A client for reading much. `timeout` bounds every single question.
    ///
    /// # Errors
    /// When the options cannot be used.
    pub fn reader(options: &Options, timeout: Duration) -> Result<Scout, OpenError> {
        Scout::with(options, timeout, client::walker(options))
    }

    /// Hands every record of the stretches to `each`, those of a lane in log order. A lane must not be given twice.
    /// What retention takes away meanwhile is passed over.
    ///
    /// # Errors
    /// When nothing comes for too long, or a broker refuses.
    pub fn walk(
        &self,
        stretches: &[Stretch],
        limits: Limits,
        mut each: impl FnMut(Seen<'_>),
    ) -> Result<(), ScoutError> {
        // The end of a partition is told without its topic, so topics are read one after the other.
        let mut topics: BTreeMap<u16, Open> = BTreeMap::new();
        for s in stretches.iter().filter(|s| s.from < s.to) {
            topics.entry(s.lane.topic).or_default().insert(s.lane.partition, (s.from, s.to));
        }
        for (topic, open) in topics {
            self.walk_topic(topic, open, limits, &mut each)?;
        }
        Ok(())
    }

    fn walk_topic(
        &self,
        topic: u16,
        mut open: Open,
        limits: Limits,
        each: &mut impl FnMut(Seen<'_>),
    ) -> Result<(), ScoutError> {
        let what = || format!("the records of {}", self.topics[usize::from(topic)]);
        let silent = |message: String| ScoutError::NoAnswer { what: what(), message };
        self.assign(topic, &open)?;
        let (mut heard, mut fresh, mut taken) = (Instant::now(), false, 0_u32);
        let mut last = None;
        while !open.is_empty() {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    let Some((next, to)) = open.get_mut(&partition) else { continue };
                    if offset >= *next && offset < *to {
                        *next = offset + 1;
                        each(Seen { lane: Lane { topic, partition }, offset, message: &message });
                    }
                    if offset + 1 >= *to {
                        self.close(topic, partition, &mut open)?;
                    }
                    // The clock is read once a thousand records.
                    (fresh, taken) = (true, taken.wrapping_add(1));
                    if !taken.is_multiple_of(1024) {
                        continue;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => self.close(topic, partition, &mut open)?,
                Some(Err(e)) if e.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => {
                    self.pass_over(topic, &mut open)?;
                }
                Some(Err(e)) => {
                    let error = super::scout::asked(what())(e);
                    if matches!(error, ScoutError::Refused { .. }) {
                        return Err(error);
                    }
                    last = Some(error.to_string());
                }
                None => {}
            }
            let now = Instant::now();
            if std::mem::take(&mut fresh) {
                heard = now;
            }
            if now > limits.deadline {
                return Err(silent("the time for reading is up".into()));
            }
            if now.duration_since(heard) > limits.silence {
                return Err(silent(last.unwrap_or_else(|| format!("nothing came for {:?}", limits.silence))));
            }
        }
        Ok(())
    }

    fn assign(&self, topic: u16, open: &Open) -> Result<(), ScoutError> {
        let name = &self.topics[usize::from(topic)];
        let failed = super::scout::asked(format!("to read {name}"));
        let mut list = TopicPartitionList::new();
        let added =
            open.iter().try_for_each(|(p, (next, _))| list.add_partition_offset(name, *p, Offset::Offset(*next)));
        added.and_then(|()| self.consumer.assign(&list)).map_err(failed)
    }

    /// A partition is done; the client need not fetch more of it.
    fn close(&self, topic: u16, partition: i32, open: &mut Open) -> Result<(), ScoutError> {
        open.remove(&partition);
        let name = &self.topics[usize::from(topic)];
        let mut list = TopicPartitionList::new();
        list.add_partition(name, partition);
        let given = self.consumer.assignment().is_ok_and(|a| a.find_partition(name, partition).is_some());
        if !given {
            return Ok(());
        }
        self.consumer.incremental_unassign(&list).map_err(super::scout::asked(format!("to stop reading {name}")))
    }

    /// Some partition's next offset is no longer in the log, and the error does not say whose: all are asked.
    fn pass_over(&self, topic: u16, open: &mut Open) -> Result<(), ScoutError> {
        for (partition, (next, to)) in open.iter_mut() {
            let (low, _) = self.watermarks(Lane { topic, partition: *partition })?;
            *next = (*next).max(low).min(*to);
        }
        open.retain(|_, (next, to)| next < to);
        self.assign(topic, open)
    }
}
