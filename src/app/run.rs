//! `tidemill run`: launch, wait for a signal or an end, drain, and say how it ended.

use std::time::Duration;
use std::time::Instant;

use crate::adapters::kafka::broker::KafkaBroker;
use crate::adapters::kafka::close::Closed;
use crate::app::connect::Trouble;
use crate::app::launch;
use crate::app::launch::Live;
use crate::app::launch::Surface;
use crate::app::prepare;
use crate::app::signals::Signals;
use crate::cli::Exit;
use crate::config::Config;
use crate::failpoints;
use crate::failpoints::Point;
use crate::pipeline::intake::Outcome;
use crate::pipeline::intake::Status;
use crate::pipeline::publish::Names;
use crate::telemetry::log_queue;

/// Intake keeps the budget by itself. This long after it, it is taken for stuck and the process leaves without its word.
const GRACE: Duration = Duration::from_secs(1);
/// Least time for closing the client and for ending tasks, when the budget is used up.
const CLOSE_MIN: Duration = Duration::from_millis(200);
/// Longest wait for tasks that nobody needs any more.
const TASKS_MAX: Duration = Duration::from_secs(2);
/// Ranges named one by one at an unclean end.
const NAMED_MAX: usize = 20;

pub fn run(config: &Config) -> Exit {
    let prepared = match prepare::prepare(config) {
        Ok(prepared) => prepared,
        Err(problems) => {
            problems.iter().for_each(|problem| tracing::error!(problem, "cannot start"));
            return Exit::Configuration;
        }
    };
    if let Some(golden) = &prepared.golden {
        tracing::info!(records = golden.records, largest_difference = golden.worst, "golden records agree");
    }
    if let Some(bundle) = &prepared.bundle {
        tracing::info!(engine = bundle.summary.engine, feeding = bundle.feeding(), "model loaded");
        if bundle.is_self_made() {
            tracing::warn!("of the golden records: {}", crate::app::check::SELF_MADE);
        }
    }
    let runtime = match crate::app::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start the runtime");
            return Exit::CannotGoOn;
        }
    };
    let exit = runtime.block_on(live(config, &prepared));
    runtime.shutdown_background();
    exit
}

async fn live(config: &Config, prepared: &prepare::Prepared) -> Exit {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "cannot listen to signals");
            return Exit::CannotGoOn;
        }
    };
    let surface = match Surface::open(config) {
        Ok(surface) => surface,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return Exit::Configuration;
        }
    };
    surface.identify(config, prepared);
    let launched = tokio::select! {
        biased;
        signal = signals.next() => {
            tracing::info!(signal, "stopped before anything was taken");
            return Exit::Done;
        }
        launched = launch::launch(config, prepared, &surface) => launched,
    };
    match launched {
        Ok(live) => until_end(config, &surface, live, signals).await,
        Err(Trouble { code, message, .. }) => {
            tracing::error!(what = code, cause = message, "cannot start");
            Exit::Configuration
        }
    }
}

async fn until_end(config: &Config, surface: &Surface, live: Live, mut signals: Signals) -> Exit {
    let Live { mut running, names, scout } = live;
    tracing::info!("running");
    let early = tokio::select! {
        biased;
        ended = &mut running.ended => Some(ended),
        signal = signals.next() => {
            tracing::info!(signal, budget = %config.shutdown.budget, "draining");
            None
        }
    };
    let budget = config.shutdown.budget.duration();
    // One budget for all: what the drain leaves of it is for the client's close and the tasks.
    let deadline = Instant::now() + budget;
    let left = || deadline.saturating_duration_since(Instant::now()).max(CLOSE_MIN);
    let ended = match early {
        Some(ended) => Ok(ended),
        None => {
            surface.metrics.shutdown.started.increment(1);
            running.drain();
            insist(signals);
            tokio::time::timeout(budget + GRACE, &mut running.ended).await
        }
    };
    let exit = match ended {
        Ok(Ok((outcome, status, broker))) => {
            let exit = conclude(&outcome, &status, &names);
            failpoints::reach(Point::AfterDrain).await;
            close(broker, left().min(config.shutdown.leave.duration())).await;
            exit
        }
        Ok(Err(_)) => {
            tracing::error!("the intake thread broke an invariant; everything in flight will be read again");
            Exit::CannotGoOn
        }
        Err(_) => {
            tracing::error!("the drain did not end within its budget; everything in flight will be read again");
            Exit::DrainExpired
        }
    };
    match exit {
        Exit::Done => surface.metrics.shutdown.drained.increment(1),
        _ => surface.metrics.shutdown.expired.increment(1),
    }
    running.stop(left().min(TASKS_MAX)).await;
    // Never joined a group, so its end is of no interest to anybody; dropping it may block.
    std::mem::forget(scout);
    exit
}

/// From here on a second signal ends the process at once.
fn insist(mut signals: Signals) {
    tokio::spawn(async move {
        let signal = signals.next().await;
        tracing::error!(signal, "second signal: leaving at once; everything in flight will be read again");
        log_queue::flush(CLOSE_MIN);
        std::process::exit(i32::from(Exit::Signal(signal).code()));
    });
}

/// Says what the end means and decides the exit code, before anything that may hang or crash is tried.
fn conclude(outcome: &Outcome, status: &Status, names: &Names) -> Exit {
    let t = &status.totals;
    let (stored, dead, skipped) =
        (t.sum(|t| t.settled.stored), t.sum(|t| t.settled.dead), t.sum(|t| t.settled.skipped));
    tracing::info!(taken = t.sum(|t| t.taken), stored, dead, skipped, handed_back = t.sum(|t| t.handed_back), "counts");
    match outcome {
        Outcome::Drained => {
            tracing::info!("drained: nothing will be read again");
            Exit::Done
        }
        Outcome::Abandoned(ranges) => {
            for (lane, from, to) in ranges.iter().take(NAMED_MAX) {
                tracing::warn!(partition = names.lane(*lane), from, to, "will be read again");
            }
            let partitions = ranges.len();
            tracing::error!(partitions, "the drain budget is over; what was in flight will be read again");
            Exit::DrainExpired
        }
        Outcome::Failed(cause) => {
            tracing::error!(cause, "cannot go on");
            Exit::CannotGoOn
        }
    }
}

pub async fn close(broker: KafkaBroker, within: Duration) {
    match tokio::task::spawn_blocking(move || broker.close(within)).await {
        Ok(Closed::Cleanly) => tracing::debug!("left the group"),
        Ok(closed) => tracing::warn!(?closed, "the group will notice our leaving by its session timeout"),
        Err(error) => tracing::warn!(%error, "the client could not be closed"),
    }
}
