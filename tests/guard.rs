//! The flood guard's numbered invariants against a naive model that remembers every record.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tidemill::domain::guard::{Accepted, Cause, Guard, Options};
use tidemill::domain::units::Millis;
use tidemill::domain::verdict::Stage;

const BAD: Cause = Cause { stage: Stage::Decode, reason: "bad_json" };
const OTHER: Cause = Cause { stage: Stage::Infer, reason: "not_finite" };

fn options() -> Options {
    Options { window: 40, share: 20, least: 5, retry: Millis(1000), poll: Millis(1000) }
}

type Record = Option<Cause>;

const REFUSED: Cause = Cause { stage: Stage::Write, reason: "check_violation" };

/// What happens to one run of records.
#[derive(Clone, Debug)]
struct Run {
    records: Vec<Record>,
    /// The cause `BAD` is accepted meanwhile.
    accepted: bool,
    /// Records that the sink will refuse, by place.
    refused: Vec<usize>,
    /// The sink gets to what it has not looked at yet.
    stored: bool,
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let record = prop_oneof![6 => Just(None), 3 => Just(Some(BAD)), 1 => Just(Some(OTHER))];
    let mixed = prop::collection::vec(record, 1..20);
    let bad = (1..20usize).prop_map(|n| vec![Some(BAD); n]);
    let good = (1..60usize).prop_map(|n| vec![None; n]);
    let refused = prop::collection::btree_set(0..60usize, 0..12).prop_map(|set| set.into_iter().collect());
    let records = prop_oneof![3 => mixed, 1 => bad, 2 => good];
    let run = (records, prop::bool::weighted(0.15), refused, prop::bool::weighted(0.3));
    let run = run.prop_map(|(records, accepted, refused, stored)| Run { records, accepted, refused, stored });
    prop::collection::vec(run, 0..40)
}

/// Whether the record, put behind all that passed, makes a flood.
fn floods(passed: &[Record], record: Record) -> bool {
    let Some(cause) = record else { return false };
    let all: Vec<Record> = passed.iter().copied().chain([record]).collect();
    let window = &all[all.len().saturating_sub(40)..];
    let same = window.iter().filter(|r| **r == Some(cause)).count();
    same >= 5 && same * 100 > 20 * window.len()
}

/// What the sink refuses is found late, and judged as if it had been known at once. Says what holds afterwards.
fn refuse(guard: &mut Guard, passed: &[Record], refused: &[usize]) -> Result<Vec<Record>, TestCaseError> {
    let (mut after, mut held) = (passed.to_vec(), false);
    for at in refused.iter().filter(|at| passed[**at].is_none()) {
        held |= floods(&after[..*at], Some(REFUSED));
        after[*at] = Some(REFUSED);
    }
    let found = refused.iter().filter(|at| passed[**at].is_none()).map(|at| (*at as u64 + 1, REFUSED));
    let got = guard.amend(Duration::ZERO, 0, found);
    prop_assert_eq!(got.is_err(), held, "G1, G2, G4: the sink refuses {:?} of {}", refused, passed.len());
    Ok(if held { passed.to_vec() } else { after })
}

fn history(runs: &[Run]) -> Result<(), TestCaseError> {
    let mut guard = Guard::new(options());
    let mut passed: Vec<Record> = vec![];
    let mut waiting: Vec<Vec<usize>> = vec![];
    for run in runs {
        let (records, accepted) = (&run.records, run.accepted);
        let hour = Duration::from_secs(3600);
        let word = Accepted { topic: 0, cause: "decode/bad_json".into(), left: hour };
        guard.accept(hour, if accepted { std::slice::from_ref(&word) } else { &[] });
        let mut after = passed.clone();
        let mut held = false;
        for record in records {
            held |= floods(&after, *record) && !(accepted && *record == Some(BAD));
            after.push(*record);
        }
        let clean = records.iter().all(Option::is_none);
        let got =
            if clean { Ok(guard.pass(0, records.len() as u64)) } else { guard.judge(hour, 0, records.iter().copied()) };
        prop_assert_eq!(got.is_err(), held, "G1, G2, G4, G5: {:?} behind {} records", records, passed.len());
        match got {
            Err(flood) => {
                prop_assert!(
                    flood.rejected >= 5 && u64::from(flood.rejected) * 5 > flood.of,
                    "G1: {flood:?} is no flood"
                );
            }
            // G3: what was held is not in the model, and the next run shows that it is not in the guard either.
            Ok(before) => {
                prop_assert_eq!(before, passed.len() as u64);
                let place = |at: &usize| (*at < records.len()).then_some(passed.len() + at);
                waiting.push(run.refused.iter().filter_map(place).collect());
                passed = after;
            }
        }
        if run.stored {
            for refused in waiting.drain(..) {
                passed = refuse(&mut guard, &passed, &refused)?;
            }
        }
    }
    Ok(())
}

