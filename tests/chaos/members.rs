//! The processes: started, ended, looked at, and what is known of each when it is gone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;

use crate::bench::BUDGET;
use crate::bench::Bench;
use crate::journal::Journal;
use crate::scrape::Scrape;
use crate::scrape::Scraper;
use crate::secrets::told;
use crate::support::daemon::Daemon;
use crate::support::folder::Folder;
use crate::support::signal::Signal;

/// What the machine may be late by, beside every deadline of the program.
pub const SLACK: Duration = Duration::from_secs(4);
/// A SIGTERM must be obeyed in this much more than the budget (V14).
const GRACE: Duration = Duration::from_secs(2);

/// How a process came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// SIGKILL of ours.
    Killed,
    /// SIGTERM of ours.
    Asked,
    /// An armed failpoint, or what followed from it.
    Failpoint,
    /// Nobody did anything to it.
    Itself,
}

/// A process that is gone.
#[derive(Clone, Debug)]
pub struct Life {
    pub name: String,
    pub cause: Cause,
    pub exit: String,
    pub at: Duration,
    /// From SIGTERM to the end.
    pub drain: Option<Duration>,
    /// Its metrics shortly before.
    pub last: Scrape,
    /// Its own last words: taken, stored, dead, skipped, handed back.
    pub counts: Option<[u64; 5]>,
    pub hits: BTreeMap<String, (u64, u64)>,
}

pub struct Process {
    pub name: String,
    pub daemon: Daemon,
    folder: Folder,
    scraper: Scraper,
}

/// A place for a process, with a proxy of its own before the database.
pub struct Slot {
    pub number: usize,
    pub process: Option<Process>,
    /// Somebody runs here whenever nobody disturbs it.
    wanted: bool,
}

pub struct Members {
    pub bench: Arc<Bench>,
    pub journal: Arc<Journal>,
    slots: Vec<Mutex<Slot>>,
    steady: usize,
    lives: Mutex<Vec<Life>>,
    starts: AtomicU64,
    over: AtomicBool,
}

impl Members {
    /// The first `steady` slots are always taken.
    pub fn new(bench: Arc<Bench>, journal: Arc<Journal>, steady: usize) -> Arc<Members> {
        let slot = |number| Mutex::new(Slot { number, process: None, wanted: number < steady });
        let slots = (0..bench.proxies.len()).map(slot).collect();
        let (lives, starts, over) = (Mutex::default(), AtomicU64::new(0), AtomicBool::new(false));
        let members = Arc::new(Members { bench, journal, slots, steady, lives, starts, over });
        for number in 0..steady {
            members.start(&mut members.slot(number));
        }
        members
    }

    /// Restarts whoever ends by itself, as an orchestrator does; ends with [`Members::end`].
    pub fn supervise(self: &Arc<Members>) -> thread::JoinHandle<()> {
        let me = self.clone();
        thread::spawn(move || {
            while !me.over.load(SeqCst) {
                for slot in &me.slots {
                    // Whoever holds it deals with it.
                    let Ok(mut slot) = slot.try_lock() else { continue };
                    if slot.wanted && slot.process.as_mut().is_some_and(|p| p.daemon.exit().is_some()) {
                        me.finish(&mut slot, Cause::Itself, None);
                        me.start(&mut slot);
                    }
                }
                thread::sleep(Duration::from_millis(200));
            }
        })
    }

