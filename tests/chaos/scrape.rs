//! What a process says of itself while it lives: its metrics and its readiness, four times a second.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::journal::Journal;
use crate::secrets::told;
use crate::support::daemon;

const PACE: Duration = Duration::from_millis(250);

/// Running totals at the last look.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    pub looks: u64,
    pub taken: u64,
    pub in_flight: u64,
    pub handed_back: u64,
    pub parked: u64,
    pub fenced: u64,
    pub restarts: u64,
    /// Open outcomes of a COMMIT, and those of them that had happened.
    pub ambiguous: u64,
    pub found_stored: u64,
    /// Reasons of not being ready, with the time of each look.
    pub reasons: Vec<(Duration, String)>,
}

pub struct Scraper {
    latest: Arc<Mutex<Scrape>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Scraper {
    pub fn start(name: String, ops: SocketAddr, journal: Arc<Journal>) -> Scraper {
        let (latest, stop) = (Arc::<Mutex<Scrape>>::default(), Arc::<AtomicBool>::default());
        let (shared, told) = (latest.clone(), stop.clone());
        let thread = thread::spawn(move || {
            while !told.load(SeqCst) {
                look(&name, ops, &journal, &shared);
                thread::sleep(PACE);
            }
        });
        Scraper { latest, stop, thread: Some(thread) }
    }

    pub fn latest(&self) -> Scrape {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The process is gone: the last look.
    pub fn stop(&mut self) -> Scrape {
        self.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.latest()
    }
}

fn look(name: &str, ops: SocketAddr, journal: &Journal, latest: &Mutex<Scrape>) {
    // A process that starts, stands or has gone does not answer.
    let Ok((200, page)) = daemon::get(ops, "/metrics") else { return };
    let ready = daemon::get(ops, "/readyz").ok();
    for text in [Some(&page), ready.as_ref().map(|r| &r.1)].into_iter().flatten() {
        if let Some(complaint) = told(&format!("the admin port of {name}"), text) {
            journal.wrong(complaint);
        }
    }
    let at = journal.now();
    let sum = |metric: &str, labels: &[&str]| daemon::metric(&page, metric, labels).unwrap_or(0.0);
    let count = |metric: &str, labels: &[&str]| sum(metric, labels) as u64;
    let misses = |verdict: &str| count("tidemill_writer_mark_misses_total", &[&format!("verdict=\"{verdict}\"")]);
    let mut scrape = latest.lock().unwrap_or_else(PoisonError::into_inner);
    let fresh = Scrape {
        looks: scrape.looks + 1,
        taken: count("tidemill_intake_taken_records_total", &[]),
        in_flight: count("tidemill_intake_in_flight_records", &[]),
        handed_back: count("tidemill_intake_handed_back_records_total", &[]),
        parked: count("tidemill_intake_partitions_lanes", &["state=\"parked\""]),
        fenced: misses("fenced"),
        restarts: misses("restart"),
        ambiguous: count("tidemill_writer_repeated_retries_total", &["fault=\"ambiguous\""]),
        found_stored: misses("stored"),
        reasons: std::mem::take(&mut scrape.reasons),
    };
    let unaccounted = sum("tidemill_intake_unaccounted_records", &[]);
    if unaccounted != 0.0 {
        journal.wrong(format!("V12: {name} has {unaccounted} unaccounted records"));
    }
    if fresh.parked > scrape.parked {
        journal.note(&format!("{name}: {} partitions parked", fresh.parked));
    }
    *scrape = fresh;
    let Some((503, body)) = ready else { return };
    let Ok(body) = serde_json::from_str::<Value>(&body) else { return };
    for reason in body["reasons"].as_array().into_iter().flatten() {
        let text = |key: &str| reason[key].as_str().unwrap_or_default();
        scrape.reasons.push((at, format!("{}: {}", text("code"), text("detail"))));
    }
}
