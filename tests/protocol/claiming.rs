//! Claiming: C1 to C5, and W6, the one restart.

use std::collections::BTreeMap;

use tidemill::domain::lane::Epoch;
use tidemill::domain::miss::Miss;
use tidemill::pipeline::message::Message;
use tidemill::pipeline::message::Order;
use tidemill::pipeline::publish::Names;
use tidemill::pipeline::publish::snapshot;
use tidemill::ports::BrokerEvent;
use tidemill::ports::ClaimError;
use tidemill::ports::Claimed;
use tidemill::telemetry::snapshot::LaneState;

use crate::fakes::Bench;
use crate::fakes::Call;
use crate::fakes::away;
use crate::fakes::home;
use crate::fakes::lane;
use crate::fakes::settings;

fn given(n: i32) -> BrokerEvent {
    BrokerEvent::Given((0..n).map(lane).collect())
}

fn claimed(epoch: i64, next_offset: i64) -> Result<Claimed, ClaimError> {
    Ok(Claimed { epoch: Epoch(epoch), next_offset, attempt: None })
}

fn fenced(partition: i32, epoch: i64) -> Message {
    Message::Missed { lane: lane(partition), epoch: Epoch(epoch), miss: Miss::Fenced }
}

fn released(bench: &Bench) -> Vec<(i32, i64)> {
    let of = |o: &Order| match o {
        Order::Release { lane, epoch } => Some((lane.partition, epoch.0)),
        _ => None,
    };
    bench.orders.iter().filter_map(of).collect()
}

fn is_unassign(call: &Call) -> bool {
    matches!(call, Call::Unassign(_))
}

#[test]
fn c1_a_lane_is_assigned_when_its_claim_answers_at_the_offset_that_it_names() {
    let mut bench = Bench::new(settings());
    bench.event(given(2));
    assert_eq!(bench.broker.calls, [], "the callback talks to nobody, the assign is owed");
    let (ticket, floor) = bench.asked(0).expect("claimed");
    assert_eq!(floor, Epoch(0));
    bench.answer(0, ticket, claimed(8, 41));
    assert_eq!(bench.broker.calls[0], Call::Assign(vec![(lane(0), 41)]));
    assert_eq!(bench.ordered(|o| matches!(o, Order::Begin { mark: 41, .. })), 1);
    bench.grant(1, 3, 7);
    assert_eq!(bench.called(|c| matches!(c, Call::Assign(_))).len(), 2, "each lane when its own claim answers");
}

#[test]
fn c1_an_assign_is_not_held_through_an_outage() {
    let mut bench = Bench::new(settings());
    bench.event(given(1));
    let (ticket, _) = bench.asked(0).expect("claimed");
    bench.answer(0, ticket, Err(away()));
    assert_eq!(bench.broker.calls, [Call::Assign(vec![])], "the group does not wait for our database");
    assert_eq!(bench.cause(0).as_deref(), Some("the database is away"));
    bench.at(5000);
    bench.grant(0, 1, 0);
    assert_eq!(bench.broker.calls[1], Call::Assign(vec![(lane(0), 0)]), "added later");
}

/// What `/readyz` says: code and detail.
fn reasons(bench: &Bench) -> Vec<(&'static str, String)> {
    let names = Names { topics: vec!["payments".into()], rules: vec![] };
    let told = snapshot(&bench.status(), &BTreeMap::new(), &names).not_ready;
    told.into_iter().map(|r| (r.code, r.detail)).collect()
}

#[test]
fn c1_a_database_that_does_not_answer_claims_is_told_once_and_as_such_until_it_does() {
    let mut bench = Bench::new(settings());
    bench.event(given(2));
    let text = |lanes| {
        format!("partitions that could not be claimed: {lanes}; the first is payments[0]: the database is away")
    };
    for partition in [0, 1] {
        let (ticket, _) = bench.asked(partition).expect("claimed");
        bench.answer(partition, ticket, Err(away()));
    }
    assert_eq!(reasons(&bench), [("postgres", text(2))]);
    bench.at(5000);
    assert_eq!(reasons(&bench), [("postgres", text(2))], "also while it is asked again");
    bench.grant(1, 1, 0);
    assert_eq!(reasons(&bench), [("postgres", text(1))]);
    let (ticket, _) = bench.asked(0).expect("claimed again");
    bench.answer(0, ticket, Err(ClaimError::Broker("kafka did not answer".into())));
    assert_eq!(reasons(&bench), [("partition", "payments[0]: kafka did not answer".to_owned())]);
    bench.at(15_000);
    bench.grant(0, 1, 0);
    assert_eq!(reasons(&bench), []);
}