    /// Waits for the slot: while it is held, nobody else disturbs or restarts its process.
    pub fn slot(&self, number: usize) -> MutexGuard<'_, Slot> {
        self.slots[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Slots without a process of their own.
    pub fn spare(&self) -> std::ops::Range<usize> {
        self.steady..self.slots.len()
    }

    pub fn start(&self, slot: &mut Slot) {
        let name = format!("p{}-{}", slot.number, self.starts.fetch_add(1, SeqCst));
        let folder = Folder::new("chaos-process");
        let ops = self.bench.ops();
        let environment = [("TIDEMILL_FAILPOINTS_DIR", folder.to_str().expect("a path of ours"))];
        let mutant = std::env::var("CHAOS_MUTANT").ok();
        let planted: Vec<(&str, &str)> =
            environment.into_iter().chain(mutant.as_deref().map(|m| ("TIDEMILL_MUTANT", m))).collect();
        let daemon = self.bench.launch(&name, "run", slot.number, ops, &planted);
        let scraper = Scraper::start(name.clone(), ops, self.journal.clone());
        slot.process = Some(Process { name, daemon, folder, scraper });
    }

    /// Sends SIGTERM and waits for the promised end (V14).
    pub fn stop(&self, slot: &mut Slot) {
        let Some(process) = &mut slot.process else { return };
        let asked = Instant::now();
        process.daemon.signal(Signal::Term);
        let patience = BUDGET + GRACE + SLACK;
        while process.daemon.exit().is_none() {
            if asked.elapsed() > patience {
                self.journal.wrong(format!("V14: {} did not end {patience:?} after SIGTERM", process.name));
                process.daemon.signal(Signal::Kill);
                process.daemon.wait(Duration::from_secs(10));
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.finish(slot, Cause::Asked, Some(asked.elapsed()));
    }

    pub fn kill(&self, slot: &mut Slot) {
        let Some(process) = &mut slot.process else { return };
        process.daemon.signal(Signal::Kill);
        process.daemon.wait(Duration::from_secs(10));
        self.finish(slot, Cause::Killed, None);
    }

    /// Notes the life of a process that has ended.
    pub fn finish(&self, slot: &mut Slot, cause: Cause, drain: Option<Duration>) {
        let Some(mut process) = slot.process.take() else { return };
        let Some(status) = process.daemon.exit() else { return };
        let log = process.daemon.log();
        if let Some(complaint) = told(&format!("the log of {}", process.name), &log) {
            self.journal.wrong(complaint);
        }
        let life = Life {
            name: process.name.clone(),
            cause,
            exit: exit(status),
            at: self.journal.now(),
            drain,
            last: process.scraper.stop(),
            counts: counts(&log),
            hits: hits(&process.folder),
        };
        if cause == Cause::Itself {
            let errors: Vec<&str> = log.lines().filter(|l| l.contains("ERROR") || l.contains("panicked")).collect();
            let last = errors[errors.len().saturating_sub(3)..].join(" | ");
            self.journal.wrong(format!("{} ended by itself with {}: {last}", life.name, life.exit));
        }
        if let Some(drain) = drain {
            self.journal.note(&format!("{} drained in {:.1} s, {}", life.name, drain.as_secs_f64(), life.exit));
        }
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).push(life);
    }

    /// Stops all of them, together.
    pub fn end(&self) {
        self.over.store(true, SeqCst);
        thread::scope(|scope| {
            for number in 0..self.slots.len() {
                scope.spawn(move || self.stop(&mut self.slot(number)));
            }
        });
    }

    pub fn lives(&self) -> Vec<Life> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether every process that should run says that it is ready, and what those say that are not.
    pub fn unready(&self) -> Vec<String> {
        let mut reasons = vec![];
        for slot in &self.slots {
            let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(process) = &slot.process else { continue };
            match process.daemon.get("/readyz") {
                Ok((200, _)) => {}
                Ok((_, body)) => reasons.push(format!("{}: {}", process.name, body.replace('\n', " "))),
                Err(error) => reasons.push(format!("{}: {error}", process.name)),
            }
        }
        reasons
    }
}

impl Process {
    pub fn arm(&self, plan: &str) {
        // Whole or not at all: the process reads it at any moment.
        let fresh = self.folder.join("plan.new");
        fs::write(&fresh, plan).and_then(|()| fs::rename(&fresh, self.folder.join("plan"))).expect("a folder of ours");
    }

    /// How often this failpoint did what it was armed for.
    pub fn fired(&self, point: &str) -> u64 {
        hits(&self.folder).get(point).map_or(0, |h| h.1)
    }

    pub fn scrape(&self) -> Scrape {
        self.scraper.latest()
    }

    pub fn owner(&self) -> Option<String> {
        said(&self.daemon.log(), "joining the group", "owner").and_then(|v| Some(v.as_str()?.to_owned()))
    }
}

fn exit(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn said(log: &str, message: &str, field: &str) -> Option<Value> {
    let mut lines = log.lines().rev().filter(|l| l.contains(message));
    lines
        .find_map(|l| serde_json::from_str::<Value>(l).ok().filter(|v| v["message"] == message))
        .map(|v| v[field].clone())
}

fn counts(log: &str) -> Option<[u64; 5]> {
    let line = log.lines().rev().find(|l| l.contains("\"counts\""))?;
    let value: Value = serde_json::from_str(line).ok()?;
    let mut numbers = [0; 5];
    for (number, key) in numbers.iter_mut().zip(["taken", "stored", "dead", "skipped", "handed_back"]) {
        *number = value[key].as_u64()?;
    }
    Some(numbers)
}

fn hits(folder: &Folder) -> BTreeMap<String, (u64, u64)> {
    let text = fs::read_to_string(folder.join("hits")).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), (words.next()?.parse().ok()?, words.next()?.parse().ok()?)))
    };
    text.lines().filter_map(line).collect()
}
