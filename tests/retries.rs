//! The numbered invariants of retries and breaker over random histories, each against a naive reading of its sentence.
//! Each is seen red by a planted bug (`cargo test --features mutants --test retries`) or was by breaking the code.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tidemill::domain::breaker::{self, Breaker, Pass, State};
use tidemill::domain::lane::Now;
use tidemill::domain::retry::{self, Backoff};
use tidemill::domain::units::Millis;

fn ms(n: u64) -> Now {
    Duration::from_millis(n)
}

const RETRY: retry::Options = retry::Options { first: Millis(100), cap: Millis(5000), budget: 8 };
const FLOOR: u64 = 10;

#[derive(Clone, Debug)]
enum Act {
    Wait(u64),
    /// Asks for a pass; the call goes under way if it gets one.
    Ask,
    /// The n-th call under way succeeds, fails, or is given up.
    Succeed(usize),
    Fail {
        call: usize,
        random: f64,
        grave: bool,
    },
    Forget(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => prop_oneof![0..150u64, 0..6000u64].prop_map(Act::Wait),
        5 => Just(Act::Ask),
        3 => (0..4usize).prop_map(Act::Succeed),
        4 => (0..4usize, 0.0..1.0f64, prop::bool::weighted(0.1)).prop_map(|(call, random, grave)| Act::Fail { call, random, grave }),
        1 => (0..4usize).prop_map(Act::Forget),
    ];
    prop::collection::vec(act, 0..150)
}

/// What one can know from outside.
struct Seen {
    now: Now,
    /// Calls under way, and whether they began in the half-open state that still holds.
    calls: Vec<(Pass, bool)>,
    probes_passed: u32,
    told: Option<Now>,
}

fn breaker_history(acts: &[Act]) -> Result<(), TestCaseError> {
    let options = breaker::Options { failures: 3, probes: 2 };
    let mut breaker = Breaker::new(options, RETRY);
    let mut seen = Seen { now: ms(0), calls: vec![], probes_passed: 0, told: None };
    for act in acts {
        let before = (breaker.state(), breaker.backoff().failures());
        step(act, &mut breaker, &mut seen)?;
        let state = breaker.state();
        if state != before.0 {
            let legal = [
                (State::Closed, State::Open),
                (State::Open, State::HalfOpen),
                (State::HalfOpen, State::Open),
                (State::HalfOpen, State::Closed),
            ];
            prop_assert!(legal.contains(&(before.0, state)), "{:?} to {state:?}", before.0);
            let closed = (before.0, state) == (State::HalfOpen, State::Closed);
            prop_assert_eq!(
                closed,
                seen.probes_passed >= options.probes,
                "B3: closed by {} probes",
                seen.probes_passed
            );
            seen.probes_passed = 0;
            let begun = matches!(act, Act::Ask);
            let last = seen.calls.len().wrapping_sub(1);
            seen.calls.iter_mut().enumerate().for_each(|(i, c)| c.1 = begun && i == last && state == State::HalfOpen);
        } else {
            prop_assert!(
                seen.probes_passed < options.probes,
                "B3: {} probes passed and it is {state:?}",
                seen.probes_passed
            );
        }
        let probing = seen.calls.iter().filter(|c| c.1).count() as u32;
        prop_assert!(probing <= options.probes, "B2: {probing} probes at once");
    }
    // B6: once time has passed and everything under way is answered, it lets a call through.
    for (pass, _) in seen.calls.drain(..) {
        breaker.forget(pass);
    }
    let later = seen.now + ms(5000);
    let pass = breaker.admit(later);
    prop_assert!(pass.is_ok(), "B6: shut for ever: {pass:?} in {:?}", breaker.state());
    let mut passes = pass.into_iter().collect::<Vec<_>>();
    for _ in 0..options.probes {
        passes.drain(..).for_each(|p| breaker.succeeded(later, p));
        passes.extend(breaker.admit(later));
    }
    prop_assert_eq!(breaker.state(), State::Closed, "B6: all is well and it stays {:?}", breaker.state());
    Ok(())
}

