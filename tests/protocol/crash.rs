//! Judging: J5, as far as intake decides.

use tidemill::domain::care::Attempt;
use tidemill::domain::lane::Epoch;
use tidemill::domain::scored::Fate;
use tidemill::domain::scored::ScoredPiece;
use tidemill::domain::verdict::Stage;
use tidemill::pipeline::intake::Settings;
use tidemill::pipeline::intake::options::Options;
use tidemill::pipeline::message::Message;
use tidemill::pipeline::message::Order;
use tidemill::ports::BrokerEvent;
use tidemill::ports::Claimed;

use crate::fakes::Bench;
use crate::fakes::away;
use crate::fakes::home;
use crate::fakes::lane;
use crate::fakes::settings;

/// Two lanes; the first one's last owner ended unclean.
fn careful(exits: u32, current: Option<i64>, tries: u32) -> Bench {
    let intake = Options { in_flight_records: 200, ..Options::default() };
    let batch = tidemill::pipeline::intake::options::BatchOptions { rows_max: 200, ..settings().batch };
    let mut bench = Bench::new(Settings { intake, batch, workers: 4, ..settings() });
    bench.event(BrokerEvent::Given(vec![lane(0), lane(1)]));
    let (ticket, _) = bench.asked(0).expect("it is to be claimed");
    let attempt = Some(Attempt { exits, current, tries });
    bench.answer(0, ticket, Ok(Claimed { epoch: Epoch(1), next_offset: 0, attempt }));
    bench.grant(1, 1, 0);
    bench.orders.clear();
    bench
}

/// Records of lane 0 that went to the mill, by batch.
fn milled(bench: &mut Bench) -> Vec<(u32, tidemill::domain::batch::Batch)> {
    let of = |b: &tidemill::domain::batch::Batch| b.pieces.iter().filter(|p| p.lane == lane(0)).map(|p| p.count).sum();
    bench.batches().into_iter().map(|(batch, _)| (of(&batch), batch)).collect()
}

/// The note that is asked for, which leaves the pile.
fn note(bench: &mut Bench) -> Option<(u64, Option<i64>)> {
    let at = bench.orders.iter().position(|o| matches!(o, Order::Note { .. }))?;
    match bench.orders.remove(at) {
        Order::Note { ticket, offset, .. } => Some((ticket, offset)),
        _ => unreachable!(),
    }
}

#[test]
fn j5_after_an_unclean_end_a_lane_is_read_in_short_runs_one_at_a_time() {
    let mut bench = careful(1, None, 0);
    bench.log(0, 0..500);
    bench.log(1, 0..20);
    let mut sizes = vec![];
    for i in 0..6 {
        bench.at(10 + i);
        for (size, batch) in milled(&mut bench) {
            sizes.push(size);
            bench.turn([home(&batch, true), Message::WorkerFree]);
        }
    }
    assert_eq!(note(&mut bench), None, "nothing is written for it");
    assert_eq!(sizes[..4], [64, 64, 64, 64], "one run at a time");
    assert!(sizes[4..].iter().any(|n| *n > 64), "200 may have been in flight; then it is as ever: {sizes:?}");
    assert_eq!(bench.ordered(|o| matches!(o, Order::Calm { .. })), 1);
    assert_eq!(
        bench.status().totals.topics[&0].settled.stored as u32,
        20 + sizes.iter().sum::<u32>(),
        "the other one too"
    );
}

#[test]
fn j5_after_two_records_are_noted_before_they_are_processed() {
    let mut bench = careful(2, None, 0);
    bench.log(0, 0..100);
    bench.log(1, 0..20);
    bench.at(10);
    let other = milled(&mut bench);
    assert_eq!(
        other.iter().map(|(n, b)| (*n, b.records.len())).collect::<Vec<_>>(),
        [(0, 20)],
        "the other lane goes on"
    );
    let (ticket, offset) = note(&mut bench).expect("it is noted first");
    assert_eq!(offset, Some(0));
    bench.turn([Message::Noted { ticket, answer: Err(away()) }]);
    bench.at(509);
    assert_eq!(note(&mut bench), None);
    bench.at(510);
    let (ticket, _) = note(&mut bench).expect("noted again");
    assert!(milled(&mut bench).is_empty(), "and never processed without");
    bench.turn([Message::Noted { ticket, answer: Ok(()) }]);
    let alone = milled(&mut bench);
    assert_eq!(alone.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1]);
    assert_eq!(note(&mut bench), None, "one at a time");
    bench.turn([home(&alone[0].1, true), Message::WorkerFree]);
    bench.at(520);
    assert_eq!(note(&mut bench).map(|n| n.1), Some(Some(1)), "the next one");
}

#[test]
fn j5_a_suspect_is_processed_with_nothing_else_under_way() {
    let mut bench = careful(3, Some(0), 1);
    bench.log(1, 0..20);
    bench.at(10);
    let other = milled(&mut bench).remove(0).1;
    bench.log(0, 0..5);
    bench.at(11);
    bench.log(1, 20..40);
    bench.at(12);
    assert_eq!((note(&mut bench), milled(&mut bench).len()), (None, 0), "it waits, and nothing more is taken");
    bench.turn([home(&other, true), Message::WorkerFree]);
    let (ticket, _) = note(&mut bench).expect("now it is alone");
    bench.turn([Message::Noted { ticket, answer: Ok(()) }]);
    let alone = milled(&mut bench);
    assert_eq!(alone.iter().map(|(n, b)| (*n, b.records.len())).collect::<Vec<_>>(), [(1, 1)]);
    bench.at(13);
    assert!(milled(&mut bench).is_empty(), "still alone");
    bench.turn([home(&alone[0].1, true), Message::WorkerFree]);
    bench.at(100);
    let records: usize = milled(&mut bench).iter().map(|(_, b)| b.records.len()).sum();
    assert_eq!(records, 20, "it was innocent; the others go on");
}

#[test]
fn j5_a_condemned_record_goes_past_the_mill() {
    let mut bench = careful(5, Some(0), 3);
    bench.log(0, 0..5);
    bench.at(10);
    assert!(milled(&mut bench).is_empty());
    let at = bench.orders.iter().position(|o| matches!(o, Order::Idle(_))).expect("straight to the writer");
    let Order::Idle(scored) = bench.orders.remove(at) else { unreachable!() };
    let piece = ScoredPiece::new(scored, 0);
    let Fate::Dead(why) = piece.fate(0) else { panic!("a dead letter") };
    assert_eq!((why.stage, why.reason), (Stage::Process, "crashed_process"));
    assert!(why.detail.contains("3 times"), "{}", why.detail);
}

#[test]
fn j5_another_record_than_the_suspect_is_no_suspect() {
    // The log was compacted: what was current is gone.
    let mut bench = careful(5, Some(0), 3);
    bench.log(0, 7..9);
    bench.at(10);
    assert_eq!(note(&mut bench).map(|n| n.1), Some(Some(7)), "it is processed");
}
