//! Writing: W1 to W9, as far as the writer decides.

use std::sync::Arc;

use tidemill::domain::lane::Epoch;
use tidemill::domain::lane::Now;
use tidemill::domain::lane::Owner;
use tidemill::domain::miss::Mark;
use tidemill::domain::miss::Miss;
use tidemill::domain::scored::Group;
use tidemill::domain::units::Millis;
use tidemill::domain::verdict::Rejected;
use tidemill::domain::verdict::Stage;
use tidemill::pipeline::clock::Dice;
use tidemill::pipeline::message::Fate;
use tidemill::pipeline::message::Message;
use tidemill::pipeline::message::ToWriter;
use tidemill::pipeline::writer::Answer;
use tidemill::pipeline::writer::Command;
use tidemill::pipeline::writer::Step;
use tidemill::pipeline::writer::Writer;
use tidemill::pipeline::writer::options::Options;
use tidemill::ports::Guilty;
use tidemill::ports::Moved;
use tidemill::ports::SinkError;
use tidemill::ports::SinkFault;

use crate::fakes::lane;
use crate::fakes::ms;
use crate::fakes::scored;

const ME: Owner = Owner(1);

/// A writer whose sink is the test.
struct Desk {
    writer: Writer,
    now: Now,
    generation: u64,
    out: Vec<Message>,
}

fn row(next_offset: i64, epoch: i64, owner: u128) -> Option<Mark> {
    Some(Mark { next_offset, epoch: Epoch(epoch), owner: Some(Owner(owner)) })
}

fn ends(group: &Group) -> Vec<(i32, i64)> {
    group.pieces.iter().map(|p| (p.piece().lane.partition, p.piece().end)).collect()
}

impl Desk {
    /// Lanes `0..n` begin at mark 0 under epoch 5.
    fn new(n: i32, options: Options) -> Desk {
        let writer = Writer::new(0, ME, options, Dice::seeded(3));
        let mut desk = Desk { writer, now: ms(0), generation: 0, out: vec![] };
        (0..n).for_each(|p| desk.hear(ToWriter::Begin { lane: lane(p), epoch: Epoch(5), mark: 0 }));
        desk
    }

    fn hear(&mut self, message: ToWriter) {
        self.writer.hear(self.now, message);
        self.out.extend(self.writer.take_messages());
    }

    fn piece(&mut self, partition: i32, from: i64, to: i64) {
        self.hear(ToWriter::Piece { piece: scored(partition, 5, from, to), full: false });
    }

    fn end(&mut self, partition: i32, epoch: i64) {
        self.hear(ToWriter::End { lane: lane(partition), epoch: Epoch(epoch) });
    }

    fn step(&mut self) -> Step {
        let step = self.writer.step(self.now);
        self.out.extend(self.writer.take_messages());
        step
    }

    /// Whatever the writer wants next, once its pause is over.
    fn command(&mut self) -> Command {
        for _ in 0..3 {
            match self.step() {
                Step::Do(command) => return command,
                Step::Wait(Some(until)) => self.now = self.now.max(until),
                Step::Wait(None) => panic!("the writer waits for a message"),
            }
        }
        panic!("the writer only waits")
    }

    fn store(&mut self) -> Arc<Group> {
        match self.command() {
            Command::Store(group) => group,
            other => panic!("not a store: {other:?}"),
        }
    }

    fn marks(&mut self) -> Vec<i32> {
        match self.command() {
            Command::Marks(lanes) => lanes.iter().map(|l| l.partition).collect(),
            other => panic!("not a read: {other:?}"),
        }
    }

    fn answer(&mut self, answer: Answer) {
        self.writer.answer(self.now, answer, self.generation);
        self.out.extend(self.writer.take_messages());
    }

    /// The fence lets these lanes through.
    fn moved(&mut self, lanes: &[i32]) {
        let moved = |p: &i32| Moved { lane: lane(*p), rows: 0, dead: 0 };
        self.answer(Answer::Stored(Ok(lanes.iter().map(moved).collect())));
    }

