//! `tidemill model bench`: what decoding, scoring and encoding of a record cost one thread, by batch size, without any service.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::anyhow;
use anyhow::ensure;
use serde::Serialize;

use crate::adapters::models;
use crate::adapters::models::bundle::Bundle;
use crate::adapters::models::golden;
use crate::adapters::postgres::encode::Encoder;
use crate::adapters::postgres::planned;
use crate::app::model::events;
use crate::app::model::lines;
use crate::app::prepare;
use crate::app::prepare::Prepared;
use crate::cli::Exit;
use crate::cli::ModelBenchArgs;
use crate::config::Config;
use crate::config::load;
use crate::pipeline::clock::wall_micros;
use crate::pipeline::mill::Mill;
use crate::pipeline::mill::Strain;

const SIZES: &[usize] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
/// A larger batch must gain this much to be called better.
const GAIN: f64 = 1.02;

/// What was measured; also the `--json` form.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    version: String,
    engine: String,
    /// How rows are fed to the graph.
    feeding: String,
    /// Different events that were used in turn.
    events: usize,
    /// Bytes of an event and of its encoded row, on average.
    event_bytes: usize,
    row_bytes: usize,
    batches: Vec<Line>,
    /// The smallest batch size beyond which rows a second hardly grow.
    best_batch: usize,
    /// Memory of the model with one thread and the best batch, in bytes.
    memory_bytes: usize,
}

/// Medians for one batch size; times are of one thread.
#[derive(Debug, Clone, Serialize)]
struct Line {
    batch: usize,
    rows_per_second: f64,
    decode_ns: f64,
    infer_ns: f64,
    encode_ns: f64,
    /// Time of a whole batch, in microseconds.
    batch_us: f64,
}

/// Measures a bundle on its golden events, or on recorded ones.
///
/// # Errors
/// What is wrong with the bundle, the configuration or the events.
pub fn bench(args: &ModelBenchArgs) -> anyhow::Result<Exit> {
    let config = configured(args)?;
    let prepared = prepare::prepare(&config).map_err(|problems| anyhow!(problems.join("\n")))?;
    let (mut mill, bundle) = mill(&config, prepared)?;
    let recorded = recorded(args.events.as_deref(), &bundle)?;
    let row_bytes = kept(&mut mill, &recorded)?;
    let mut batches = vec![];
    for size in SIZES {
        batches.push(measure(&mut mill, &recorded, *size, args.time));
    }
    let best = batches.iter().map(|l| l.rows_per_second).fold(0.0, f64::max);
    let best_batch = batches.iter().find(|l| l.rows_per_second * GAIN >= best).map_or(1, |l| l.batch);
    let report = Report {
        model: bundle.summary.name.clone(),
        version: bundle.summary.version.clone(),
        engine: bundle.summary.engine.clone(),
        feeding: bundle.feeding(),
        events: recorded.len(),
        event_bytes: recorded.iter().map(Vec::len).sum::<usize>() / recorded.len(),
        row_bytes,
        batches,
        best_batch,
        memory_bytes: bundle.summary.memory(1, best_batch),
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(Exit::Done)
}

/// The pipeline that is measured: that of the file, or of the defaults, with the bundle of the command line.
fn configured(args: &ModelBenchArgs) -> anyhow::Result<Config> {
    let mut config = match &args.config {
        None => Config::default(),
        Some(file) => load::load::<Config>(file, &[]).map_err(|e| anyhow!("{e}"))?.0,
    };
    config.model = Some(models::Options { bundle: args.bundle.clone() });
    Ok(config)
}

/// The daemon's mill, with rows for the table that `migrate` would make.
fn mill(config: &Config, prepared: Prepared) -> anyhow::Result<(Mill, Bundle)> {
    let specs = prepared.specs();
    let table = planned::table(&config.table, &specs).map_err(|problems| anyhow!(problems.join("\n")))?;
    let (name, version, _) = prepared.identity();
    let topic = config.kafka.topics.first().map_or("topic", String::as_str);
    let registered = planned::registered(&[(topic, 1)], format!("{name}@{version}"));
    let encoder = Encoder::new(Arc::new(table), Arc::new(registered), &config.table, &prepared.slots, wall_micros);
    let bundle = prepared.bundle.context("there is no bundle")?;
    Ok((Mill::new(prepared.decoder, prepared.model, Arc::new(encoder), specs), bundle))
}

fn recorded(file: Option<&Path>, bundle: &Bundle) -> anyhow::Result<Vec<Vec<u8>>> {
    let events: Vec<Vec<u8>> = match file {
        Some(path) => lines::open(path)?.collect::<Result<_, _>>()?,
        None => golden::events(bundle).map_err(|e| anyhow!("{e}"))?,
    };
    ensure!(!events.is_empty(), "there are no events to measure with; name some by --events FILE");
    Ok(events)
}

/// Bytes of an encoded row, on average. Events that are not stored would be measured as very fast ones.
fn kept(mill: &mut Mill, events: &[Vec<u8>]) -> anyhow::Result<usize> {
    let (scored, _) = mill.turn(events::batch(events.iter().map(Vec::as_slice)));
    let out = (0..events.len()).filter(|r| !scored.verdicts.is_kept(*r)).count();
    let why = scored.verdicts.rejected.first().map_or("a rule skips it".into(), |r| r.detail.clone());
    ensure!(out == 0, "{out} of {} events are not stored, the first because {why}", events.len());
    Ok(scored.rows.bytes.len() / events.len())
}

fn measure(mill: &mut Mill, events: &[Vec<u8>], size: usize, time: Duration) -> Line {
    let mut next = events.iter().cycle();
    let mut turns: Vec<Strain> = vec![];
    let start = Instant::now();
    while turns.len() < 5 || start.elapsed() < time {
        let batch = events::batch((0..size).filter_map(|_| next.next()).map(Vec::as_slice));
        turns.push(mill.turn(batch).1);
    }
    let median = |of: fn(&Strain) -> Duration| {
        let mut all: Vec<f64> = turns.iter().map(|s| of(s).as_secs_f64()).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let ns = |of: fn(&Strain) -> Duration| median(of) / size as f64 * 1e9;
    let whole = median(|s| s.decode + s.infer + s.encode);
    Line {
        batch: size,
        rows_per_second: size as f64 / whole.max(1e-9),
        decode_ns: ns(|s| s.decode),
        infer_ns: ns(|s| s.infer),
        encode_ns: ns(|s| s.encode),
        batch_us: whole * 1e6,
    }
}

fn print(report: &Report) {
    println!("{} {}, {}, {}", report.model, report.version, report.engine, report.feeding);
    println!("{} events in turn of {} bytes, rows of {} bytes", report.events, report.event_bytes, report.row_bytes);
    println!("one thread, nanoseconds a record, medians");
    println!();
    println!("{:>6} {:>12} {:>9} {:>9} {:>9} {:>12}", "batch", "rows/s", "decode", "infer", "encode", "batch us");
    for line in &report.batches {
        println!(
            "{:>6} {:>12.0} {:>9.0} {:>9.0} {:>9.0} {:>12.1}",
            line.batch, line.rows_per_second, line.decode_ns, line.infer_ns, line.encode_ns, line.batch_us
        );
    }
    println!();
    let mb = report.memory_bytes as f64 / 1e6;
    println!("best batch {}; about {mb:.1} MB with it for the model and one thread", report.best_batch);
}
