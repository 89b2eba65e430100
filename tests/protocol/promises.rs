//! Promises that the machines keep: P2, P4, P5, P6, P7.

use std::sync::Arc;

use tidemill::domain::batch::Batch;
use tidemill::domain::fields::Fields;
use tidemill::domain::lane::Epoch;
use tidemill::domain::miss::Miss;
use tidemill::domain::outputs::Column;
use tidemill::domain::outputs::OutputKind;
use tidemill::domain::outputs::OutputSpec;
use tidemill::domain::outputs::Outputs;
use tidemill::domain::scored::Fate;
use tidemill::domain::scored::Rows;
use tidemill::domain::scored::Scored;
use tidemill::domain::scored::ScoredPiece;
use tidemill::domain::verdict::Rejected;
use tidemill::domain::verdict::Stage;
use tidemill::domain::verdict::Verdicts;
use tidemill::pipeline::intake::Outcome;
use tidemill::pipeline::message::Message;
use tidemill::pipeline::message::Order;
use tidemill::pipeline::message::Trouble;
use tidemill::pipeline::mill::Mill;
use tidemill::ports::BrokerEvent;
use tidemill::ports::Decoder;
use tidemill::ports::Model;
use tidemill::ports::ModelError;
use tidemill::ports::RowEncoder;
use tidemill::ports::SinkFault;

use crate::fakes::Bench;
use crate::fakes::Call;
use crate::fakes::home;
use crate::fakes::lane;
use crate::fakes::scored;
use crate::fakes::settings;

fn outage(cause: Option<&str>) -> Message {
    let trouble = |text: &str| Trouble { fault: SinkFault::Transient, text: text.to_owned() };
    Message::Outage { writer: 0, cause: cause.map(trouble) }
}

#[test]
fn p2_kafka_is_told_the_mark_never_the_position() {
    let mut bench = Bench::reading(settings(), 1);
    bench.log(0, 0..5);
    bench.at(100);
    let first = bench.batches().remove(0).0;
    bench.log(0, 5..9);
    bench.turn([Message::WorkerFree]);
    let second = bench.batches().remove(0).0;
    bench.turn([home(&second, true)]);
    bench.broker.calls.clear();
    bench.at(2000);
    let told = bench.called(|c| matches!(c, Call::Commit(m) if m.iter().any(|(_, mark)| *mark > 0)));
    assert_eq!(told.len(), 0, "the later batch is durable, the earlier is not");
    bench.turn([home(&first, true)]);
    bench.at(4000);
    assert_eq!(bench.broker.calls.last(), Some(&Call::Commit(vec![(lane(0), 9)])));
}

#[test]
fn p4_a_clean_drain_ends_with_everything_durable_told_left_and_released() {
    let mut bench = Bench::reading(settings(), 2);
    bench.log(0, 0..5);
    bench.at(100);
    let first = bench.batches().remove(0).0;
    bench.log(1, 0..4);
    bench.turn([]);
    bench.turn([Message::Drain]);
    let open = bench.batches().remove(0).0;
    assert_eq!(open.pieces[0].end, 4, "what was taken is finished");
    bench.log(0, 5..9);
    assert!(bench.turn([home(&first, true), Message::WorkerFree]).done.is_none());
    assert_eq!(bench.batches().len(), 0, "nothing more is taken");
    bench.turn([home(&open, true), Message::WorkerFree]);
    let last: Vec<Call> = bench.broker.calls.iter().rev().take(2).cloned().collect();
    assert_eq!(last, [Call::Unsubscribe, Call::Commit(vec![(lane(0), 5), (lane(1), 4)])]);
    bench.event(BrokerEvent::Revoked(vec![lane(0), lane(1)]));
    let named = bench.called(|c| matches!(c, Call::Unassign(lanes) if !lanes.is_empty()));
    assert_eq!(named, [&Call::Unassign(vec![lane(0), lane(1)])]);
    assert_eq!(bench.ordered(|o| matches!(o, Order::Release { .. })), 2);
    assert!(bench.turn([Message::Released]).done.is_none());
    assert_eq!(bench.turn([Message::Released]).done, Some(Outcome::Drained));
}

