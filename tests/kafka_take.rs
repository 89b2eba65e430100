//! What handing out a record costs on the intake thread. In a process of its own, for the allocator that counts.

#[path = "support/counting.rs"]
mod counting;

use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rdkafka::ClientConfig;
use rdkafka::message::Header;
use rdkafka::message::OwnedHeaders;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::BaseProducer;
use rdkafka::producer::BaseRecord;
use rdkafka::producer::Producer;
use tidemill::adapters::kafka::broker::KafkaBroker;
use tidemill::adapters::kafka::memory::MemoryPlan;
use tidemill::adapters::kafka::options::Options;
use tidemill::domain::batch::Batch;
use tidemill::domain::lane::Lane;
use tidemill::domain::units::ByteSize;
use tidemill::ports::Broker;
use tidemill::ports::BrokerEvent;
use tidemill::ports::Room;

#[global_allocator]
static COUNTING: counting::Counting = counting::Counting;

/// CPU time of this thread.
fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on Linux and fills the struct that it is given.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

// The mock cluster keeps 5 MiB of a partition.
const COUNT: usize = 6_000;
const LANE: Lane = Lane { topic: 0, partition: 0 };

/// Takes `COUNT` records that wait in the client; says what one costs in CPU time and in allocations of ours.
fn cost(headers: usize) -> (f64, f64) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let servers = cluster.bootstrap_servers();
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &servers).create().unwrap();
    let payload = vec![b'x'; 400];
    for _ in 0..COUNT {
        let mut list = OwnedHeaders::new();
        for _ in 0..headers {
            list = list.insert(Header { key: "traceparent", value: Some("00-0af7651916cd43dd8448eb211c80319c") });
        }
        let record = BaseRecord::<[u8], [u8]>::to("t").partition(0).key(b"12345678").payload(&payload);
        let record = if headers > 0 { record.headers(list) } else { record };
        producer.send(record).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    let options = Options { brokers: vec![servers], topics: vec!["t".into()], group: "g".into(), ..Options::default() };
    let plan = MemoryPlan::new(Some(ByteSize::mib(64)), 1).unwrap();
    let mut broker = KafkaBroker::open(&options, &plan, Arc::new(|| {})).unwrap();
    broker.subscribe().unwrap();
    let (mut events, end) = (vec![], Instant::now() + Duration::from_secs(30));
    while !events.iter().any(|e| matches!(e, BrokerEvent::Given(_))) {
        broker.poll(&mut events);
        assert!(Instant::now() < end, "{events:?}");
        thread::sleep(Duration::from_millis(5));
    }
    broker.assign(&[(LANE, 0)]).unwrap();
    // All of it fits into the client's own queue; what waits there is measured, not the waiting.
    thread::sleep(Duration::from_secs(2));

    let mut batch = Batch::default();
    batch.bytes.reserve(COUNT * 1000);
    batch.records.reserve(COUNT);
    let (mut records, mut time, mut allocations) = (0, Duration::ZERO, 0);
    while records < COUNT {
        let (start, before) = (cpu(), counting::allocations());
        let taken = broker.take(LANE, 0, Room { records: 256, bytes: usize::MAX }, &mut batch);
        if taken.records > 0 {
            records += taken.records as usize;
            time += cpu() - start;
            allocations += counting::allocations() - before;
        } else {
            broker.poll(&mut events);
            assert!(Instant::now() < end, "{records} of {COUNT} records came; {events:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
    (time.as_nanos() as f64 / COUNT as f64, allocations as f64 / COUNT as f64)
}

#[test]
fn a_record_is_taken_without_an_allocation_of_ours() {
    for headers in [0, 4] {
        let (nanos, allocations) = cost(headers);
        println!("a record of 400 bytes with {headers} headers: {nanos:.0} ns, {allocations:.3} allocations");
        assert!(allocations < 0.01, "{headers} headers: {allocations} allocations a record");
    }
}