    fn fails(&mut self, fault: SinkFault, sqlstate: Option<&str>) {
        let error = SinkError { fault, sqlstate: sqlstate.map(str::to_owned), message: "it failed".into() };
        self.answer(Answer::Stored(Err(error)));
    }

    fn rows(&mut self, rows: Vec<Option<Mark>>) {
        self.answer(Answer::Marks(Ok(rows)));
    }

    /// Pieces that came home: partition, end, whether settled.
    fn home(&mut self) -> Vec<(i32, i64, bool)> {
        let mut got = vec![];
        for message in std::mem::take(&mut self.out) {
            match message {
                Message::Returned(returns) => got.extend(
                    returns.iter().map(|r| (r.piece.lane.partition, r.piece.end, matches!(r.fate, Fate::Settled(_)))),
                ),
                other => self.out.push(other),
            }
        }
        got
    }

    fn missed(&self) -> Vec<(i32, Miss)> {
        let of = |m: &Message| match m {
            Message::Missed { lane, miss, .. } => Some((lane.partition, *miss)),
            _ => None,
        };
        self.out.iter().filter_map(of).collect()
    }
}

fn is_idle(step: &Step) -> bool {
    matches!(step, Step::Wait(_))
}

#[test]
fn w1_pieces_are_written_in_the_order_of_their_marks() {
    let mut desk = Desk::new(1, Options::default());
    desk.piece(0, 5, 9);
    assert!(is_idle(&desk.step()), "its predecessor is still at the mill");
    desk.piece(0, 0, 5);
    desk.piece(0, 9, 10);
    let group = desk.store();
    assert_eq!(ends(&group), [(0, 5), (0, 9), (0, 10)]);
    assert_eq!((group.moves[0].expected, group.moves[0].end, group.moves[0].counts.stored), (0, 10, 10));
    desk.moved(&[0]);
    assert_eq!(desk.home(), [(0, 5, true), (0, 9, true), (0, 10, true)]);
}

#[test]
fn w1_pieces_of_an_ended_epoch_are_dropped() {
    let mut desk = Desk::new(2, Options::default());
    desk.piece(0, 0, 5);
    desk.piece(1, 0, 3);
    desk.end(0, 5);
    assert_eq!(desk.home(), [(0, 5, false)], "what waited");
    desk.piece(0, 5, 9);
    assert_eq!(desk.home(), [(0, 9, false)], "what comes late");
    desk.hear(ToWriter::Begin { lane: lane(0), epoch: Epoch(6), mark: 0 });
    desk.piece(0, 0, 5);
    assert_eq!(desk.home(), [(0, 5, false)], "what comes after the next claim");
    assert_eq!(ends(&desk.store()), [(1, 3)], "the other lane goes on");
    assert_eq!(desk.writer.stats().dropped, 3);
}

#[test]
fn w1_an_end_of_an_older_epoch_does_not_touch_the_next_claim() {
    let mut desk = Desk::new(1, Options::default());
    desk.piece(0, 0, 5);
    desk.end(0, 4);
    assert_eq!(ends(&desk.store()), [(0, 5)]);
}

#[test]
fn w1_a_group_under_way_is_believed_though_its_epoch_ended_meanwhile() {
    let mut desk = Desk::new(2, Options::default());
    desk.piece(0, 0, 5);
    desk.piece(1, 0, 3);
    desk.store();
    desk.end(0, 5);
    desk.hear(ToWriter::Begin { lane: lane(0), epoch: Epoch(6), mark: 5 });
    desk.moved(&[0, 1]);
    assert_eq!(desk.home(), [(0, 5, true), (1, 3, true)]);
    desk.hear(ToWriter::Piece { piece: scored(0, 6, 5, 7), full: false });
    assert_eq!(desk.store().moves[0].expected, 5, "the new claim's mark is its own");
}