#[test]
fn p4_a_drain_without_any_lane_ends_at_once() {
    let mut bench = Bench::new(settings());
    let mut done = bench.turn([Message::Drain]).done;
    for _ in 0..3 {
        done = done.or(bench.turn([]).done);
    }
    assert_eq!(done, Some(Outcome::Drained));
}

/// Turns on until the drain is over; the answer and when it came, in milliseconds.
fn drained(bench: &mut Bench, from: u64) -> (Outcome, u64) {
    for now in (from..from + 60_000).step_by(10) {
        if let Some(outcome) = bench.at(now).done {
            return (outcome, now);
        }
    }
    panic!("the drain does not end");
}

#[test]
fn p7_the_end_of_the_budget_names_what_will_be_read_again() {
    let mut bench = Bench::reading(settings(), 2);
    bench.log(0, 0..5);
    bench.log(1, 0..7);
    bench.at(1000);
    let batch = bench.batches().remove(0).0;
    bench.log(0, 5..8);
    bench.turn([Message::WorkerFree]);
    bench.turn([home(&batch, true)]);
    bench.turn([Message::Drain, outage(Some("connection refused"))]);
    let (outcome, at) = drained(&mut bench, 1010);
    assert_eq!(outcome, Outcome::Abandoned(vec![(lane(0), 5, 8)]));
    assert!((23_000..=26_000).contains(&at), "flushed for 22 s of 25, ended at {at}");
    assert_eq!(bench.called(|c| matches!(c, Call::Unassign(_))), [&Call::Unassign(vec![lane(0), lane(1)])]);
}

#[test]
fn p7_a_lane_that_is_taken_away_in_the_middle_of_a_drain_is_not_a_clean_end() {
    for event in [BrokerEvent::Lost(vec![lane(0)]), BrokerEvent::Revoked(vec![lane(0)])] {
        let mut bench = Bench::reading(settings(), 1);
        bench.log(0, 0..5);
        bench.at(1000);
        let batch = bench.batches().remove(0).0;
        bench.turn([Message::Drain]);
        bench.event(event);
        bench.at(12_000);
        bench.turn([home(&batch, false), Message::WorkerFree]);
        assert_eq!(drained(&mut bench, 12_010).0, Outcome::Abandoned(vec![(lane(0), 0, 5)]));
    }
}

#[test]
fn p7_a_lane_that_restarts_in_the_middle_of_a_drain_is_not_a_clean_end() {
    let mut bench = Bench::reading(settings(), 1);
    bench.log(0, 0..5);
    bench.at(1000);
    let batch = bench.batches().remove(0).0;
    bench.turn([Message::Drain]);
    bench.turn([Message::Missed { lane: lane(0), epoch: Epoch(1), miss: Miss::Restart }]);
    bench.turn([home(&batch, false), Message::WorkerFree]);
    assert_eq!(bench.asked(0), None, "a process that stops claims nothing");
    assert_eq!(drained(&mut bench, 1010).0, Outcome::Abandoned(vec![(lane(0), 0, 5)]));
}

#[test]
fn p7_something_fatal_drains_first_and_says_why() {
    let mut bench = Bench::reading(settings(), 1);
    bench.log(0, 0..5);
    bench.at(1000);
    let batch = bench.batches().remove(0).0;
    bench.event(BrokerEvent::Fatal("fenced by group.instance.id".into()));
    bench.turn([home(&batch, true), Message::WorkerFree, Message::Failed("a later cause".into())]);
    let (outcome, _) = drained(&mut bench, 1010);
    assert_eq!(outcome, Outcome::Failed("fenced by group.instance.id".into()));
    assert_eq!(bench.called(|c| matches!(c, Call::Commit(m) if m == &[(lane(0), 5)])).len(), 1);
}

