//! `tidemill verify`: reads the log back and one snapshot of the database, and says what is lost, doubled or out of order.
//!
//! The order of reading makes it sound on a live system: the group's commits first, then the snapshot with the marks, then
//! the log. Only what lies below the marks of the snapshot is judged.

mod drill;
mod findings;
mod json;
mod judge;
mod log;
mod order;
mod scope;
mod tables;
mod text;
mod totals;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use crate::adapters::formats;
use crate::adapters::kafka::cleanup;
use crate::adapters::kafka::scout::Scout;
use crate::adapters::kafka::scout::ScoutError;
use crate::adapters::kafka::walk::Limits;
use crate::adapters::postgres::audit::snapshot;
use crate::adapters::postgres::audit::snapshot::Snapshot;
use crate::adapters::postgres::connect::Database;
use crate::adapters::postgres::table::column_of;
use crate::app::connect;
use crate::app::connect::Cluster;
use crate::app::connect::KAFKA_TIMEOUT;
use crate::app::connect::Trouble;
use crate::app::verify::drill::Drill;
use crate::app::verify::findings::Report;
use crate::app::verify::scope::Scope;
use crate::app::verify::tables::Tables;
use crate::cli::Exit;
use crate::cli::VerifyArgs;
use crate::config::Config;
use crate::domain::fault::Fault;
use crate::domain::lane::Lane;

/// Longest wait for a service that does not answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two questions to a service that is away.
const PAUSE: Duration = Duration::from_millis(500);

pub fn verify(config: &Config, args: &VerifyArgs) -> Exit {
    let runtime = match crate::app::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start the runtime: {error}");
            return Exit::CannotGoOn;
        }
    };
    let done = runtime.block_on(async { tokio::time::timeout(args.timeout, audit(config, args)).await });
    // A question that nobody answered may still be waited for on a thread of the runtime.
    runtime.shutdown_background();
    let report = match done {
        Ok(Ok(report)) => report,
        Ok(Err(trouble)) => {
            eprintln!("{}", trouble.message);
            return if trouble.fault == Fault::Retry { Exit::CannotGoOn } else { Exit::Configuration };
        }
        Err(_) => {
            let limit = args.timeout.as_secs();
            eprintln!("not done within {limit} s: look at less (--windows, --since, --topic), or raise --timeout");
            return Exit::CannotGoOn;
        }
    };
    let text = if args.json { json::render(&report) } else { text::render(&report) };
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Exit::CannotGoOn,
        _ if report.is_fine() => Exit::Done,
        _ => Exit::Differences,
    }
}

async fn audit(config: &Config, args: &VerifyArgs) -> Result<Report, Trouble> {
    let started = Instant::now();
    let stop = |message: String| Trouble { code: "verify", fault: Fault::Stop, message };
    let decoder = formats::build(&config.event, &config.skip, &[], Path::new("")).map_err(|e| stop(e.to_string()))?;
    let options = scope::kafka_options(config, args).map_err(stop)?;
    let scout = Arc::new(Scout::reader(&options, KAFKA_TIMEOUT).map_err(|e| stop(e.to_string()))?);
    // Dropping the client may block, and nobody waits for its end.
    std::mem::forget(scout.clone());
    let limits = Limits { silence: PATIENCE, deadline: started + args.timeout };
    let database = snapshot::database(&config.postgres, args.timeout + PATIENCE).map_err(|e| stop(e.to_string()))?;

    let cluster = patiently(|| connect::cluster(&scout)).await?;
    let lanes = scope::lanes(&cluster, args).map_err(stop)?;
    let committed = asking(&scout, lanes.clone(), |scout, lane| scout.committed(lane)).await?;
    let snapshot = patiently(|| open(&database, config, &cluster)).await?;
    let ends = asking(&scout, lanes.clone(), |scout, lane| scout.watermarks(lane)).await?;
    let since = match args.since {
        None => None,
        Some(moment) => {
            let millis = moment.millis(crate::pipeline::clock::wall_micros());
            Some(asking(&scout, lanes.clone(), move |scout, lane| scout.offset_at(lane, millis)).await?)
        }
    };
    let topics: Vec<String> = cluster.topics.iter().map(|t| t.name.clone()).collect();
    let compacts = cleanup::compacts(&options, &topics, KAFKA_TIMEOUT).await;
    let scope = Scope::new(args, &cluster, &snapshot, scope::Asked { lanes, committed, ends, since, compacts });

    let reading = tokio::task::spawn_blocking({
        let (scout, stretches) = (scout.clone(), scope.stretches());
        move || log::read(&scout, &stretches, limits)
    });
    let tables = Tables::read(&snapshot, &scope, args.partition);
    let (log, tables) = tokio::join!(reading, tables);
    let (log, tables) = (joined(log)?, tables?);
    if let Some(mixed) = tables.mixed(&scope, &config.table.name, column_of(&config.table, "source").unwrap_or("")) {
        return Err(stop(mixed));
    }
    let drill = Drill::new(scope, scout.clone(), limits, decoder, &log, &tables);
    let drilled = drill.run(&snapshot, &tables).await?;
    let report = Report::new(config, args, &snapshot, drilled, &tables, started.elapsed());
    snapshot.close().await;
    Ok(report)
}

async fn open(database: &Database, config: &Config, cluster: &Cluster) -> Result<Snapshot, Trouble> {
    let topics = connect::topics(cluster);
    let whose = snapshot::Whose {
        pipeline: &config.name,
        cluster_id: &cluster.id,
        group_id: &config.kafka.group,
        topics: &topics,
    };
    Snapshot::open(database, &config.table, &whose).await.map_err(Trouble::postgres)
}

/// Asks a question of every lane on a blocking thread.
async fn asking<T: Send + 'static>(
    scout: &Arc<Scout>,
    lanes: Vec<Lane>,
    ask: impl Fn(&Scout, Lane) -> Result<T, ScoutError> + Send + Sync + 'static,
) -> Result<Vec<T>, Trouble> {
    let ask = Arc::new(ask);
    patiently(|| {
        let (scout, lanes, ask) = (scout.clone(), lanes.clone(), ask.clone());
        async move {
            let asked = move || lanes.iter().map(|lane| ask(&scout, *lane)).collect::<Result<Vec<T>, _>>();
            joined(tokio::task::spawn_blocking(asked).await)
        }
    })
    .await
}

/// The answer of a blocking thread.
fn joined<T>(answer: Result<Result<T, ScoutError>, tokio::task::JoinError>) -> Result<T, Trouble> {
    match answer {
        Ok(answer) => answer.map_err(Trouble::kafka),
        Err(error) => Err(Trouble { code: "kafka", fault: Fault::Stop, message: error.to_string() }),
    }
}

/// Asks again while a service is away, for [`PATIENCE`] at most.
async fn patiently<T, F: Future<Output = Result<T, Trouble>>>(mut ask: impl FnMut() -> F) -> Result<T, Trouble> {
    let end = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Err(trouble) if trouble.fault == Fault::Retry && Instant::now() < end => tokio::time::sleep(PAUSE).await,
            answer => return answer,
        }
    }
}