fn run() -> Result<(), String> {
    let config = Config { cases: 3000, failure_persistence: None, ..Config::default() };
    let rng = proptest::test_runner::TestRng::deterministic_rng(Default::default());
    TestRunner::new_with_rng(config, rng).run(&runs(), |runs| history(&runs)).map_err(|e| e.to_string())
}

#[test]
fn g1_to_g5_hold_over_random_histories() {
    run().expect("every invariant holds");
}

#[test]
fn j1_a_topic_of_nothing_but_poison_stops_at_fifty_and_a_quiet_one_never() {
    let mut guard = Guard::new(Options::default());
    let now = Duration::ZERO;
    let one = |guard: &mut Guard, topic, cause| guard.judge(now, topic, std::iter::once(cause));
    assert!((0..49).all(|_| one(&mut guard, 0, Some(BAD)).is_ok()));
    let flood = one(&mut guard, 0, Some(BAD)).expect_err("the fiftieth");
    assert_eq!((flood.rejected, flood.of, flood.cause.to_string().as_str()), (50, 50, "decode/bad_json"));
    assert!(one(&mut guard, 0, Some(BAD)).is_err(), "and it stays");
    assert!(one(&mut guard, 0, Some(OTHER)).is_ok(), "another cause is another matter");
    assert!(one(&mut guard, 1, Some(BAD)).is_ok(), "another topic too");
    guard.pass(2, 200);
    assert!((0..50).all(|_| one(&mut guard, 2, Some(BAD)).is_ok()), "fifty of 250 are a fifth");
    assert!(one(&mut guard, 2, Some(BAD)).is_err(), "51 of 251 are more");
    guard.pass(2, 1000);
    assert!(one(&mut guard, 2, Some(BAD)).is_ok(), "only the last 1,000 count");
}

#[test]
fn j1_rows_that_the_sink_refuses_count_as_the_records_that_they_are() {
    let mut guard = Guard::new(Options::default());
    let now = Duration::ZERO;
    guard.pass(0, 400);
    let refused = |numbers: std::ops::RangeInclusive<u64>| numbers.map(|n| (n, BAD));
    assert!(guard.amend(now, 0, refused(321..=400)).is_ok(), "80 of 400 are a fifth");
    guard.pass(0, 1);
    let flood = guard.amend(now, 0, refused(401..=401)).expect_err("81 of 401 are more");
    assert_eq!((flood.rejected, flood.of), (81, 401));
}

#[test]
fn j1_what_the_sink_refuses_late_is_held_against_its_own_neighbours() {
    let mut guard = Guard::new(Options::default());
    let now = Duration::ZERO;
    // Eight full groups are judged before the first of them is stored.
    let groups: Vec<u64> = (0..8).map(|_| guard.pass(0, 8192)).collect();
    for before in &groups {
        let few = (1..=8192).step_by(30).map(|n| (before + n, BAD));
        assert!(guard.amend(now, 0, few).is_ok(), "3 % are no flood, however many are under way");
    }
    let before = guard.pass(0, 8192);
    guard.pass(0, 8192);
    let third = (1..=8192).step_by(3).map(|n| (before + n, OTHER));
    let flood = guard.amend(now, 0, third).expect_err("a third of them is one");
    assert!(flood.of == 1000 && flood.rejected == 201, "{flood:?}");
}

#[cfg(feature = "mutants")]
#[test]
fn each_planted_bug_is_seen() {
    for bug in ["guard_counts_batches", "no_flood_guard"] {
        tidemill::domain::mutants::plant(bug);
        let red = run();
        tidemill::domain::mutants::plant("");
        assert!(red.is_err(), "the planted bug `{bug}` was not caught");
    }
}
