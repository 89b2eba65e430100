//! `tidemill model run`: rows as JSON lines through a bare ONNX file.

use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use anyhow::anyhow;
use tidemill_onnx::json::parse;
use tidemill_onnx::json::parse::Row;
use tidemill_onnx::json::write;
use tidemill_onnx::session::Session;
use tidemill_onnx::session::worker::Worker;

use crate::app::model::lines;
use crate::app::model::options;
use crate::cli::EngineArgs;
use crate::cli::Exit;
use crate::cli::ModelRunArgs;

/// Loads a bare ONNX file for an engine.
///
/// # Errors
/// One sentence that names the file and what is wrong with it.
pub fn load(path: &Path, engine: &EngineArgs) -> anyhow::Result<Arc<Session>> {
    let loaded = catch_unwind(AssertUnwindSafe(|| Session::load_file(path, None, &options(engine))));
    let session = loaded.map_err(|_| anyhow!("{}: the file broke the reader", path.display()))?;
    Ok(Arc::new(session.with_context(|| path.display().to_string())?))
}

/// See [`ModelRunArgs`].
///
/// # Errors
/// What is wrong with the model, or with which row.
pub fn run(args: &ModelRunArgs) -> anyhow::Result<Exit> {
    let session = load(&args.model, &args.engine)?;
    let mut worker = session.worker()?;
    let names: Vec<String> = session.outputs.iter().map(|p| p.name.clone()).collect();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut waiting: Vec<Row> = vec![];
    let mut done = 0;
    for line in lines::open(&args.rows)? {
        let (line, number) = (line?, done + waiting.len() + 1);
        let line = str::from_utf8(&line).with_context(|| format!("row {number}"))?;
        waiting.push(parse::row(&session.inputs, line).with_context(|| format!("row {number}"))?);
        if waiting.len() == args.batch as usize {
            done += flush(&mut worker, &mut waiting, &names, done, &mut out)?;
        }
    }
    flush(&mut worker, &mut waiting, &names, done, &mut out)?;
    out.flush()?;
    Ok(Exit::Done)
}

fn which(first: usize, last: usize) -> String {
    if first == last { format!("row {first}") } else { format!("rows {first} to {last}") }
}

/// Scores and writes what waits; rows of unlike shapes go in batches of their own.
fn flush(
    worker: &mut Worker,
    waiting: &mut Vec<Row>,
    names: &[String],
    done: usize,
    out: &mut impl Write,
) -> anyhow::Result<usize> {
    let all = waiting.len();
    let mut line = String::new();
    while !waiting.is_empty() {
        let first = done + all - waiting.len() + 1;
        let batch: Vec<Row> = waiting.drain(..parse::uniform(waiting)).collect();
        let (count, last) = (batch.len(), first + batch.len() - 1);
        let inputs = parse::stack(&worker.session().inputs, batch)?;
        let outputs = worker.run(count, inputs).with_context(|| which(first, last))?;
        for i in 0..count {
            line.clear();
            write::line(&mut line, names, &outputs, i)?;
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
    }
    Ok(all)
}
