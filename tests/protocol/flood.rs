//! Judging: J1, as far as writer and intake decide.

use std::sync::Arc;

use tidemill::domain::guard::Accepted;
use tidemill::domain::guard::Cause;
use tidemill::domain::guard::Flood;
use tidemill::domain::lane::Epoch;
use tidemill::domain::lane::Owner;
use tidemill::domain::scored::ScoredPiece;
use tidemill::domain::verdict::Rejected;
use tidemill::domain::verdict::Stage;
use tidemill::domain::verdict::Verdict;
use tidemill::pipeline::clock::Dice;
use tidemill::pipeline::guarding::SharedGuard;
use tidemill::pipeline::message::Fate;
use tidemill::pipeline::message::Message;
use tidemill::pipeline::message::Order;
use tidemill::pipeline::message::ToWriter;
use tidemill::pipeline::writer::Answer;
use tidemill::pipeline::writer::Command;
use tidemill::pipeline::writer::Step;
use tidemill::pipeline::writer::Writer;
use tidemill::pipeline::writer::options::Options;
use tidemill::ports::BrokerEvent;
use tidemill::ports::Guilty;
use tidemill::ports::Moved;
use tidemill::ports::SinkError;
use tidemill::ports::SinkFault;
use tidemill::telemetry::snapshot::LaneState;

use crate::fakes::Bench;
use crate::fakes::home;
use crate::fakes::lane;
use crate::fakes::ms;
use crate::fakes::scored;
use crate::fakes::settings;

const CAUSE: Cause = Cause { stage: Stage::Decode, reason: "bad_json" };

/// A piece of which every record is rejected.
fn poison(partition: i32, from: i64, to: i64) -> ScoredPiece {
    let mut piece = scored(partition, 5, from, to);
    let scored = Arc::get_mut(&mut piece.scored).expect("ours alone");
    for verdict in &mut scored.verdicts.of {
        *verdict = Verdict::Dead(0);
    }
    scored.verdicts.rejected.push(Rejected::new(Stage::Decode, "bad_json", ""));
    piece
}

struct Desk {
    writer: Writer,
    out: Vec<Message>,
}

impl Desk {
    fn new() -> Desk {
        let mut writer = Writer::new(0, Owner(1), Options::default(), Dice::seeded(3));
        for p in 0..2 {
            writer.hear(ms(0), ToWriter::Begin { lane: lane(p), epoch: Epoch(5), mark: 0 });
        }
        Desk { writer, out: vec![] }
    }

    fn piece(&mut self, piece: ScoredPiece) {
        self.writer.hear(ms(0), ToWriter::Piece { piece, full: false });
        self.out.extend(self.writer.take_messages());
    }

    fn command(&mut self) -> Option<Command> {
        match self.writer.step(ms(0)) {
            Step::Do(command) => Some(command),
            Step::Wait(_) => None,
        }
    }

    fn answer(&mut self, answer: Answer) {
        self.writer.answer(ms(0), answer, 0);
        self.out.extend(self.writer.take_messages());
    }

    /// Stores what there is; the moves' ends by lane.
    fn store(&mut self) -> Vec<(i32, i64, u64)> {
        let Some(Command::Store(group)) = self.command() else { panic!("there is something to store") };
        let moved = group.moves.iter().map(|m| Moved { lane: m.lane, rows: m.counts.stored, dead: m.counts.dead });
        self.answer(Answer::Stored(Ok(moved.collect())));
        group.moves.iter().map(|m| (m.lane.partition, m.end, m.counts.dead)).collect()
    }

    /// Ends of pieces that came home, and whether they are durable.
    fn home(&self) -> Vec<(i32, i64, bool)> {
        let of = |m: &Message| match m {
            Message::Returned(list) => list.clone(),
            _ => vec![],
        };
        let all = self.out.iter().flat_map(of);
        all.map(|r| (r.piece.lane.partition, r.piece.end, matches!(r.fate, Fate::Settled(_)))).collect()
    }

    fn floods(&self) -> Vec<(i32, i64, u32, u64)> {
        let of = |m: &Message| match m {
            Message::Flooded { lane, end, flood, .. } => Some((lane.partition, *end, flood.rejected, flood.of)),
            _ => None,
        };
        self.out.iter().filter_map(of).collect()
    }
}

