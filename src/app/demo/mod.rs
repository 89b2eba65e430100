//! `tidemill demo`: the real pipeline between a broker in this process and a throwaway Postgres, checked by SQL at the end.

mod readings;
mod setup;
mod summary;

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::app::launch;
use crate::app::launch::Live;
use crate::app::launch::Surface;
use crate::app::prepare;
use crate::app::prepare::Prepared;
use crate::app::run;
use crate::app::signals::Signals;
use crate::cli::DemoArgs;
use crate::cli::Exit;
use crate::config::Config;
use crate::demo::source::Generator;
use crate::demo::source::Progress;
use crate::demo::table::Table;
use crate::telemetry::logging;
use readings::Readings;
use setup::Place;

/// Longest wait for the lag to reach 0 at the end.
const CATCH_UP: Duration = Duration::from_secs(30);

pub fn demo(args: &DemoArgs) -> Exit {
    let worked = setup::place(args).and_then(|place| {
        let config = place.config()?;
        logging::init(&config.log).map_err(|e| e.to_string())?;
        let prepared = prepare::prepare(&config).map_err(|problems| problems.join("\n"))?;
        let runtime = crate::app::runtime().map_err(|e| e.to_string())?;
        let exit = runtime.block_on(play(args, &place, &config, &prepared));
        runtime.shutdown_background();
        exit
    });
    worked.unwrap_or_else(|message| {
        eprintln!("{message}");
        Exit::CannotGoOn
    })
}

async fn play(args: &DemoArgs, place: &Place, config: &Config, prepared: &Prepared) -> Result<Exit, String> {
    let mut signals = Signals::listen().map_err(|e| e.to_string())?;
    setup::migrate(config, prepared).await?;
    let surface = Surface::open(config).map_err(|e| e.to_string())?;
    surface.identify(config, prepared);
    let live = launch::launch(config, prepared, &surface).await.map_err(|t| t.message)?;
    let progress = Arc::new(Progress::default());
    let generator = Generator::start(&place.broker.address(), setup::TOPIC, args.rate, progress.clone())?;
    println!("{}", place.greeting(&surface, config));

    let mut readings = Readings::new(&surface, progress.clone(), args.rate);
    let ended = watch(args.duration, &mut readings, &mut signals).await;
    println!("{ended}");
    generator.stop()?;
    let produced = progress.produced.load(Ordering::Relaxed);
    let caught_up = readings.until_durable(produced, CATCH_UP).await;
    let drained = drain(config, live).await?;
    let poisoned = progress.poisoned.load(Ordering::Relaxed);
    let facts = summary::Facts { produced, poisoned, caught_up, drained };
    summary::print(&facts, config).await
}

/// Shows the table until the time is over or somebody stops it.
async fn watch(duration: Option<Duration>, readings: &mut Readings<'_>, signals: &mut Signals) -> &'static str {
    let terminal = std::io::stdout().is_terminal();
    let mut table = Table::new(std::io::stdout(), terminal);
    let end = duration.map(|d| Instant::now() + d);
    loop {
        let tick = Instant::now() + table.every();
        let next = end.map_or(tick, |end| tick.min(end));
        tokio::select! {
            biased;
            _ = signals.next() => {
                table.leave();
                return "stopping: no more payments, letting the pipeline finish";
            }
            () = tokio::time::sleep_until(next.into()) => {}
        }
        if table.show(&readings.sample()).is_err() {
            return "stopping: the output went away";
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            table.leave();
            return "time is over: no more payments, letting the pipeline finish";
        }
    }
}

/// Ends the pipeline as SIGTERM would; whether it drained.
async fn drain(config: &Config, live: Live) -> Result<bool, String> {
    let Live { mut running, scout, .. } = live;
    running.drain();
    let budget = config.shutdown.budget.duration() + Duration::from_secs(5);
    let ended = tokio::time::timeout(budget, &mut running.ended).await;
    let (outcome, _, broker) = ended.map_err(|_| "the drain did not end")?.map_err(|_| "intake broke")?;
    run::close(broker, config.shutdown.leave.duration()).await;
    running.stop(Duration::from_secs(2)).await;
    std::mem::forget(scout);
    Ok(outcome == crate::pipeline::intake::Outcome::Drained)
}
