//! Producers: a backlog first, then a steady stream, and transactions beside them of which some are aborted.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::thread::JoinHandle;
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

use crate::event::Events;
use crate::event::KIND;
use crate::event::Kind;
use crate::support::kafka::client;

/// Ids of the producers' events begin this far apart.
const IDS: i64 = 1 << 28;
const FLUSH: Duration = Duration::from_secs(120);

/// Where acknowledged records landed: Kafka owes us these.
#[derive(Clone, Default)]
pub struct Acks(Arc<Mutex<Vec<(i32, i64)>>>);

impl Acks {
    pub fn take(&self) -> Vec<(i32, i64)> {
        std::mem::take(&mut self.0.lock().expect("nobody panics with it"))
    }
}

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        // What failed may be in the log all the same: only the log itself says.
        // A batch sent twice may be confirmed without an offset ("a duplicate"): nobody can say where it is to be.
        if let Ok(message) = result
            && message.offset() >= 0
        {
            self.0.lock().expect("nobody panics with it").push((message.partition(), message.offset()));
        }
    }
}

pub struct Load {
    brokers: String,
    topic: &'static str,
    seed: u64,
    pub acks: Acks,
    stop: Arc<AtomicBool>,
    pub sent: Arc<AtomicU64>,
    pub aborted: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn new(brokers: &str, topic: &'static str, seed: u64) -> Load {
        Load {
            brokers: brokers.to_owned(),
            topic,
            seed,
            acks: Acks::default(),
            stop: Arc::default(),
            sent: Arc::default(),
            aborted: Arc::default(),
            threads: vec![],
        }
    }

    /// Produces so many records at once and waits until the replicas have them.
    pub fn backlog(&self, records: u64) {
        let producer = self.producer();
        let mut events = Events::new(self.seed, 0);
        for _ in 0..records {
            self.send(&producer, &mut events);
        }
        flush(&producer);
    }

    /// Produces in the background until [`Load::stop`].
    pub fn steady(&mut self, per_second: u64) {
        let (me, stop) = (self.share(), self.stop.clone());
        self.threads.push(thread::spawn(move || {
            let producer = me.producer();
            let mut events = Events::new(me.seed ^ 0x5eed, IDS);
            let (begun, mut made) = (Instant::now(), 0);
            while !stop.load(SeqCst) {
                let due = (begun.elapsed().as_secs_f64() * per_second as f64) as u64;
                // After a stall of the brokers the stream catches up, but not in one blow.
                let until = due.min(made + 5_000);
                for _ in made..until {
                    me.send(&producer, &mut events);
                }
                made = until;
                producer.poll(Duration::from_millis(5));
            }
            flush(&producer);
        }));
        let (me, stop) = (self.share(), self.stop.clone());
        self.threads.push(thread::spawn(move || me.transactions(&stop)));
    }

    pub fn stop(&mut self) {
        self.stop.store(true, SeqCst);
        for thread in self.threads.drain(..) {
            thread.join().expect("a producer does not panic");
        }
    }

    fn share(&self) -> Load {
        let Load { topic, seed, .. } = *self;
        let (acks, stop, sent, aborted) =
            (self.acks.clone(), self.stop.clone(), self.sent.clone(), self.aborted.clone());
        Load { brokers: self.brokers.clone(), topic, seed, acks, stop, sent, aborted, threads: vec![] }
    }

    fn producer(&self) -> BaseProducer<Acks> {
        let mut config = client(&self.brokers);
        config
            .set("compression.type", "lz4")
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "5");
        config.set("queue.buffering.max.messages", "200000").set("delivery.timeout.ms", "600000");
        config.set("topic.metadata.refresh.interval.ms", "2000");
        config.create_with_context(self.acks.clone()).expect("these settings are right")
    }

    fn send<C: ProducerContext<DeliveryOpaque = ()>>(&self, producer: &BaseProducer<C>, events: &mut Events) {
        let (event, kind) = events.make();
        let (key, letter) = (format!("k{}", event.key), [kind.letter()]);
        let headers = OwnedHeaders::new_with_capacity(1).insert(Header { key: KIND, value: Some(&letter[..]) });
        let mut record = BaseRecord::<_, [u8]>::to(self.topic).key(key.as_bytes()).headers(headers);
        if kind != Kind::Tombstone {
            record = record.payload(&events.payload);
        }
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    producer.poll(Duration::from_millis(5));
                }
                Err((error, _)) => panic!("kafka does not take a record: {error}"),
            }
        }
        self.sent.fetch_add(1, SeqCst);
        producer.poll(Duration::ZERO);
    }

    /// One transaction after the other; every third is aborted. A broker that goes away in the middle ends the producer,
    /// and another one with the same name takes its place.
    fn transactions(&self, stop: &AtomicBool) {
        let mut events = Events::new(self.seed ^ 0x7a, 2 * IDS);
        while !stop.load(SeqCst) {
            let mut config = client(&self.brokers);
            config.set("transactional.id", "chaos").set("transaction.timeout.ms", "10000");
            let producer: BaseProducer = config.create().expect("these settings are right");
            if producer.init_transactions(Duration::from_secs(5)).is_err() {
                continue;
            }
            for number in 0_u64.. {
                if stop.load(SeqCst) || self.transaction(&producer, &mut events, number % 3 == 2).is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(100));
            }
        }
    }

    fn transaction(&self, producer: &BaseProducer, events: &mut Events, abort: bool) -> Result<(), KafkaError> {
        let wait = Duration::from_secs(5);
        producer.begin_transaction()?;
        for _ in 0..20 {
            self.send(producer, events);
        }
        let ended = producer.flush(wait).and_then(|()| {
            if abort {
                self.aborted.fetch_add(20, SeqCst);
                producer.abort_transaction(wait)
            } else {
                producer.commit_transaction(wait)
            }
        });
        if ended.is_err() && !abort {
            return producer.abort_transaction(wait);
        }
        ended
    }
}

fn flush<C: ProducerContext>(producer: &BaseProducer<C>) {
    let deadline = Instant::now() + FLUSH;
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(5));
        assert!(Instant::now() < deadline, "{} records are still in flight", producer.in_flight_count());
    }
}
