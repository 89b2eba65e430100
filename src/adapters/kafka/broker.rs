//! [`Broker`] over the real client. One thread owns it; see the module `context` for what is called back.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use rdkafka::Message;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::error::KafkaResult;
use rdkafka::error::RDKafkaErrorCode;

use crate::adapters::kafka::client;
use crate::adapters::kafka::context::Context;
use crate::adapters::kafka::first_offset;
use crate::adapters::kafka::memory::MemoryPlan;
use crate::adapters::kafka::native;
use crate::adapters::kafka::options::GroupProtocol;
use crate::adapters::kafka::options::Options;
use crate::adapters::kafka::options::Problem;
use crate::adapters::kafka::queues::Queue;
use crate::adapters::kafka::queues::Queues;
use crate::adapters::kafka::queues::Ready;
use crate::adapters::kafka::queues::Wake;
use crate::adapters::kafka::stats::Stats;
use crate::domain::batch::Batch;
use crate::domain::fault::Fault;
use crate::domain::lane::Lane;
use crate::domain::mutants;
use crate::failpoints;
use crate::failpoints::Point;
use crate::ports::Broker;
use crate::ports::BrokerError;
use crate::ports::BrokerEvent;
use crate::ports::Room;
use crate::ports::Taken;

/// Most events served by one [`Broker::poll`], so that a storm of log lines cannot hold intake.
const SERVE_MAX: usize = 1000;
/// Statistics must be this much younger than an assignment to speak of it: the client rolls them over once a second.
const SETTLE: Duration = Duration::from_secs(2);

/// The client that reads. Closes itself on drop, which may block; see [`crate::adapters::kafka::close`].
pub struct KafkaBroker {
    consumer: Arc<BaseConsumer<Context>>,
    queues: Queues,
    ready: Arc<Ready>,
    /// Mark of our commits, by topic.
    uids: BTreeMap<u16, String>,
    /// What [`Broker::take`] met; told by the next [`Broker::poll`].
    met: Vec<BrokerEvent>,
    stats: Stats,
    down: bool,
    /// Lanes whose restart failed between its two calls; whether they are still assigned, only the client knows.
    halfway: HashSet<Lane>,
    /// Rebalances that the queues know of.
    rebalances: u64,
    /// Before the client was made: its own age is never above this one's.
    born: Instant,
    topics: Vec<String>,
    /// A static member gives its partitions back and stays, so that its next start finds them (KIP-345).
    stays: bool,
}

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{} in [kafka]: {}", .0.len(), .0.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "))]
    Options(Vec<Problem>),
    #[error("the kafka client cannot be made: {0}")]
    Client(KafkaError),
}

fn failed(call: &'static str, fault: Fault) -> impl FnOnce(KafkaError) -> BrokerError {
    move |error| BrokerError { call, message: error.to_string(), fault }
}

impl KafkaBroker {
    /// Makes the client; it does nothing before [`KafkaBroker::subscribe`]. `wake` is called from the client's threads
    /// when there is something to read or an event to serve.
    pub fn open(options: &Options, plan: &MemoryPlan, wake: Wake) -> Result<KafkaBroker, OpenError> {
        let problems = options.problems();
        if !problems.is_empty() {
            return Err(OpenError::Options(problems));
        }
        let born = Instant::now();
        let context = Context::new(options.topics.clone(), options.isolation);
        let config = client::reader(options, plan);
        let mut consumer: BaseConsumer<Context> = config.create_with_context(context).map_err(OpenError::Client)?;
        let main = Arc::clone(&wake);
        consumer.set_nonempty_callback(move || main());
        Ok(KafkaBroker {
            consumer: Arc::new(consumer),
            queues: Queues::new(),
            ready: Arc::new(Ready::new(wake)),
            uids: BTreeMap::new(),
            met: vec![],
            stats: Stats::default(),
            down: false,
            halfway: HashSet::new(),
            rebalances: 0,
            born,
            topics: options.topics.clone(),
            stays: options.group_instance_id.is_some() && options.group_protocol == GroupProtocol::Classic,
        })
    }

