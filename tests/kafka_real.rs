//! The Kafka adapter against Apache Kafka; each test is named after the rule that it shows.

#[macro_use]
mod reading;
mod support;

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use rdkafka::producer::BaseProducer;
use rdkafka::producer::BaseRecord;
use rdkafka::producer::Producer;
use reading::rig::LONG;
use reading::rig::MUCH;
use reading::rig::Reader;
use reading::rig::Rig;
use reading::rig::lane;
use reading::rig::lanes;
use reading::rig::offsets;
use support::kafka::Kafka;
use support::kafka::client;
use support::produce::Outcome;
use support::produce::transactions;
use support::wait::until;
use tidemill::adapters::kafka::close::Closed;
use tidemill::adapters::kafka::options::GroupProtocol;
use tidemill::adapters::kafka::options::Options;
use tidemill::adapters::kafka::scout::FirstOffset;
use tidemill::adapters::kafka::start_from::StartFrom;
use tidemill::domain::batch::Batch;
use tidemill::domain::batch::TimestampKind;
use tidemill::domain::lane::Lane;
use tidemill::domain::units::Millis;
use tidemill::ports::Broker;
use tidemill::ports::BrokerEvent;

/// A rig with a topic of its own on the cluster that all tests share.
fn rig(partitions: i32) -> Rig {
    rig_with(partitions, &[])
}

fn rig_with(partitions: i32, settings: &[(&str, &str)]) -> Rig {
    let (kafka, topic) = (Kafka::shared(), Kafka::unique("payments"));
    kafka.create_topic_with(&topic, partitions, 1, settings);
    Rig::new(kafka.bootstrap(), &topic)
}

tests_with!(rig);

#[test]
fn t4_the_brokers_own_time_is_known_as_such() {
    let rig = rig_with(1, &[("message.timestamp.type", "LogAppendTime")]);
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
    let before = now();
    rig.send(BaseRecord::to(&rig.topic).partition(0).key("k").payload("v").timestamp(1234));
    rig.settle();
    let mut reader = rig.reading(1);
    let record = reader.read(lane(0), 0, 1).records[0];
    assert_eq!(record.kind, TimestampKind::LogAppend);
    assert!((before..=now()).contains(&record.timestamp), "{record:?}");
    reader.close_soon();
}

#[test]
fn t6_markers_and_aborted_records_are_passed() {
    let (kafka, rig) = (Kafka::shared(), rig(1));
    transactions(kafka.bootstrap(), &rig.topic, 0, &[(10, Outcome::Commit), (10, Outcome::Abort)]);
    let mut reader = rig.reading(1);
    assert_eq!(offsets(&reader.read(lane(0), 0, 10)), (0..10).collect::<Vec<_>>());
    // Ten, a marker, ten that are never seen, another marker.
    assert_eq!((reader.idle_end(lane(0)), reader.lags()), (22, vec![(lane(0), 0)]));

    // An open transaction holds the end, until it is known how it ends.
    let open: BaseProducer = client(kafka.bootstrap()).set("transactional.id", &rig.topic).create().unwrap();
    open.init_transactions(LONG).unwrap();
    open.begin_transaction().unwrap();
    for _ in 0..5 {
        open.send(BaseRecord::<str, str>::to(&rig.topic).partition(0).payload("x")).map_err(|(e, _)| e).unwrap();
    }
    open.flush(LONG).unwrap();
    let events = reader.turn(Duration::from_millis(2500));
    assert!(events.is_empty(), "{events:?}");
    assert_eq!((reader.idle_end(lane(0)), reader.lags()), (22, vec![(lane(0), 0)]));
    open.abort_transaction(LONG).unwrap();
    until("the end behind the aborted transaction", LONG, || {
        reader.poll();
        (reader.idle_end(lane(0)) == 28).then_some(())
    });
    assert_eq!(kafka.end_offsets(&rig.topic)[&0], 28);
    reader.close_soon();
}

#[test]
fn t6_compacted_offsets_are_passed() {
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "200"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("min.compaction.lag.ms", "0"),
    ];
    let (kafka, rig) = (Kafka::shared(), rig_with(1, &settings));
    let send = |keys: std::ops::Range<usize>| {
        for key in keys {
            let key = format!("key {}", key % 4);
            rig.send(BaseRecord::to(&rig.topic).partition(0).key(key.as_str()).payload("v"));
        }
        rig.settle();
    };
    send(0..40);
    // Only closed segments are compacted, and only a write closes one.
    let last = until("the compaction", LONG, || {
        thread::sleep(Duration::from_millis(300));
        send(0..1);
        let found = kafka.read_all(&rig.topic);
        (found[0].offset > 30).then(|| found[found.len() - 1].offset)
    });
    transactions(kafka.bootstrap(), &rig.topic, 0, &[(3, Outcome::Abort)]);
    let mut reader = rig.reading(1);
    let mut read = vec![];
    while read.last() != Some(&last) {
        // Compaction goes on meanwhile, so how many are left is not known.
        read.extend(offsets(&reader.read(lane(0), 0, 1)));
    }
    assert!(read.is_sorted() && read[0] > 30, "{read:?}");
    let end = kafka.end_offsets(&rig.topic)[&0];
    assert_eq!(end, last + 1 + 3 + 1, "three aborted records and a marker");
    assert_eq!((reader.idle_end(lane(0)), reader.lags()), (end, vec![(lane(0), 0)]));
    reader.close_soon();
}

