//! What librdkafka calls back: noted here, decided by intake (rule C1).
//!
//! All of it arrives on the thread that polls the main queue. The lock is never held while the client is called.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::Consumer;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaRespErr;

use crate::adapters::kafka::options::Isolation;
use crate::adapters::kafka::stats::Stats;
use crate::domain::lane::Lane;
use crate::failpoints;
use crate::failpoints::Point;
use crate::ports::BrokerEvent;

/// What was called back since it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub events: Vec<BrokerEvent>,
    /// Text of the error that the next failing poll returns: the client tells it here and the code there.
    pub reason: Option<String>,
    pub stats: Option<Stats>,
    /// Rebalances so far. Each pauses what is assigned and throws away what was fetched of it.
    pub rebalances: u64,
    /// A revoke waits for its answer.
    pub revoke_owed: bool,
    /// From now on callbacks answer for themselves: nobody will.
    pub closing: bool,
    /// Number of callbacks so far: tells whether a poll that returned nothing did something.
    pub served: u64,
}

/// Notes for [`crate::adapters::kafka::broker::KafkaBroker`].
#[derive(Debug)]
pub struct Context {
    topics: Vec<String>,
    isolation: Isolation,
    notes: Mutex<Notes>,
}

impl Context {
    pub(super) fn new(topics: Vec<String>, isolation: Isolation) -> Context {
        Context { topics, isolation, notes: Mutex::default() }
    }

    pub(super) fn topic(&self, lane: Lane) -> &str {
        &self.topics[usize::from(lane.topic)]
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn served(&self) -> MutexGuard<'_, Notes> {
        let mut notes = self.notes();
        notes.served += 1;
        notes
    }

    fn lanes(&self, list: &TopicPartitionList) -> Vec<Lane> {
        let lane = |topic: &str, partition| {
            let topic = self.topics.iter().position(|t| t == topic)?;
            Some(Lane { topic: topic as u16, partition })
        };
        list.elements().iter().filter_map(|e| lane(e.topic(), e.partition())).collect()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        drop(self.served());
        log_line(level, facility, text);
    }

    fn stats_raw(&self, json: &[u8]) {
        let stats = Stats::read(json, &self.topics, self.isolation);
        if stats.is_none() {
            tracing::warn!(target: "kafka", "statistics are not readable; lag and ends of partitions are unknown");
        }
        self.served().stats = stats;
    }

    fn error(&self, _: KafkaError, reason: &str) {
        self.served().reason = Some(reason.to_owned());
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, cause: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let lanes = self.lanes(list);
        let assign = cause == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let lost = !assign && consumer.assignment_lost();
        failpoints::hit(if assign { Point::InAssignCallback } else { Point::InRevokeCallback });
        let mut notes = self.served();
        notes.rebalances += 1;
        if notes.closing || (assign && lanes.is_empty()) {
            drop(notes);
            answer_with_nothing(consumer, assign);
        } else if assign {
            notes.events.push(BrokerEvent::Given(lanes));
        } else {
            notes.revoke_owed = true;
            notes.events.push(if lost { BrokerEvent::Lost(lanes) } else { BrokerEvent::Revoked(lanes) });
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        let error = result.err().map(|e| e.to_string());
        self.served().events.push(BrokerEvent::Committed { error });
    }
}

/// Holding an empty assign would hold the whole group (rule C1); at close nothing is assigned any more (rule C2).
fn answer_with_nothing(consumer: &BaseConsumer<Context>, assign: bool) {
    let none = TopicPartitionList::new();
    let answer = if assign { consumer.incremental_assign(&none) } else { consumer.incremental_unassign(&none) };
    if let Err(error) = answer {
        tracing::warn!(target: "kafka", assign, %error, "an empty rebalance answer was refused");
    }
}

/// librdkafka's own log lines. It logs every failed reconnect as an error, so only what is worse stays one.
pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, text: &str) {
    use RDKafkaLogLevel::*;
    match level {
        Emerg | Alert | Critical => tracing::error!(target: "kafka", facility, text, "librdkafka"),
        Error | Warning => tracing::warn!(target: "kafka", facility, text, "librdkafka"),
        Notice => tracing::info!(target: "kafka", facility, text, "librdkafka"),
        Info | Debug => tracing::debug!(target: "kafka", facility, text, "librdkafka"),
    }
}