#[test]
fn w2_a_move_goes_from_the_end_of_the_previous_piece() {
    let mut desk = Desk::new(1, Options::default());
    desk.piece(0, 0, 5);
    desk.store();
    desk.moved(&[0]);
    let mut late = scored(0, 5, 7, 9);
    Arc::get_mut(&mut late.scored).expect("ours alone").batch.pieces[0].expected = 5;
    desk.hear(ToWriter::Piece { piece: late, full: false });
    let group = desk.store();
    assert_eq!((group.moves[0].expected, group.moves[0].end), (5, 9), "offsets 5 and 6 never existed");
}

#[test]
fn w2_moves_are_sorted_and_name_each_lane_once() {
    let mut desk = Desk::new(4, Options::default());
    for p in [3, 1, 2, 0] {
        desk.piece(p, 0, 2);
        desk.piece(p, 2, 4);
    }
    let group = desk.store();
    let lanes: Vec<i32> = group.moves.iter().map(|m| m.lane.partition).collect();
    assert_eq!((lanes, group.pieces.len()), (vec![0, 1, 2, 3], 8));
}

#[test]
fn w3_a_lane_that_did_not_move_is_decided_alone() {
    let mut desk = Desk::new(3, Options::default());
    (0..3).for_each(|p| desk.piece(p, 0, 4));
    desk.store();
    desk.moved(&[0, 2]);
    assert_eq!(desk.home(), [(0, 4, true), (2, 4, true)]);
    assert_eq!(desk.marks(), [1]);
}

#[test]
fn w4_an_open_outcome_freezes_the_group() {
    let mut desk = Desk::new(2, Options::default());
    desk.piece(0, 0, 4);
    desk.piece(1, 0, 4);
    desk.store();
    desk.piece(0, 4, 8);
    desk.fails(SinkFault::Ambiguous, None);
    for _ in 0..5 {
        assert_eq!(desk.marks(), [0, 1], "nothing is composed before the rows are known");
        desk.answer(Answer::Marks(Err(SinkError {
            fault: SinkFault::Transient,
            sqlstate: None,
            message: "away".into(),
        })));
    }
    assert_eq!(desk.marks(), [0, 1]);
    desk.rows(vec![row(4, 5, 1), row(0, 5, 1)]);
    assert_eq!(desk.home(), [(0, 4, true)], "settled up to next_offset, the other is written again");
    assert_eq!(ends(&desk.store()), [(0, 8), (1, 4)]);
    assert_eq!(desk.writer.stats().found_stored, 1);
}

#[test]
fn w4_an_open_outcome_of_lanes_that_are_gone_is_dropped() {
    let mut desk = Desk::new(1, Options::default());
    desk.piece(0, 0, 4);
    desk.store();
    desk.end(0, 5);
    desk.fails(SinkFault::Ambiguous, None);
    assert_eq!(desk.home(), [(0, 4, false)]);
    assert!(!desk.writer.holds_work());
}

#[test]
fn w4_two_timeouts_halve_the_group_down_to_one_batch() {
    for (fault, sqlstate) in [(SinkFault::Ambiguous, None), (SinkFault::Transient, Some("57014"))] {
        let mut desk = Desk::new(1, Options { group_rows: 8, ..Options::default() });
        (0..8).for_each(|i| desk.piece(0, i * 2, i * 2 + 2));
        let mut sizes = vec![];
        for _ in 0..6 {
            sizes.push(desk.store().pieces.len());
            desk.fails(fault, sqlstate);
            desk.marks();
            desk.rows(vec![row(0, 5, 1)]);
        }
        assert_eq!(sizes, [4, 4, 2, 1, 1, 1], "{fault:?}: whole batches, never less than one");
        for _ in 0..3 {
            sizes.push(desk.store().pieces.len());
            desk.moved(&[0]);
        }
        assert_eq!(sizes[6..], [1, 1, 2], "and grows again");
    }
}

/// What becomes of a missed lane whose row reads so; pieces end at 4 and 8, the mark is 0.
fn verdict(read: Option<Mark>) -> Desk {
    let mut desk = Desk::new(1, Options::default());
    desk.piece(0, 0, 4);
    desk.piece(0, 4, 8);
    desk.store();
    desk.moved(&[]);
    assert_eq!(desk.home(), []);
    assert_eq!(desk.marks(), [0]);
    desk.rows(vec![read]);
    desk
}