    /// Says by which mark our commits of a topic are known (rule C4). Without it, commits of that topic are refused.
    pub fn set_uid(&mut self, topic: u16, uid: &str) {
        self.uids.insert(topic, first_offset::mark(uid));
    }

    /// Begins to join the group; [`BrokerEvent::Given`] follows.
    pub fn subscribe(&mut self) -> Result<(), BrokerError> {
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&topics).map_err(failed("subscribe", Fault::Stop))
    }

    /// No broker can be reached, as far as the client knows.
    pub fn is_down(&self) -> bool {
        self.down
    }

    /// Makes ready for the drop: nothing stays assigned, and what is called back from now on is answered on the spot.
    fn give_up(&mut self) {
        self.consumer.context().notes().closing = true;
        let lanes: Vec<Lane> = self.queues.keys().copied().collect();
        if let Err(error) = self.unassign(&lanes) {
            tracing::warn!(target: "kafka", %error, "nothing could be unassigned before the close");
        }
        self.queues.clear();
    }

    fn list(&self, lanes: impl IntoIterator<Item = (Lane, i64)>) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (lane, offset) in lanes {
            list.add_partition_offset(self.consumer.context().topic(lane), lane.partition, Offset::Offset(offset))?;
        }
        Ok(list)
    }

    fn split(&self, lane: Lane, offset: i64) -> Result<Queue, BrokerError> {
        let error = |message| BrokerError { call: "assign", message, fault: Fault::Stop };
        if offset < 0 {
            return Err(error(format!("{lane} cannot be read from offset {offset}")));
        }
        Queue::split(&self.consumer, &self.ready, lane, offset, self.born.elapsed())
            .ok_or_else(|| error(format!("{lane} cannot be split off")))
    }

    /// An error of the main queue: only a few decide something, the client goes on by itself after the others.
    fn on_error(&mut self, error: KafkaError, events: &mut Vec<BrokerEvent>) {
        let reason = self.consumer.context().notes().reason.take().unwrap_or_else(|| error.to_string());
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        match error.rdkafka_error_code() {
            _ if fatal => events.push(BrokerEvent::Fatal(reason)),
            Some(RDKafkaErrorCode::Fatal) => events.push(BrokerEvent::Fatal(reason)),
            Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::Authentication) => {
                if !std::mem::replace(&mut self.down, true) {
                    events.push(BrokerEvent::Down(reason));
                }
            }
            _ => tracing::warn!(target: "kafka", %error, reason, "the kafka client met an error"),
        }
    }

    fn restart_now(&mut self, lane: Lane, offset: i64) -> Result<(), BrokerError> {
        failpoints::hit(Point::InRestart);
        // Dropped first: splitting again while the old queue lives would leave it without its callback.
        self.queues.remove(&lane);
        let again = !self.halfway.insert(lane);
        let list = self.list([(lane, offset)]).map_err(failed("restart", Fault::Stop))?;
        match self.consumer.incremental_unassign(&list) {
            Err(error) if again => tracing::debug!(target: "kafka", %lane, %error, "it was not assigned any more"),
            unassigned => unassigned.map_err(failed("restart", Fault::Stop))?,
        }
        self.assign(&[(lane, offset)])?;
        self.halfway.remove(&lane);
        Ok(())
    }

    /// A planted bug: partitions are split off when the first records have come already.
    fn assign_and_split(&mut self, lanes: &[(Lane, i64)]) -> Result<(), BrokerError> {
        let list = self.list(lanes.iter().copied()).map_err(failed("assign", Fault::Stop))?;
        self.consumer.incremental_assign(&list).map_err(failed("assign", Fault::Stop))?;
        std::thread::sleep(Duration::from_millis(300));
        for (lane, offset) in lanes {
            let queue = self.split(*lane, *offset)?;
            self.queues.insert(*lane, queue);
            self.ready.put(*lane);
        }
        Ok(())
    }

    /// Reads on at the position where it is, in an assignment of its own, whose statistics can be believed.
    fn reread(&mut self, lane: Lane, position: i64) {
        if let Err(error) = self.restart(lane, position) {
            self.met.push(BrokerEvent::ReadError { lane, message: error.to_string() });
        }
    }

    /// The queue of a lane, if the statistics are about its present assignment and nothing waits behind them: the client
    /// does not count what it gave us.
    fn settled(&self, lane: Lane) -> Option<&Queue> {
        self.queues.get(&lane).filter(|q| !q.broken && q.is_handed_out() && self.stats.age > q.since + SETTLE)
    }
}