#[test]
fn j1_what_is_in_flight_when_it_trips_does_not_flood() {
    let mut desk = Desk::new();
    desk.piece(poison(0, 0, 30));
    desk.piece(poison(0, 30, 49));
    // Later pieces come first: there are several mills.
    desk.piece(poison(0, 60, 90));
    desk.piece(poison(0, 49, 60));
    desk.piece(scored(1, 5, 0, 3));
    assert_eq!(desk.floods(), [], "what precedes is not durable yet");
    assert_eq!(desk.store(), [(0, 49, 49), (1, 3, 0)], "49 are dead letters, the other partition goes on");
    assert_eq!(desk.floods(), [(0, 60, 50, 50)].map(|f| (f.0, f.1, f.2.max(50), f.3.max(50))));
    let home = desk.home();
    assert!(
        home.contains(&(0, 60, false)) && home.contains(&(0, 90, false)),
        "{home:?}: handed back, to be read again"
    );
    assert!(!desk.writer.holds_work() && desk.command().is_none());
}

#[test]
fn j1_rows_that_the_table_refuses_are_held_too() {
    let mut desk = Desk::new();
    desk.piece(scored(0, 5, 0, 10));
    desk.piece(scored(0, 5, 10, 80));
    let refused = |n: usize| -> Vec<Guilty> {
        let why = || Rejected::new(Stage::Write, "no_partition", "");
        (0..n).map(|record| Guilty { piece: 1, record, why: why() }).collect()
    };
    assert!(matches!(desk.command(), Some(Command::Store(_))));
    desk.answer(Answer::Stored(Err(SinkError { fault: SinkFault::Data, sqlstate: None, message: "x".into() })));
    assert!(matches!(desk.command(), Some(Command::Isolate(_))));
    desk.answer(Answer::Isolated(Ok(refused(70))));
    assert_eq!(desk.store(), [(0, 10, 0)], "the piece before it is stored");
    assert_eq!(desk.floods(), [(0, 80, 50, 60)], "as if each had been known when it was judged");
    assert_eq!(desk.home(), [(0, 80, false), (0, 10, true)]);
}

#[test]
fn j1_a_few_percent_that_the_table_refuses_are_no_flood_under_backlog() {
    let mut desk = Desk::new();
    let pieces = || (0..32).map(|i| (i * 256, (i + 1) * 256));
    for (from, to) in pieces() {
        desk.piece(scored(0, 5, from, to));
        desk.piece(scored(1, 5, from, to));
    }
    // Every thirtieth record of either lane, found when all of them have long been judged.
    let mut refused = 0;
    while let Some(Command::Store(group)) = desk.command() {
        desk.answer(Answer::Stored(Err(SinkError { fault: SinkFault::Data, sqlstate: None, message: "x".into() })));
        let why = || Rejected::new(Stage::Write, "check_violation", "");
        let of = |piece: usize| (0..256).step_by(30).map(move |record| Guilty { piece, record, why: why() });
        let guilty: Vec<Guilty> = (0..group.pieces.len()).flat_map(of).collect();
        refused += guilty.len() as u64;
        assert!(matches!(desk.command(), Some(Command::Isolate(_))));
        desk.answer(Answer::Isolated(Ok(guilty)));
        assert_eq!(desk.floods(), []);
        desk.store();
    }
    assert_eq!(refused, 64 * 9);
    assert!(desk.home().len() == 64 && desk.home().iter().all(|h| h.2), "everything is durable");
}

fn flood(end: i64) -> Message {
    Message::Flooded { lane: lane(0), epoch: Epoch(1), end, flood: Flood { cause: CAUSE, rejected: 50, of: 50 } }
}

/// Two lanes, of which the first is stopped at offset 5 with a held piece up to 100.
fn stopped() -> Bench {
    let mut bench = Bench::reading(settings(), 2);
    bench.log(0, 0..5);
    bench.turn([]);
    let batch = bench.batches().remove(0).0;
    bench.turn([home(&batch, true), Message::WorkerFree]);
    bench.now = ms(1000);
    bench.turn([flood(100)]);
    bench
}