#[test]
fn p7_a_second_drain_does_not_lengthen_the_first() {
    let mut bench = Bench::reading(settings(), 1);
    bench.log(0, 0..5);
    bench.at(1000);
    bench.turn([Message::Drain]);
    bench.at(20_000);
    bench.turn([Message::Drain]);
    assert!(drained(&mut bench, 20_010).1 < 26_000);
}

#[test]
fn p5_an_outage_stops_taking_and_keeps_what_was_taken() {
    let mut bench = Bench::reading(settings(), 1);
    bench.log(0, 0..5);
    bench.at(1000);
    assert_eq!(bench.batches().len(), 1);
    bench.turn([outage(Some("connection refused")), Message::WorkerFree]);
    bench.log(0, 5..500);
    for now in (1010..600_000).step_by(1000) {
        bench.at(now);
    }
    assert_eq!((bench.batches().len(), bench.status().records_in_flight), (0, 5));
    assert_eq!(bench.status().reasons, [("postgres", "connection refused".to_owned())]);
    bench.turn([outage(None)]);
    assert_eq!(bench.batches().len(), 1, "and goes on by itself");
}

/// Payload byte 0 of every record is its value.
struct Bytes;

impl Decoder for Bytes {
    fn decode(&mut self, batch: &Batch, fields: &mut Fields, verdicts: &mut Verdicts) {
        fields.reset(batch.records.len(), 1);
        for r in 0..batch.records.len() {
            let value = batch.payload(r).expect("a payload")[0];
            if !verdicts.is_kept(r) {
                continue;
            }
            match value {
                b'D' => panic!("the decoder cannot bear this"),
                b'd' => verdicts.reject(r, Rejected::new(Stage::Decode, "bad", "d")),
                b's' => verdicts.skip(r, 1),
                value => fields.row_mut(r).set_integer(0, i64::from(value)),
            }
        }
    }

    fn fork(&self) -> Box<dyn Decoder> {
        Box::new(Bytes)
    }
}

/// Scores a value with itself; panics, fails and miscounts on demand.
struct Touchy;

impl Model for Touchy {
    fn run(&mut self, _: &Batch, fields: &Fields, records: &[u32], outputs: &mut Outputs) -> Result<(), ModelError> {
        let value = |r: u32| fields.integer(r as usize, 0).expect("it was decoded") as u8;
        let guilty: Vec<(u32, String)> =
            records.iter().filter(|r| value(**r) == b'G').map(|r| (*r, "named".into())).collect();
        if !guilty.is_empty() {
            return Err(ModelError::of(guilty));
        }
        for r in records {
            let value = value(*r);
            let Column::Float(scores) = &mut outputs.columns[0] else { panic!("a float column") };
            match value {
                b'P' => panic!("the model cannot bear this"),
                b'E' => return Err(ModelError::new("shape")),
                b'N' => scores.push(f64::NAN),
                b'M' => {}
                value => scores.push(f64::from(value)),
            }
        }
        Ok(())
    }

    fn fork(&self) -> Box<dyn Model> {
        Box::new(Touchy)
    }
}

/// A row is the score's byte; `R` gets none.
struct Scores;

impl RowEncoder for Scores {
    fn encode(&self, _: &Batch, _: &Fields, outputs: &Outputs, records: &[u32], rows: &mut Rows, _: &mut Verdicts) {
        let Column::Float(scores) = &outputs.columns[0] else { panic!("a float column") };
        assert_eq!(scores.len(), records.len(), "row i of the outputs belongs to record i");
        for (r, score) in records.iter().zip(scores).filter(|(_, s)| **s != f64::from(b'R')) {
            assert!(*score != f64::from(b'X'), "an encoder that cannot bear this row");
            rows.spans[*r as usize] = (rows.bytes.len() as u32, 1);
            rows.bytes.push(*score as u8);
        }
    }
}