#[test]
fn w5_no_row_parks() {
    let mut desk = verdict(None);
    assert_eq!((desk.missed(), desk.home()), (vec![(0, Miss::Park)], vec![(0, 4, false), (0, 8, false)]));
    assert!(is_idle(&desk.step()), "nothing more is tried");
}

#[test]
fn w5_a_later_owner_is_a_fence() {
    let mut desk = verdict(row(4, 6, 2));
    assert_eq!((desk.missed(), desk.home()), (vec![(0, Miss::Fenced)], vec![(0, 4, false), (0, 8, false)]));
}

#[test]
fn w5_a_row_from_before_our_claim_is_a_restart() {
    let mut desk = verdict(row(0, 4, 2));
    assert_eq!((desk.missed(), desk.home().len()), (vec![(0, Miss::Restart)], 2));
    assert_eq!(verdict(row(0, 5, 2)).missed(), [(0, Miss::Restart)], "our epoch, but another's id");
}

#[test]
fn w5_the_end_of_a_piece_means_stored_up_to_there() {
    let mut desk = verdict(row(4, 5, 1));
    assert_eq!((desk.missed(), desk.home()), (vec![], vec![(0, 4, true)]));
    let group = desk.store();
    assert_eq!((ends(&group), group.moves[0].expected), (vec![(0, 8)], 4));
}

#[test]
fn w5_a_row_as_expected_is_tried_again_with_a_pause() {
    let mut desk = verdict(row(0, 5, 1));
    assert_eq!((desk.missed(), desk.home()), (vec![], vec![]));
    let before = desk.now;
    assert!(is_idle(&desk.step()));
    assert_eq!(ends(&desk.store()), [(0, 4), (0, 8)]);
    assert!(desk.now >= before + ms(10), "not at full speed");
}

#[test]
fn w5_a_mark_below_ours_is_a_restart() {
    let mut desk = Desk::new(1, Options::default());
    desk.piece(0, 0, 4);
    desk.store();
    desk.moved(&[0]);
    desk.piece(0, 4, 8);
    desk.store();
    desk.moved(&[]);
    assert_eq!(desk.marks(), [0]);
    desk.rows(vec![row(2, 5, 1)]);
    assert_eq!(desk.missed(), [(0, Miss::Restart)]);
}

#[test]
fn w5_an_offset_that_nobody_wrote_parks() {
    assert_eq!(verdict(row(6, 5, 1)).missed(), [(0, Miss::Park)]);
    assert_eq!(verdict(row(900, 5, 1)).missed(), [(0, Miss::Park)]);
}

#[test]
fn w7_a_new_connection_reads_the_rows_before_anything_is_stored() {
    let mut desk = Desk::new(2, Options::default());
    desk.piece(0, 0, 4);
    desk.store();
    desk.generation += 1;
    desk.moved(&[0]);
    desk.piece(0, 4, 8);
    assert_eq!(desk.marks(), [0, 1], "the idle lane too");
    desk.rows(vec![row(4, 5, 1), row(-3, 5, 1)]);
    assert_eq!(desk.missed(), [(1, Miss::Restart)], "the new server lost rows of a lane that nobody writes to");
    assert_eq!(ends(&desk.store()), [(0, 8)]);
}

#[test]
fn w7_a_lane_without_a_write_for_thirty_seconds_is_read() {
    let mut desk = Desk::new(2, Options::default());
    desk.now = ms(20_000);
    desk.piece(0, 0, 4);
    desk.store();
    desk.moved(&[0]);
    desk.now = ms(29_999);
    let Step::Wait(Some(until)) = desk.step() else { panic!("nothing is due") };
    assert_eq!(until, ms(30_000));
    desk.now = ms(30_000);
    assert_eq!(desk.marks(), [1], "the other one was written to");
    desk.rows(vec![row(0, 5, 1)]);
    desk.now = ms(50_000);
    assert_eq!(desk.marks(), [0]);
}

