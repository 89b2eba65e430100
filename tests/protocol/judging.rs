//! Judging: J2 to J4.

use std::time::Duration;

use tidemill::domain::lane::Epoch;
use tidemill::domain::lane::Owner;
use tidemill::domain::miss::Mark;
use tidemill::domain::scored::Counts;
use tidemill::domain::verdict::Stage;
use tidemill::pipeline::message::Fate;
use tidemill::pipeline::message::Message;
use tidemill::pipeline::message::Order;
use tidemill::pipeline::message::Return;
use tidemill::pipeline::message::Tally;
use tidemill::pipeline::message::TopicTrouble;
use tidemill::ports::BrokerEvent;
use tidemill::ports::ClaimError;
use tidemill::telemetry::health::Health;
use tidemill::telemetry::health::Outage;
use tidemill::telemetry::snapshot::LaneState;

use crate::fakes::Bench;
use crate::fakes::Call;
use crate::fakes::away;
use crate::fakes::lane;
use crate::fakes::settings;

fn out_of_range(offset: i64) -> BrokerEvent {
    BrokerEvent::OutOfRange { lane: lane(0), offset, message: "Broker: Offset out of range".into() }
}

#[test]
fn j2_an_answer_out_of_range_is_repeated_after_ten_seconds_and_then_parks() {
    let mut bench = Bench::reading(settings(), 1);
    bench.now = Duration::from_secs(100);
    bench.event(out_of_range(0));
    assert_eq!(bench.status().lanes[0].state, LaneState::Given);
    bench.at(109_999);
    assert_eq!(bench.asked(0), None, "not before ten seconds");
    bench.at(110_000);
    bench.grant(0, 2, 0);
    assert_eq!(bench.called(|c| matches!(c, Call::Restart(..))), [&Call::Restart(lane(0), 0)]);
    assert_eq!(bench.status().lanes[0].state, LaneState::Assigned, "after a leader change it would go on from here");
    bench.event(out_of_range(0));
    assert_eq!(bench.status().lanes[0].state, LaneState::Parked);
    assert!(bench.cause(0).is_some_and(|c| c.contains("offset 0 is not in the log")), "{:?}", bench.cause(0));
    bench.at(500_000);
    assert_eq!(bench.asked(0), None, "never a silent reset");
}

#[test]
fn j2_records_in_between_make_the_next_answer_a_first_one() {
    let mut bench = Bench::reading(settings(), 1);
    bench.event(out_of_range(0));
    bench.at(20_000);
    bench.grant(0, 2, 0);
    bench.log(0, 0..2);
    bench.turn([]);
    bench.event(out_of_range(0));
    assert_eq!(bench.status().lanes[0].state, LaneState::Given, "asked once more, not parked");
}

#[test]
fn j2_a_parked_lane_waits_for_its_row_to_change() {
    let mut bench = Bench::reading(settings(), 1);
    bench.event(out_of_range(0));
    bench.at(20_000);
    bench.grant(0, 2, 0);
    bench.event(out_of_range(0));
    let row = |next_offset| Ok(Some(Mark { next_offset, epoch: Epoch(2), owner: Some(Owner(1)) }));
    let ticket = |bench: &Bench| match bench.orders.last() {
        Some(Order::Peek { ticket, .. }) => *ticket,
        other => panic!("no peek but {other:?}"),
    };
    let first = ticket(&bench);
    bench.turn([Message::Peeked { lane: lane(0), ticket: first, answer: row(0) }]);
    let peeks = bench.ordered(|o| matches!(o, Order::Peek { .. }));
    bench.at(24_999);
    assert_eq!(bench.ordered(|o| matches!(o, Order::Peek { .. })), peeks);
    bench.at(25_000);
    assert_eq!(bench.ordered(|o| matches!(o, Order::Peek { .. })), peeks + 1, "every five seconds");
    let again = ticket(&bench);
    bench.turn([Message::Peeked { lane: lane(0), ticket: again, answer: row(0) }]);
    assert_eq!(bench.asked(0), None);
    bench.at(30_000);
    let last = ticket(&bench);
    bench.turn([Message::Peeked { lane: lane(0), ticket: last, answer: row(40) }]);
    assert!(bench.asked(0).is_some(), "an operator has set the offset");
}

#[test]
fn j2_a_parked_lane_whose_row_was_set_by_hand_before_anybody_read_it_is_claimed() {
    let mut bench = Bench::reading(settings(), 1);
    bench.event(out_of_range(0));
    bench.at(20_000);
    bench.grant(0, 2, 0);
    bench.event(out_of_range(0));
    let ticket = |bench: &Bench| match bench.orders.last() {
        Some(Order::Peek { ticket, .. }) => *ticket,
        other => panic!("no peek but {other:?}"),
    };
    let first = ticket(&bench);
    bench.turn([Message::Peeked { lane: lane(0), ticket: first, answer: Err(away()) }]);
    bench.at(25_000);
    let second = ticket(&bench);
    let set = Ok(Some(Mark { next_offset: 40, epoch: Epoch(3), owner: None }));
    bench.turn([Message::Peeked { lane: lane(0), ticket: second, answer: set }]);
    assert!(bench.asked(0).is_some(), "the row that was left behind named its owner");
}

