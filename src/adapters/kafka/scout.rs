//! Asks the cluster about itself, at the start and for claims. Every call blocks, up to the timeout given at the start:
//! they are meant for blocking threads. The scout is never a member of the group and never commits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::Consumer;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

use crate::adapters::kafka::broker::OpenError;
use crate::adapters::kafka::client;
use crate::adapters::kafka::context::log_line;
use crate::adapters::kafka::first_offset::Commit;
use crate::adapters::kafka::first_offset::Decision;
use crate::adapters::kafka::first_offset::decide;
use crate::adapters::kafka::native;
use crate::adapters::kafka::options::Options;
use crate::adapters::kafka::start_from::StartFrom;
use crate::domain::fault::Fault;
use crate::domain::lane::Lane;

/// The client that asks.
pub struct Scout {
    pub(super) consumer: Arc<BaseConsumer<ScoutContext>>,
    pub(super) topics: Vec<String>,
    pub(super) timeout: Duration,
}

/// Forwards log lines; errors come back from the calls themselves.
pub(super) struct ScoutContext;

impl ClientContext for ScoutContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log_line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "kafka", %error, reason, "the asking kafka client met an error");
    }
}

impl ConsumerContext for ScoutContext {}

/// A topic as the cluster knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicFacts {
    pub name: String,
    pub partitions: u32,
    /// `None` when the broker does not tell.
    pub id: Option<u128>,
}

/// Where a partition without progress row starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FirstOffset {
    /// Go on behind the commit of an earlier consumer of this group.
    Adopted(i64),
    /// As `start_from` says, or at the partition's beginning.
    Found(i64),
    /// An operator must decide; the text says what.
    Park(String),
}

/// The cluster did not answer, or not what was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ScoutError {
    #[error("no such topic: {}; create it, or correct kafka.topics", .0.join(", "))]
    NoTopics(Vec<String>),
    #[error("kafka refuses {what}: {message}")]
    Refused { what: String, message: String },
    #[error("kafka did not answer {what}: {message}")]
    NoAnswer { what: String, message: String },
}

impl ScoutError {
    pub fn fault(&self) -> Fault {
        match self {
            ScoutError::Refused { .. } => Fault::Stop,
            // Somebody may create it; nothing is lost by waiting, and readiness says so.
            ScoutError::NoTopics(_) | ScoutError::NoAnswer { .. } => Fault::Retry,
        }
    }
}

pub(super) fn asked(what: impl Into<String>) -> impl FnOnce(KafkaError) -> ScoutError {
    use RDKafkaErrorCode as Code;
    move |error| {
        let (what, message) = (what.into(), error.to_string());
        match error.rdkafka_error_code() {
            Some(
                Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::InvalidGroupId
                | Code::InvalidTopic,
            ) => ScoutError::Refused { what, message },
            _ => ScoutError::NoAnswer { what, message },
        }
    }
}

impl Scout {
    /// Makes the client; it connects by itself. `timeout` bounds every single question.
    pub fn open(options: &Options, timeout: Duration) -> Result<Scout, OpenError> {
        Scout::with(options, timeout, client::asker(options))
    }

    pub(super) fn with(options: &Options, timeout: Duration, config: ClientConfig) -> Result<Scout, OpenError> {
        let problems = options.problems();
        if !problems.is_empty() {
            return Err(OpenError::Options(problems));
        }
        let consumer: BaseConsumer<ScoutContext> =
            config.create_with_context(ScoutContext).map_err(OpenError::Client)?;
        Ok(Scout { consumer: Arc::new(consumer), topics: options.topics.clone(), timeout })
    }

    /// Serves log lines that wait in the client; otherwise they would pile up for as long as the process lives.
    pub(super) fn serve(&self) {
        for _ in 0..100 {
            let _ = self.consumer.poll(Duration::ZERO);
        }
    }

    pub(super) fn topic(&self, lane: Lane) -> &str {
        &self.topics[usize::from(lane.topic)]
    }

    fn about(&self, what: &str, lane: Lane) -> String {
        format!("{what} of {}[{}]", self.topic(lane), lane.partition)
    }

    /// The cluster's own id.
    pub fn cluster_id(&self) -> Result<String, ScoutError> {
        self.serve();
        let id = self.consumer.client().fetch_cluster_id(self.timeout).filter(|id| !id.is_empty());
        let message = "no broker could be reached, or it has no id".to_owned();
        id.ok_or(ScoutError::NoAnswer { what: "the cluster id".into(), message })
    }

    /// All configured topics, in the order of the configuration. Those that do not exist are named at once.
    pub fn topics(&self) -> Result<Vec<TopicFacts>, ScoutError> {
        let found = self.look()?;
        let missing = |(name, facts): (&String, &Option<TopicFacts>)| facts.is_none().then(|| name.clone());
        let missing: Vec<String> = self.topics.iter().zip(&found).filter_map(missing).collect();
        if missing.is_empty() { Ok(found.into_iter().flatten().collect()) } else { Err(ScoutError::NoTopics(missing)) }
    }

