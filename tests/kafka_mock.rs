//! The Kafka adapter against librdkafka's own mock cluster; each test is named after the rule that it shows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use std::time::Instant;

use rdkafka::ClientConfig;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::CommitMode;
use rdkafka::consumer::Consumer;
use rdkafka::message::Header;
use rdkafka::message::OwnedHeaders;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::BaseProducer;
use rdkafka::producer::BaseRecord;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::producer::Producer;
use tidemill::adapters::kafka::broker::KafkaBroker;
use tidemill::adapters::kafka::close::Closed;
use tidemill::adapters::kafka::memory::MemoryPlan;
use tidemill::adapters::kafka::options::Options;
use tidemill::adapters::kafka::scout::FirstOffset;
use tidemill::adapters::kafka::scout::Scout;
use tidemill::adapters::kafka::scout::ScoutError;
use tidemill::adapters::kafka::start_from::StartFrom;
use tidemill::domain::batch::Batch;
use tidemill::domain::batch::TimestampKind;
use tidemill::domain::lane::Lane;
use tidemill::domain::units::ByteSize;
use tidemill::domain::units::Millis;
use tidemill::ports::Broker;
use tidemill::ports::BrokerEvent;
use tidemill::ports::Room;

const TOPIC: &str = "payments";
const MUCH: Room = Room { records: 1_000_000, bytes: usize::MAX };
const LONG: Duration = Duration::from_secs(30);

fn lane(partition: i32) -> Lane {
    Lane { topic: 0, partition }
}

/// A mock cluster with one topic, and what a client of it needs.
struct Rig {
    cluster: MockCluster<'static, DefaultProducerContext>,
    options: Options,
    producer: BaseProducer,
}

impl Rig {
    fn new(partitions: i32) -> Rig {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, partitions, 1).unwrap();
        let servers = cluster.bootstrap_servers();
        let producer = ClientConfig::new().set("bootstrap.servers", &servers).set("linger.ms", "0").create().unwrap();
        let options = Options {
            brokers: vec![servers],
            topics: vec![TOPIC.into()],
            group: "fraud".into(),
            session_timeout: Millis::secs(6),
            heartbeat_interval: Millis(500),
            ..Options::default()
        };
        Rig { cluster, options, producer }
    }

    /// Sends `count` numbered records to a partition.
    fn fill(&self, partition: i32, count: usize) {
        for i in 0..count {
            let text = format!("{partition}:{i}");
            let record = BaseRecord::<str, str>::to(TOPIC).partition(partition).payload(&text);
            self.producer.send(record).map_err(|(e, _)| e).unwrap();
        }
        self.producer.flush(LONG).unwrap();
    }

    fn reader(&self, partitions: u32) -> Reader {
        let wakes = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&wakes);
        let plan = MemoryPlan::new(ByteSize::mib(64), partitions).unwrap();
        let wake = Arc::new(move || {
            count.fetch_add(1, SeqCst);
        });
        let mut broker = KafkaBroker::open(&self.options, &plan, wake).unwrap();
        broker.set_uid(0, "u1");
        Reader { broker, wakes, seen: vec![] }
    }

    /// A member of the group that was given all partitions.
    fn joined(&self, partitions: i32) -> Reader {
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
        assert_eq!(given, (0..partitions).map(lane).collect::<Vec<_>>());
        reader
    }

    fn scout(&self) -> Scout {
        Scout::open(&self.options, Duration::from_secs(10)).unwrap()
    }
}

struct Reader {
    broker: KafkaBroker,
    wakes: Arc<AtomicU64>,
    seen: Vec<BrokerEvent>,
}