#[test]
fn w7_an_outage_that_outlived_its_work_is_ended_by_a_row_check() {
    let mut desk = Desk::new(2, Options::default());
    desk.piece(0, 0, 4);
    desk.store();
    desk.fails(SinkFault::Transient, None);
    desk.end(0, 5);
    assert!(desk.writer.in_outage() && !desk.writer.holds_work());
    for _ in 0..Options::default().breaker.probes {
        assert!(desk.writer.in_outage(), "a success is not enough for the breaker");
        assert_eq!(desk.marks(), [1]);
        desk.rows(vec![row(0, 5, 1)]);
    }
    assert!(!desk.writer.in_outage(), "intake would have waited for ever");
    assert!(matches!(desk.out.last(), Some(Message::Outage { cause: None, .. })));
}

#[test]
fn w9_a_backlog_lets_the_group_grow_and_a_trickle_does_not_wait() {
    let mut desk = Desk::new(1, Options { group_rows: 20, ..Options::default() });
    let full = |from, to| ToWriter::Piece { piece: scored(0, 5, from, to), full: true };
    desk.hear(full(0, 4));
    let Step::Wait(Some(until)) = desk.step() else { panic!("more is coming") };
    assert_eq!(until, ms(10));
    desk.hear(full(4, 20));
    assert_eq!(ends(&desk.store()), [(0, 4), (0, 20)], "enough rows: at once");
    desk.moved(&[0]);
    desk.hear(full(20, 24));
    assert!(is_idle(&desk.step()));
    desk.now = ms(10);
    assert_eq!(ends(&desk.store()), [(0, 24)], "ten milliseconds");
    desk.moved(&[0]);
    desk.piece(0, 24, 25);
    assert!(matches!(desk.step(), Step::Do(Command::Store(_))), "no backlog: at once");
}

#[test]
fn w9_groups_grow_while_the_database_is_slow_with_marks() {
    let options = Options { group_rows: 20, fence_share: 25, fence_wait_max: Millis(100), ..Options::default() };
    let mut desk = Desk::new(1, options);
    desk.piece(0, 0, 1);
    assert_eq!(ends(&desk.store()), [(0, 1)], "nothing is known yet");
    desk.writer.pace(ms(0), ms(5));
    desk.moved(&[0]);
    desk.piece(0, 1, 2);
    assert!(matches!(desk.step(), Step::Wait(Some(until)) if until == ms(20)), "a quarter of the time");
    desk.now = ms(20);
    desk.piece(0, 2, 3);
    assert_eq!(ends(&desk.store()), [(0, 2), (0, 3)], "all that came meanwhile");
    desk.writer.pace(ms(20), ms(3000));
    desk.moved(&[0]);
    desk.piece(0, 3, 4);
    assert!(matches!(desk.step(), Step::Wait(Some(until)) if until == ms(120)), "never longer than this");
    desk.piece(0, 4, 24);
    assert_eq!(ends(&desk.store()), [(0, 4), (0, 24)], "a full group does not wait");
}

#[test]
fn w9_a_group_ends_at_its_rows_and_no_lane_starves() {
    let mut desk = Desk::new(3, Options { group_rows: 4, ..Options::default() });
    for p in 0..3 {
        (0..4).for_each(|i| desk.piece(p, i * 4, i * 4 + 4));
    }
    let mut order: Vec<i32> = vec![];
    for _ in 0..6 {
        let group = desk.store();
        let lanes: Vec<i32> = group.moves.iter().map(|m| m.lane.partition).collect();
        order.extend(&lanes);
        desk.moved(&lanes);
    }
    assert_eq!(order, [0, 1, 2, 0, 1, 2]);
}

fn guilty(record: usize) -> Guilty {
    Guilty { piece: 0, record, why: Rejected::new(Stage::Write, "22003", "out of range") }
}

