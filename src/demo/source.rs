//! The payments of the demo: a mock cluster in this process, and a thread that fills it at a rate.
//!
//! The mock cluster keeps 5 MiB a partition and drops the oldest without a word, so the generator looks at the lag.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::BaseProducer;
use rdkafka::producer::BaseRecord;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::producer::Producer;

use super::payments::Payments;

/// Partitions of the demo's topic.
pub const PARTITIONS: i32 = 12;
/// Records that may wait unread: 3 MiB of 450 bytes in each partition.
const LAG_MAX: u64 = 80_000;
/// Share of poisoned payments.
const POISONED: f64 = 0.002;

/// The broker inside this process. Dropping it ends it.
pub struct Broker(MockCluster<'static, DefaultProducerContext>);

impl Broker {
    /// # Errors
    /// When the client library cannot start it.
    pub fn start(topic: &str) -> Result<Broker, KafkaError> {
        let cluster = MockCluster::new(1)?;
        cluster.create_topic(topic, PARTITIONS, 1)?;
        Ok(Broker(cluster))
    }

    pub fn address(&self) -> String {
        self.0.bootstrap_servers()
    }
}

/// Counts that the generator and the table share.
#[derive(Default)]
pub struct Progress {
    pub produced: AtomicU64,
    pub poisoned: AtomicU64,
    /// Records known to be durable; set by the table.
    pub durable: AtomicU64,
    stop: AtomicBool,
}

/// The generator's thread.
pub struct Generator {
    progress: Arc<Progress>,
    thread: JoinHandle<Result<(), KafkaError>>,
}

impl Generator {
    /// # Errors
    /// When the producer or the thread cannot be made.
    pub fn start(address: &str, topic: &str, rate: u32, progress: Arc<Progress>) -> Result<Generator, String> {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", address)
            // The mock broker serves one message set at a time: many small ones would be its limit, not ours.
            .set("linger.ms", "20")
            .set("compression.type", "lz4")
            .create()
            .map_err(|e| format!("cannot make the producer: {e}"))?;
        let (topic, shared) = (topic.to_owned(), progress.clone());
        let work = move || generate(&producer, &topic, f64::from(rate), &shared);
        let thread = thread::Builder::new().name("payments".into()).spawn(work).map_err(|e| e.to_string())?;
        Ok(Generator { progress, thread })
    }

    /// Ends the stream; everything produced is acknowledged by the broker afterwards.
    ///
    /// # Errors
    /// When the broker did not take everything.
    pub fn stop(self) -> Result<(), String> {
        self.progress.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(done) => done.map_err(|e| format!("the producer failed: {e}")),
            Err(_) => Err("the generator broke".into()),
        }
    }
}

fn generate(producer: &BaseProducer, topic: &str, rate: f64, progress: &Progress) -> Result<(), KafkaError> {
    let mut payments = Payments::new(1).poisoned(POISONED);
    let (mut made, mut owed, mut last) = (0u64, 0.0, Instant::now());
    while !progress.stop.load(Ordering::Relaxed) {
        // What a pause for the lag kept back is not made up for later: the rate is a ceiling.
        owed = (owed + last.elapsed().as_secs_f64() * rate).min(rate / 10.0 + 1.0);
        last = Instant::now();
        while owed >= 1.0 && made < progress.durable.load(Ordering::Relaxed) + LAG_MAX {
            let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
            let payment = payments.make_at(millis);
            let poisoned = payment.poison.is_some();
            let record = BaseRecord::to(topic)
                .partition((made % PARTITIONS as u64) as i32)
                .key(payment.key)
                .payload(payment.payload);
            if producer.send(record).is_err() {
                // Its queue is full: the same payment's successor goes when there is room.
                producer.poll(Duration::from_millis(5));
                continue;
            }
            owed -= 1.0;
            made += 1;
            progress.poisoned.fetch_add(u64::from(poisoned), Ordering::Relaxed);
        }
        progress.produced.store(made, Ordering::Relaxed);
        producer.poll(Duration::from_millis(2));
    }
    producer.flush(Duration::from_secs(20))
}