#[test]
fn c4_a_claim_that_parks_takes_the_row_as_it_is_first_read() {
    let mut bench = Bench::new(settings());
    bench.event(BrokerEvent::Given(vec![lane(0)]));
    let (ticket, _) = bench.asked(0).expect("it is to be claimed");
    bench.answer(0, ticket, Err(ClaimError::Park("the log was cut and filled again".into())));
    let Some(Order::Peek { ticket, .. }) = bench.orders.last() else { panic!("no peek") };
    let ticket = *ticket;
    let released = Ok(Some(Mark { next_offset: 40, epoch: Epoch(3), owner: None }));
    bench.turn([Message::Peeked { lane: lane(0), ticket, answer: released }]);
    assert_eq!(bench.asked(0), None, "the claim itself gave the row up");
}

#[test]
fn j2_a_parked_lane_says_what_its_log_holds_and_how_much_of_it_is_gone() {
    let mut bench = Bench::reading(settings(), 1);
    bench.event(out_of_range(0));
    bench.at(20_000);
    bench.grant(0, 2, 0);
    bench.event(out_of_range(0));
    assert_eq!(bench.status().lanes[0].lost, None, "nobody knows yet");
    let Some(Order::Peek { ticket, .. }) = bench.orders.last() else { panic!("no peek") };
    let ticket = *ticket;
    let bounds = |ticket, first, end| Message::Bounds { lane: lane(0), ticket, first, end };
    bench.turn([bounds(ticket + 1, 7, 9)]);
    assert_eq!(bench.status().lanes[0].lost, None, "an answer of another custody");
    bench.turn([bounds(ticket, 900, 1300)]);
    assert_eq!(bench.status().lanes[0].lost, Some(900));
    assert!(bench.cause(0).is_some_and(|c| c.ends_with("the log holds offsets 900 to 1299")), "{:?}", bench.cause(0));
    bench.turn([bounds(ticket, 1300, 1300)]);
    assert!(bench.cause(0).is_some_and(|c| c.ends_with("its next offset is 1300")), "{:?}", bench.cause(0));
}

#[test]
fn p8_a_topic_made_anew_parks_its_lanes_and_a_missing_one_is_only_told_of() {
    let mut bench = Bench::reading(settings(), 2);
    let topic = |trouble| Message::Topic { topic: 0, trouble };
    bench.turn([topic(Some(TopicTrouble::Missing("topic t does not exist".into())))]);
    assert!(bench.status().reasons.contains(&("topic", "topic t does not exist".into())));
    assert!(
        bench.status().lanes.iter().all(|l| l.state == LaneState::Assigned),
        "the client tells what it cannot read"
    );
    bench.turn([topic(None)]);
    assert_eq!(bench.status().reasons, []);
    bench.turn([Message::Topic { topic: 1, trouble: Some(TopicTrouble::Remade("another topic".into())) }]);
    assert!(bench.status().lanes.iter().all(|l| l.state == LaneState::Assigned), "they are of another topic");
    bench.turn([topic(Some(TopicTrouble::Remade("made anew".into())))]);
    assert!(
        bench.status().lanes.iter().all(|l| l.state == LaneState::Parked && l.cause.as_deref() == Some("made anew"))
    );
}

#[test]
fn j3_taken_is_stored_dead_skipped_handed_back_and_in_flight_at_every_turn() {
    let mut bench = Bench::reading(settings(), 2);
    bench.log(0, 0..10);
    bench.log(1, 0..10);
    bench.turn([]);
    let batch = bench.batches().remove(0).0;
    let sums = |bench: &Bench| {
        let status = bench.status();
        let sum = |of: fn(&tidemill::pipeline::intake::TopicTotals) -> u64| status.totals.sum(of);
        let parts = [
            sum(|t| t.settled.stored),
            sum(|t| t.settled.dead),
            sum(|t| t.settled.skipped),
            sum(|t| t.handed_back),
            status.records_in_flight,
        ];
        assert_eq!(sum(|t| t.taken), parts.iter().sum::<u64>());
        parts
    };
    assert_eq!(sums(&bench), [0, 0, 0, 0, 20]);
    let tally = Tally {
        counts: Counts { stored: 7, dead: 2, skipped: 1 },
        reasons: vec![(Stage::Decode, "bad_json", 2)],
        skips: vec![(3, 1)],
    };
    bench.turn([Message::Returned(vec![Return { seq: 1, piece: batch.pieces[0], fate: Fate::Settled(tally) }])]);
    assert_eq!(sums(&bench), [7, 2, 1, 0, 10]);
    bench.event(BrokerEvent::Lost(vec![lane(1)]));
    assert_eq!(sums(&bench), [7, 2, 1, 0, 10], "still under way behind intake");
    bench.turn([Message::Returned(vec![Return { seq: 1, piece: batch.pieces[1], fate: Fate::Dropped }])]);
    assert_eq!(sums(&bench), [7, 2, 1, 10, 0]);
    let topic = &bench.status().totals.topics[&0];
    assert_eq!((topic.dead[&(Stage::Decode, "bad_json")], topic.skipped[&3]), (2, 1));
}

#[test]
fn j4_an_outage_of_ten_minutes_is_not_a_stuck_stage() {
    let health = Health::default();
    let (writer, mill) = (health.stage("writer-0"), health.stage("mill-0"));
    let secs = Duration::from_secs;
    writer.turn(secs(1), true, Some(Outage::Postgres));
    mill.turn(secs(1), false, None);
    assert_eq!(health.stuck(secs(600), secs(60)), []);
    mill.turn(secs(2), true, None);
    let stuck: Vec<String> = health.stuck(secs(600), secs(60)).into_iter().map(|s| s.stage).collect();
    assert_eq!(stuck, ["mill-0"]);
}