impl Reader {
    /// Polls until an event is the one that is waited for.
    fn until(&mut self, what: &str, mut found: impl FnMut(&mut KafkaBroker, &BrokerEvent) -> bool) {
        let end = Instant::now() + LONG;
        loop {
            let mut events = vec![];
            self.broker.poll(&mut events);
            self.seen.extend(events.iter().cloned());
            assert!(!events.iter().any(|e| matches!(e, BrokerEvent::Fatal(_))), "{events:?}");
            if events.iter().any(|e| found(&mut self.broker, e)) {
                return;
            }
            assert!(Instant::now() < end, "{what} did not come; seen: {:?}", self.seen);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Polls for a while; a fatal event fails the test.
    fn turn(&mut self, time: Duration) -> Vec<BrokerEvent> {
        let (end, mut events) = (Instant::now() + time, vec![]);
        while Instant::now() < end {
            self.broker.poll(&mut events);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!events.iter().any(|e| matches!(e, BrokerEvent::Fatal(_))), "{events:?}");
        events
    }

    /// Takes from one lane until it has `count` records.
    fn read(&mut self, lane: Lane, from: i64, count: usize) -> Batch {
        let mut batch = Batch::default();
        let end = Instant::now() + LONG;
        while batch.records.len() < count {
            let room = Room { records: (count - batch.records.len()) as u32, ..MUCH };
            self.broker.take(lane, from, room, &mut batch);
            self.turn(Duration::from_millis(1));
            assert!(Instant::now() < end, "{lane} gave {} of {count} records", batch.records.len());
        }
        batch
    }

    fn close_soon(self) {
        let start = Instant::now();
        assert_eq!(self.broker.close(LONG), Closed::Cleanly);
        assert!(start.elapsed() < Duration::from_secs(1), "closed after {:?}", start.elapsed());
    }

    /// Leaves the group as a drain does: unsubscribe, answer the revoke with exactly what was assigned, close.
    fn leave(mut self, want: &[Lane], assigned: &[Lane]) {
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

fn offsets(batch: &Batch) -> Vec<i64> {
    batch.records.iter().map(|r| r.offset).collect()
}

#[test]
fn c1_a_late_assign_reads_from_its_own_queues_at_the_given_offsets() {
    let rig = Rig::new(12);
    (0..12).for_each(|p| rig.fill(p, 60));
    let mut reader = rig.joined(12);
    // Longer than the heartbeat and half the session: the claim may take its time.
    reader.turn(Duration::from_secs(4));
    let all: Vec<(Lane, i64)> = (0..12).map(|p| (lane(p), 40)).collect();
    reader.broker.assign(&all).unwrap();
    let mut ready = vec![];
    reader.broker.ready(&mut ready);
    ready.sort();
    assert_eq!(ready, (0..12).map(lane).collect::<Vec<_>>(), "a fresh lane is on the ready list once");
    for partition in 0..12 {
        let batch = reader.read(lane(partition), 40, 20);
        assert_eq!(offsets(&batch), (40..60).collect::<Vec<_>>());
        assert_eq!(batch.payload(0), Some(format!("{partition}:40").as_bytes()));
    }
    let lanes: Vec<Lane> = (0..12).map(lane).collect();
    reader.leave(&lanes, &lanes);
}

#[test]
fn c2_an_owed_revoke_is_answered_with_what_was_assigned_or_with_nothing() {
    for assigned in [0, 5] {
        let rig = Rig::new(12);
        let mut reader = rig.joined(12);
        let part: Vec<Lane> = (0..assigned).map(lane).collect();
        let with_offsets: Vec<_> = part.iter().map(|lane| (*lane, 0)).collect();
        reader.broker.assign(&with_offsets).unwrap();
        let all: Vec<Lane> = (0..12).map(lane).collect();
        // Naming all of them must not reach the client: only those that were assigned do.
        reader.leave(&all, &all);
    }
}

#[test]
fn c2_closing_with_an_assign_owed_or_with_everything_assigned_takes_no_time() {
    let rig = Rig::new(4);
    rig.joined(4).close_soon();
    let mut reader = rig.joined(4);
    reader.broker.assign(&[(lane(0), 0), (lane(1), 0), (lane(2), 0), (lane(3), 0)]).unwrap();
    reader.close_soon();
    rig.reader(4).close_soon();
}

#[test]
fn t3_a_queue_that_gets_something_wakes_and_is_ready() {
    let rig = Rig::new(2);
    let mut reader = rig.joined(2);
    reader.broker.assign(&[(lane(0), 0), (lane(1), 0)]).unwrap();
    let mut batch = Batch::default();
    reader.turn(Duration::from_secs(1));
    for partition in 0..2 {
        assert!(reader.broker.take(lane(partition), 0, MUCH, &mut batch).drained);
    }
    reader.broker.ready(&mut vec![]);
    for round in 0..3 {
        let before = reader.wakes.load(SeqCst);
        rig.fill(1, 10);
        let (end, mut ready) = (Instant::now() + LONG, vec![]);
        while ready.is_empty() {
            assert!(Instant::now() < end, "round {round}: nothing became ready");
            std::thread::sleep(Duration::from_millis(1));
            reader.broker.ready(&mut ready);
        }
        assert!(ready.iter().all(|l| *l == lane(1)) && reader.wakes.load(SeqCst) > before);
        reader.read(lane(1), 0, 10);
        // Found empty again: only that makes the next record ring.
        assert!(reader.broker.take(lane(1), 0, MUCH, &mut batch).drained);
        reader.broker.ready(&mut vec![]);
    }
    reader.broker.unassign(&[lane(1)]).unwrap();
    assert!(reader.broker.take(lane(1), 0, MUCH, &mut batch).drained, "an unassigned lane gives nothing");
    assert!(batch.is_empty());
    reader.close_soon();
}

#[test]
fn t4_records_are_copied_as_they_are() {
    let rig = Rig::new(1);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "a", value: Some("1") })
        .insert(Header { key: "", value: Some("") })
        .insert(Header { key: "a", value: None::<&str> });
    let send = |r: BaseRecord<'_, str, str>| rig.producer.send(r).map_err(|(e, _)| e).unwrap();
    send(BaseRecord::to(TOPIC).partition(0).key("k").payload("v").timestamp(1234).headers(headers));
    send(BaseRecord::to(TOPIC).partition(0).key("tombstone").timestamp(-5));
    send(BaseRecord::to(TOPIC).partition(0).key("").payload(""));
    rig.producer.flush(LONG).unwrap();
    let mut reader = rig.joined(1);
    reader.broker.assign(&[(lane(0), 0)]).unwrap();
    let batch = reader.read(lane(0), 0, 3);
    assert_eq!((batch.key(0), batch.payload(0)), (Some(&b"k"[..]), Some(&b"v"[..])));
    let headers: Vec<_> = batch.headers(0).collect();
    assert_eq!(headers, [(&b"a"[..], Some(&b"1"[..])), (b"", Some(b"")), (b"a", None)]);
    assert_eq!((batch.records[0].timestamp, batch.records[0].kind), (1234, TimestampKind::Create));
    assert_eq!((batch.key(1), batch.payload(1)), (Some(&b"tombstone"[..]), None));
    assert_eq!((batch.key(2), batch.payload(2)), (Some(&b""[..]), Some(&b""[..])));
    assert_eq!(batch.headers(2).count(), 0);
    reader.close_soon();
}

#[test]
fn take_respects_its_room() {
    let rig = Rig::new(1);
    rig.fill(0, 100);
    let mut reader = rig.joined(1);
    reader.broker.assign(&[(lane(0), 0)]).unwrap();
    reader.turn(Duration::from_secs(2));
    let mut batch = Batch::default();
    let mut take = |records, bytes| {
        let taken = reader.broker.take(lane(0), 0, Room { records, bytes }, &mut batch);
        (taken.records, taken.drained)
    };
    assert_eq!(take(7, usize::MAX), (7, false));
    assert_eq!(take(1000, 1), (1, false), "stops after the record that passes the bytes");
    assert_eq!(take(1000, 9), (3, false), "three payloads of three bytes or more");
    assert_eq!(take(0, 9), (0, false));
    assert_eq!(take(1000, usize::MAX), (89, true));
    assert_eq!(offsets(&batch), (0..100).collect::<Vec<_>>());
    reader.close_soon();
}

#[test]
fn w6_a_restart_drops_what_was_fetched_and_records_below_the_position() {
    let rig = Rig::new(2);
    (0..2).for_each(|p| rig.fill(p, 100));
    let mut reader = rig.joined(2);
    reader.broker.assign(&[(lane(0), 0), (lane(1), 0)]).unwrap();
    reader.read(lane(0), 0, 30);
    for (offset, count) in [(10, 5), (50, 50), (0, 100), (99, 1)] {
        reader.broker.restart(lane(0), offset).unwrap();
        let batch = reader.read(lane(0), offset, count);
        assert_eq!(offsets(&batch), (offset..offset + count as i64).collect::<Vec<_>>());
    }
    assert_eq!(reader.read(lane(1), 0, 100).records[99].offset, 99, "the other lane goes on undisturbed");

    reader.broker.restart(lane(1), 90).unwrap();
    let (mut batch, mut stale, end) = (Batch::default(), 0, Instant::now() + LONG);
    while batch.records.len() < 4 && Instant::now() < end {
        stale += reader.broker.take(lane(1), 96, MUCH, &mut batch).stale;
        reader.turn(Duration::from_millis(5));
    }
    assert_eq!((stale, offsets(&batch)), (6, vec![96, 97, 98, 99]));
    let error = reader.broker.restart(lane(7), 0).unwrap_err();
    assert!(error.to_string().contains("not assigned"), "{error}");
    reader.leave(&[lane(0), lane(1)], &[lane(0), lane(1)]);
}

#[test]
fn w6_a_restart_does_not_answer_a_revoke_that_is_owed() {
    let rig = Rig::new(2);
    (0..2).for_each(|p| rig.fill(p, 20));
    let mut reader = rig.joined(2);
    reader.broker.assign(&[(lane(0), 0), (lane(1), 0)]).unwrap();
    reader.read(lane(0), 0, 20);
    let mut other = rig.reader(2);
    other.broker.subscribe().unwrap();
    let mut gone = vec![];
    reader.until("the revoke", |_, event| {
        other.broker.poll(&mut vec![]);
        if let BrokerEvent::Revoked(lanes) = event {
            gone = lanes.clone();
        }
        !gone.is_empty()
    });
    assert_eq!(gone.len(), 1);
    let kept = if gone[0] == lane(0) { lane(1) } else { lane(0) };
    reader.broker.restart(kept, 5).unwrap();
    let mut batch = Batch::default();
    reader.turn(Duration::from_millis(300));
    assert_eq!(reader.broker.take(kept, 0, MUCH, &mut batch).records, 0, "it waits until the revoke is answered");
    reader.broker.unassign(&gone).unwrap();
    assert_eq!(offsets(&reader.read(kept, 5, 15)), (5..20).collect::<Vec<_>>());
    let mut given = vec![];
    other.until("the other's assignment", |_, event| {
        reader.turn(Duration::from_millis(1));
        if let BrokerEvent::Given(lanes) = event {
            given = lanes.clone();
        }
        !given.is_empty()
    });
    assert_eq!(given, gone);
    other.close_soon();
    reader.close_soon();
}

#[test]
fn j2_a_fetch_outside_the_log_is_told_not_reset() {
    let rig = Rig::new(1);
    rig.fill(0, 10);
    let mut reader = rig.joined(1);
    reader.broker.assign(&[(lane(0), 500)]).unwrap();
    let (mut batch, mut told, end) = (Batch::default(), None, Instant::now() + LONG);
    while told.is_none() && Instant::now() < end {
        reader.broker.take(lane(0), 0, MUCH, &mut batch);
        let events = reader.turn(Duration::from_millis(20));
        told = events.into_iter().find(|e| matches!(e, BrokerEvent::OutOfRange { .. } | BrokerEvent::ReadError { .. }));
    }
    let Some(BrokerEvent::OutOfRange { lane: which, offset: 500, message }) = told else { panic!("{told:?}") };
    assert!(which == lane(0) && message.contains("Offset out of range"), "{message}");
    assert!(batch.is_empty());
    // Nothing comes by itself; a restart inside the log goes on.
    reader.turn(Duration::from_millis(500));
    assert!(reader.broker.take(lane(0), 0, MUCH, &mut batch).drained && batch.is_empty());
    reader.broker.restart(lane(0), 8).unwrap();
    assert_eq!(offsets(&reader.read(lane(0), 8, 2)), [8, 9]);
    reader.close_soon();
}

#[test]
fn c4_commits_carry_the_sources_mark_and_a_lost_row_parks() {
    let rig = Rig::new(3);
    (0..3).for_each(|p| rig.fill(p, 20));

    // An earlier consumer of the same group, of another make.
    let other: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &rig.options.brokers[0])
        .set("group.id", "fraud")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(TOPIC, 1, Offset::Offset(7)).unwrap();
    other.commit(&list, CommitMode::Sync).unwrap();
    drop(other);

    let mut reader = rig.joined(3);
    reader.broker.assign(&[(lane(0), 0), (lane(1), 0), (lane(2), 0)]).unwrap();
    reader.broker.commit(&[]).unwrap();
    reader.broker.commit(&[(lane(0), 12)]).unwrap();
    reader.until("the answer to the commit", |_, event| *event == BrokerEvent::Committed { error: None });
    let error = reader.broker.commit(&[(Lane { topic: 1, partition: 0 }, 1)]).unwrap_err();
    assert!(error.to_string().contains("no uid"), "{error}");
    let lanes: Vec<Lane> = (0..3).map(lane).collect();
    reader.leave(&lanes, &lanes);

    let scout = rig.scout();
    let commit = scout.committed(lane(0)).unwrap().unwrap();
    assert_eq!((commit.offset, commit.metadata.as_str()), (12, "tidemill uid=u1"));
    let first =
        |partition, uid, start, first_claim| scout.first_offset(lane(partition), uid, start, first_claim).unwrap();
    let FirstOffset::Park(why) = first(0, "u1", StartFrom::Earliest, true) else { panic!("a lost row is adopted") };
    assert!(why.starts_with("payments[0]: ") && why.contains("tidemill offsets set"), "{why}");
    assert!(matches!(first(0, "u2", StartFrom::Earliest, true), FirstOffset::Park(_)));
    assert_eq!(first(1, "u1", StartFrom::Earliest, true), FirstOffset::Adopted(7));
    assert_eq!(first(2, "u1", StartFrom::Earliest, true), FirstOffset::Found(0));
    assert_eq!(first(2, "u1", StartFrom::Latest, true), FirstOffset::Found(20));
    assert_eq!(first(2, "u1", StartFrom::Latest, false), FirstOffset::Found(0), "added later: from its beginning");
}

#[test]
fn t6_the_end_of_a_partition_is_known_and_forgotten_by_a_restart() {
    let rig = Rig::new(1);
    rig.fill(0, 30);
    let mut reader = rig.joined(1);
    reader.broker.assign(&[(lane(0), 0)]).unwrap();
    reader.turn(Duration::from_secs(4));
    let lag = |reader: &mut Reader| {
        let mut lags = vec![];
        reader.broker.lag(&mut lags);
        lags
    };
    assert_eq!(lag(&mut reader), [(lane(0), 30)]);
    assert_eq!(reader.broker.idle_end(lane(0)), None, "fetched, but not handed out");
    reader.read(lane(0), 0, 30);
    let end = Instant::now() + LONG;
    while reader.broker.idle_end(lane(0)).is_none() {
        reader.turn(Duration::from_millis(20));
        assert!(Instant::now() < end, "the end was never seen");
    }
    assert_eq!((reader.broker.idle_end(lane(0)), lag(&mut reader)), (Some(30), vec![(lane(0), 0)]));
    reader.broker.restart(lane(0), 10).unwrap();
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        assert_eq!(reader.broker.idle_end(lane(0)), None, "20 records are still to be handed out");
        reader.turn(Duration::from_millis(20));
    }
    reader.close_soon();
}

