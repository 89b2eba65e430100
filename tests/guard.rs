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

/// Runs of records; the second number says whether the cause `BAD` is accepted meanwhile.
fn runs() -> impl Strategy<Value = Vec<(Vec<Record>, bool)>> {
    let record = prop_oneof![6 => Just(None), 3 => Just(Some(BAD)), 1 => Just(Some(OTHER))];
    let mixed = prop::collection::vec(record, 1..20);
    let bad = (1..20usize).prop_map(|n| vec![Some(BAD); n]);
    let good = (1..60usize).prop_map(|n| vec![None; n]);
    prop::collection::vec((prop_oneof![3 => mixed, 1 => bad, 2 => good], prop::bool::weighted(0.15)), 0..40)
}

/// Whether the record, put behind all that passed, makes a flood.
fn floods(passed: &[Record], record: Record) -> bool {
    let Some(cause) = record else { return false };
    let all: Vec<Record> = passed.iter().copied().chain([record]).collect();
    let window = &all[all.len().saturating_sub(40)..];
    let same = window.iter().filter(|r| **r == Some(cause)).count();
    same >= 5 && same * 100 > 20 * window.len()
}

fn history(runs: &[(Vec<Record>, bool)]) -> Result<(), TestCaseError> {
    let mut guard = Guard::new(options());
    let mut passed: Vec<Record> = vec![];
    for (run, accepted) in runs {
        let hour = Duration::from_secs(3600);
        let word = Accepted { topic: 0, cause: "decode/bad_json".into(), left: hour };
        guard.accept(hour, if *accepted { std::slice::from_ref(&word) } else { &[] });
        let mut after = passed.clone();
        let mut held = false;
        for record in run {
            held |= floods(&after, *record) && !(*accepted && *record == Some(BAD));
            after.push(*record);
        }
        let clean = run.iter().all(Option::is_none);
        let got = if clean {
            guard.pass(0, run.len() as u64);
            Ok(())
        } else {
            guard.judge(hour, 0, run.iter().copied())
        };
        prop_assert_eq!(got.is_err(), held, "G1, G2, G4, G5: {:?} behind {} records", run, passed.len());
        if let Err(flood) = got {
            prop_assert!(flood.rejected >= 5 && u64::from(flood.rejected) * 5 > flood.of, "G1: {flood:?} is no flood");
        } else {
            // G3: what was held is not in the model, and the next run shows that it is not in the guard either.
            passed = after;
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
    assert!(guard.amend(now, 0, std::iter::repeat_n(BAD, 80)).is_ok(), "80 of 400 are a fifth");
    let flood = guard.amend(now, 0, std::iter::once(BAD)).expect_err("81 are more");
    assert_eq!((flood.rejected, flood.of), (81, 400));
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
