//! The ledger's numbered invariants against a naive model, over random histories. Each is seen red by a planted bug
//! (`cargo test --features mutants --test ledger`).

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tidemill::domain::lane::Epoch;
use tidemill::domain::ledger::{Ledger, Settle};

#[derive(Clone, Debug)]
enum Act {
    /// Take a piece of so many records over so many offsets.
    Take {
        offsets: i64,
        records: u64,
    },
    Extend {
        offsets: i64,
        records: u64,
    },
    /// Settle the n-th piece ever taken (perhaps again), under the right epoch or an old one.
    Settle {
        piece: usize,
        stale: bool,
    },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (1..40i64, 0..20u64).prop_map(|(offsets, records)| Act::Take { offsets, records: records.min(offsets as u64) }),
        1 => (1..9i64, 1..3u64).prop_map(|(offsets, records)| Act::Extend { offsets, records }),
        4 => (0..60usize, prop::bool::weighted(0.2)).prop_map(|(piece, stale)| Act::Settle { piece, stale }),
    ];
    prop::collection::vec(act, 0..200)
}

/// All pieces ever taken: `(begin, end, records, settled)`.
type Model = Vec<(i64, i64, u64, bool)>;

fn marked(model: &Model, start: i64) -> i64 {
    model.iter().take_while(|p| p.3).last().map_or(start, |p| p.1)
}

fn check(ledger: &Ledger, model: &Model, start: i64, before: (i64, i64)) -> Result<(), TestCaseError> {
    let lowest = model.iter().find(|p| !p.3).map_or(i64::MAX, |p| p.0);
    prop_assert!(ledger.mark() <= lowest, "I1: mark {} above unsettled {lowest}", ledger.mark());
    prop_assert!(ledger.mark() >= before.0 && ledger.position() >= before.1, "I2: mark or position went back");
    prop_assert_eq!(ledger.mark(), marked(model, start), "I4, I8: the mark is the end of the settled prefix");
    let out: u64 = model.iter().filter(|p| !p.3).map(|p| p.2).sum();
    prop_assert_eq!(ledger.in_flight(), out, "I5: in flight is the sum of the unsettled");
    if model.iter().all(|p| p.3) {
        prop_assert_eq!(ledger.mark(), ledger.position(), "I7: all settled, nothing to read again");
        prop_assert!(ledger.is_drained());
    }
    Ok(())
}

fn history(acts: &[Act]) -> Result<(), TestCaseError> {
    let start = 100;
    let mut ledger = Ledger::new(Epoch(7), start);
    let mut model: Model = vec![];
    for act in acts {
        let before = (ledger.mark(), ledger.position());
        match act {
            Act::Take { offsets, records } => {
                let end = ledger.position() + offsets;
                prop_assert_eq!(ledger.take(end, *records), before.1, "W2: a piece begins where the last one ended");
                model.push((before.1, end, *records, false));
            }
            Act::Extend { offsets, records } => {
                if let Some(last) = model.last_mut().filter(|p| !p.3) {
                    last.1 += offsets;
                    last.2 += records;
                    ledger.extend(last.1, *records);
                }
            }
            Act::Settle { piece, stale } => {
                let Some(p) = model.get_mut(*piece) else { continue };
                let answer = ledger.settle(Epoch(if *stale { 6 } else { 7 }), p.1);
                if *stale {
                    prop_assert_eq!(answer, Settle::Stale, "I3: an older epoch changes nothing");
                } else if p.3 {
                    prop_assert_eq!(answer, Settle::Repeated, "I6: settled twice is said");
                } else {
                    p.3 = true;
                    let mark = marked(&model, start);
                    let want = if mark > before.0 { Settle::Advanced(mark) } else { Settle::Held };
                    check(&ledger, &model, start, before)?;
                    prop_assert_eq!(answer, want);
                }
            }
        }
        check(&ledger, &model, start, before)?;
    }
    Ok(())
}

fn run() -> Result<(), String> {
    let mut runner = TestRunner::new(Config { cases: 4000, failure_persistence: None, ..Config::default() });
    runner.run(&acts(), |acts| history(&acts)).map_err(|e| e.to_string())
}

#[test]
fn i1_to_i8_hold_over_random_histories() {
    run().expect("every invariant holds");
}

#[cfg(feature = "mutants")]
#[test]
fn each_planted_bug_breaks_the_invariant_it_should() {
    use tidemill::domain::mutants::plant;
    let expected: [(&str, &[&str]); 7] = [
        ("mark_highest_seen", &["I1"]),
        ("settle_any_epoch", &["I3"]),
        ("settle_twice", &["I6", "Repeated"]),
        ("settle_behind", &["I4"]),
        ("settle_keeps_in_flight", &["I5"]),
        ("mark_goes_back", &["I2"]),
        ("drained_below_position", &["I7", "I4"]),
    ];
    for (bug, names) in expected {
        plant(bug);
        let red = run().expect_err(bug);
        plant("");
        assert!(names.iter().any(|n| red.contains(n)), "{bug} was seen as: {red}");
    }
}