#[test]
fn an_outage_is_told_once_and_its_end_too() {
    let rig = Rig::new(1);
    rig.fill(0, 5);
    let mut reader = rig.joined(1);
    reader.broker.assign(&[(lane(0), 0)]).unwrap();
    reader.read(lane(0), 0, 5);
    rig.cluster.broker_down(1).unwrap();
    reader.until("the outage", |_, event| matches!(event, BrokerEvent::Down(_)));
    assert!(reader.broker.is_down());
    let events = reader.turn(Duration::from_secs(3));
    assert!(!events.iter().any(|e| matches!(e, BrokerEvent::Down(_) | BrokerEvent::Up)), "{events:?}");
    rig.cluster.broker_up(1).unwrap();
    reader.until("the recovery", |_, event| *event == BrokerEvent::Up);
    assert!(!reader.broker.is_down());
    rig.fill(0, 5);
    assert_eq!(offsets(&reader.read(lane(0), 5, 5)), [5, 6, 7, 8, 9]);

    rig.cluster.broker_down(1).unwrap();
    reader.until("the second outage", |_, event| matches!(event, BrokerEvent::Down(_)));
    assert_eq!(reader.broker.close(LONG), Closed::NotTried);
}

#[test]
fn the_scout_names_what_is_missing() {
    let mut rig = Rig::new(4);
    rig.options.topics.extend(["no_such".into(), "nor_this".into()]);
    let error = rig.scout().topics().unwrap_err();
    assert!(matches!(&error, ScoutError::NoTopics(names) if names == &["no_such", "nor_this"]), "{error}");
    rig.options.topics.truncate(1);
    let scout = rig.scout();
    let topics = scout.topics().unwrap();
    assert_eq!((topics[0].name.as_str(), topics[0].partitions), (TOPIC, 4));
    assert!(!scout.cluster_id().unwrap().is_empty());
    rig.cluster.broker_down(1).unwrap();
    let scout = Scout::open(&rig.options, Duration::from_secs(1)).unwrap();
    assert!(matches!(scout.cluster_id().unwrap_err(), ScoutError::NoAnswer { .. }));
    assert!(matches!(scout.watermarks(lane(0)).unwrap_err(), ScoutError::NoAnswer { .. }));
}

#[test]
fn a_sample_is_the_newest_records_and_joins_no_group() {
    let rig = Rig::new(4);
    (0..3).for_each(|p| rig.fill(p, 50));
    let scout = rig.scout();
    let batch = scout.sample(20, LONG).unwrap();
    let by_lane: BTreeMap<Lane, (i64, i64, u32)> =
        batch.pieces.iter().map(|p| (p.lane, (p.expected, p.end, p.count))).collect();
    assert_eq!(by_lane.into_values().collect::<Vec<_>>(), [(45, 50, 5); 3]);
    for piece in &batch.pieces {
        for record in piece.records() {
            let want = format!("{}:{}", piece.lane.partition, batch.records[record].offset);
            assert_eq!(batch.payload(record), Some(want.as_bytes()));
        }
    }
    assert_eq!(scout.committed(lane(0)).unwrap(), None);
    let mut reader = rig.joined(4);
    reader.turn(Duration::from_millis(50));
}
