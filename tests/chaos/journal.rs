//! What was done to the pipeline, when, and how it went: the oracle explains nothing that is not in here.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use std::time::Instant;

use crate::fault::Fault;
use crate::servers::Marks;

#[derive(Clone, Debug)]
pub struct Entry {
    pub fault: Fault,
    pub from: Duration,
    /// Healed.
    pub until: Option<Duration>,
    pub detail: String,
    /// It could not be done, with the reason in `detail`.
    pub missed: bool,
}

pub struct Journal {
    begun: Instant,
    entries: Mutex<Vec<Entry>>,
    /// Counts databases that went back in time, from the moment before.
    rewinds: AtomicU64,
    lost: AtomicU64,
    /// The highest mark of each partition in a database that is gone.
    gone: Mutex<Marks>,
    /// What must not be, from whoever saw it.
    wrong: Mutex<Vec<String>>,
    lines: bool,
}

impl Journal {
    /// `lines`: print what happens.
    pub fn new(lines: bool) -> Journal {
        Journal {
            begun: Instant::now(),
            entries: Mutex::default(),
            rewinds: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            gone: Mutex::default(),
            wrong: Mutex::default(),
            lines,
        }
    }

    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    pub fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, text: &str) {
        if self.lines {
            println!("{:8.2} s  {text}", self.now().as_secs_f64());
        }
    }

    pub fn begin(&self, fault: Fault) -> usize {
        let mut entries = self.entries();
        entries.push(Entry { fault, from: self.now(), until: None, detail: String::new(), missed: false });
        entries.len() - 1
    }

    /// `Err` when it could not be done.
    pub fn end(&self, entry: usize, outcome: Result<String, String>) {
        let now = self.now();
        let text = {
            let mut entries = self.entries();
            let entry = &mut entries[entry];
            (entry.until, entry.missed) = (Some(now), outcome.is_err());
            entry.detail = outcome.unwrap_or_else(|e| e);
            let (took, missed) = ((now - entry.from).as_secs_f64(), if entry.missed { " MISSED" } else { "" });
            format!("{}{missed}: {} ({took:.1} s)", entry.fault.name(), entry.detail)
        };
        self.note(&text);
    }

    pub fn wrong(&self, what: String) {
        self.note(&format!("WRONG: {what}"));
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    pub fn all_wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn rewinds(&self) -> u64 {
        self.rewinds.load(SeqCst)
    }

    /// The database, which had these marks, is about to be one without so many of the offsets that were durable.
    pub fn rewind(&self, marks: &Marks, lost: u64) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        for (partition, next) in marks {
            let highest = gone.entry(*partition).or_default();
            *highest = (*next).max(*highest);
        }
        self.lost.fetch_add(lost, SeqCst);
        self.rewinds.fetch_add(1, SeqCst);
    }

    /// The highest mark of each partition in databases that are gone.
    pub fn gone(&self) -> Marks {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records that all rewinds together took back, about.
    pub fn lost(&self) -> u64 {
        self.lost.load(SeqCst)
    }

    /// A fault of one of these kinds was under way at `at`, or shortly before.
    pub fn explains(&self, at: Duration, kinds: &[Fault], margin: Duration) -> bool {
        self.entries().iter().any(|e| {
            kinds.contains(&e.fault) && e.from <= at + margin && e.until.is_none_or(|until| until + margin >= at)
        })
    }
}