fn grind(values: &[u8]) -> (Scored, tidemill::pipeline::mill::Strain) {
    let spec = OutputSpec { name: "score".into(), kind: OutputKind::Float, nan_allowed: false };
    let mut mill = Mill::new(Box::new(Bytes), Some(Box::new(Touchy)), Arc::new(Scores), Arc::new([spec]));
    let piece = scored(0, 1, 0, values.len() as i64);
    let mut batch = Arc::into_inner(piece.scored).expect("it is ours alone").batch;
    for (r, value) in values.iter().enumerate() {
        let start = batch.records[r].payload.start as usize;
        batch.bytes[start] = *value;
    }
    mill.turn(batch)
}

/// Stored rows as text, and for the others the reason.
fn fates(scored: Scored) -> Vec<String> {
    let piece = ScoredPiece::new(Arc::new(scored), 0);
    let fate = |r| match piece.fate(r) {
        Fate::Row(row) => String::from_utf8_lossy(row).into_owned(),
        Fate::Dead(why) => why.reason.to_owned(),
        Fate::Skip(rule) => format!("skip {rule}"),
    };
    piece.piece().records().map(fate).collect()
}

#[test]
fn p6_a_panic_in_the_model_condemns_one_record() {
    let mut values = vec![b'a'; 64];
    (values[17], values[63]) = (b'P', b'P');
    let (ground, strain) = grind(&values);
    let fates = fates(ground);
    assert_eq!((fates[17].as_str(), fates[63].as_str()), ("model_panic", "model_panic"));
    assert_eq!(fates.iter().filter(|f| *f == "a").count(), 62);
    assert!(strain.panics <= 14 && strain.extra_runs <= 26, "halves, not one by one: {strain:?}");
}

#[test]
fn p6_every_kind_of_poison_steps_aside_and_neighbours_keep_their_own_scores() {
    let (ground, _) = grind(b"abPcEdefsgNhRiMj");
    let got = fates(ground);
    let want = [
        "a",
        "b",
        "model_panic",
        "c",
        "model_error",
        "bad",
        "e",
        "f",
        "skip 1",
        "g",
        "not_finite",
        "h",
        "no_row",
        "i",
        "model_rows",
        "j",
    ];
    assert_eq!(got, want);
}

#[test]
fn p6_records_that_the_model_names_step_aside_at_once() {
    let mut values = vec![b'a'; 64];
    (values[3], values[40]) = (b'G', b'G');
    let (ground, strain) = grind(&values);
    let got = fates(ground);
    assert_eq!((got[3].as_str(), got[40].as_str()), ("bad_feature", "bad_feature"));
    assert_eq!((got.iter().filter(|f| *f == "a").count(), strain.extra_runs), (62, 1));
    assert_eq!(fates(grind(b"GaPbGE").0), ["bad_feature", "a", "model_panic", "b", "bad_feature", "model_error"]);
    assert_eq!(fates(grind(b"GG").0), ["bad_feature", "bad_feature"]);
}

#[test]
fn p6_a_decoder_that_panics_condemns_one_record() {
    let (ground, _) = grind(b"abDcs");
    assert_eq!(fates(ground), ["a", "b", "decoder_panic", "c", "skip 1"]);
}

#[test]
fn p6_an_encoder_that_panics_condemns_one_record() {
    let (ground, strain) = grind(b"abXcsX");
    assert_eq!(fates(ground), ["a", "b", "encoder_panic", "c", "skip 1", "encoder_panic"]);
    assert_eq!(strain.panics, 1);
}

#[test]
fn p6_a_batch_of_poison_alone_is_a_batch_of_dead_letters() {
    let (ground, _) = grind(b"PEd");
    assert_eq!(fates(ground), ["model_panic", "model_error", "bad"]);
}
