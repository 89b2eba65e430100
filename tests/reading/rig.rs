//! A topic of one test with a producer for it, and a member of its group.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rdkafka::ClientConfig;
use rdkafka::producer::BaseProducer;
use rdkafka::producer::BaseRecord;
use rdkafka::producer::Producer;
use tidemill::adapters::kafka::broker::KafkaBroker;
use tidemill::adapters::kafka::close::Closed;
use tidemill::adapters::kafka::memory::MemoryPlan;
use tidemill::adapters::kafka::options::Options;
use tidemill::adapters::kafka::scout::Scout;
use tidemill::domain::batch::Batch;
use tidemill::domain::lane::Lane;
use tidemill::domain::units::ByteSize;
use tidemill::domain::units::Millis;
use tidemill::ports::Broker;
use tidemill::ports::BrokerEvent;
use tidemill::ports::Room;

pub const MUCH: Room = Room { records: 1_000_000, bytes: usize::MAX };
pub const LONG: Duration = Duration::from_secs(30);

pub fn lane(partition: i32) -> Lane {
    Lane { topic: 0, partition }
}

pub fn lanes(partitions: i32) -> Vec<Lane> {
    (0..partitions).map(lane).collect()
}

pub fn offsets(batch: &Batch) -> Vec<i64> {
    batch.records.iter().map(|r| r.offset).collect()
}

/// A topic, and what a client of it needs. The group is named like the topic.
pub struct Rig {
    pub topic: String,
    pub options: Options,
    pub producer: BaseProducer,
}

impl Rig {
    /// For a topic that exists.
    pub fn new(bootstrap: &str, topic: &str) -> Rig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("linger.ms", "0").set("enable.idempotence", "true");
        config.set("reconnect.backoff.max.ms", "500");
        let options = Options {
            brokers: bootstrap.split(',').map(str::to_owned).collect(),
            topics: vec![topic.into()],
            group: topic.into(),
            session_timeout: Millis::secs(6),
            heartbeat_interval: Millis(500),
            ..Options::default()
        };
        Rig { topic: topic.into(), options, producer: config.create().unwrap() }
    }

    pub fn send(&self, record: BaseRecord<'_, str, str>) {
        self.producer.send(record).map_err(|(e, _)| e).unwrap();
    }

    /// Waits for all that was sent; `flush` does it in steps of 100 ms.
    pub fn settle(&self) {
        let end = Instant::now() + LONG;
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::from_millis(1));
            assert!(Instant::now() < end, "{} records are still in flight", self.producer.in_flight_count());
        }
    }

    /// Sends `count` numbered records to a partition.
    pub fn fill(&self, partition: i32, count: usize) {
        for i in 0..count {
            let text = format!("{partition}:{i}");
            self.send(BaseRecord::to(&self.topic).partition(partition).payload(&text));
        }
        self.settle();
    }

    pub fn reader(&self, partitions: u32) -> Reader {
        let wakes = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&wakes);
        let plan = MemoryPlan::new(Some(ByteSize::mib(64)), partitions).unwrap();
        let wake = Arc::new(move || {
            count.fetch_add(1, SeqCst);
        });
        let mut broker = KafkaBroker::open(&self.options, &plan, wake).unwrap();
        broker.set_uid(0, "u1");
        Reader { broker, wakes, seen: vec![] }
    }

    /// A member of the group that was given all partitions.
    pub fn joined(&self, partitions: i32) -> Reader {
        let mut reader = self.reader(partitions as u32);
        reader.broker.subscribe().unwrap();
        let mut given = vec![];
        reader.until("the assignment", |_, event| {
            if let BrokerEvent::Given(lanes) = event {
                given.extend(lanes.iter().copied());
            }
            given.len() == partitions as usize
        });
        given.sort();
        assert_eq!(given, lanes(partitions));
        reader
    }

    /// Such a member that reads all partitions from their first offset.
    pub fn reading(&self, partitions: i32) -> Reader {
        let mut reader = self.joined(partitions);
        reader.broker.assign(&lanes(partitions).into_iter().map(|l| (l, 0)).collect::<Vec<_>>()).unwrap();
        reader
    }

    pub fn scout(&self) -> Scout {
        Scout::open(&self.options, Duration::from_secs(10)).unwrap()
    }
}

