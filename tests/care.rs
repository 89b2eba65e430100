//! Crash-loop care against a small world: one log, processes that end on some of its records, or for reasons of others.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tidemill::domain::care::{Attempt, Care, Judgement, Way};

const LOG: i64 = 1500;
const IN_FLIGHT: u32 = 400;
const TRIES: u32 = 3;

/// Deadly offsets; sizes of ordinary batches; which of the moments with a noted record another lane's record ends the process.
fn worlds() -> impl Strategy<Value = (BTreeSet<i64>, Vec<i64>, BTreeSet<usize>)> {
    let deadly = prop::collection::btree_set(0..LOG, 0..5);
    let others = prop::collection::vec((0..200usize, 1..5usize), 0..4)
        .prop_map(|runs| runs.into_iter().flat_map(|(from, n)| from..from + n).collect());
    (deadly, prop::collection::vec(1..300i64, 1..8), others)
}

struct World {
    deadly: BTreeSet<i64>,
    mark: i64,
    attempt: Option<Attempt>,
    dead: BTreeSet<i64>,
    ends: u32,
    /// The process at work has noted the current record itself.
    noted: bool,
}

/// One process from claim to its end; `false` when it read all of the log.
fn process(w: &mut World, sizes: &[i64], others: &BTreeSet<usize>, moment: &mut usize) -> bool {
    let mut care = w.attempt.map(|a| Care::new(a, TRIES, IN_FLIGHT));
    let mut turn = 0;
    w.noted = false;
    while w.mark < LOG {
        turn += 1;
        let way = care.as_ref().map(Care::way);
        let size = match way {
            Some(Way::Run(n)) => i64::from(n),
            Some(Way::Alone) => 1,
            None => sizes[turn % sizes.len()],
        };
        let end = (w.mark + size).min(LOG);
        let mut condemned = false;
        if let (Some(Way::Alone), Some(care)) = (way, &care) {
            let judgement = care.judge(w.mark);
            condemned = matches!(judgement, Judgement::Condemn(_));
            if condemned {
                w.dead.insert(w.mark);
            } else {
                w.attempt = w.attempt.map(|a| a.noting(w.mark));
                w.noted = true;
                *moment += 1;
                // Another record's fault, which nothing under way beside this one can be when it is processed exclusively.
                if judgement == Judgement::Process && others.contains(moment) {
                    return true;
                }
            }
        }
        if !condemned && w.deadly.range(w.mark..end).next().is_some() {
            return true;
        }
        let records = (end - w.mark) as u32;
        w.mark = end;
        if care.as_mut().is_some_and(|c| c.passed(records)) {
            (care, w.attempt) = (None, None);
        }
    }
    false
}

fn history(deadly: &BTreeSet<i64>, sizes: &[i64], others: &BTreeSet<usize>) -> Result<(), TestCaseError> {
    let mut w = World { deadly: deadly.clone(), mark: 0, attempt: None, dead: BTreeSet::new(), ends: 0, noted: false };
    let mut moment = 0;
    while process(&mut w, sizes, others, &mut moment) {
        w.ends += 1;
        w.attempt = Some(Attempt::after_exit(w.attempt, w.mark, w.noted));
        let most = deadly.len() as u32 * (TRIES + 2) + others.len() as u32 * 2;
        prop_assert!(w.ends <= most, "K1: {} ends for {} deadly records at mark {}", w.ends, deadly.len(), w.mark);
    }
    prop_assert_eq!(&w.dead, deadly, "K1, K2: who was condemned");
    let last = deadly.last().copied().unwrap_or(0);
    if LOG - last > 2 * i64::from(IN_FLIGHT) && others.is_empty() {
        prop_assert!(w.attempt.is_none(), "K3: care outlives its cause: {:?}", w.attempt);
    }
    Ok(())
}

fn run() -> Result<(), String> {
    let config = Config { cases: 1500, failure_persistence: None, ..Config::default() };
    let rng = proptest::test_runner::TestRng::deterministic_rng(Default::default());
    let mut runner = TestRunner::new_with_rng(config, rng);
    runner.run(&worlds(), |(deadly, sizes, others)| history(&deadly, &sizes, &others)).map_err(|e| e.to_string())
}

#[test]
fn k1_to_k3_hold_over_random_worlds() {
    run().expect("every invariant holds");
}

#[cfg(feature = "mutants")]
#[test]
fn each_planted_bug_is_seen() {
    for bug in ["no_care", "care_blames_anyone"] {
        tidemill::domain::mutants::plant(bug);
        let red = run();
        tidemill::domain::mutants::plant("");
        assert!(red.is_err(), "the planted bug `{bug}` was not caught");
    }
}
