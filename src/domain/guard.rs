//! The flood guard (rule J1): when too many of a topic's latest records are rejected for one cause, it is not the records
//! that are wrong but the contract with their producer, and they must not become dead letters without a person's word.
//!
//! Invariants, stated as properties in `tests/guard.rs`:
//! - **G1** A rejected record passes only if, counted with it, its cause has fewer than `least` or at most `share` percent of
//!   the last `window` records of its topic, or is accepted.
//! - **G2** Below that every rejected record passes: a quiet topic is never stopped by a few poison records.
//! - **G3** What is held leaves no trace: it will be read and judged again.
//! - **G4** Batches do not matter: judged in runs of any length, the same records pass.
//! - **G5** While a cause is accepted it is never held, and it counts all the same: afterwards it is held at once.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lane::Now;
use super::mutants;
use super::units::Millis;
use super::verdict::{Rejected, Stage};

/// `[guard]`: when rejected records count as a flood, which stops their topic instead of filling the dead letters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// So many of the latest records of a topic are looked at.
    pub window: u32,
    /// Percent of them that may be rejected for one cause. 100 never stops anything.
    pub share: u32,
    /// Fewer rejected records than this are never a flood.
    pub least: u32,
    /// How often one record of a stopped topic is tried.
    pub retry: Millis,
    /// How often the database is asked whether somebody has accepted the cause of a stopped topic, or has ended that early.
    pub poll: Millis,
}

impl Default for Options {
    fn default() -> Options {
        Options { window: 1000, share: 20, least: 50, retry: Millis::secs(30), poll: Millis::secs(5) }
    }
}

/// Why records are rejected, as one counts them: `decode/bad_json`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cause {
    pub stage: Stage,
    pub reason: &'static str,
}

impl Cause {
    pub fn of(why: &Rejected) -> Cause {
        Cause { stage: why.stage, reason: why.reason }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stage.name(), self.reason)
    }
}

/// Too many records were rejected for one cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flood {
    pub cause: Cause,
    /// Rejected for it, the one that was too many included.
    pub rejected: u32,
    /// Of so many records.
    pub of: u64,
}

/// A person's word that records of this cause are to become dead letters for a while.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    pub topic: u16,
    /// As [`Cause`] is shown.
    pub cause: String,
    pub left: Duration,
}

/// The latest records of one topic. Only the rejected are kept, by number, so that a clean run costs one addition.
#[derive(Clone, Debug, Default)]
struct Window {
    seen: u64,
    rejected: VecDeque<(u64, Cause)>,
    counts: BTreeMap<Cause, u32>,
}

impl Window {
    fn pass(&mut self, records: u64, size: u64) {
        self.seen += records;
        while self.rejected.front().is_some_and(|(at, _)| at + size <= self.seen) {
            let (_, cause) = self.rejected.pop_front().expect("it is in front");
            *self.counts.entry(cause).or_default() -= 1;
        }
    }

    /// The latest record turned out to be rejected.
    fn reject(&mut self, cause: Cause) {
        self.rejected.push_back((self.seen, cause));
        *self.counts.entry(cause).or_default() += 1;
    }

    fn flood(&self, cause: Cause, options: &Options) -> Option<Flood> {
        let rejected = self.counts.get(&cause).copied().unwrap_or_default();
        let of = self.seen.min(u64::from(options.window)).max(1);
        let many = u64::from(rejected) * 100 > u64::from(options.share) * of;
        (rejected >= options.least && many).then_some(Flood { cause, rejected, of })
    }
}

/// The guard of all topics of a process.
#[derive(Clone, Debug)]
pub struct Guard {
    options: Options,
    topics: BTreeMap<u16, Window>,
    accepted: BTreeMap<(u16, String), Now>,
}

impl Guard {
    pub fn new(options: Options) -> Guard {
        Guard { options, topics: BTreeMap::new(), accepted: BTreeMap::new() }
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What a person accepts from now on; it replaces what was accepted before.
    pub fn accept(&mut self, now: Now, list: &[Accepted]) {
        self.accepted = list.iter().map(|a| ((a.topic, a.cause.clone()), now + a.left)).collect();
    }

    pub fn is_accepted(&self, now: Now, topic: u16, cause: Cause) -> bool {
        let until = |(_, until): (&(u16, String), &Now)| now < *until;
        !self.accepted.is_empty() && self.accepted.get_key_value(&(topic, cause.to_string())).is_some_and(until)
    }

    /// A run of records of which none is rejected.
    pub fn pass(&mut self, topic: u16, records: u64) {
        let window = u64::from(self.options.window);
        self.topics.entry(topic).or_default().pass(records, window);
    }

    /// A run of records, each with why it is rejected, if it is.
    ///
    /// # Errors
    /// The run must not be disposed of: with it the topic would be flooded. It is not counted.
    pub fn judge(&mut self, now: Now, topic: u16, run: impl Iterator<Item = Option<Cause>>) -> Result<(), Flood> {
        let size = u64::from(self.options.window);
        let mut window = self.topics.get(&topic).cloned().unwrap_or_default();
        let per_batch = mutants::on("guard_counts_batches");
        for (_, cause) in run.enumerate().filter(|(i, _)| *i == 0 || !per_batch) {
            window.pass(1, size);
            if let Some(cause) = cause {
                window.reject(cause);
                self.check(now, topic, &window, cause)?;
            }
        }
        self.topics.insert(topic, window);
        Ok(())
    }

    /// Records that were counted as good turn out to be refused by the sink.
    ///
    /// # Errors
    /// As [`Guard::judge`].
    pub fn amend(&mut self, now: Now, topic: u16, causes: impl Iterator<Item = Cause>) -> Result<(), Flood> {
        let mut window = self.topics.get(&topic).cloned().unwrap_or_default();
        for cause in causes {
            window.reject(cause);
            self.check(now, topic, &window, cause)?;
        }
        self.topics.insert(topic, window);
        Ok(())
    }

    fn check(&self, now: Now, topic: u16, window: &Window, cause: Cause) -> Result<(), Flood> {
        match window.flood(cause, &self.options) {
            Some(flood) if !self.is_accepted(now, topic, cause) && !mutants::on("no_flood_guard") => Err(flood),
            _ => Ok(()),
        }
    }
}
