//! Reading assigned partitions: what is handed out, when, and from where (rules J2, T3, T4, T6, W6).

use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rdkafka::message::Header;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::BaseRecord;
use tidemill::domain::batch::Batch;
use tidemill::domain::batch::TimestampKind;
use tidemill::ports::Broker;
use tidemill::ports::BrokerEvent;
use tidemill::ports::Room;

use super::rig::LONG;
use super::rig::MUCH;
use super::rig::Rig;
use super::rig::lane;
use super::rig::lanes;
use super::rig::offsets;
use crate::support::wait::until;

pub fn t3_a_queue_that_gets_something_wakes_and_is_ready(rig: &Rig) {
    let mut reader = rig.reading(2);
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
            thread::sleep(Duration::from_millis(1));
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

pub fn t4_records_are_copied_as_they_are(rig: &Rig) {
    let headers = OwnedHeaders::new()
        .insert(Header { key: "a", value: Some("1") })
        .insert(Header { key: "", value: Some("") })
        .insert(Header { key: "a", value: None::<&str> });
    let to = || BaseRecord::to(&rig.topic).partition(0);
    rig.send(to().key("k").payload("v").timestamp(1234).headers(headers));
    rig.send(to().key("tombstone").timestamp(5));
    rig.send(to().key("").payload(""));
    rig.settle();
    let mut reader = rig.reading(1);
    let batch = reader.read(lane(0), 0, 3);
    assert_eq!((batch.key(0), batch.payload(0)), (Some(&b"k"[..]), Some(&b"v"[..])));
    let headers: Vec<_> = batch.headers(0).collect();
    assert_eq!(headers, [(&b"a"[..], Some(&b"1"[..])), (b"", Some(b"")), (b"a", None)]);
    assert_eq!((batch.records[0].timestamp, batch.records[0].kind), (1234, TimestampKind::Create));
    assert_eq!((batch.key(1), batch.payload(1)), (Some(&b"tombstone"[..]), None));
    assert_eq!((batch.records[1].timestamp, batch.records[1].kind), (5, TimestampKind::Create));
    assert_eq!((batch.key(2), batch.payload(2)), (Some(&b""[..]), Some(&b""[..])));
    assert_eq!(batch.headers(1).count() + batch.headers(2).count(), 0);
    reader.close_soon();
}

/// The adapter reads off a record whether it has headers; whatever lies behind the value must not deceive it.
pub fn t4_headers_come_with_every_kind_of_record(rig: &Rig) {
    let values = [None, Some(""), Some("v"), Some("ends with nothing \0\0"), Some(&*"long".repeat(5_000))];
    let mut sent = vec![];
    for count in [0, 1, 2, 64, 0, 300] {
        for value in values {
            let key = format!("{count}");
            let mut headers = OwnedHeaders::new();
            for k in 0..count {
                headers = headers.insert(Header { key: "h", value: (k % 3 > 0).then_some("\0") });
            }
            let mut record = BaseRecord::to(&rig.topic).partition(0).key(key.as_str());
            record.payload = value;
            rig.send(if count > 0 { record.headers(headers) } else { record });
            sent.push((count, value));
        }
    }
    rig.settle();
    let mut reader = rig.reading(1);
    let batch = reader.read(lane(0), 0, sent.len());
    for (at, (count, value)) in sent.into_iter().enumerate() {
        assert_eq!(batch.payload(at), value.map(str::as_bytes), "record {at}");
        let values: Vec<_> = batch.headers(at).map(|(_, value)| value.is_some()).collect();
        assert_eq!(values, (0..count).map(|k| k % 3 > 0).collect::<Vec<_>>(), "record {at}");
    }
    reader.close_soon();
}

pub fn take_respects_its_room(rig: &Rig) {
    rig.fill(0, 100);
    let mut reader = rig.reading(1);
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

pub fn w6_a_restart_drops_what_was_fetched_and_records_below_the_position(rig: &Rig) {
    (0..2).for_each(|p| rig.fill(p, 100));
    let mut reader = rig.reading(2);
    reader.read(lane(0), 0, 30);
    for (offset, count) in [(10, 5), (50, 50), (0, 100), (99, 1)] {
        reader.broker.restart(lane(0), offset).unwrap();
        let batch = reader.read(lane(0), offset, count);
        assert_eq!(offsets(&batch), (offset..offset + count as i64).collect::<Vec<_>>());
    }
    assert_eq!(reader.read(lane(1), 0, 100).records[99].offset, 99, "the other lane goes on undisturbed");

    reader.broker.restart(lane(1), 90).unwrap();
    let (mut batch, mut stale) = (Batch::default(), 0);
    until("the last records", LONG, || {
        stale += reader.broker.take(lane(1), 96, MUCH, &mut batch).stale;
        reader.poll();
        (batch.records.len() >= 4).then_some(())
    });
    assert_eq!((stale, offsets(&batch)), (6, vec![96, 97, 98, 99]));
    let error = reader.broker.restart(lane(7), 0).unwrap_err();
    assert!(error.to_string().contains("not assigned"), "{error}");
    reader.leave(&lanes(2), &lanes(2));
}

pub fn j2_a_fetch_outside_the_log_is_told_not_reset(rig: &Rig) {
    rig.fill(0, 10);
    let mut reader = rig.joined(1);
    reader.broker.assign(&[(lane(0), 500)]).unwrap();
    let told = reader.read_error(lane(0));
    let BrokerEvent::OutOfRange { lane: which, offset: 500, message } = told else { panic!("{told:?}") };
    assert!(which == lane(0) && message.contains("Offset out of range"), "{message}");
    // Nothing comes by itself; a restart inside the log goes on.
    let mut batch = Batch::default();
    reader.turn(Duration::from_millis(500));
    assert!(reader.broker.take(lane(0), 0, MUCH, &mut batch).drained && batch.is_empty());
    reader.broker.restart(lane(0), 8).unwrap();
    assert_eq!(offsets(&reader.read(lane(0), 8, 2)), [8, 9]);
    reader.close_soon();
}

pub fn t6_the_end_of_a_partition_is_known_and_forgotten_by_a_restart(rig: &Rig) {
    rig.fill(0, 30);
    let mut reader = rig.reading(1);
    // Statistics come once a second and count two seconds after the assignment.
    reader.turn(Duration::from_secs(4));
    assert_eq!(reader.lags(), [(lane(0), 30)]);
    assert_eq!(reader.broker.idle_end(lane(0)), None, "fetched, but not handed out");
    reader.read(lane(0), 0, 30);
    assert_eq!((reader.idle_end(lane(0)), reader.lags()), (30, vec![(lane(0), 0)]));
    reader.broker.restart(lane(0), 10).unwrap();
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        assert_eq!(reader.broker.idle_end(lane(0)), None, "20 records are still to be handed out");
        reader.turn(Duration::from_millis(20));
    }
    reader.close_soon();
}

pub fn t6_an_end_from_before_a_rebalance_is_not_believed(rig: &Rig) {
    (0..2).for_each(|p| rig.fill(p, 30));
    let mut reader = rig.reading(2);
    reader.turn(Duration::from_secs(3));
    assert_eq!(reader.lags(), [(lane(0), 30), (lane(1), 30)]);
    // All is fetched and the end was met. A rebalance throws the records away, and the end is remembered for a while.
    let mut other = rig.reader(2);
    other.broker.subscribe().unwrap();
    let (mut gone, mut given) = (vec![], vec![]);
    let end = Instant::now() + LONG;
    let mut settled = Instant::now() + LONG;
    while Instant::now() < settled {
        for event in reader.turn(Duration::from_millis(2)) {
            if let BrokerEvent::Revoked(lanes) = event {
                reader.broker.unassign(&lanes).unwrap();
                gone = lanes;
            }
        }
        for event in other.poll() {
            if let BrokerEvent::Given(lanes) = event {
                other.broker.assign(&lanes.iter().map(|l| (*l, 30)).collect::<Vec<_>>()).unwrap();
                given = lanes;
                settled = Instant::now() + Duration::from_secs(5);
            }
        }
        for partition in 0..2 {
            assert_eq!(reader.broker.idle_end(lane(partition)), None, "30 records are still to be handed out");
        }
        assert!(Instant::now() < end, "no rebalance: gone {gone:?}, given {given:?}");
    }
    assert_eq!(gone, given);
    let kept = if gone[0] == lane(0) { lane(1) } else { lane(0) };
    assert_eq!(offsets(&reader.read(kept, 0, 30)), (0..30).collect::<Vec<_>>());
    assert_eq!(reader.idle_end(kept), 30);
    other.close_soon();
    reader.close_soon();
}
