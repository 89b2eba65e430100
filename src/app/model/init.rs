//! `tidemill model init`: a first bundle from an ONNX file and some events.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use anyhow::bail;
use anyhow::ensure;
use serde_json::Value as Json;
use tidemill_onnx::graph::convert;
use tidemill_onnx::session::Session;
use tidemill_onnx::session::sample;
use tidemill_onnx::session::worker::RowValues;

use crate::adapters::models::bundle::GOLDEN_FILE;
use crate::adapters::models::bundle::MANIFEST_FILE;
use crate::adapters::models::bundle::MODEL_FILE;
use crate::app::model::draft;
use crate::app::model::events;
use crate::app::model::events::JsonRows;
use crate::app::model::lines;
use crate::app::model::options;
use crate::app::model::ordered;
use crate::cli::Exit;
use crate::cli::ModelInitArgs;

/// Golden records that are written at most.
const GOLDEN_MAX: usize = 100;

/// Writes the folder; on an error nothing stays behind.
///
/// # Errors
/// What is wrong with the model, the events, or how they go together.
pub fn init(args: &ModelInitArgs) -> anyhow::Result<Exit> {
    ensure!(!args.out.exists(), "{} exists already; name another folder by --out", args.out.display());
    let text =
        |line: anyhow::Result<Vec<u8>>| String::from_utf8(line?).with_context(|| args.events.display().to_string());
    let lines: Vec<String> = lines::open(&args.events)?.map(text).collect::<Result<_, _>>()?;
    let mut parsed: Vec<Json> = vec![];
    for (i, line) in lines.iter().enumerate() {
        parsed.push(serde_json::from_str(line).with_context(|| format!("event {} is not JSON", i + 1))?);
    }
    ensure!(!parsed.is_empty(), "there are no events; some are needed to tell fields from each other");

    let session = Session::load_file(&args.model, None, &options(&args.engine))
        .with_context(|| args.model.display().to_string())?;
    let session = Arc::new(session);
    let made = first_run(&session);
    let name = args.name.clone().unwrap_or_else(|| stem(&args.model));
    let toml = draft::manifest(&name, &session, made.as_deref(), &ordered::leaves(&lines[0])?, &parsed)?;

    let done = write(args, &toml, &lines);
    if done.is_err() {
        let _ = fs::remove_dir_all(&args.out);
    }
    let golden = done?;
    println!("{}: {golden} golden records, computed by Tidemill itself", args.out.display());
    println!(
        "look through {}, and let onnxruntime compute the golden records before this",
        args.out.join(MANIFEST_FILE).display()
    );
    println!("model scores anything that matters (python/tidemill_bundle.py does it)");
    Ok(Exit::Done)
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or("model".into(), |s| s.to_string_lossy().into_owned())
}

/// Outputs of a made-up row, where one can be made up.
fn first_run(session: &Arc<Session>) -> Option<Vec<RowValues>> {
    let rows = sample::rows(&session.inputs, 1, 1).ok()?;
    session.worker().ok()?.run(1, rows).ok()
}

fn write(args: &ModelInitArgs, toml: &str, lines: &[String]) -> anyhow::Result<usize> {
    let out = |name: &str| args.out.join(name);
    fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    fs::copy(&args.model, out(MODEL_FILE)).with_context(|| args.model.display().to_string())?;
    let beside = args.model.parent().unwrap_or(Path::new("."));
    for file in convert::outline_file(&args.model)?.files {
        let to = out(&file);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(beside.join(&file), to).with_context(|| file.clone())?;
    }
    fs::write(out(MANIFEST_FILE), toml)?;

    let bundle = events::load(&args.out)?;
    let mut mill = events::mill(&bundle, Arc::new(JsonRows { specs: bundle.outputs() }))?;
    let lines = &lines[..lines.len().min(GOLDEN_MAX)];
    let (scored, _) = mill.turn(events::batch(lines.iter().map(|l| l.trim().as_bytes())));
    let mut golden = String::new();
    let mut count = 0;
    for (record, line) in lines.iter().enumerate().filter(|(r, _)| scored.verdicts.is_kept(*r)) {
        let row = String::from_utf8_lossy(scored.rows.row(record)).into_owned();
        golden.push_str(&format!("{{\"event\":{},\"outputs\":{row}}}\n", line.trim()));
        count += 1;
    }
    if count == 0 {
        let why = scored.verdicts.rejected.first().map(|r| r.detail.clone()).unwrap_or_default();
        bail!("every event is rejected, the first because {why}");
    }
    fs::write(out(GOLDEN_FILE), golden)?;
    Ok(count)
}
