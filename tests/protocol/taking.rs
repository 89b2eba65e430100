//! Taking: T1 to T6.

use std::collections::BTreeSet;

use tidemill::domain::batch::Batch;
use tidemill::domain::units::ByteSize;
use tidemill::domain::units::Millis;
use tidemill::pipeline::intake::Closed;
use tidemill::pipeline::intake::PACE;
use tidemill::pipeline::message::Message;
use tidemill::pipeline::message::Order;

use crate::fakes::Bench;
use crate::fakes::home;
use crate::fakes::lane;
use crate::fakes::ms;
use crate::fakes::settings;

fn sizes(batches: &[(Batch, Closed)]) -> Vec<(usize, Closed)> {
    batches.iter().map(|(b, why)| (b.records.len(), *why)).collect()
}

#[test]
fn t1_permits_bound_what_is_in_flight_and_come_back_with_the_last_piece() {
    let mut s = settings();
    s.intake.in_flight_records = 10;
    let mut bench = Bench::reading(s, 2);
    bench.log(0, 0..8);
    bench.log(1, 0..8);
    bench.turn([]);
    let first = bench.batches();
    assert_eq!(sizes(&first), [(10, Closed::Permits)]);
    assert_eq!(first[0].0.pieces.len(), 2);
    bench.turn([Message::WorkerFree]);
    assert_eq!(sizes(&bench.batches()), [], "no permit, no batch");
    let Message::Returned(mut pieces) = home(&first[0].0, true) else { unreachable!() };
    let last = pieces.pop().expect("two pieces");
    bench.turn([Message::Returned(pieces)]);
    assert_eq!(sizes(&bench.batches()), [], "the buffer lives until its last piece is home");
    bench.turn([Message::Returned(vec![last])]);
    assert_eq!(sizes(&bench.batches()), [(6, Closed::Ready)]);
}

#[test]
fn t1_bytes_are_permits_too_and_an_oversize_record_passes_alone() {
    let mut s = settings();
    s.intake.in_flight_bytes = ByteSize(100);
    let mut bench = Bench::reading(s, 1);
    bench.broker.payload = 1000;
    bench.log(0, 0..3);
    bench.turn([]);
    let first = bench.batches();
    assert_eq!(sizes(&first), [(1, Closed::Permits)]);
    bench.turn([Message::WorkerFree]);
    assert_eq!(sizes(&bench.batches()), []);
    bench.turn([home(&first[0].0, true)]);
    assert_eq!(sizes(&bench.batches()), [(1, Closed::Permits)]);
}

#[test]
fn t1_the_mill_never_holds_more_than_two_batches_a_worker_and_one() {
    let mut s = settings();
    s.batch.rows_max = 4;
    let mut bench = Bench::reading(s, 1);
    bench.log(0, 0..100);
    bench.turn([]);
    assert_eq!(sizes(&bench.batches()), [(4, Closed::Rows); 2], "one under way, one behind it");
    bench.turn([Message::Drain]);
    assert_eq!(sizes(&bench.batches()), [(4, Closed::Flush)], "what was open; the queue has room for it");
    bench.turn([]);
    assert_eq!(sizes(&bench.batches()), []);
}

#[test]
fn t2_a_batch_closes_when_a_worker_is_free_and_nothing_more_is_ready() {
    let mut bench = Bench::reading(settings(), 3);
    (0..3).for_each(|p| bench.log(p, 0..300));
    bench.turn([]);
    let batches = bench.batches();
    assert_eq!(sizes(&batches), [(900, Closed::Ready)], "not on the first record while more waits");
    bench.log(0, 300..301);
    bench.turn([]);
    assert_eq!(sizes(&bench.batches()), [], "no worker is free: the batch grows");
    bench.log(1, 300..303);
    bench.turn([]);
    assert_eq!(sizes(&bench.batches()), []);
    bench.turn([Message::WorkerFree]);
    assert_eq!(sizes(&bench.batches()), [(4, Closed::Ready)]);
}

#[test]
fn t2_lanes_take_turns_in_runs_of_256() {
    let mut s = settings();
    s.batch.rows_max = 1024;
    let mut bench = Bench::reading(s, 2);
    bench.log(0, 0..10_000);
    bench.log(1, 0..300);
    bench.turn([]);
    let lanes: Vec<i32> = bench.broker.takes.iter().take(4).map(|(l, _)| l.partition).collect();
    assert_eq!(lanes, [0, 1, 0, 1]);
    assert!(bench.broker.takes.iter().all(|(_, room)| room.records <= 256));
    let (batch, why) = bench.batches().remove(0);
    assert_eq!((batch.records.len(), why, batch.full), (1024, Closed::Rows, true));
    let of_one: u32 = batch.pieces.iter().filter(|p| p.lane == lane(1)).map(|p| p.count).sum();
    assert_eq!(of_one, 300, "a busy partition does not starve the other");
}