/// A client of the adapter, and every event that it told.
pub struct Reader {
    pub broker: KafkaBroker,
    pub wakes: Arc<AtomicU64>,
    pub seen: Vec<BrokerEvent>,
}

impl Reader {
    /// Polls once.
    pub fn poll(&mut self) -> Vec<BrokerEvent> {
        let mut events = vec![];
        self.broker.poll(&mut events);
        self.seen.extend(events.iter().cloned());
        assert!(!events.iter().any(|e| matches!(e, BrokerEvent::Fatal(_))), "{events:?}");
        events
    }

    /// Polls until an event is the one that is waited for.
    pub fn until(&mut self, what: &str, mut found: impl FnMut(&mut KafkaBroker, &BrokerEvent) -> bool) {
        let end = Instant::now() + LONG;
        while !self.poll().iter().any(|e| found(&mut self.broker, e)) {
            assert!(Instant::now() < end, "{what} did not come; seen: {:?}", self.seen);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Polls for a while.
    pub fn turn(&mut self, time: Duration) -> Vec<BrokerEvent> {
        let (end, mut events) = (Instant::now() + time, vec![]);
        while Instant::now() < end {
            events.extend(self.poll());
            thread::sleep(Duration::from_millis(5));
        }
        events
    }

    /// Takes from one lane until it has `count` records.
    pub fn read(&mut self, lane: Lane, from: i64, count: usize) -> Batch {
        let mut batch = Batch::default();
        let end = Instant::now() + LONG;
        while batch.records.len() < count {
            let room = Room { records: (count - batch.records.len()) as u32, ..MUCH };
            self.broker.take(lane, from, room, &mut batch);
            self.turn(Duration::from_millis(1));
            let got = batch.records.len();
            assert!(Instant::now() < end, "{lane} gave {got} of {count} records; seen: {:?}", self.seen);
        }
        batch
    }

    /// Takes until the lane says why it stopped; whatever it gives is an error.
    pub fn read_error(&mut self, lane: Lane) -> BrokerEvent {
        let (mut batch, end) = (Batch::default(), Instant::now() + LONG);
        loop {
            self.broker.take(lane, 0, MUCH, &mut batch);
            assert!(batch.is_empty(), "{lane} gave {:?}", offsets(&batch));
            let told = |e: &BrokerEvent| matches!(e, BrokerEvent::OutOfRange { .. } | BrokerEvent::ReadError { .. });
            if let Some(event) = self.turn(Duration::from_millis(20)).into_iter().find(told) {
                return event;
            }
            assert!(Instant::now() < end, "{lane} reads on; seen: {:?}", self.seen);
        }
    }

    /// Turns until the end of a lane is known; nothing more may come from it.
    pub fn idle_end(&mut self, lane: Lane) -> i64 {
        let (mut batch, end) = (Batch::default(), Instant::now() + LONG);
        loop {
            if let Some(offset) = self.broker.idle_end(lane) {
                return offset;
            }
            self.broker.take(lane, 0, MUCH, &mut batch);
            assert!(batch.is_empty(), "{lane} gave {:?}", offsets(&batch));
            self.turn(Duration::from_millis(20));
            assert!(Instant::now() < end, "the end of {lane} was never seen");
        }
    }

    pub fn lags(&mut self) -> Vec<(Lane, i64)> {
        let mut lags = vec![];
        self.broker.lag(&mut lags);
        lags.sort();
        lags
    }

    pub fn close_soon(self) {
        let start = Instant::now();
        assert_eq!(self.broker.close(LONG), Closed::Cleanly);
        assert!(start.elapsed() < Duration::from_secs(1), "closed after {:?}", start.elapsed());
    }

    /// Leaves the group as a drain does: unsubscribe, answer the revoke with exactly what was assigned, close.
    pub fn leave(mut self, want: &[Lane], assigned: &[Lane]) {
        self.broker.unsubscribe();
        let mut revoked = vec![];
        self.until("the revoke", |broker, event| {
            if let BrokerEvent::Revoked(lanes) = event {
                revoked = lanes.clone();
                broker.unassign(assigned).unwrap();
            }
            !revoked.is_empty()
        });
        revoked.sort();
        assert_eq!(revoked, want);
        self.close_soon();
    }
}