#[test]
fn j2_retention_past_the_position_is_told_again_and_again() {
    let (kafka, rig) = (Kafka::shared(), rig(1));
    rig.fill(0, 100);
    kafka.delete_records(&rig.topic, 0, 50);
    let mut reader = rig.joined(1);
    reader.broker.assign(&[(lane(0), 10)]).unwrap();
    for _ in 0..2 {
        let told = reader.read_error(lane(0));
        let BrokerEvent::OutOfRange { offset: 10, message, .. } = told else { panic!("{told:?}") };
        assert!(message.contains("Offset out of range"), "{message}");
        // Silent, also when something new comes, until a restart asks again.
        rig.fill(0, 5);
        assert!(reader.turn(Duration::from_secs(1)).is_empty());
        let mut batch = Batch::default();
        assert!(reader.broker.take(lane(0), 10, MUCH, &mut batch).drained && batch.is_empty());
        reader.broker.restart(lane(0), 10).unwrap();
    }
    reader.read_error(lane(0));
    assert_eq!(rig.scout().watermarks(lane(0)).unwrap(), (50, 110));
    reader.broker.restart(lane(0), 50).unwrap();
    assert_eq!(offsets(&reader.read(lane(0), 50, 60)), (50..110).collect::<Vec<_>>());
    reader.close_soon();
}

#[test]
fn c4_the_commits_mark_is_seen_from_outside_and_a_start_by_time_is_found() {
    let (kafka, rig) = (Kafka::shared(), rig(1));
    for timestamp in [1000, 2000, 3000] {
        rig.send(BaseRecord::to(&rig.topic).partition(0).key("k").payload("v").timestamp(timestamp));
    }
    rig.settle();
    let scout = rig.scout();
    let at = |millis| scout.first_offset(lane(0), "u1", StartFrom::Time(millis), true).unwrap();
    assert_eq!([0, 1500, 3000].map(at), [0, 1, 2].map(FirstOffset::Found));
    assert_eq!(at(3001), FirstOffset::Found(3), "later than all: the end");

    let mut reader = rig.reading(1);
    reader.broker.commit(&[(lane(0), 2)]).unwrap();
    reader.until("the answer to the commit", |_, event| *event == BrokerEvent::Committed { error: None });
    let seen = &kafka.committed(&rig.options.group, &rig.topic)[&0];
    assert_eq!((seen.offset, seen.metadata.as_str()), (2, "tidemill uid=u1"));
    reader.close_soon();
}

#[test]
fn the_identity_of_a_source_is_the_clusters_and_the_topics_own() {
    let (kafka, rig) = (Kafka::shared(), rig(2));
    let facts = || rig.scout().topics().unwrap().remove(0);
    assert_eq!(rig.scout().cluster_id().unwrap(), kafka.cluster_id());
    let first = facts();
    assert_eq!(facts(), first);
    kafka.delete_topic(&rig.topic);
    kafka.create_topic(&rig.topic, 3, 1);
    let second = facts();
    assert_eq!((first.partitions, second.partitions), (2, 3));
    assert!(first.id.is_some() && second.id.is_some() && first.id != second.id, "{first:?} {second:?}");
}

#[test]
fn c1_and_c2_hold_with_the_consumer_protocol() {
    let mut rig = rig(4);
    let usual = Options::default();
    rig.options.group_protocol = GroupProtocol::Consumer;
    rig.options.session_timeout = usual.session_timeout;
    rig.options.heartbeat_interval = usual.heartbeat_interval;
    (0..4).for_each(|p| rig.fill(p, 20));
    rig.joined(4).close_soon();

    let mut first = rig.joined(4);
    // Its claim takes a while.
    first.turn(Duration::from_secs(1));
    first.broker.assign(&lanes(4).into_iter().map(|l| (l, 5)).collect::<Vec<_>>()).unwrap();
    for l in lanes(4) {
        assert_eq!(offsets(&first.read(l, 5, 15)), (5..20).collect::<Vec<_>>());
    }
    let mut second = rig.reader(4);
    second.broker.subscribe().unwrap();
    let gone = changed(&mut first, &mut second);
    assert_eq!(gone.len(), 2);
    first.broker.unassign(&gone).unwrap();
    let given = changed(&mut second, &mut first);
    assert_eq!(given, gone);
    second.broker.assign(&given.iter().map(|l| (*l, 0)).collect::<Vec<_>>()).unwrap();
    for l in &given {
        assert_eq!(second.read(*l, 0, 20).records.len(), 20);
    }
    second.leave(&given, &given);
    let mut back = vec![];
    first.until("what the other had", |_, event| {
        if let BrokerEvent::Given(lanes) = event {
            back.extend(lanes.iter().copied());
        }
        back.len() == 2
    });
    back.sort();
    assert_eq!(back, given);
    // Not assigned yet: an owed assign does not hold the end.
    first.leave(&lanes(4), &lanes(4));
}