    /// All configured topics, in the order of the configuration; `None` for one that does not exist.
    pub fn look(&self) -> Result<Vec<Option<TopicFacts>>, ScoutError> {
        self.serve();
        let found = self.topics.iter().map(|name| self.partitions(name)).collect::<Result<Vec<_>, _>>()?;
        let facts = |(name, found): (&String, Option<(u32, i32)>)| {
            let Some((partitions, broker)) = found else { return Ok(None) };
            let id = self.id_of(name, broker)?;
            Ok(Some(TopicFacts { name: name.clone(), partitions, id }))
        };
        self.topics.iter().zip(found).map(facts).collect()
    }

    fn id_of(&self, name: &str, broker: i32) -> Result<Option<u128>, ScoutError> {
        let client = self.consumer.client().native_client();
        native::topic_id(client, name, broker, self.timeout)
            .map_err(|code| ScoutError::NoAnswer { what: format!("the id of topic {name}"), message: code.to_string() })
    }

    /// The broker's id of a topic, as it is now; `None` when there is no such topic, or the broker does not tell.
    pub fn topic_id(&self, topic: u16) -> Result<Option<u128>, ScoutError> {
        self.serve();
        let name = &self.topics[usize::from(topic)];
        let Some((_, broker)) = self.partitions(name)? else { return Ok(None) };
        self.id_of(name, broker)
    }

    /// Number of partitions and a broker that is up, or `None` for a topic that does not exist.
    fn partitions(&self, name: &str) -> Result<Option<(u32, i32)>, ScoutError> {
        let what = || format!("the partitions of {name}");
        let metadata = self.consumer.fetch_metadata(Some(name), self.timeout).map_err(asked(what()))?;
        let topic = metadata.topics().iter().find(|t| t.name() == name);
        match topic.map(|t| (t.error(), t.partitions().len())) {
            None | Some((Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART), _)) => Ok(None),
            Some((Some(error), _)) => Err(asked(what())(KafkaError::MetadataFetch(error.into()))),
            Some((None, 0)) => Ok(None),
            Some((None, count)) => {
                // The one that answered has no number yet when it was asked by its bootstrap address.
                let first = metadata.brokers().first().map(|b| b.id());
                let broker = Some(metadata.orig_broker_id()).filter(|id| *id >= 0).or(first);
                Ok(Some((count as u32, broker.unwrap_or(-1))))
            }
        }
    }

    /// What the group has committed for a partition, with its metadata.
    pub fn committed(&self, lane: Lane) -> Result<Option<Commit>, ScoutError> {
        self.serve();
        let what = self.about("the committed offset", lane);
        let mut list = TopicPartitionList::new();
        list.add_partition(self.topic(lane), lane.partition);
        let list = self.consumer.committed_offsets(list, self.timeout).map_err(asked(what.clone()))?;
        let Some(offset) = first_offset_of(&list, what)? else { return Ok(None) };
        Ok(Some(Commit { offset, metadata: native::first_metadata(&list).unwrap_or_default() }))
    }

    /// First offset in the log, and the one that the next record will get.
    pub fn watermarks(&self, lane: Lane) -> Result<(i64, i64), ScoutError> {
        self.serve();
        let answer = self.consumer.fetch_watermarks(self.topic(lane), lane.partition, self.timeout);
        answer.map_err(asked(self.about("the ends", lane)))
    }

    /// Offset of the first record with this timestamp or a later one; the end of the log when there is none.
    pub fn offset_at(&self, lane: Lane, millis: i64) -> Result<i64, ScoutError> {
        self.serve();
        let what = self.about("the offset by time", lane);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(self.topic(lane), lane.partition, Offset::Offset(millis))
            .map_err(asked(what.clone()))?;
        let list = self.consumer.offsets_for_times(list, self.timeout).map_err(asked(what.clone()))?;
        match first_offset_of(&list, what)? {
            Some(offset) => Ok(offset),
            None => Ok(self.watermarks(lane)?.1),
        }
    }

    /// Where a partition without progress row starts, as a number (rule C4). `first_claim`: the source itself is new.
    pub fn first_offset(
        &self,
        lane: Lane,
        uid: &str,
        start_from: StartFrom,
        first_claim: bool,
    ) -> Result<FirstOffset, ScoutError> {
        let commit = self.committed(lane)?;
        let start = match decide(commit.as_ref(), uid, start_from, first_claim) {
            Decision::Adopt(offset) => return Ok(FirstOffset::Adopted(offset)),
            Decision::Park(why) => {
                return Ok(FirstOffset::Park(format!("{}[{}]: {why}", self.topic(lane), lane.partition)));
            }
            Decision::Find(start) => start,
        };
        Ok(FirstOffset::Found(match start {
            StartFrom::Earliest => self.watermarks(lane)?.0,
            StartFrom::Latest => self.watermarks(lane)?.1,
            StartFrom::Time(millis) => self.offset_at(lane, millis)?,
        }))
    }
}

/// The offset in the answer's only element; `None` for "there is none" (-1 and -1001).
fn first_offset_of(list: &TopicPartitionList, what: String) -> Result<Option<i64>, ScoutError> {
    let elements = list.elements();
    let Some(element) = elements.first() else { return Ok(None) };
    element.error().map_err(asked(what))?;
    match element.offset() {
        Offset::Offset(offset) => Ok(Some(offset)),
        _ => Ok(None),
    }
}

impl fmt::Debug for Scout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scout").field("topics", &self.topics).finish_non_exhaustive()
    }
}
