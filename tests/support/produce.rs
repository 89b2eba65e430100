//! Fills topics: payments clean and poisoned, and transactions that leave holes in the offsets.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use rdkafka::ClientContext;
use rdkafka::Message;
use rdkafka::error::KafkaError;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::DeliveryResult;
use rdkafka::message::Header;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::BaseProducer;
use rdkafka::producer::BaseRecord;
use rdkafka::producer::Producer;
use rdkafka::producer::ProducerContext;
use tidemill::demo::payments::Payments;
use tidemill::demo::poison::Poison;

use super::kafka::Record;
use super::kafka::client;

const PATIENCE: Duration = Duration::from_secs(60);

/// Header that says what the payload is: `clean` or a [`Poison::name`]. So the log itself tells how each record must end.
pub const KIND: &str = "kind";
/// Header with the payment's number, in decimal.
pub const NUMBER: &str = "number";

/// What to produce.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub records: u64,
    pub seed: u64,
    /// Share of poisoned records, 0 to 1; the six kinds take turns.
    pub poisoned: f64,
}

/// One record that Kafka has acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Sent {
    pub partition: i32,
    pub offset: i64,
    pub number: u64,
    pub poison: Option<Poison>,
}

/// Counts of a load by kind; `None` are the clean ones.
pub fn kinds(sent: &[Sent]) -> BTreeMap<Option<Poison>, u64> {
    let mut counts = BTreeMap::new();
    for record in sent {
        *counts.entry(record.poison).or_default() += 1;
    }
    counts
}

/// Notes where each record landed.
#[derive(Default)]
struct Landed(Mutex<Vec<Sent>>);

impl ClientContext for Landed {}

impl ProducerContext for Landed {
    type DeliveryOpaque = Box<(u64, Option<Poison>)>;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Self::DeliveryOpaque) {
        // A failed delivery is missed in the count at the end.
        if let Ok(message) = result {
            let (number, poison) = *opaque;
            let mut landed = self.0.lock().expect("nobody panics with it");
            landed.push(Sent { partition: message.partition(), offset: message.offset(), number, poison });
        }
    }
}

/// Produces payments with keys, headers and lz4 and waits until all replicas have them. Sorted by partition and offset.
pub fn payments(bootstrap: &str, topic: &str, load: Load) -> Vec<Sent> {
    payments_paced(bootstrap, topic, load, |_| {})
}

/// The same at the pace of the caller: before each payment `pace` is called with its number, and may sleep.
pub fn payments_paced(bootstrap: &str, topic: &str, load: Load, pace: impl Fn(u64)) -> Vec<Sent> {
    let mut config = client(bootstrap);
    config.set("compression.type", "lz4").set("acks", "all").set("enable.idempotence", "true").set("linger.ms", "5");
    config.set("queue.buffering.max.messages", "200000");
    let producer: BaseProducer<Landed> =
        config.create_with_context(Landed::default()).expect("these settings are right");
    let mut stream = Payments::new(load.seed).poisoned(load.poisoned);
    for next in 0..load.records {
        pace(next);
        let payment = stream.make();
        let number = payment.number.to_string();
        let headers = OwnedHeaders::new_with_capacity(2)
            .insert(Header { key: KIND, value: Some(payment.poison.map_or("clean", Poison::name)) })
            .insert(Header { key: NUMBER, value: Some(&number) });
        let opaque = Box::new((payment.number, payment.poison));
        let record =
            BaseRecord::with_opaque_to(topic, opaque).key(payment.key).payload(payment.payload).headers(headers);
        send(&producer, record);
    }
    settle(&producer);
    let mut sent = std::mem::take(&mut *producer.context().0.lock().expect("nobody panics with it"));
    assert_eq!(sent.len() as u64, load.records, "kafka did not take every record");
    sent.sort_unstable();
    sent
}

/// Produces keys and payloads of the caller's making, with the headers of clean payments, and waits for the replicas.
pub fn payloads(bootstrap: &str, topic: &str, records: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) {
    let producer: BaseProducer = client(bootstrap).set("acks", "all").create().expect("these settings are right");
    for (number, (key, payload)) in records.enumerate() {
        let number = number.to_string();
        let headers = OwnedHeaders::new_with_capacity(2)
            .insert(Header { key: KIND, value: Some("clean") })
            .insert(Header { key: NUMBER, value: Some(&number) });
        send(&producer, BaseRecord::to(topic).key(&key[..]).payload(&payload[..]).headers(headers));
    }
    settle(&producer);
}

/// Number of a record of the log, by its header.
pub fn number(record: &Record) -> usize {
    let (_, value) = record.headers.iter().find(|(name, _)| name == NUMBER).expect("a header numbers the record");
    std::str::from_utf8(value.as_deref().expect("a text")).ok().and_then(|n| n.parse().ok()).expect("a number")
}

/// How a transaction ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Commit,
    Abort,
}

/// One transaction after the other into one partition, each with so many clean payments. Every transaction also takes
/// one offset for its marker; records of an aborted one are never seen by a reader of committed data.
pub fn transactions(bootstrap: &str, topic: &str, partition: i32, plan: &[(u64, Outcome)]) {
    let mut config = client(bootstrap);
    config.set("transactional.id", format!("{topic}-{partition}"));
    let producer: BaseProducer = config.create().expect("these settings are right");
    producer.init_transactions(PATIENCE).expect("the coordinator answers");
    let mut stream = Payments::new(plan.len() as u64);
    for (records, outcome) in plan {
        producer.begin_transaction().expect("no transaction is open");
        for _ in 0..*records {
            let payment = stream.make();
            let record = BaseRecord::to(topic).partition(partition).key(payment.key).payload(payment.payload);
            send(&producer, record);
        }
        settle(&producer);
        match outcome {
            Outcome::Commit => producer.commit_transaction(PATIENCE),
            Outcome::Abort => producer.abort_transaction(PATIENCE),
        }
        .expect("the coordinator answers");
    }
}

fn send<C: ProducerContext>(producer: &BaseProducer<C>, record: BaseRecord<'_, [u8], [u8], C::DeliveryOpaque>) {
    let mut next = record;
    loop {
        match producer.send(next) {
            Ok(()) => {
                producer.poll(Duration::ZERO);
                return;
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                next = back;
                producer.poll(Duration::from_millis(5));
            }
            Err((error, _)) => panic!("kafka does not take a record: {error}"),
        }
    }
}

/// Waits until nothing is in flight; `flush` would do it in steps of 100 ms.
fn settle<C: ProducerContext>(producer: &BaseProducer<C>) {
    let deadline = Instant::now() + PATIENCE;
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(1));
        assert!(Instant::now() < deadline, "{} records are still in flight", producer.in_flight_count());
    }
}
