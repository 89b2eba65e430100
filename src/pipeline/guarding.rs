//! The flood guard as writers and intake share it: writers judge with it, intake tells it what a person has accepted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::guard::{Cause, Flood, Guard, Options};
use crate::domain::lane::Now;
use crate::domain::scored::{Fate, ScoredPiece};

/// One guard for all writers: a topic's records are spread over them. It is locked once a piece.
#[derive(Clone, Debug)]
pub struct SharedGuard(Arc<Mutex<Guard>>);

impl Default for SharedGuard {
    fn default() -> SharedGuard {
        SharedGuard::new(Options::default())
    }
}

impl SharedGuard {
    pub fn new(options: Options) -> SharedGuard {
        SharedGuard(Arc::new(Mutex::new(Guard::new(options))))
    }

    pub fn lock(&self) -> MutexGuard<'_, Guard> {
        // At worst a holder that panicked left some of a run's rejected records counted.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A piece as it comes from the mill. Says how many records of its topic were judged before it.
    pub fn judge(&self, now: Now, piece: &ScoredPiece) -> Result<u64, Flood> {
        let (topic, records) = (piece.piece().lane.topic, piece.piece().records());
        let mut guard = self.lock();
        if piece.scored.verdicts.rejected.is_empty() {
            return Ok(guard.pass(topic, records.len() as u64));
        }
        let cause = |record| match piece.fate(record) {
            Fate::Dead(why) => Some(Cause::of(why)),
            Fate::Row(_) | Fate::Skip(_) => None,
        };
        guard.judge(now, topic, records.map(cause))
    }
}
