//! The only reader of time and randomness in the pipeline.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::domain::lane::{Now, Owner};

/// Monotonic time since the process (or the simulation) started.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    /// The instant at which [`Clock::now`] was zero.
    pub fn origin(&self) -> Instant {
        self.0
    }

    pub fn now(&self) -> Now {
        self.0.elapsed()
    }

    /// The instant at which [`Clock::now`] says `at`.
    pub fn instant(&self, at: Now) -> Instant {
        self.0 + at
    }
}

/// Measures the parts of one piece of work.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Time since the start or the last lap.
    pub fn lap(&mut self) -> Now {
        let now = Instant::now();
        now - std::mem::replace(&mut self.0, now)
    }
}

/// Microseconds since 1970.
pub fn wall_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// A small seeded source of jitter. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014 (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn seeded(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A seed from the system.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn from_system() -> Result<Dice, getrandom::Error> {
        getrandom::u64().map(Dice)
    }

    #[expect(clippy::should_implement_trait, reason = "a die has no end; an iterator would promise one")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `[0, n)`, `n` above zero.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// An id that no other process start has.
    pub fn owner(&mut self) -> Owner {
        Owner(u128::from(self.next()) << 64 | u128::from(self.next()))
    }
}
