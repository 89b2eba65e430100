//! When to try again: capped exponential backoff with equal jitter.
//!
//! Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("equal jitter").

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lane::Now;
use super::units::Millis;

/// Pace of retries during an outage. They never end by themselves: an outage waits (promise P5).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Upper bound of the first delay; it doubles from try to try.
    pub first: Millis,
    /// Upper bound of any delay. Raise it when many processes share one database.
    pub cap: Millis,
}

impl Default for Options {
    fn default() -> Options {
        Options { first: Millis(100), cap: Millis::secs(10) }
    }
}

/// Consecutive failures of one thing and the time of its next try.
#[derive(Clone, Debug)]
pub struct Backoff {
    options: Options,
    failures: u32,
    due: Now,
}

impl Backoff {
    pub fn new(options: Options) -> Backoff {
        Backoff { options, failures: 0, due: Duration::ZERO }
    }

    /// Notes a failure. `random` is uniform in `[0, 1)`; the next try is due at the returned time.
    pub fn failed(&mut self, now: Now, random: f64) -> Now {
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        // Half of the ceiling is kept, so that a lucky draw never hammers what is down.
        self.due = now + ceiling.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        self.due
    }

    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.due = Duration::ZERO;
    }

    pub fn failures(&self) -> u32 {
        self.failures
    }

    pub fn due(&self) -> Now {
        self.due
    }

    fn ceiling(&self) -> Duration {
        let first = self.options.first.duration();
        let cap = self.options.cap.duration().max(first);
        first.checked_mul(1 << self.failures.min(24)).map_or(cap, |d| d.min(cap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_success_starts_anew() {
        let mut b = Backoff::new(Options { first: Millis(100), cap: Millis(1000) });
        let mut now = Duration::ZERO;
        for ceiling in [100, 200, 400, 800, 1000, 1000] {
            let due = b.failed(now, 0.999_999);
            let delay = (due - now).as_millis();
            assert!(delay > ceiling / 2 && delay <= ceiling, "{delay} of {ceiling}");
            now = due;
        }
        b.succeeded();
        assert_eq!((b.failed(now, 0.0) - now).as_millis(), 50);
        for _ in 0..100 {
            b.failed(now, 0.5);
        }
        assert!(b.due() - now <= Duration::from_secs(1));
    }
}
