//! Being given partitions, giving them back, and what the group is told (rules C1 to C4).

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::CommitMode;
use rdkafka::consumer::Consumer;
use tidemill::adapters::kafka::scout::FirstOffset;
use tidemill::adapters::kafka::start_from::StartFrom;
use tidemill::domain::batch::Batch;
use tidemill::domain::lane::Lane;
use tidemill::ports::Broker;
use tidemill::ports::BrokerEvent;

use super::rig::LONG;
use super::rig::MUCH;
use super::rig::Rig;
use super::rig::lane;
use super::rig::lanes;
use super::rig::offsets;
use crate::support::wait::until;

pub fn c1_a_late_assign_reads_from_its_own_queues_at_the_given_offsets(rig: &Rig) {
    (0..12).for_each(|p| rig.fill(p, 60));
    let mut reader = rig.joined(12);
    // Longer than the session: a claim may take its time, heartbeats go on.
    let events = reader.turn(rig.options.session_timeout.duration() + Duration::from_secs(1));
    assert!(events.is_empty(), "{events:?}");
    let all: Vec<(Lane, i64)> = (0..12).map(|p| (lane(p), 40)).collect();
    reader.broker.assign(&all).unwrap();
    let mut ready = vec![];
    reader.broker.ready(&mut ready);
    ready.sort();
    assert_eq!(ready, lanes(12), "a fresh lane is on the ready list once");
    for partition in 0..12 {
        let batch = reader.read(lane(partition), 40, 20);
        assert_eq!(offsets(&batch), (40..60).collect::<Vec<_>>());
        assert_eq!(batch.payload(0), Some(format!("{partition}:40").as_bytes()));
    }
    reader.leave(&lanes(12), &lanes(12));
}

pub fn c2_an_owed_revoke_is_answered_with_what_was_assigned(rig: &Rig) {
    leaves_with(rig, 5);
}

pub fn c2_an_owed_revoke_is_answered_with_nothing(rig: &Rig) {
    leaves_with(rig, 0);
}

fn leaves_with(rig: &Rig, assigned: i32) {
    let mut reader = rig.joined(12);
    let with_offsets: Vec<_> = lanes(assigned).into_iter().map(|lane| (lane, 0)).collect();
    reader.broker.assign(&with_offsets).unwrap();
    // Naming all of them must not reach the client: only those that were assigned do.
    reader.leave(&lanes(12), &lanes(12));
}

pub fn c2_closing_with_an_assign_owed_or_with_everything_assigned_takes_no_time(rig: &Rig) {
    rig.joined(4).close_soon();
    rig.reading(4).close_soon();
    rig.reader(4).close_soon();
}

pub fn c4_commits_carry_the_sources_mark_and_a_lost_row_parks(rig: &Rig) {
    (0..3).for_each(|p| rig.fill(p, 20));

    // An earlier consumer of the same group, of another make.
    let other: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", rig.options.brokers.join(","))
        .set("group.id", &rig.options.group)
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&rig.topic, 1, Offset::Offset(7)).unwrap();
    other.commit(&list, CommitMode::Sync).unwrap();
    drop(other);

    let mut reader = rig.reading(3);
    reader.broker.commit(&[]).unwrap();
    reader.broker.commit(&[(lane(0), 12)]).unwrap();
    reader.until("the answer to the commit", |_, event| *event == BrokerEvent::Committed { error: None });
    let error = reader.broker.commit(&[(Lane { topic: 1, partition: 0 }, 1)]).unwrap_err();
    assert!(error.to_string().contains("no uid"), "{error}");
    reader.leave(&lanes(3), &lanes(3));

    let scout = rig.scout();
    let commit = scout.committed(lane(0)).unwrap().unwrap();
    assert_eq!((commit.offset, commit.metadata.as_str()), (12, "tidemill uid=u1"));
    let first =
        |partition, uid, start, first_claim| scout.first_offset(lane(partition), uid, start, first_claim).unwrap();
    let FirstOffset::Park(why) = first(0, "u1", StartFrom::Earliest, true) else { panic!("a lost row is adopted") };
    assert!(why.starts_with(&format!("{}[0]: ", rig.topic)) && why.contains("tidemill offsets set"), "{why}");
    assert!(matches!(first(0, "u2", StartFrom::Earliest, true), FirstOffset::Park(_)));
    assert_eq!(first(1, "u1", StartFrom::Earliest, true), FirstOffset::Adopted(7));
    assert_eq!(first(2, "u1", StartFrom::Earliest, true), FirstOffset::Found(0));
    assert_eq!(first(2, "u1", StartFrom::Latest, true), FirstOffset::Found(20));
    assert_eq!(first(2, "u1", StartFrom::Latest, false), FirstOffset::Found(0), "added later: from its beginning");
}

pub fn w6_a_restart_does_not_answer_a_revoke_that_is_owed(rig: &Rig) {
    (0..2).for_each(|p| rig.fill(p, 20));
    let mut reader = rig.reading(2);
    reader.read(lane(0), 0, 20);
    let mut other = rig.reader(2);
    other.broker.subscribe().unwrap();
    let gone = until("the revoke", LONG, || {
        other.poll();
        reader.poll().into_iter().find_map(|event| match event {
            BrokerEvent::Revoked(lanes) => Some(lanes),
            _ => None,
        })
    });
    assert_eq!(gone.len(), 1);
    let kept = if gone[0] == lane(0) { lane(1) } else { lane(0) };
    reader.broker.restart(kept, 5).unwrap();
    let mut batch = Batch::default();
    reader.turn(Duration::from_millis(300));
    assert_eq!(reader.broker.take(kept, 0, MUCH, &mut batch).records, 0, "it waits until the revoke is answered");
    reader.broker.unassign(&gone).unwrap();
    assert_eq!(offsets(&reader.read(kept, 5, 15)), (5..20).collect::<Vec<_>>());
    let given = until("the other's assignment", LONG, || {
        reader.poll();
        other.poll().into_iter().find_map(|event| match event {
            BrokerEvent::Given(lanes) => Some(lanes),
            _ => None,
        })
    });
    assert_eq!(given, gone);
    other.close_soon();
    reader.close_soon();
}
