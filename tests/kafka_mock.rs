//! The Kafka adapter against librdkafka's own mock cluster; each test is named after the rule that it shows.

#[macro_use]
mod reading;
mod support;

use std::ops::Deref;
use std::ops::DerefMut;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::bindings as rd;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::BaseProducer;
use rdkafka::producer::BaseRecord;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::producer::Producer;
use reading::rig::LONG;
use reading::rig::Rig;
use reading::rig::lane;
use reading::rig::offsets;
use tidemill::adapters::kafka::close::Closed;
use tidemill::adapters::kafka::scout::Scout;
use tidemill::adapters::kafka::scout::ScoutError;
use tidemill::domain::batch::TimestampKind;
use tidemill::domain::units::Millis;
use tidemill::ports::BrokerEvent;

const TOPIC: &str = "payments";

/// A rig with a mock cluster of its own, which lives in a client.
struct Mock {
    rig: Rig,
    // After the rig, which talks to it.
    home: BaseProducer,
}

impl Mock {
    fn new(partitions: i32) -> Mock {
        let home: BaseProducer = ClientConfig::new().set("test.mock.num.brokers", "1").create().unwrap();
        // SAFETY: the client is alive, and so is the cluster that it has made; the delay is a plain number.
        unsafe {
            let cluster = rd::rd_kafka_handle_mock_cluster(home.client().native_ptr());
            assert!(!cluster.is_null());
            // Otherwise the first member of every group waits 3 s for a second one.
            rd::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 50);
        }
        let bootstrap = {
            let cluster = home.client().mock_cluster().unwrap();
            cluster.create_topic(TOPIC, partitions, 1).unwrap();
            cluster.bootstrap_servers()
        };
        let mut rig = Rig::new(&bootstrap, TOPIC);
        // A later rebalance of the mock takes a second less than this.
        rig.options.session_timeout = Millis::secs(4);
        Mock { rig, home }
    }

    fn cluster(&self) -> MockCluster<'_, DefaultProducerContext> {
        self.home.client().mock_cluster().unwrap()
    }
}

impl Deref for Mock {
    type Target = Rig;

    fn deref(&self) -> &Rig {
        &self.rig
    }
}

impl DerefMut for Mock {
    fn deref_mut(&mut self) -> &mut Rig {
        &mut self.rig
    }
}

tests_with!(Mock::new);

#[test]
fn t4_a_timestamp_may_be_missing_or_any_number() {
    let rig = Mock::new(1);
    for timestamp in [-5, -1, i64::MAX] {
        rig.send(BaseRecord::to(TOPIC).partition(0).payload("v").key("k").timestamp(timestamp));
    }
    rig.settle();
    let mut reader = rig.reading(1);
    let batch = reader.read(lane(0), 0, 3);
    let found: Vec<_> = batch.records.iter().map(|r| (r.timestamp, r.kind)).collect();
    assert_eq!(found, [(-5, TimestampKind::Create), (-1, TimestampKind::Missing), (i64::MAX, TimestampKind::Create)]);
    reader.close_soon();
}

#[test]
fn an_outage_is_told_once_and_its_end_too() {
    let mut rig = Mock::new(1);
    // Longer than any outage here, also on a machine that is busy with other things: losing the membership meanwhile
    // would be right, and is not what this is about.
    rig.options.session_timeout = Millis::secs(60);
    rig.fill(0, 5);
    let mut reader = rig.reading(1);
    reader.read(lane(0), 0, 5);
    rig.cluster().broker_down(1).unwrap();
    reader.until("the outage", |_, event| matches!(event, BrokerEvent::Down(_)));
    assert!(reader.broker.is_down());
    let events = reader.turn(Duration::from_secs(3));
    assert!(!events.iter().any(|e| matches!(e, BrokerEvent::Down(_) | BrokerEvent::Up)), "{events:?}");
    rig.cluster().broker_up(1).unwrap();
    reader.until("the recovery", |_, event| *event == BrokerEvent::Up);
    assert!(!reader.broker.is_down());
    rig.fill(0, 5);
    assert_eq!(offsets(&reader.read(lane(0), 5, 5)), [5, 6, 7, 8, 9]);

    rig.cluster().broker_down(1).unwrap();
    reader.until("the second outage", |_, event| matches!(event, BrokerEvent::Down(_)));
    assert_eq!(reader.broker.close(LONG), Closed::NotTried);
}

#[test]
fn a_scout_without_broker_says_so() {
    let rig = Mock::new(1);
    rig.cluster().broker_down(1).unwrap();
    let scout = Scout::open(&rig.options, Duration::from_secs(1)).unwrap();
    assert!(matches!(scout.cluster_id().unwrap_err(), ScoutError::NoAnswer { .. }));
    assert!(matches!(scout.watermarks(lane(0)).unwrap_err(), ScoutError::NoAnswer { .. }));
    assert!(matches!(scout.topics().unwrap_err(), ScoutError::NoAnswer { .. }));
}

#[cfg(feature = "mutants")]
#[test]
fn j2_a_planted_reset_is_seen_by_its_silence() {
    use std::time::Instant;
    use tidemill::ports::Broker;
    use tidemill::ports::Room;

    let told = |bug: &'static str, patience: Duration| {
        let rig = Mock::new(1);
        rig.fill(0, 10);
        tidemill::domain::mutants::plant(bug);
        let mut reader = rig.joined(1);
        tidemill::domain::mutants::plant("");
        reader.broker.assign(&[(lane(0), 500)]).unwrap();
        let (begun, mut batch) = (Instant::now(), tidemill::domain::batch::Batch::default());
        let room = Room { records: 10, bytes: usize::MAX };
        while begun.elapsed() < patience {
            reader.broker.take(lane(0), 0, room, &mut batch);
            if reader.turn(Duration::from_millis(20)).iter().any(|e| matches!(e, BrokerEvent::OutOfRange { .. })) {
                return Some(begun.elapsed());
            }
        }
        None
    };
    let honest = told("", LONG).expect("a position outside the log is told");
    assert_eq!(told("reset_latest", honest * 2 + Duration::from_secs(2)), None, "the planted bug was not planted");
}

#[cfg(feature = "mutants")]
#[test]
fn t3_a_planted_split_behind_the_assignment_is_fatal() {
    use tidemill::ports::Broker;

    let rig = Mock::new(1);
    rig.fill(0, 10);
    let mut reader = rig.joined(1);
    tidemill::domain::mutants::plant("split_after_assign");
    reader.broker.assign(&[(lane(0), 0)]).unwrap();
    tidemill::domain::mutants::plant("");
    let (end, mut events) = (std::time::Instant::now() + LONG, vec![]);
    // Past the reader's own poll, which takes nothing fatal.
    while !events.iter().any(|e| matches!(e, BrokerEvent::Fatal(text) if text.contains("main queue"))) {
        reader.broker.poll(&mut events);
        assert!(std::time::Instant::now() < end, "records behind the split were never seen: {events:?}");
    }
    reader.close_soon();
}