impl Broker for KafkaBroker {
    fn poll(&mut self, events: &mut Vec<BrokerEvent>) {
        let mut served = self.consumer.context().notes().served;
        for _ in 0..SERVE_MAX {
            let polled = self.consumer.poll(Duration::ZERO).map(|r| r.map(|m| (m.partition(), m.offset())));
            match polled {
                Some(Ok((partition, offset))) => {
                    // Handing it out would be out of order, dropping it would be a loss: only a restart is neither.
                    let text =
                        format!("offset {offset} of partition {partition} came by the main queue instead of its own");
                    events.push(BrokerEvent::Fatal(text));
                }
                Some(Err(error)) => self.on_error(error, events),
                None => {}
            }
            let now = self.consumer.context().notes().served;
            if now == served {
                break;
            }
            served = now;
        }
        let mut notes = self.consumer.context().notes();
        events.append(&mut notes.events);
        if let Some(stats) = notes.stats.take() {
            if self.down && stats.any_broker_up {
                self.down = false;
                events.push(BrokerEvent::Up);
            }
            self.stats = stats;
        }
        if std::mem::replace(&mut self.rebalances, notes.rebalances) != notes.rebalances {
            self.queues.values_mut().for_each(|queue| queue.emptied = true);
        }
        drop(notes);
        events.append(&mut self.met);
    }

    fn ready(&mut self, lanes: &mut Vec<Lane>) {
        self.ready.drain(lanes, |lane| self.queues.contains_key(lane));
    }

    fn take(&mut self, lane: Lane, from: i64, room: Room, batch: &mut Batch) -> Taken {
        let Some(queue) = self.queues.get_mut(&lane) else { return Taken { drained: true, ..Taken::default() } };
        let (taken, error) = queue.take(from, room, batch);
        if taken.records > 0 {
            failpoints::hit(Point::AfterPoll);
        }
        if let Some(error) = error {
            let (offset, message) = (queue.position, error.text);
            self.met.push(match error.code {
                RDKafkaErrorCode::Fatal => BrokerEvent::Fatal(message),
                // One about another offset may be from before a restart, which does not take such errors out of the queue.
                RDKafkaErrorCode::AutoOffsetReset if error.offset == offset => {
                    BrokerEvent::OutOfRange { lane, offset, message }
                }
                _ => BrokerEvent::ReadError { lane, message },
            });
        }
        taken
    }

    fn assign(&mut self, lanes: &[(Lane, i64)]) -> Result<(), BrokerError> {
        if mutants::on("split_after_assign") {
            return self.assign_and_split(lanes);
        }
        let mut fresh = Vec::with_capacity(lanes.len());
        for (lane, offset) in lanes {
            if self.queues.contains_key(lane) {
                let message = format!("{lane} is assigned already");
                return Err(BrokerError { call: "assign", message, fault: Fault::Stop });
            }
            fresh.push((*lane, self.split(*lane, *offset)?));
        }
        let list = self.list(lanes.iter().copied()).map_err(failed("assign", Fault::Stop))?;
        self.consumer.incremental_assign(&list).map_err(failed("assign", Fault::Stop))?;
        self.queues.extend(fresh);
        for (lane, _) in lanes {
            self.ready.put(*lane);
        }
        Ok(())
    }