#[test]
fn t2_a_batch_closes_at_its_bytes() {
    let mut s = settings();
    s.batch.bytes_max = ByteSize(1000);
    let mut bench = Bench::reading(s, 1);
    bench.broker.payload = 300;
    bench.log(0, 0..6);
    bench.turn([]);
    assert_eq!(sizes(&bench.batches()), [(4, Closed::Bytes)], "the record that passes the limit is the last");
}

#[test]
fn t2_a_deliberate_wait_counts_from_the_first_record() {
    let mut s = settings();
    s.batch.wait = Millis(20);
    let mut bench = Bench::reading(s, 1);
    bench.log(0, 0..1);
    let turn = bench.at(1000);
    assert_eq!((turn.next, sizes(&bench.batches())), (ms(1020), vec![]));
    bench.log(0, 1..2);
    bench.at(1019);
    assert_eq!(sizes(&bench.batches()), []);
    bench.at(1020);
    assert_eq!(sizes(&bench.batches()), [(2, Closed::Wait)]);
}

#[test]
fn t3_intake_parks_while_the_mill_is_busy_whatever_the_delay_says() {
    let mut s = settings();
    s.batch.wait = Millis(20);
    let mut bench = Bench::reading(s, 1);
    bench.log(0, 0..1);
    bench.at(1000);
    bench.at(1020);
    assert_eq!(bench.batches().len(), 1);
    bench.log(0, 1..2);
    bench.at(1030);
    assert_eq!(bench.at(1060).next, ms(1060) + PACE, "past its delay, no worker free: nothing to do before a wake-up");
    bench.turn([Message::WorkerFree]);
    assert_eq!(sizes(&bench.batches()), [(1, Closed::Wait)]);
}

#[test]
fn t3_a_lost_wake_up_costs_one_pace() {
    let mut bench = Bench::reading(settings(), 1);
    assert_eq!(bench.at(1000).next, ms(1000) + PACE);
    bench.broker.queues.entry(lane(0)).or_default().extend(0..3);
    bench.at(1001);
    assert_eq!(sizes(&bench.batches()), [], "nobody said so");
    bench.at(1000 + PACE.as_millis() as u64);
    assert_eq!(sizes(&bench.batches()), [(3, Closed::Ready)]);
}

#[test]
fn t3_an_idle_lane_is_looked_at_once_a_pace() {
    let mut bench = Bench::reading(settings(), 256);
    for at in 1000..1500 {
        bench.at(at);
    }
    let looks = bench.broker.takes.len() / 256;
    assert!((9..=11).contains(&looks), "{looks} looks at each lane in half a second");
}

#[test]
fn t6_the_mark_moves_past_what_has_no_records_once_nothing_is_in_flight() {
    let mut bench = Bench::reading(settings(), 1);
    bench.log(0, 0..5);
    bench.at(2000);
    let batch = bench.batches().remove(0).0;
    bench.broker.ends.insert(lane(0), 9);
    bench.at(4000);
    let idle = |bench: &Bench| {
        let of = |o: &Order| match o {
            Order::Idle(s) => Some((s.batch.seq, s.batch.pieces[0])),
            _ => None,
        };
        bench.orders.iter().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!(idle(&bench), [], "records are in flight");
    bench.turn([home(&batch, true), Message::WorkerFree]);
    bench.at(6000);
    let pieces = idle(&bench);
    let (_, piece) = pieces[0];
    assert_eq!((pieces.len(), piece.expected, piece.end, piece.count), (1, 5, 9, 0));
    bench.at(8000);
    assert_eq!(idle(&bench).len(), 1, "once, until it is settled");
    let moved = Batch { seq: pieces[0].0, pieces: vec![piece], ..Batch::default() };
    bench.turn([home(&moved, true)]);
    let status = bench.status();
    assert_eq!((status.lanes[0].mark, status.batches_in_flight, status.totals.sum(|t| t.taken)), (Some(9), 0, 5));
}

#[test]
fn t6_holes_belong_to_the_piece_that_passes_them() {
    let mut bench = Bench::reading(settings(), 1);
    bench.broker.queues.insert(lane(0), [3, 4, 9].into());
    bench.broker.woken.push(lane(0));
    bench.turn([]);
    let piece = bench.batches()[0].0.pieces[0];
    assert_eq!((piece.expected, piece.end, piece.count), (0, 10, 3), "expected is the last end, not the first offset");
}

#[test]
fn t2_every_lane_of_a_batch_has_pieces_that_cover_all_its_records() {
    let mut bench = Bench::reading(settings(), 4);
    (0..4).for_each(|p| bench.log(p, 0..400));
    bench.turn([]);
    let batch = bench.batches().remove(0).0;
    let covered: BTreeSet<usize> = batch.pieces.iter().flat_map(|p| p.records()).collect();
    assert_eq!(covered.len(), batch.records.len());
    assert_eq!(batch.pieces.iter().map(|p| u64::from(p.count)).sum::<u64>(), batch.records.len() as u64);
}