#[test]
fn c1_a_claim_that_answers_after_a_revoke_is_dropped_and_released() {
    let mut bench = Bench::new(settings());
    bench.event(given(1));
    let (ticket, _) = bench.asked(0).expect("claimed");
    bench.event(BrokerEvent::Revoked(vec![lane(0)]));
    bench.answer(0, ticket, claimed(5, 0));
    assert_eq!(released(&bench), [(0, 5)]);
    assert_eq!(bench.called(|c| matches!(c, Call::Assign(_))), [] as [&Call; 0]);
}

#[test]
fn c1_a_claim_that_answers_after_a_loss_and_a_new_gift_is_of_an_older_custody() {
    let mut bench = Bench::new(settings());
    bench.event(given(1));
    let (old, _) = bench.asked(0).expect("claimed");
    bench.event(BrokerEvent::Lost(vec![lane(0)]));
    bench.event(given(1));
    let (new, _) = bench.asked(0).expect("claimed again");
    bench.answer(0, old, claimed(5, 0));
    assert_eq!((released(&bench), bench.status().lanes[0].state), (vec![(0, 5)], LaneState::Claiming));
    bench.answer(0, new, claimed(6, 0));
    assert_eq!(bench.status().lanes[0].state, LaneState::Assigned);
}

#[test]
fn c1_a_claim_that_answers_while_the_process_drains_is_dropped_and_released() {
    let mut bench = Bench::reading(settings(), 1);
    bench.log(0, 0..3);
    bench.event(BrokerEvent::Given(vec![lane(1)]));
    let (ticket, _) = bench.asked(1).expect("claimed");
    bench.turn([Message::Drain]);
    bench.answer(1, ticket, claimed(9, 0));
    assert_eq!(released(&bench), [(1, 9)]);
    bench.event(BrokerEvent::Given(vec![lane(2)]));
    assert_eq!(bench.asked(2), None, "what is given during a drain fences nobody");
    assert_eq!(bench.broker.calls.last(), Some(&Call::Assign(vec![])), "and holds nobody");
}

#[test]
fn c2_exactly_what_was_assigned_is_unassigned_and_the_empty_list_otherwise() {
    let mut bench = Bench::reading(settings(), 2);
    bench.event(BrokerEvent::Given(vec![lane(2)]));
    bench.event(BrokerEvent::Revoked(vec![lane(0), lane(2)]));
    assert_eq!(bench.called(is_unassign), [&Call::Unassign(vec![lane(0)])], "lane 2 was only being claimed");
    bench.event(BrokerEvent::Given(vec![lane(3)]));
    bench.event(BrokerEvent::Revoked(vec![lane(3)]));
    assert_eq!(bench.called(is_unassign)[1], &Call::Unassign(vec![]));
    bench.event(BrokerEvent::Lost(vec![lane(1)]));
    assert_eq!(bench.called(is_unassign)[2], &Call::Unassign(vec![lane(1)]));
}

#[test]
fn c2_a_lane_whose_assign_was_refused_is_not_named() {
    let mut bench = Bench::new(settings());
    bench.broker.refuse_assign = true;
    bench.event(given(1));
    bench.grant(0, 4, 0);
    bench.event(BrokerEvent::Revoked(vec![lane(0)]));
    assert_eq!(bench.called(is_unassign), [&Call::Unassign(vec![])]);
    assert_eq!(released(&bench), [(0, 4)], "its claim is given back");
}

#[test]
fn c2_a_lane_given_twice_is_sought_not_assigned_and_named_when_it_goes() {
    let mut bench = Bench::reading(settings(), 1);
    bench.event(given(1));
    bench.grant(0, 2, 30);
    assert_eq!(bench.called(|c| matches!(c, Call::Restart(..))), [&Call::Restart(lane(0), 30)]);
    bench.event(BrokerEvent::Revoked(vec![lane(0)]));
    assert_eq!(bench.called(is_unassign), [&Call::Unassign(vec![lane(0)])]);
}