#[test]
fn j1_intake_of_the_topic_stops_and_one_record_is_tried_every_thirty_seconds() {
    let mut bench = stopped();
    assert_eq!(bench.status().lanes[0].state, LaneState::Given);
    assert_eq!(bench.status().floods.len(), 1);
    bench.log(1, 0..50);
    bench.at(5000);
    assert!(bench.batches().is_empty(), "the other partition of the topic waits as well");
    bench.at(30_999);
    assert_eq!(bench.asked(0), None);
    bench.at(31_000);
    bench.grant(0, 2, 5);
    bench.log(0, 5..300);
    bench.turn([]);
    let tried = bench.batches();
    assert_eq!(tried.iter().map(|(b, _)| b.records.len()).collect::<Vec<_>>(), [1], "one record");
    let again = Message::Flooded {
        lane: lane(0),
        epoch: Epoch(2),
        end: 6,
        flood: Flood { cause: CAUSE, rejected: 51, of: 51 },
    };
    bench.turn([home(&tried[0].0, false), again, Message::WorkerFree]);
    bench.at(60_999);
    assert_eq!(bench.asked(0), None, "thirty more seconds");
    assert_eq!(bench.status().totals.topics[&0].floods, 1, "it is the same stop");
}

#[test]
fn j1_what_passes_is_followed_by_twice_as_much_until_the_held_piece_has_passed() {
    let mut bench = stopped();
    bench.at(31_000);
    bench.grant(0, 2, 5);
    bench.log(0, 5..300);
    bench.log(1, 0..50);
    let mut sizes = vec![];
    for i in 0..8 {
        bench.at(31_010 + i);
        let Some((batch, _)) = bench.batches().pop() else { break };
        sizes.push(batch.records.len());
        bench.turn([home(&batch, true), Message::WorkerFree]);
        // What that turn took already is looked at in the next round.
    }
    assert_eq!(sizes[..6], [1, 2, 4, 8, 16, 32], "slowly");
    assert!(bench.status().floods.is_empty(), "the mark is past 100");
}

#[test]
fn j1_an_accepted_cause_lets_the_topic_go_on_at_once() {
    let mut bench = stopped();
    assert_eq!(bench.ordered(|o| matches!(o, Order::Accepted)), 1, "asked at once");
    bench.turn([Message::Accepted(Ok(vec![]))]);
    bench.at(5999);
    assert_eq!(bench.ordered(|o| matches!(o, Order::Accepted)), 1);
    bench.at(6000);
    assert_eq!(bench.ordered(|o| matches!(o, Order::Accepted)), 2, "every five seconds");
    let word = Accepted { topic: 0, cause: "decode/bad_json".into(), left: ms(3_600_000) };
    bench.turn([Message::Accepted(Ok(vec![word]))]);
    bench.grant(0, 2, 5);
    bench.log(0, 5..300);
    bench.turn([]);
    let batch = bench.batches().remove(0).0;
    assert!(batch.records.len() > 100, "{} at full speed", batch.records.len());
}

#[test]
fn j1_an_acceptance_is_asked_for_until_it_is_over_so_that_an_early_end_is_heard() {
    let mut bench = stopped();
    let guard = SharedGuard::default();
    bench = Bench { intake: bench.intake.guarded_by(guard.clone()), ..bench };
    let word = || Accepted { topic: 0, cause: "decode/bad_json".into(), left: ms(60_000) };
    bench.turn([Message::Accepted(Ok(vec![word()]))]);
    bench.grant(0, 2, 5);
    bench.log(0, 5..300);
    bench.turn([]);
    let batch = bench.batches().remove(0).0;
    bench.turn([home(&batch, true), Message::WorkerFree]);
    bench.at(5000);
    assert!(bench.status().floods.is_empty(), "the topic goes on");
    bench.orders.clear();
    let asked = |bench: &Bench| bench.ordered(|o| matches!(o, Order::Accepted));
    bench.at(6000);
    assert_eq!(asked(&bench), 1, "somebody may have ended it");
    bench.turn([Message::Accepted(Ok(vec![word()]))]);
    bench.at(11_000);
    assert_eq!(asked(&bench), 2);
    assert!(guard.lock().is_accepted(bench.now, 0, CAUSE));
    bench.turn([Message::Accepted(Ok(vec![]))]);
    assert!(!guard.lock().is_accepted(bench.now, 0, CAUSE), "it was ended");
    bench.at(16_000);
    assert_eq!(asked(&bench), 2, "and nobody waits for it any more");
}

#[test]
fn j1_a_stopped_lane_that_is_taken_away_stops_nobody() {
    let mut bench = stopped();
    bench.log(1, 0..50);
    bench.event(BrokerEvent::Revoked(vec![lane(0)]));
    bench.at(1100);
    bench.at(1200);
    assert_eq!(bench.batches().iter().map(|(b, _)| b.records.len()).sum::<usize>(), 50);
    assert!(bench.status().floods.is_empty());
}
