//! Counts the passes of every failpoint and carries out what is armed.
//!
//! `TIDEMILL_FAILPOINTS` holds a plan from the start on. `TIDEMILL_FAILPOINTS_DIR` names a folder in which the file `plan`
//! may change while the process runs, and in which the process keeps the file `hits`: a line `name passed fired` each.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::plan::{self, Action, Entry, PlanError};
use super::{Point, ending};

/// Pace of looking for a changed plan, of writing the counts, and of looking whether a pause is over.
const PACE: Duration = Duration::from_millis(50);
const POINTS: usize = Point::ALL.len();

struct Live {
    passed: [AtomicU64; POINTS],
    fired: [AtomicU64; POINTS],
    /// Entries of the plan; passing an unarmed process's failpoint costs no lock.
    armed: AtomicU64,
    plan: Mutex<Plan>,
    folder: Option<PathBuf>,
    /// One writes the counts at a time: older ones must not come last.
    writing: Mutex<()>,
}

#[derive(Default)]
struct Plan {
    entries: Vec<Entry>,
    /// State of a splitmix64 generator: which passes fire follows from their number alone.
    dice: u64,
}

static LIVE: LazyLock<Live> = LazyLock::new(|| {
    let live = Live {
        passed: std::array::from_fn(|_| AtomicU64::new(0)),
        fired: std::array::from_fn(|_| AtomicU64::new(0)),
        armed: AtomicU64::new(0),
        plan: Mutex::default(),
        folder: std::env::var_os("TIDEMILL_FAILPOINTS_DIR").map(PathBuf::from),
        writing: Mutex::default(),
    };
    if let Ok(text) = std::env::var("TIDEMILL_FAILPOINTS") {
        live.take(plan::parse(&text).unwrap_or_else(|e| panic!("TIDEMILL_FAILPOINTS: {e}")));
    }
    if let Some(folder) = live.folder.clone() {
        // Before the first failpoint is passed, so that none is missed.
        let mut known = String::new();
        live.reread(&folder, &mut known);
        thread::spawn(move || watch(&folder, known));
    }
    live
});

/// Replaces the plan of this process.
///
/// # Errors
/// When the text is no plan; the old one then stays.
pub fn arm(text: &str) -> Result<(), PlanError> {
    LIVE.take(plan::parse(text)?);
    Ok(())
}

impl Live {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, entries: Vec<Entry>) {
        let mut plan = self.plan();
        self.armed.store(entries.len() as u64, Relaxed);
        plan.entries = entries;
    }

    /// Counts a pass and says what it must do.
    fn pass(&self, point: Point, sees: &dyn Fn(&[u8]) -> bool) -> Option<Action> {
        if self.passed[point as usize].fetch_add(1, Relaxed) == 0 {
            // What is only passed at the end would not be written any more.
            self.write();
        }
        if self.armed.load(Relaxed) == 0 {
            return None;
        }
        let mut plan = self.plan();
        let Plan { entries, dice } = &mut *plan;
        for entry in entries.iter_mut().filter(|e| e.point == point) {
            let seen = entry.marker.as_ref().is_none_or(|marker| sees(marker.as_bytes()));
            if !seen || entry.times == 0 {
                continue;
            }
            if entry.skip > 0 {
                entry.skip -= 1;
            } else if unit(dice) < entry.chance {
                entry.times -= 1;
                self.fired[point as usize].fetch_add(1, Relaxed);
                return Some(entry.action);
            }
        }
        None
    }

    fn is_paused(&self, point: Point) -> bool {
        self.plan().entries.iter().any(|e| e.point == point && e.action == Action::Pause)
    }

    fn reread(&self, folder: &Path, known: &mut String) {
        let Ok(text) = fs::read_to_string(folder.join("plan")) else { return };
        if text == *known {
            return;
        }
        match plan::parse(&text) {
            Ok(entries) => self.take(entries),
            Err(error) => tracing::error!(%error, "the failpoint plan is not taken"),
        }
        *known = text;
    }

    /// The counts must be there before a process that ends itself is gone.
    fn write(&self) {
        let Some(folder) = &self.folder else { return };
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |point: &Point| {
            let at = *point as usize;
            format!("{} {} {}\n", point.name(), self.passed[at].load(Relaxed), self.fired[at].load(Relaxed))
        };
        let text: String = Point::ALL.iter().map(line).collect();
        let fresh = folder.join("hits.new");
        // Whole or not at all; a test that reads none says so itself.
        let _ = fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, folder.join("hits")));
    }
}

pub(super) fn hit(point: Point, sees: &dyn Fn(&[u8]) -> bool) {
    match LIVE.pass(point, sees) {
        None => {}
        Some(Action::Sleep(time)) => thread::sleep(time),
        Some(Action::Pause) => {
            while LIVE.is_paused(point) {
                thread::sleep(PACE);
            }
        }
        Some(action) => end(point, action),
    }
}

pub(super) async fn reach(point: Point) {
    match LIVE.pass(point, &|_| false) {
        None => {}
        Some(Action::Sleep(time)) => tokio::time::sleep(time).await,
        Some(Action::Pause) => {
            while LIVE.is_paused(point) {
                tokio::time::sleep(PACE).await;
            }
        }
        Some(action) => end(point, action),
    }
}

fn end(point: Point, action: Action) {
    LIVE.write();
    match action {
        Action::Kill => ending::kill(),
        Action::Abort => std::process::abort(),
        _ => panic!("failpoint {}", point.name()),
    }
}

fn watch(folder: &Path, mut known: String) {
    loop {
        LIVE.write();
        LIVE.reread(folder, &mut known);
        thread::sleep(PACE);
    }
}

/// Evenly in `[0, 1)`. Source: splitmix64, as in `pipeline::clock`.
fn unit(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