#[test]
fn c2_a_revoke_is_answered_when_the_lanes_work_is_durable_or_its_time_is_over() {
    let mut bench = Bench::reading(settings(), 2);
    bench.log(0, 0..3);
    bench.log(1, 0..3);
    bench.at(1000);
    let batch = bench.batches().remove(0).0;
    bench.event(BrokerEvent::Revoked(vec![lane(0)]));
    bench.log(0, 3..6);
    bench.turn([Message::WorkerFree]);
    assert_eq!(bench.batches().len(), 0, "nothing more is taken of it");
    assert_eq!(bench.called(is_unassign).len(), 0);
    bench.turn([home(&batch, true)]);
    let calls: Vec<Call> = bench.broker.calls.iter().rev().take(2).cloned().collect();
    let told = Call::Commit(vec![(lane(0), 3), (lane(1), 3)]);
    assert_eq!(calls, [Call::Unassign(vec![lane(0)]), told], "kafka is told the marks before the lane goes");

    bench.log(1, 3..6);
    bench.at(2000);
    assert_eq!(bench.batches().len(), 1);
    bench.event(BrokerEvent::Revoked(vec![lane(1)]));
    bench.at(11_999);
    assert_eq!(bench.called(is_unassign).len(), 1);
    bench.at(12_000);
    assert_eq!(bench.called(is_unassign).len(), 2, "ten seconds, then it goes as it is");
    assert_eq!(bench.ordered(|o| matches!(o, Order::End { epoch: Epoch(1), .. })), 2);
}

#[test]
fn c2_lost_while_a_revoke_is_owed_waits_for_nothing() {
    let mut bench = Bench::reading(settings(), 1);
    bench.log(0, 0..3);
    bench.turn([]);
    let batch = bench.batches().remove(0).0;
    bench.event(BrokerEvent::Revoked(vec![lane(0)]));
    bench.event(BrokerEvent::Lost(vec![lane(0)]));
    assert_eq!(bench.called(is_unassign)[0], &Call::Unassign(vec![lane(0)]));
    assert!(bench.status().lanes.is_empty());
    bench.turn([home(&batch, false), Message::WorkerFree]);
    assert_eq!(bench.status().records_in_flight, 0);
}

#[test]
fn c3_the_floor_of_a_claim_is_the_highest_epoch_this_process_ever_held() {
    let mut bench = Bench::new(settings());
    bench.event(given(1));
    bench.grant(0, 7, 0);
    bench.event(BrokerEvent::Revoked(vec![lane(0)]));
    bench.event(given(1));
    let (ticket, floor) = bench.asked(0).expect("claimed");
    assert_eq!(floor, Epoch(7), "the database may have gone back in between");
    bench.event(BrokerEvent::Lost(vec![lane(0)]));
    bench.answer(0, ticket, claimed(9, 0));
    bench.event(given(1));
    assert_eq!(bench.asked(0).expect("claimed").1, Epoch(9), "a claim that came too late counts as well");
}

#[test]
fn c4_a_claim_that_parks_is_not_repeated_until_the_row_changes() {
    let mut bench = Bench::new(settings());
    bench.event(given(1));
    let (ticket, _) = bench.asked(0).expect("claimed");
    bench.answer(0, ticket, Err(ClaimError::Park("a commit of ours but no row".into())));
    assert_eq!(bench.status().lanes[0].state, LaneState::Parked);
    assert_eq!(bench.broker.calls, [Call::Assign(vec![])]);
    bench.at(600_000);
    assert_eq!(bench.asked(0), None);
}

#[test]
fn c5_a_stale_claim_is_reclaimed_without_a_rebalance() {
    let mut bench = Bench::reading(settings(), 1);
    bench.log(0, 0..3);
    bench.at(1000);
    let batch = bench.batches().remove(0).0;
    bench.turn([fenced(0, 1), home(&batch, false), Message::WorkerFree]);
    assert_eq!(bench.ordered(|o| matches!(o, Order::End { epoch: Epoch(1), .. })), 1, "its work is dropped");
    bench.at(1999);
    assert_eq!(bench.asked(0), None, "another owner gets its time: two seconds, half of them by jitter");
    bench.at(3001);
    bench.grant(0, 9, 2);
    assert_eq!(bench.broker.calls.last(), Some(&Call::Restart(lane(0), 2)));
    bench.log(0, 2..3);
    bench.turn([]);
    assert_eq!(bench.batches()[0].0.pieces[0].epoch, Epoch(9));
}