/// What the first reader is given or loses, sorted, while the other turns too.
fn changed(reader: &mut Reader, other: &mut Reader) -> Vec<Lane> {
    let mut lanes = until("a rebalance", LONG, || {
        other.poll();
        reader.poll().into_iter().find_map(|event| match event {
            BrokerEvent::Revoked(lanes) | BrokerEvent::Given(lanes) => Some(lanes),
            _ => None,
        })
    });
    lanes.sort();
    lanes
}

/// The node that leads a partition.
fn leader(rig: &Rig, partition: usize) -> usize {
    until("a leader", LONG, || {
        let metadata = rig.producer.client().fetch_metadata(Some(&rig.topic), LONG).ok()?;
        usize::try_from(metadata.topics()[0].partitions().get(partition)?.leader()).ok()
    })
}

#[test]
fn a_lost_leader_costs_no_record_and_a_lost_cluster_does_not_hold_the_close() {
    let kafka = Kafka::start(3);
    kafka.create_topic("copies", 3, 3);
    let mut rig = Rig::new(kafka.bootstrap(), "copies");
    rig.options.session_timeout = Millis::secs(45);
    let dead = reads_on_while_a_leader_dies(&kafka, &rig);

    rig.options.group = "frozen".into();
    let reader = rig.reading(3);
    let alive: Vec<usize> = (1..=3).filter(|n| *n != dead).collect();
    alive.iter().for_each(|n| kafka.freeze_node(*n));
    let begun = Instant::now();
    assert_ne!(reader.broker.close(Duration::from_secs(2)), Closed::NotTried);
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
    alive.iter().for_each(|n| kafka.thaw_node(*n));

    rig.options.group = "killed".into();
    let (early, mut late) = (rig.reading(3), rig.reader(3));
    late.broker.subscribe().unwrap();
    late.turn(Duration::from_millis(200));
    alive.iter().for_each(|n| kafka.kill_node(*n));
    let begun = Instant::now();
    early.broker.close(Duration::from_secs(2));
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
    late.until("the outage", |_, event| matches!(event, BrokerEvent::Down(_)));
    let begun = Instant::now();
    assert_eq!(late.broker.close(LONG), Closed::NotTried);
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
}

/// Returns the node that was killed: the leader of partition 0.
fn reads_on_while_a_leader_dies(kafka: &Kafka, rig: &Rig) -> usize {
    let mut reader = rig.reading(3);
    let stop = AtomicBool::new(false);
    let first = leader(rig, 0);
    let (written, mut read) = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut number = 0;
            while !stop.load(SeqCst) {
                let text = number.to_string();
                for partition in 0..3 {
                    rig.send(BaseRecord::to(&rig.topic).partition(partition).payload(&text));
                }
                number += 1;
                rig.producer.poll(Duration::from_millis(2));
            }
            rig.settle();
            number
        });
        let mut read = [0; 3];
        take_in_order(&mut reader, &mut read, |read| read.iter().all(|n| *n > 100));
        kafka.kill_node(first);
        until("another leader", LONG, || {
            take_in_order(&mut reader, &mut read, |_| true);
            (leader(rig, 0) != first).then_some(())
        });
        let now = read;
        take_in_order(&mut reader, &mut read, |read| (0..3).all(|p| read[p] > now[p] + 100));
        stop.store(true, SeqCst);
        (writer.join().unwrap(), read)
    });
    take_in_order(&mut reader, &mut read, |read| read.iter().all(|n| *n == written));
    reader.turn(Duration::from_millis(200));
    take_in_order(&mut reader, &mut read, |_| true);
    assert_eq!(read, [written; 3], "as many as were written");
    let wrong = |e: &&BrokerEvent| !matches!(e, BrokerEvent::Given(_));
    assert_eq!(reader.seen.iter().find(wrong), None);
    // Not asked for a clean close: the node that coordinates this group may be the dead one.
    reader.broker.close(Duration::from_secs(5));
    first
}

/// Takes what is there until `enough` says so; every record must be the next one of its partition.
fn take_in_order(reader: &mut Reader, read: &mut [i64; 3], mut enough: impl FnMut(&[i64; 3]) -> bool) {
    let end = Instant::now() + LONG;
    loop {
        for (partition, next) in read.iter_mut().enumerate() {
            let mut batch = Batch::default();
            let taken = reader.broker.take(lane(partition as i32), *next, MUCH, &mut batch);
            assert_eq!(taken.stale, 0, "nothing comes twice");
            for (number, record) in batch.records.iter().enumerate() {
                let text = next.to_string();
                assert_eq!((record.offset, batch.payload(number)), (*next, Some(text.as_bytes())));
                *next += 1;
            }
        }
        reader.turn(Duration::from_millis(5));
        if enough(read) {
            return;
        }
        assert!(Instant::now() < end, "stuck at {read:?}; seen: {:?}", reader.seen);
    }
}
