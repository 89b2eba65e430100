//! When to try again: capped exponential backoff with jitter, and a budget of quick tries.
//!
//! Sources: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("full jitter", "equal jitter");
//! gRPC proposal A6, "Retry throttling" (a bucket that failures empty and successes refill slowly).
//!
//! Invariants, stated as properties in `tests/retries.rs`:
//! - **R1** A delay is never longer than the cap, never shorter than the floor, and its bound never falls from failure to failure.
//! - **R2** A brief success forgets nothing: the bound falls only after a quiet time as long as itself.
//! - **R3** Once the budget is used up, every delay is at least half the cap until successes have refilled it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lane::Now;
use super::mutants;
use super::units::Millis;

/// Pace of retries during an outage. They never end by themselves: an outage waits (promise P5).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Upper bound of the first delay; it doubles from try to try. The delay itself is drawn between a tenth of this and
    /// the bound ("full jitter"), so that many processes do not come back at the same moment.
    pub first: Millis,
    /// Upper bound of any delay. Raise it when many processes share one database.
    pub cap: Millis,
    /// Quick tries that are in the budget; each costs one, each success gives a tenth back. Without budget every delay
    /// is at least half of `cap`: what fails and succeeds by turns is not tried at full speed for ever.
    pub budget: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options { first: Millis(100), cap: Millis::secs(10), budget: 30 }
    }
}

/// How delays are drawn below their bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Jitter {
    /// Anything from the floor on. The floor is a tenth of the first bound: of full jitter's draws, one in ten would
    /// otherwise ask what has just failed again within that time, and by chance several times in a row.
    Full,
    /// Half of the bound is kept: for waits whose length is the point of them (rule C5).
    Equal,
}

/// Consecutive failures of one thing, the time of its next try, and the budget.
#[derive(Clone, Debug)]
pub struct Backoff {
    options: Options,
    jitter: Jitter,
    failures: u32,
    failed_at: Now,
    /// Successes since the last failure.
    well: bool,
    due: Now,
    /// Tenths of a try.
    budget: u32,
    exhausted: u64,
}

impl Backoff {
    /// Full jitter: for what is asked again until it answers.
    pub fn new(options: Options) -> Backoff {
        Backoff::with(options, Jitter::Full)
    }

    /// Equal jitter, without a budget: for waits in which others are to act.
    pub fn patient(options: Options) -> Backoff {
        Backoff::with(Options { budget: u32::MAX / 10, ..options }, Jitter::Equal)
    }

    fn with(options: Options, jitter: Jitter) -> Backoff {
        let budget = options.budget.saturating_mul(10);
        let (failed_at, due) = (Duration::ZERO, Duration::ZERO);
        Backoff { options, jitter, failures: 0, failed_at, well: false, due, budget, exhausted: 0 }
    }

    /// Notes a failure. `random` is uniform in `[0, 1)`; the next try is due at the returned time.
    pub fn failed(&mut self, now: Now, random: f64) -> Now {
        self.forget(now);
        let bound = self.bound();
        let (low, high) = if self.spend() { (self.floor(bound), bound) } else { (self.cap() / 2, self.cap()) };
        self.failures = self.failures.saturating_add(1);
        (self.failed_at, self.well) = (now, false);
        self.due = now + (low + (high - low).mul_f64(random.clamp(0.0, 1.0)));
        self.due
    }

    /// Notes a success: the next try is due at once. What failed before is forgotten only after a quiet time (R2).
    pub fn succeeded(&mut self, now: Now) {
        self.forget(now);
        self.well = true;
        self.due = Duration::ZERO;
        self.budget = self.budget.saturating_add(1).min(self.options.budget.saturating_mul(10));
        if mutants::on("success_forgets_failures") {
            self.failures = 0;
        }
    }

    /// Failures that are not forgotten yet.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    pub fn due(&self) -> Now {
        self.due
    }

    /// Failures that found the budget used up.
    pub fn exhausted(&self) -> u64 {
        self.exhausted
    }

    /// After a success, and as much time as the next delay could take.
    fn forget(&mut self, now: Now) {
        if self.well && now >= self.failed_at + self.bound() {
            self.failures = 0;
        }
    }

    fn spend(&mut self) -> bool {
        let left = self.budget >= 10;
        self.budget = self.budget.saturating_sub(10);
        self.exhausted += u64::from(!left);
        left
    }

    fn floor(&self, bound: Duration) -> Duration {
        match self.jitter {
            Jitter::Full => self.options.first.duration() / 10,
            Jitter::Equal => bound / 2,
        }
    }

    fn cap(&self) -> Duration {
        self.options.cap.duration().max(self.options.first.duration())
    }

    fn bound(&self) -> Duration {
        let first = self.options.first.duration();
        first.checked_mul(1 << self.failures.min(24)).map_or(self.cap(), |d| d.min(self.cap()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(budget: u32) -> Options {
        Options { first: Millis(100), cap: Millis(1000), budget }
    }

    #[test]
    fn delays_double_up_to_the_cap_and_are_drawn_from_the_floor_on() {
        for (make, low) in
            [(Backoff::new as fn(Options) -> Backoff, [10; 6]), (Backoff::patient, [50, 100, 200, 400, 500, 500])]
        {
            let (mut lucky, mut unlucky) = (make(options(100)), make(options(100)));
            let now = Duration::ZERO;
            for (ceiling, low) in [100, 200, 400, 800, 1000, 1000].into_iter().zip(low) {
                assert_eq!((lucky.failed(now, 0.0) - now).as_millis(), low);
                assert!((unlucky.failed(now, 0.999_999) - now).as_micros() > (ceiling - 1) * 1000);
            }
        }
    }

    #[test]
    fn a_success_is_believed_after_a_quiet_time() {
        let mut b = Backoff::new(options(100));
        let second = Duration::from_secs(1);
        for _ in 0..4 {
            b.failed(second, 0.5);
        }
        b.succeeded(second + Duration::from_millis(300));
        assert_eq!((b.failures(), b.due()), (4, Duration::ZERO));
        b.failed(second * 10, 0.5);
        assert_eq!(b.failures(), 1, "nine quiet seconds and a success");
        b.failed(second * 100, 0.5);
        assert_eq!(b.failures(), 2, "time alone forgets nothing");
    }
}