#[test]
fn c5_the_wait_doubles_to_thirty_seconds_though_records_are_taken_in_between() {
    let mut bench = Bench::reading(settings(), 1);
    let mut now = 1000;
    let mut waits = vec![];
    for epoch in 1..=7 {
        bench.log(0, 0..3);
        bench.at(now);
        for (batch, _) in bench.batches() {
            bench.turn([home(&batch, false), Message::WorkerFree]);
        }
        bench.turn([fenced(0, epoch)]);
        let start = now;
        while bench.ordered(|o| matches!(o, Order::Claim { .. })) == 0 {
            now += 100;
            bench.at(now);
        }
        waits.push(now - start);
        bench.grant(0, epoch + 1, 0);
    }
    for (wait, ceiling) in waits.iter().zip([2, 4, 8, 16, 30, 30, 30]) {
        assert!((ceiling * 500..=ceiling * 1000 + 100).contains(wait), "{waits:?}");
    }
    bench.log(0, 0..3);
    bench.turn([]);
    let batch = bench.batches().remove(0).0;
    bench.turn([home(&batch, true), Message::WorkerFree]);
    bench.at(now + 31_000);
    bench.turn([fenced(0, 8)]);
    bench.at(now + 33_200);
    assert!(bench.asked(0).is_some(), "what became durable, and a quiet time, ended the row of failures");
}

#[test]
fn c5_a_miss_of_an_ended_epoch_changes_nothing() {
    let mut bench = Bench::reading(settings(), 1);
    bench.turn([fenced(0, 0)]);
    assert_eq!(bench.status().lanes[0].state, LaneState::Assigned);
}

#[test]
fn c5_a_lane_that_waits_when_it_goes_is_released() {
    let mut bench = Bench::reading(settings(), 1);
    let restart = Message::Missed { lane: lane(0), epoch: Epoch(1), miss: Miss::Park };
    bench.turn([restart]);
    bench.event(BrokerEvent::Revoked(vec![lane(0)]));
    assert_eq!(released(&bench), [(0, 1)], "its row still names us");
}

#[test]
fn w6_a_restart_claims_anew_at_once_drops_the_old_epoch_and_seeks() {
    let mut bench = Bench::reading(settings(), 1);
    bench.log(0, 0..5);
    bench.turn([]);
    let old = bench.batches().remove(0).0;
    bench.log(0, 5..8);
    bench.turn([]);
    bench.event(BrokerEvent::ReadError { lane: lane(0), message: "checksum".into() });
    assert_eq!(bench.ordered(|o| matches!(o, Order::End { epoch: Epoch(1), .. })), 1);
    bench.grant(0, 2, 3);
    assert_eq!(bench.broker.calls.last(), Some(&Call::Restart(lane(0), 3)));
    // The client delivers from below the mark once more, and the open batch still holds pieces of the old epoch.
    bench.log(0, 1..6);
    bench.turn([Message::WorkerFree]);
    let batch = bench.batches().remove(0).0;
    let pieces: Vec<(i64, i64, i64)> = batch.pieces.iter().map(|p| (p.epoch.0, p.expected, p.end)).collect();
    assert_eq!(pieces, [(1, 5, 8), (2, 3, 6)]);
    assert_eq!(bench.status().totals.topics[&0].stale, 2, "records below the position are dropped and counted");
    bench.turn([home(&old, true)]);
    assert_eq!(bench.status().lanes[0].mark, Some(3), "what the old epoch stored late moves no mark of the new one");
}

#[test]
fn w6_a_second_restart_without_progress_waits() {
    let mut bench = Bench::reading(settings(), 1);
    let error = || BrokerEvent::ReadError { lane: lane(0), message: "checksum".into() };
    bench.now = crate::fakes::ms(1000);
    bench.log(0, 0..5);
    bench.turn([]);
    bench.event(error());
    bench.grant(0, 2, 0);
    bench.log(0, 0..5);
    bench.turn([]);
    bench.event(error());
    assert_eq!(bench.asked(0), None, "records were taken again, but nothing was stored");
    bench.at(6000);
    assert!(bench.asked(0).is_some());
}
