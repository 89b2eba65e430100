//! `tidemill model inspect`: what a model takes, makes and needs, and what is missing.

use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use tidemill_onnx::inspect::Report;

use crate::app::model::options;
use crate::cli::Exit;
use crate::cli::ModelInspectArgs;

/// Prints the report; a model that does not load ends with the code of a wrong configuration.
///
/// # Errors
/// If the file cannot be read.
pub fn inspect(args: &ModelInspectArgs) -> anyhow::Result<Exit> {
    let path = model_file(&args.model);
    let report =
        tidemill_onnx::inspect::inspect(&path, &options(&args.engine)).with_context(|| path.display().to_string())?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", render(&path, &report));
    }
    match &report.error {
        None => Ok(Exit::Done),
        Some(error) => {
            eprintln!("{}: {error}", path.display());
            Ok(Exit::Configuration)
        }
    }
}

/// A bundle is a folder with the file in it.
fn model_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("model.onnx") } else { path.into() }
}

fn render(path: &Path, report: &Report) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: String| {
        writeln!(out, "{name:<12}{text}").expect("a String takes all");
    };
    let opsets: Vec<String> = report.opsets.iter().map(|(d, v)| format!("{d} {v}")).collect();
    line("model", path.display().to_string());
    line("made by", format!("{} (IR {}, {})", known(&report.producer), report.ir_version, opsets.join(", ")));
    for input in &report.inputs {
        let row = match &input.row_shape {
            Some(dims) if dims.is_empty() => "one value a row".into(),
            Some(dims) => format!("[{}] a row", dims.join(", ")),
            None => "its shape is not declared".into(),
        };
        line("input", format!("{}: {}, {row}", input.name, input.r#type));
    }
    for output in &report.outputs {
        line("output", format!("{}: {}", output.name, output.r#type));
    }
    for operator in &report.operators {
        let note = if operator.note.is_empty() { String::new() } else { format!(" ({})", operator.note) };
        line("operator", format!("{} x {}: {}{note}", operator.count, operator.name, operator.by));
    }
    line("parameters", report.parameters.to_string());
    line("engine", report.engine.clone());
    line("rows", report.feeding.clone());
    let row = report.row_bytes.map_or("not known".into(), |b| format!("about {}", size(b)));
    line("memory", format!("{} for the model, {row} for each row of a batch", size(report.model_bytes)));
    for note in &report.notes {
        line("note", note.clone());
    }
    let missing = if report.missing.is_empty() { "nothing".into() } else { report.missing.join(", ") };
    line("missing", missing);
    out
}

fn known(text: &str) -> &str {
    if text.is_empty() { "an unknown program" } else { text }
}

fn size(bytes: usize) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}
