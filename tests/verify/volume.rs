//! Much at once: a filled topic and a filled table, compared by checksums. `TIDEMILL_RECORDS=10000000` measures the figure of
//! `docs/operations.md`.

use std::time::Duration;
use std::time::Instant;

use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;
use rdkafka::producer::BaseRecord;
use rdkafka::producer::Producer;
use rdkafka::types::RDKafkaErrorCode;

use crate::site::Site;
use crate::stage::verify;
use crate::support::kafka::client;

const PARTITIONS: i32 = 4;

#[test]
fn many_records_are_compared_by_windows() {
    let records: i64 = std::env::var("TIDEMILL_RECORDS").map_or(200_000, |n| n.parse().expect("a number"));
    let each = records / i64::from(PARTITIONS);
    let site = Site::shared("many", PARTITIONS);
    std::thread::scope(|scope| {
        scope.spawn(|| produce(&site, each));
        scope.spawn(|| store(&site, each));
    });
    let started = Instant::now();
    let verified = verify(&site, &["--timeout", "10m"], &[]);
    let took = started.elapsed();
    let json = verified.fine();
    println!("{records} records in {took:.1?}, {}", json["seconds"]);
    assert_eq!(
        (verified.sum("records"), json["windows_differing"].as_u64()),
        (records as u64, Some(0)),
        "{}",
        verified.text
    );

    let gone = each / 2 + 3;
    site.sql(&format!("UPDATE scores SET \"offset\" = {gone} WHERE partition = 2 AND \"offset\" = {}", gone + 1));
    let verified = verify(&site, &["--timeout", "10m"], &[]);
    assert_eq!(verified.only("lost", &["doubled", "out_of_order"]), [(2, 1, vec![gone + 1])]);
    assert_eq!(verified.json()["windows_differing"], 1, "only one window is looked into");
}

/// Small records, so many in each partition.
fn produce(site: &Site<'_>, each: i64) {
    let mut config = client(&site.brokers);
    config.set("compression.type", "lz4").set("linger.ms", "50").set("batch.size", "1000000");
    config.set("queue.buffering.max.messages", "1000000");
    let producer: BaseProducer = config.create().expect("these settings are right");
    for number in 0..each {
        for partition in 0..PARTITIONS {
            let payload = number.to_le_bytes();
            let mut next = BaseRecord::<(), [u8]>::to(&site.topic).partition(partition).payload(&payload[..]);
            while let Err((error, back)) = producer.send(next) {
                assert!(matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{error}");
                producer.poll(Duration::from_millis(5));
                next = back;
            }
        }
        if number % 256 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(120)).expect("kafka takes all");
}

/// What a run would have stored for them.
fn store(site: &Site<'_>, each: i64) {
    let (cluster, topic) = (site.kafka.cluster_id(), &site.topic);
    site.sql(&format!(
        "INSERT INTO tidemill.source (pipeline, cluster_id, topic, group_id, partitions)
           VALUES ('fraud', '{cluster}', '{topic}', '{topic}', {PARTITIONS});
         INSERT INTO tidemill.progress (source, partition, next_offset, epoch, stored)
           SELECT 1, p, {each}, 1, {each} FROM generate_series(0, {}) p;
         INSERT INTO scores (source, partition, \"offset\", processed_at, model, payment_id)
           SELECT 1, p, o, now(), 1, 'pay' FROM generate_series(0, {each} - 1) o, generate_series(0, {}) p",
        PARTITIONS - 1,
        PARTITIONS - 1
    ));
}
