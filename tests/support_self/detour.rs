//! The way to Kafka that misbehaves: clients stay on it, and single requests and answers get lost.

use std::time::Duration;
use std::time::Instant;

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::CommitMode;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;

use crate::support::detour::Api;
use crate::support::detour::Trouble;
use crate::support::kafka::Kafka;
use crate::support::kafka::client;
use crate::support::produce;
use crate::support::produce::Load;
use crate::support::relay::Way;
use crate::support::wait::until;

const LONG: Duration = Duration::from_secs(40);

#[test]
fn single_requests_and_answers_are_lost_late_or_wrong() {
    let kafka = Kafka::start_with(1, 1);
    let way = kafka.detour();
    kafka.create_topic("t", 1, 1);
    produce::payments(kafka.bootstrap(), "t", Load { records: 500, seed: 1, poisoned: 0.0 });

    let mut config = client(&way.bootstrap());
    config.set("group.id", "g").set("session.timeout.ms", "6000").set("heartbeat.interval.ms", "200");
    config.set("check.crcs", "true").set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    config.set("socket.timeout.ms", "1000").set("max.poll.interval.ms", "10000");
    let consumer: BaseConsumer = config.create().unwrap();
    let brokers = consumer.fetch_metadata(None, LONG).unwrap();
    let ports: Vec<i32> = brokers.brokers().iter().map(|b| b.port()).collect();
    assert_eq!(ports, [i32::from(way.node(1).address().port())], "the way itself is advertised");

    consumer.subscribe(&["t"]).unwrap();
    let taken = |consumer: &BaseConsumer| matches!(consumer.poll(Duration::from_millis(100)), Some(Ok(_)));
    until("a first record", LONG, || taken(&consumer).then_some(()));

    let commit = |offset| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("t", 0, Offset::Offset(offset)).unwrap();
        consumer.commit(&list, CommitMode::Sync)
    };
    commit(5).unwrap();
    let seen = || kafka.committed("g", "t")[&0].offset;
    way.on(Api::OFFSET_COMMIT, 0, 1, Trouble::LoseRequest);
    // The client asks again by itself once it has waited in vain.
    let begun = Instant::now();
    until("a commit", LONG, || commit(6).ok());
    assert!(begun.elapsed() >= Duration::from_secs(1) && seen() == 6, "{:?}", begun.elapsed());
    way.on(Api::OFFSET_COMMIT, 0, 1, Trouble::CutAfter);
    // It may ask again; what the broker did on the first request stays.
    let _ = commit(8);
    until("the commit that was done", LONG, || (seen() == 8).then_some(()));

    let fired = way.fired();
    way.on(Api::HEARTBEAT, 0, 1, Trouble::Error(RDKafkaErrorCode::RebalanceInProgress as i16));
    let joins = way.seen(Api::JOIN_GROUP);
    until("the group to be joined again", LONG, || {
        consumer.poll(Duration::from_millis(50));
        (way.seen(Api::JOIN_GROUP) > joins).then_some(())
    });
    assert_eq!(way.fired(), fired + 1);

    let begun = Instant::now();
    way.on(Api::METADATA, 0, 1, Trouble::DelayAnswer(Duration::from_millis(400)));
    consumer.fetch_metadata(None, LONG).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(400));
    way.each(|node| node.freeze(Way::ToClient));
    assert!(consumer.fetch_metadata(None, Duration::from_millis(300)).is_err());
    way.each(|node| node.thaw());
    consumer.fetch_metadata(None, LONG).unwrap();
}