fn step(act: &Act, breaker: &mut Breaker, seen: &mut Seen) -> Result<(), TestCaseError> {
    match act {
        Act::Wait(n) => seen.now += ms(*n),
        Act::Ask => match breaker.admit(seen.now) {
            Ok(pass) => {
                let early = breaker.state() != State::Closed && seen.told.is_some_and(|t| seen.now < t);
                prop_assert!(!early, "B1: passed at {:?}, told {:?}", seen.now, seen.told);
                seen.calls.push((pass, breaker.state() == State::HalfOpen));
            }
            Err(until) => {
                prop_assert!(until.is_some() == (breaker.state() == State::Open), "B1: {until:?}");
                prop_assert!(until.is_none_or(|u| u > seen.now && u <= seen.now + ms(5000)), "B1: {until:?}");
                let probing = seen.calls.iter().any(|c| c.1);
                prop_assert!(until.is_some() || probing, "B6: refused though nothing is under way");
            }
        },
        Act::Succeed(n) if *n < seen.calls.len() => {
            let (pass, probe) = seen.calls.remove(*n);
            let before = breaker.state();
            breaker.succeeded(seen.now, pass);
            seen.probes_passed += u32::from(probe);
            prop_assert!(probe || breaker.state() == before, "B5: a late answer changed {before:?}");
        }
        Act::Fail { call, random, grave } if *call < seen.calls.len() => {
            let (pass, probe) = seen.calls.remove(*call);
            let (before, failures) = (breaker.state(), breaker.backoff().failures());
            let due = breaker.failed(seen.now, pass, *random, *grave);
            if probe {
                prop_assert_eq!(breaker.state(), State::Open, "B4: a failed probe opens");
                seen.told = Some(due);
            } else if before != State::Closed {
                prop_assert_eq!(
                    (breaker.state(), breaker.backoff().failures()),
                    (before, failures),
                    "B5: a late answer"
                );
            } else if breaker.state() == State::Open {
                seen.told = Some(due);
            } else {
                let late = breaker.backoff().failures() == failures;
                prop_assert!(late || (!grave && breaker.backoff().failures() < 3), "B1: it should have opened");
            }
        }
        Act::Forget(n) if *n < seen.calls.len() => breaker.forget(seen.calls.remove(*n).0),
        Act::Succeed(_) | Act::Fail { .. } | Act::Forget(_) => {}
    }
    Ok(())
}

/// Failures and successes of one thing: after how long, and which.
fn pace() -> impl Strategy<Value = Vec<(u64, Option<f64>)>> {
    let one = (prop_oneof![0..50u64, 0..8000u64], prop::option::weighted(0.7, 0.0..1.0f64));
    prop::collection::vec(one, 0..150)
}

/// Bound of the delay after so many failures.
fn bound(failures: u32) -> u64 {
    (100u64 << failures.min(20)).min(5000)
}

fn backoff_history(pace: &[(u64, Option<f64>)]) -> Result<(), TestCaseError> {
    let mut backoff = Backoff::new(RETRY);
    let (mut now, mut failures, mut failed_at, mut well, mut tenths) = (0, 0, 0, false, 80u32);
    for (wait, failure) in pace {
        now += wait;
        if well && now >= failed_at + bound(failures) {
            failures = 0;
        }
        match failure {
            Some(random) => {
                let delay = (backoff.failed(ms(now), *random) - ms(now)).as_millis() as u64;
                if tenths >= 10 {
                    prop_assert!(
                        (FLOOR..=bound(failures)).contains(&delay),
                        "R1, R2: {delay} after {failures} failures"
                    );
                } else {
                    prop_assert!((2500..=5000).contains(&delay), "R3: {delay} without budget");
                }
                tenths = tenths.saturating_sub(10);
                (failures, failed_at, well) = (failures + 1, now, false);
                prop_assert_eq!(backoff.failures(), failures, "R2: what is remembered");
            }
            None => {
                backoff.succeeded(ms(now));
                tenths = (tenths + 1).min(80);
                well = true;
                prop_assert_eq!(backoff.failures(), failures, "R2: what is remembered after a success");
            }
        }
    }
    Ok(())
}

fn runner() -> TestRunner {
    let config = Config { cases: 3000, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, proptest::test_runner::TestRng::deterministic_rng(Default::default()))
}

#[test]
fn b1_to_b6_hold_over_random_histories() {
    runner().run(&acts(), |acts| breaker_history(&acts)).unwrap();
}

#[test]
fn r1_to_r3_hold_over_random_histories() {
    runner().run(&pace(), |pace| backoff_history(&pace)).unwrap();
}

#[test]
fn r3_what_fails_and_succeeds_by_turns_ends_at_the_slow_pace() {
    // Row C9 of a flapping link: each second one failure, then a success.
    let mut backoff = Backoff::new(retry::Options { first: Millis(10), cap: Millis(5000), budget: 8 });
    let mut delays = vec![];
    for second in 0..12 {
        delays.push((backoff.failed(ms(second * 1000), 0.999) - ms(second * 1000)).as_millis());
        backoff.succeeded(ms(second * 1000 + 5));
    }
    assert!(delays[7] < 2500 && delays[10] >= 2500 && delays[11] >= 2500, "{delays:?}");
}

#[cfg(feature = "mutants")]
#[test]
fn every_planted_bug_is_caught() {
    use tidemill::domain::mutants::plant;
    for bug in ["breaker_never_closes", "success_forgets_failures"] {
        plant(bug);
        let red = runner().run(&acts(), |acts| breaker_history(&acts)).is_err()
            || runner().run(&pace(), |pace| backoff_history(&pace)).is_err();
        plant("");
        assert!(red, "the planted bug `{bug}` was not caught");
    }
}
