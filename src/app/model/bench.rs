//! `tidemill model bench`: rows a second of one thread, by batch size, without any service.

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::ensure;
use serde::Serialize;

use crate::adapters::models::bundle::Bundle;
use crate::adapters::models::golden;
use crate::app::model::events;
use crate::app::model::events::JsonRows;
use crate::cli::Exit;
use crate::cli::ModelBenchArgs;
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
    decode_us_per_row: f64,
    infer_us_per_row: f64,
    /// Time of a whole batch, in microseconds.
    batch_us: f64,
}

/// Measures a bundle on its golden events, or on recorded ones.
///
/// # Errors
/// What is wrong with the bundle or the events.
pub fn bench(args: &ModelBenchArgs) -> anyhow::Result<Exit> {
    let bundle = events::load(&args.bundle)?;
    let recorded = recorded(args.events.as_deref(), &bundle)?;
    let mut mill = events::mill(&bundle, Arc::new(JsonRows { specs: bundle.outputs() }))?;
    kept(&mut mill, &recorded)?;
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

fn recorded(file: Option<&Path>, bundle: &Bundle) -> anyhow::Result<Vec<Vec<u8>>> {
    let events: Vec<Vec<u8>> = match file {
        Some(path) => {
            let lines: Result<Vec<_>, _> = events::open(path)?.split(b'\n').collect();
            let lines = lines.with_context(|| path.display().to_string())?;
            lines.into_iter().filter(|l| !l.iter().all(u8::is_ascii_whitespace)).collect()
        }
        None => golden::events(bundle).map_err(|e| anyhow::anyhow!("{e}"))?,
    };
    ensure!(!events.is_empty(), "there are no events to measure with; name some by --events FILE");
    Ok(events)
}

/// Rejected events would be measured as very fast ones.
fn kept(mill: &mut Mill, events: &[Vec<u8>]) -> anyhow::Result<()> {
    let (scored, _) = mill.turn(events::batch(events.iter().map(Vec::as_slice)));
    let dead = (0..events.len()).filter(|r| !scored.verdicts.is_kept(*r)).count();
    let why = scored.verdicts.rejected.first().map(|r| r.detail.clone()).unwrap_or_default();
    ensure!(dead == 0, "{dead} of {} events are rejected, the first because {why}", events.len());
    Ok(())
}

fn measure(mill: &mut Mill, events: &[Vec<u8>], size: usize, time: Duration) -> Line {
    let mut next = events.iter().cycle();
    let mut turns: Vec<Strain> = vec![];
    let start = Instant::now();
    while turns.len() < 5 || start.elapsed() < time {
        let batch = events::batch((0..size).filter_map(|_| next.next()).map(Vec::as_slice));
        turns.push(mill.turn(batch).1);
    }
    let median = |of: fn(&Strain) -> f64| {
        let mut all: Vec<f64> = turns.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let decode = median(|s| s.decode.as_secs_f64() * 1e6);
    let infer = median(|s| s.infer.as_secs_f64() * 1e6);
    let both = decode + infer;
    Line {
        batch: size,
        rows_per_second: size as f64 / both.max(1e-3) * 1e6,
        decode_us_per_row: decode / size as f64,
        infer_us_per_row: infer / size as f64,
        batch_us: both,
    }
}

fn print(report: &Report) {
    println!("{} {}, {}, {}", report.model, report.version, report.engine, report.feeding);
    println!("{} events in turn, one thread, medians", report.events);
    println!();
    println!("{:>6} {:>12} {:>12} {:>12} {:>12}", "batch", "rows/s", "decode us", "infer us", "batch us");
    for line in &report.batches {
        println!(
            "{:>6} {:>12.0} {:>12.3} {:>12.3} {:>12.1}",
            line.batch, line.rows_per_second, line.decode_us_per_row, line.infer_us_per_row, line.batch_us
        );
    }
    println!();
    let mb = report.memory_bytes as f64 / 1e6;
    println!("best batch {}; about {mb:.1} MB with it for the model and one thread", report.best_batch);
}
