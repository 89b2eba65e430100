//! Names of positions: which partition, which claim of it, whose claim.

use std::fmt;

/// One partition of one subscribed topic, as this process knows it.
///
/// `topic` indexes the configured topic list; the sink translates it to a source id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Lane {
    pub topic: u16,
    pub partition: i32,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic#{}[{}]", self.topic, self.partition)
    }
}

/// Number of a claim: a later owner of a partition always has a higher one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Epoch(pub i64);

/// Random id of one process start; stored beside the epoch, so that a restored database cannot mistake one owner for another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Owner(pub u128);

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Time since the process started. The domain has no clock: every decision that needs time is told it.
pub type Now = std::time::Duration;
