//! `tidemill check`: says everything that is wrong at once, and what a run would take. Nothing is written anywhere.

mod kafka;
mod postgres;
mod report;
mod room;
mod sample;

use std::io::Write;

use crate::app::check::report::Report;
use crate::app::check::sample::Judges;
use crate::app::connect::Cluster;
use crate::app::plan::Plan;
use crate::app::prepare;
use crate::app::prepare::Examined;
use crate::cli::Exit;
use crate::config::Config;
use crate::domain::outputs::OutputSpec;

/// Said of golden records that Tidemill computed itself.
pub const SELF_MADE: &str = "they are self-made, so they do not vouch for the model: compute them with onnxruntime, then change [golden] source";

pub fn check(config: &Config, sample: Option<u32>) -> Exit {
    let runtime = match crate::app::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start the runtime: {error}");
            return Exit::CannotGoOn;
        }
    };
    let report = runtime.block_on(all(config, sample));
    // A question that nobody answered may still be waited for on a thread of the runtime.
    runtime.shutdown_background();
    let text = format!("{report}{}\n", report.summary());
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Exit::CannotGoOn,
        _ => report.exit(),
    }
}

async fn all(config: &Config, sample: Option<u32>) -> Report {
    let mut report = Report::default();
    let examined = prepare::examine(config);
    offline(config, &examined, &mut report);
    let outputs = outputs(&examined);
    let (kafka, postgres) = tokio::join!(kafka::look(&config.kafka), postgres::look(config, outputs.as_deref()));
    report.append(kafka.report);
    plan(config, &examined, kafka.cluster.as_ref(), &mut report);
    report.append(postgres.report);
    let prepared = examined.made();
    if let (Some(prepared), Some(cluster), Some(database)) = (&prepared, &kafka.cluster, &postgres.database) {
        report.append(postgres::positions(database, config, prepared, cluster).await);
    }
    match (sample, prepared, kafka.cluster, &kafka.scout) {
        (None, ..) => {}
        (Some(count), Some(prepared), Some(cluster), Some(scout)) => {
            let judges = Judges { config, prepared, table: postgres.table, topics: &cluster.topics };
            report.append(sample::judge(judges, scout.clone(), count).await);
        }
        (Some(_), None, ..) => report.open("sample", "there is no decoder or model to judge with"),
        (Some(_), ..) => report.open("sample", "there is nothing to read from"),
    }
    // Never joined a group, so its end is of no interest to anybody; dropping it may block.
    std::mem::forget(kafka.scout);
    report
}

/// Columns that the model fills; `None` as long as nobody knows the model.
fn outputs(examined: &Examined) -> Option<Vec<OutputSpec>> {
    match &examined.bundle {
        None => Some(vec![]),
        Some(bundle) => bundle.as_ref().ok().map(|b| b.outputs()),
    }
}

/// What can be said without a service.
fn offline(config: &Config, examined: &Examined, report: &mut Report) {
    report.fine("configuration", format!("pipeline {}", config.name));
    match &examined.bundle {
        None => report.fine("model", "none: events are stored unscored"),
        Some(Err(error)) => report.wrong("model", error.as_str()),
        Some(Ok(bundle)) => {
            let s = &bundle.summary;
            let (digest, outputs) = (s.digest.get(..12).unwrap_or(&s.digest), s.outputs.join(", "));
            report.fine(
                "model",
                format!("{} {} ({digest}): {} features; outputs {outputs}", s.name, s.version, s.features),
            );
            let (operators, feeding) = (s.operators(), bundle.feeding());
            report.fine(
                "graph",
                format!(
                    "engine {}; inputs {}; {} parameters; {operators}; {feeding}",
                    s.engine,
                    s.inputs.join(", "),
                    s.parameters
                ),
            );
        }
    }
    match &examined.golden {
        None if examined.bundle.is_none() => {}
        None => report.open("golden", "the model could not be loaded"),
        Some(Ok(golden)) => {
            let text = format!("{} records agree, largest difference {:.1e}", golden.records, golden.worst);
            let bundle = examined.bundle.as_ref().and_then(|b| b.as_ref().ok());
            match bundle.filter(|b| b.is_self_made()) {
                Some(_) => report.fine("golden", format!("{text}; {SELF_MADE}")),
                None => report.fine("golden", text),
            }
        }
        Some(Err(error)) => report.wrong("golden", error.as_str()),
    }
    let mut problems = examined.slots.as_ref().err().cloned().unwrap_or_default();
    problems.extend(examined.decoder.as_ref().err().cloned());
    if problems.is_empty() {
        report.fine(
            "event",
            format!("{} fields for the table, {} skip rules", config.table.fields.len(), config.skip.len()),
        );
    } else {
        report.problems("event", problems);
    }
}

/// Threads and memory, against what there is (rule T5).
fn plan(config: &Config, examined: &Examined, cluster: Option<&Cluster>, report: &mut Report) {
    let bundle = examined.bundle.as_ref().and_then(|b| b.as_ref().ok());
    match Plan::new(config, bundle, cluster.map_or(1, Cluster::partitions)) {
        Err(error) => report.wrong("plan", error.to_string()),
        Ok(plan) => match room::found().and_then(|room| room.refuses(plan.total())) {
            Some(refusal) => report.wrong("plan", format!("{plan}; {refusal}")),
            None => report.fine("plan", plan.to_string()),
        },
    }
}
