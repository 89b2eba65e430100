//! A circuit breaker: what has failed too often is left alone for a while, then tried by a few probes.
//!
//! Source: M. Nygard, "Release It!", 2007 (closed, open, half-open). Nothing is dropped while it is open: who asks waits.
//!
//! Invariants, stated as properties in `tests/retries.rs`:
//! - **B1** While it is open nothing passes before the time that was told, and that time comes within the cap.
//! - **B2** While it is half-open at most `probes` calls are under way.
//! - **B3** It closes when `probes` calls that began half-open have succeeded, with no failure among them, and only then.
//! - **B4** A failure while it is half-open opens it again; the pace of retries is not reset by the probes before (R2).
//! - **B5** Answers to calls of an earlier state change neither state nor probes.
//! - **B6** It never stays shut: once the time has come and no probe is under way, a call passes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lane::Now;
use super::mutants;
use super::retry::{Backoff, Options as Pace};

/// When a breaker opens and closes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Failures that open it. What only a person can mend opens it at once.
    pub failures: u32,
    /// Successes in a row that close it again, and most calls under way until then.
    pub probes: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options { failures: 3, probes: 2 }
    }
}

/// What passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// Everything.
    #[default]
    Closed,
    /// Nothing.
    Open,
    /// A few probes.
    HalfOpen,
}

impl State {
    pub const ALL: [State; 3] = [State::Closed, State::Open, State::HalfOpen];

    pub fn name(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::Open => "open",
            State::HalfOpen => "half_open",
        }
    }
}

/// Leave to make one call; its outcome is told with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a pass that is not answered holds a probe's place"]
pub struct Pass(u64);

/// The breaker of one dependency.
#[derive(Clone, Debug)]
pub struct Breaker {
    options: Options,
    backoff: Backoff,
    state: State,
    /// Rises with every change of state, so that late answers are recognised (B5).
    era: u64,
    probing: u32,
    passed: u32,
    opened: u64,
}

impl Breaker {
    pub fn new(options: Options, retry: Pace) -> Breaker {
        let backoff = Backoff::new(retry);
        Breaker { options, backoff, state: State::Closed, era: 0, probing: 0, passed: 0, opened: 0 }
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// Times that it opened.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// The pace of retries.
    pub fn backoff(&self) -> &Backoff {
        &self.backoff
    }

    /// Leave for a call, or when to ask again (`None`: once a probe has answered).
    pub fn admit(&mut self, now: Now) -> Result<Pass, Option<Now>> {
        if self.state == State::Open {
            if now < self.backoff.due() {
                return Err(Some(self.backoff.due()));
            }
            self.enter(State::HalfOpen);
        }
        if self.state == State::HalfOpen {
            if self.probing >= self.places() {
                return Err(None);
            }
            self.probing += 1;
        }
        Ok(Pass(self.era))
    }

    /// The call was answered.
    pub fn succeeded(&mut self, now: Now, pass: Pass) {
        if pass.0 != self.era {
            return;
        }
        if self.state == State::HalfOpen {
            self.probing -= 1;
            self.passed += 1;
            if self.passed >= self.places() && !mutants::on("breaker_never_closes") {
                self.enter(State::Closed);
            }
        }
        self.backoff.succeeded(now);
    }

    /// The call failed; `grave` opens at once. `random` is uniform in `[0, 1)`; the same may be tried again at the returned time.
    pub fn failed(&mut self, now: Now, pass: Pass, random: f64, grave: bool) -> Now {
        if pass.0 != self.era {
            return self.backoff.due().max(now);
        }
        let due = self.backoff.failed(now, random);
        let opens = grave || self.state == State::HalfOpen || self.backoff.failures() >= self.options.failures;
        if opens {
            self.opened += 1;
            self.enter(State::Open);
        }
        due
    }

    /// The call ended without saying anything about the dependency, or was given up.
    pub fn forget(&mut self, pass: Pass) {
        if pass.0 == self.era && self.state == State::HalfOpen {
            self.probing -= 1;
        }
    }

    fn places(&self) -> u32 {
        self.options.probes.max(1)
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.era += 1;
        (self.probing, self.passed) = (0, 0);
    }
}