    fn unassign(&mut self, lanes: &[Lane]) -> Result<(), BrokerError> {
        let mut held = |lane: &Lane| self.halfway.remove(lane) | self.queues.remove(lane).is_some();
        let assigned: Vec<Lane> = lanes.iter().copied().filter(|lane| held(lane)).collect();
        let list = self.list(assigned.iter().map(|lane| (*lane, 0))).map_err(failed("unassign", Fault::Stop))?;
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            tracing::error!(target: "kafka", %error, lanes = assigned.len(), "unassign was refused; answering with nothing");
            let none = TopicPartitionList::new();
            self.consumer.incremental_unassign(&none).map_err(failed("unassign", Fault::Stop))?;
        }
        self.consumer.context().notes().revoke_owed = false;
        let waiting = self.queues.iter_mut().filter_map(|(lane, q)| Some((*lane, q.restart.take()?)));
        for (lane, offset) in waiting.collect::<Vec<_>>() {
            // The revoke is answered: what fails now is the lane's own trouble.
            self.reread(lane, offset);
        }
        Ok(())
    }

    fn restart(&mut self, lane: Lane, offset: i64) -> Result<(), BrokerError> {
        let owed = self.consumer.context().notes().revoke_owed;
        match self.queues.get_mut(&lane) {
            None if !self.halfway.contains(&lane) => {
                let message = format!("{lane} is not assigned");
                Err(BrokerError { call: "restart", message, fault: Fault::Stop })
            }
            None if owed => {
                let message = format!("{lane} is not read, and a revoke waits for its answer");
                Err(BrokerError { call: "restart", message, fault: Fault::Retry })
            }
            // Unassigning one lane would answer the revoke of others.
            Some(queue) if owed => {
                queue.broken = true;
                queue.restart = Some(offset);
                Ok(())
            }
            _ => self.restart_now(lane, offset),
        }
    }

    fn commit(&mut self, marks: &[(Lane, i64)]) -> Result<(), BrokerError> {
        let mut list = TopicPartitionList::with_capacity(marks.len());
        for (lane, offset) in marks {
            let Some(uid) = self.uids.get(&lane.topic) else {
                let message = format!("the source of {lane} has no uid yet");
                return Err(BrokerError { call: "commit", message, fault: Fault::Stop });
            };
            let mut element = list.add_partition(self.consumer.context().topic(*lane), lane.partition);
            element.set_offset(Offset::Offset(*offset)).map_err(failed("commit", Fault::Stop))?;
            element.set_metadata(uid);
        }
        if marks.is_empty() {
            return Ok(());
        }
        failpoints::hit(Point::BeforeKafkaCommit);
        native::commit(self.consumer.client().native_client(), &list).map_err(failed("commit", Fault::Retry))?;
        failpoints::hit(Point::AfterKafkaCommit);
        Ok(())
    }

    fn idle_end(&mut self, lane: Lane) -> Option<i64> {
        let queue = self.settled(lane)?;
        let (position, emptied) = (queue.position, queue.emptied);
        let end = self.stats.lanes.get(&lane)?.idle_end().filter(|end| *end >= position)?;
        if end > position && emptied {
            self.reread(lane, position);
            return None;
        }
        Some(end)
    }

    fn lag(&mut self, lags: &mut Vec<(Lane, i64)>) {
        for (lane, queue) in &self.queues {
            let Some(stats) = self.stats.lanes.get(lane).filter(|s| s.end >= 0) else { continue };
            let idle = self.settled(*lane).is_some() && stats.idle_end().is_some_and(|end| end >= queue.position);
            lags.push((*lane, if idle { 0 } else { (stats.end - queue.position).max(0) }));
        }
    }

    fn unsubscribe(&mut self) {
        if self.stays {
            // librdkafka would leave the group, also as a static member; only its close does not.
            self.met.push(BrokerEvent::Revoked(self.queues.keys().copied().collect()));
        } else {
            self.consumer.unsubscribe();
        }
    }
}

impl Drop for KafkaBroker {
    fn drop(&mut self) {
        failpoints::hit(Point::InClose);
        self.give_up();
    }
}

impl fmt::Debug for KafkaBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaBroker")
            .field("topics", &self.topics)
            .field("assigned", &self.queues.len())
            .field("down", &self.down)
            .finish_non_exhaustive()
    }
}