#[test]
fn p6_a_row_that_the_table_refuses_becomes_a_dead_letter_of_the_same_group() {
    let mut desk = Desk::new(1, Options::default());
    desk.piece(0, 0, 4);
    desk.store();
    desk.fails(SinkFault::Data, Some("22003"));
    assert!(matches!(desk.command(), Command::Isolate(_)));
    desk.answer(Answer::Isolated(Ok(vec![guilty(2)])));
    let counts = desk.store().moves[0].counts;
    assert_eq!((counts.stored, counts.dead), (3, 1));
    desk.moved(&[0]);
    let Some(Message::Returned(returns)) = desk.out.first() else { panic!("nothing came home") };
    let Fate::Settled(tally) = &returns[0].fate else { panic!("it was stored") };
    assert_eq!(tally.reasons, [(Stage::Write, "22003", 1)]);
}

#[test]
fn p6_a_search_that_finds_nobody_new_becomes_an_outage_not_a_busy_loop() {
    let searches: [fn() -> Answer; 3] = [
        || Answer::Isolated(Ok(vec![])),
        || Answer::Isolated(Ok(vec![guilty(2)])),
        || Answer::Isolated(Err(SinkError { fault: SinkFault::Data, sqlstate: None, message: "x".into() })),
    ];
    for search in searches {
        let mut desk = Desk::new(1, Options::default());
        desk.piece(0, 0, 4);
        let mut asked = 0;
        while !desk.writer.in_outage() {
            asked += 1;
            assert!(asked < 10, "it goes on asking without a pause");
            desk.store();
            desk.fails(SinkFault::Data, None);
            assert!(matches!(desk.command(), Command::Isolate(_)));
            desk.answer(search());
        }
        assert!(desk.now == ms(0) && is_idle(&desk.step()), "a pause");
        assert!(desk.writer.holds_work() && desk.home().is_empty(), "nothing is lost by it");
    }
}

#[test]
fn c9_what_fails_and_succeeds_by_turns_does_not_reset_the_pace() {
    let mut desk = Desk::new(1, Options::default());
    let mut pauses = vec![];
    for i in 0..40 {
        desk.piece(0, i, i + 1);
        desk.store();
        let before = desk.now;
        desk.fails(SinkFault::Transient, None);
        assert_eq!(desk.marks(), [0]);
        pauses.push((desk.now - before).as_millis());
        desk.rows(vec![row(i, 5, 1)]);
        desk.store();
        desk.moved(&[0]);
    }
    let (first, last): (u128, u128) = (pauses[..5].iter().sum(), pauses[35..].iter().sum());
    assert!(first < 4000 && last > 15_000, "{pauses:?}");
}

#[test]
fn p5_deadlocks_are_counted_before_they_stop_intake_and_what_needs_a_person_stops_it_at_once() {
    for (fault, sqlstate, most) in [
        (SinkFault::Transient, Some("40P01"), 3),
        (SinkFault::Transient, None, 1),
        (SinkFault::Operator, Some("53100"), 1),
        (SinkFault::Contract, Some("42703"), 1),
        (SinkFault::Bug, Some("21000"), 1),
    ] {
        let mut desk = Desk::new(1, Options::default());
        desk.piece(0, 0, 4);
        for failures in 1..=most {
            assert!(!desk.writer.in_outage(), "{fault:?} after {failures}");
            desk.store();
            desk.fails(fault, sqlstate);
            if failures < most {
                desk.marks();
                desk.rows(vec![row(0, 5, 1)]);
            }
        }
        let told = desk.out.iter().rev().find_map(|m| match m {
            Message::Outage { cause: Some(trouble), .. } => Some(trouble.fault),
            _ => None,
        });
        assert_eq!((desk.writer.in_outage(), told), (true, Some(fault)));
        assert!(desk.writer.holds_work() && desk.home().is_empty(), "nothing is given up");
    }
}

#[test]
fn p5_a_bug_of_ours_is_repeated_in_the_smallest_groups() {
    let mut desk = Desk::new(1, Options::default());
    (0..4).for_each(|i| desk.piece(0, i * 2, i * 2 + 2));
    assert_eq!(desk.store().pieces.len(), 4);
    desk.fails(SinkFault::Bug, Some("21000"));
    desk.marks();
    desk.rows(vec![row(0, 5, 1)]);
    assert_eq!(desk.store().pieces.len(), 1);
}
