//! The second level: windows whose checksums differ are compared record by record.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::adapters::kafka::scout::Scout;
use crate::adapters::kafka::scout::ScoutError;
use crate::adapters::kafka::walk::Limits;
use crate::adapters::kafka::walk::Stretch;
use crate::adapters::postgres::audit::snapshot::Snapshot;
use crate::adapters::postgres::fault::StartError;
use crate::app::connect::Trouble;
use crate::app::verify::judge::Bench;
use crate::app::verify::judge::Judge;
use crate::app::verify::log::Windows;
use crate::app::verify::scope::Scope;
use crate::app::verify::tables::Tables;
use crate::domain::lane::Lane;
use crate::domain::windows::WINDOW;
use crate::domain::windows::window_of;
use crate::ports::Decoder;

/// Entries that are held at once.
const ENTRIES_MAX: u64 = 1_000_000;
/// Windows between two that differ are read through rather than jumped over: a jump costs a fetch.
const GAP: i64 = 50;

/// Windows that differ, and all that is needed to look into them.
pub struct Drill {
    pub scope: Scope,
    scout: Arc<Scout>,
    limits: Limits,
    bench: Bench,
    judges: Vec<Judge>,
    /// Lane and window, in order.
    differing: Vec<(usize, i64)>,
    compared: usize,
}

/// What came of it.
pub struct Drilled {
    pub scope: Scope,
    pub judges: Vec<Judge>,
    pub compared: usize,
    pub differing: usize,
}

/// The part that goes to a blocking thread and comes back.
struct Dig {
    scout: Arc<Scout>,
    limits: Limits,
    bench: Bench,
    judges: Vec<Judge>,
    lanes: BTreeMap<Lane, usize>,
}

impl Drill {
    pub fn new(
        scope: Scope,
        scout: Arc<Scout>,
        limits: Limits,
        decoder: Box<dyn Decoder>,
        log: &[Windows],
        tables: &Tables,
    ) -> Drill {
        let (mut differing, mut compared, mut judges) = (vec![], 0, vec![]);
        for (lane, (windows, held)) in log.iter().zip(&tables.held).enumerate() {
            let numbers: BTreeSet<i64> = windows.keys().chain(held.sizes.keys()).copied().collect();
            compared += numbers.len();
            differing.extend(numbers.into_iter().filter(|w| windows.get(w) != held.windows.get(w)).map(|w| (lane, w)));
            let records = windows.values().map(|c| c.count).sum();
            judges.push(Judge::new(&scope, &scope.scenes[lane], records, held.least));
        }
        Drill { scope, scout, limits, bench: Bench::new(decoder), judges, differing, compared }
    }

    /// Looks into every window that differs, some at a time, in order.
    ///
    /// # Errors
    /// When a service does not answer.
    pub async fn run(self, snapshot: &Snapshot, tables: &Tables) -> Result<Drilled, Trouble> {
        let Drill { scope, scout, limits, bench, judges, differing, compared } = self;
        let lanes = scope.scenes.iter().enumerate().map(|(i, s)| (s.lane, i)).collect();
        let mut dig = Dig { scout, limits, bench, judges, lanes };
        let mut rest = &differing[..];
        while !rest.is_empty() {
            let some = portion(rest, |(lane, window)| tables.held[lane].sizes.get(&window).copied().unwrap_or(0));
            rest = &rest[some.len()..];
            let judges = &mut dig.judges;
            some.iter().for_each(|(lane, window)| judges[*lane].open(*window));
            let each = |lane: usize, offset, entry| judges[lane].expect(offset, entry);
            let found = snapshot.of_windows(&tables.ranges, some, each).await;
            found.map_err(|e| Trouble::postgres(StartError::from(e)))?;
            let stretches = stretches(&scope, some);
            let dug = tokio::task::spawn_blocking(move || dig.dig(&stretches).map(|()| dig)).await;
            dig = crate::app::verify::joined(dug)?;
        }
        Ok(Drilled { scope, judges: dig.judges, compared, differing: differing.len() })
    }
}

impl Dig {
    fn dig(&mut self, rounds: &[Vec<Stretch>]) -> Result<(), ScoutError> {
        let Dig { scout, limits, bench, judges, lanes } = self;
        for round in rounds {
            scout.walk(round, *limits, |seen| judges[lanes[&seen.lane]].see(&seen, bench))?;
        }
        for judge in judges.iter_mut().filter(|j| j.is_open()) {
            // Asked after reading: what retention took away meanwhile cannot be judged.
            let first = if judge.has_leftovers() { scout.watermarks(judge.lane)?.0 } else { 0 };
            judge.close(first, bench);
        }
        Ok(())
    }
}

/// The first windows that together hold no more than so many entries; one at least.
fn portion(windows: &[(usize, i64)], size: impl Fn((usize, i64)) -> u64) -> &[(usize, i64)] {
    let mut total = 0;
    let fit = windows.iter().take_while(|w| {
        total += size(**w);
        total <= ENTRIES_MAX
    });
    &windows[..fit.count().max(1)]
}

/// The stretches of the log that hold these windows: rounds in which no lane is there twice.
fn stretches(scope: &Scope, windows: &[(usize, i64)]) -> Vec<Vec<Stretch>> {
    let mut rounds: Vec<Vec<Stretch>> = vec![];
    let mut round = 0;
    let mut last: Option<(usize, i64)> = None;
    for (place, window) in windows {
        let scene = &scope.scenes[*place];
        let (from, to) = (scene.lo.max(window * WINDOW), scene.hi.min((window + 1) * WINDOW));
        let goes_on = last.is_some_and(|(l, w)| l == *place && window - w <= GAP);
        if goes_on {
            let stretch = rounds[round].last_mut().expect("the lane's last stretch is there");
            stretch.to = to;
        } else {
            round = if last.is_some_and(|(l, _)| l == *place) { round + 1 } else { 0 };
            if round == rounds.len() {
                rounds.push(vec![]);
            }
            rounds[round].push(Stretch { lane: scene.lane, from, to });
        }
        last = Some((*place, *window));
    }
    debug_assert!(windows.iter().all(|(_, w)| window_of(w * WINDOW) == *w));
    rounds
}
