//! The flood guard (rule J1): when too many of a topic's latest records are rejected for one cause, it is not the records
//! that are wrong but the contract with their producer, and they must not become dead letters without a person's word.
//!
//! Invariants, stated as properties in `tests/guard.rs`:
//! - **G1** A rejected record passes only if, counted with it, its cause has fewer than `least` or at most `share` percent of
//!   the last `window` records of its topic, or is accepted.
//! - **G2** Below that every rejected record passes: a quiet topic is never stopped by a few poison records.
//! - **G3** What is held leaves no trace: it will be read and judged again.
//! - **G4** Batches do not matter: judged in runs of any length, and refused by the sink however late, the same records pass.
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

/// The records of one topic, by number. Only the rejected are kept, so that a clean run costs one addition.
#[derive(Clone, Debug, Default)]
struct Window {
    seen: u64,
    /// Numbers of rejected records, in order.
    rejected: BTreeMap<Cause, VecDeque<u64>>,
}

/// Rejected records that are kept of a cause, in windows: what the sink refuses is found while later records have been judged.
const KEPT: usize = 4;

impl Window {
    fn reject(&mut self, number: u64, cause: Cause, size: u32) {
        let numbers = self.rejected.entry(cause).or_default();
        numbers.insert(numbers.partition_point(|n| *n < number), number);
        if numbers.len() > KEPT * size as usize {
            numbers.pop_front();
        }
    }

    /// Takes it back.
    fn forget(&mut self, number: u64, cause: Cause) {
        if let Some(numbers) = self.rejected.get_mut(&cause)
            && let Ok(at) = numbers.binary_search(&number)
        {
            numbers.remove(at);
        }
    }

    /// Whether the record of this number, rejected as it is, was one too many of those up to it.
    fn flood(&self, number: u64, cause: Cause, options: &Options) -> Option<Flood> {
        let size = u64::from(options.window);
        let upto = |last: u64| self.rejected.get(&cause).map_or(0, |numbers| numbers.partition_point(|n| *n <= last));
        let rejected = (upto(number) - upto(number.saturating_sub(size))) as u32;
        let of = number.min(size).max(1);
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

    /// A run of records of which none is rejected. Says how many of the topic were judged before it.
    pub fn pass(&mut self, topic: u16, records: u64) -> u64 {
        let window = self.topics.entry(topic).or_default();
        let before = window.seen;
        window.seen += records;
        before
    }

    /// A run of records, each with why it is rejected, if it is. Says how many of the topic were judged before it.
    ///
    /// # Errors
    /// The run must not be disposed of: with it the topic would be flooded. It is not counted.
    pub fn judge(&mut self, now: Now, topic: u16, run: impl Iterator<Item = Option<Cause>>) -> Result<u64, Flood> {
        let before = self.topics.entry(topic).or_default().seen;
        let per_batch = mutants::on("guard_counts_batches");
        let mut seen = before;
        let numbered = run.enumerate().filter(|(i, _)| *i == 0 || !per_batch).filter_map(|(_, cause)| {
            seen += 1;
            cause.map(|cause| (seen, cause))
        });
        self.reject(now, topic, numbered)?;
        self.topics.entry(topic).or_default().seen = seen;
        Ok(before)
    }

    /// Records that were counted as good turn out to be refused by the sink; each with its number, from 1 on.
    ///
    /// # Errors
    /// As [`Guard::judge`].
    pub fn amend(&mut self, now: Now, topic: u16, refused: impl Iterator<Item = (u64, Cause)>) -> Result<(), Flood> {
        self.reject(now, topic, refused)
    }

    fn reject(&mut self, now: Now, topic: u16, records: impl Iterator<Item = (u64, Cause)>) -> Result<(), Flood> {
        let size = self.options.window;
        let mut added = vec![];
        for (number, cause) in records {
            let window = self.topics.entry(topic).or_default();
            window.reject(number, cause, size);
            added.push((number, cause));
            let flood = window.flood(number, cause, &self.options);
            let Some(flood) = flood.filter(|_| !self.is_accepted(now, topic, cause)) else { continue };
            if !mutants::on("no_flood_guard") {
                let window = self.topics.entry(topic).or_default();
                added.into_iter().for_each(|(number, cause)| window.forget(number, cause));
                return Err(flood);
            }
        }
        Ok(())
    }
}
