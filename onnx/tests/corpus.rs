//! Exported models against onnxruntime's answers: every `NAME.onnx` of a folder with its rows and expected outputs,
//! in batches of 1, 7 and 64. `TIDEMILL_MODELS` names another folder, `TIDEMILL_MODEL_FILTER` parts of names.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value as Json;
use tidemill_onnx::engine::EngineName;
use tidemill_onnx::json::parse;
use tidemill_onnx::json::write;
use tidemill_onnx::ops::dense::saturating::in_sixteen_bits;
use tidemill_onnx::session::Options;
use tidemill_onnx::session::Session;

/// Largest difference of numbers, absolute or relative.
const TOLERANCE: f64 = 1e-5;

/// Models on which onnxruntime's own answers differ by processor, with a wider tolerance where it has VNNI: the answers
/// were made without it, where 8-bit products saturate in 16 bits.
const SATURATING: &[(&str, f64)] =
    &[("int8_dynamic_lstm", 0.05), ("int8_dynamic_sequence", 0.2), ("int8_qdq_signed", 0.15)];

#[test]
fn every_model_agrees_with_onnxruntime() {
    all(EngineName::Tract);
}

#[cfg(feature = "onnxruntime")]
#[test]
fn every_model_is_the_same_through_the_onnxruntime_engine() {
    if std::env::var_os("ORT_DYLIB_PATH").is_none() {
        return eprintln!("left out: ORT_DYLIB_PATH does not name onnxruntime's library");
    }
    all(EngineName::Onnxruntime);
}

fn all(engine: EngineName) {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/models");
    let folder = std::env::var("TIDEMILL_MODELS").map_or(default, PathBuf::from);
    let filter = std::env::var("TIDEMILL_MODEL_FILTER").unwrap_or_default();
    let mut models = vec![];
    find(&folder, &mut models);
    models.sort();
    assert!(!models.is_empty(), "no models in {}", folder.display());
    let (mut passed, mut wrong) = (0, vec![]);
    for model in models {
        let name = model.strip_prefix(&folder).unwrap().display().to_string();
        if !filter.split(',').any(|f| name.contains(f)) {
            continue;
        }
        let outcome = std::panic::catch_unwind(|| check(&model, engine)).unwrap_or(Err("panicked".into()));
        match outcome {
            Ok(()) => passed += 1,
            // onnxruntime wants the locale en_US.UTF-8 for these, which a small machine may lack
            Err(why) if engine == EngineName::Onnxruntime && why.contains("StringNormalizer") => {
                println!("left out: {name} needs a locale");
            }
            Err(why) => wrong.push(format!("{name}: {why}")),
        }
    }
    println!("{passed} models agree");
    assert!(wrong.is_empty(), "{} models do not:\n{}", wrong.len(), wrong.join("\n"));
}

fn find(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of models").map(|e| e.unwrap().path()) {
        if entry.is_dir() && entry.file_name().is_some_and(|n| n != "broken") {
            find(&entry, out);
        } else if entry.extension().is_some_and(|e| e == "onnx") && entry.with_extension("rows.jsonl").is_file() {
            out.push(entry);
        }
    }
}

fn check(path: &Path, engine: EngineName) -> Result<(), String> {
    let session = Session::load_file(path, None, &Options { engine, library: None }).map_err(|e| e.to_string())?;
    let session = Arc::new(session);
    let names: Vec<String> = session.outputs.iter().map(|p| p.name.clone()).collect();
    let text = |ext| fs::read_to_string(path.with_extension(ext)).map_err(|e| e.to_string());
    let rows = text("rows.jsonl")?.lines().map(|l| parse::row(&session.inputs, l)).collect::<Result<Vec<_>, _>>();
    let rows = rows.map_err(|e| e.to_string())?;
    let expected: Vec<Json> = text("expected.jsonl")?.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    if rows.len() != expected.len() {
        return Err(format!("{} rows, {} expected", rows.len(), expected.len()));
    }
    let name = path.file_stem().unwrap().to_string_lossy();
    let saturating = SATURATING.iter().find(|(model, _)| *model == name && !in_sixteen_bits());
    let tolerance = saturating.map_or(TOLERANCE, |(_, wide)| *wide);
    for batch in [1, 7, 64] {
        let mut worker = session.worker().map_err(|e| e.to_string())?;
        let mut at = 0;
        while at < rows.len() {
            let count = parse::uniform(&rows[at..rows.len().min(at + batch)]);
            let inputs = parse::stack(&session.inputs, rows[at..at + count].to_vec()).map_err(|e| e.to_string())?;
            let outputs = worker.run(count, inputs).map_err(|e| format!("batch of {batch}, row {at}: {e}"))?;
            for i in 0..count {
                let mut line = String::new();
                write::line(&mut line, &names, &outputs, i).map_err(|e| e.to_string())?;
                let got: Json = serde_json::from_str(&line).map_err(|e| e.to_string())?;
                same(&expected[at + i], &got, tolerance)
                    .map_err(|e| format!("batch of {batch}, row {}: {e}", at + i))?;
            }
            at += count;
        }
    }
    Ok(())
}

fn same(want: &Json, got: &Json, tolerance: f64) -> Result<(), String> {
    match (want, got) {
        (Json::Object(w), Json::Object(g)) if w.len() == g.len() => w.iter().try_for_each(|(key, w)| {
            let g = g.get(key).ok_or_else(|| format!("`{key}` is missing"))?;
            same(w, g, tolerance).map_err(|e| format!("{key}: {e}"))
        }),
        (Json::Array(w), Json::Array(g)) if w.len() == g.len() => {
            w.iter().zip(g).try_for_each(|(w, g)| same(w, g, tolerance))
        }
        (Json::Number(w), Json::Number(g)) => {
            let (w, g) = (w.as_f64().unwrap(), g.as_f64().unwrap());
            let close = (w - g).abs() <= tolerance * w.abs().max(1.0);
            if close { Ok(()) } else { Err(format!("expected {w}, got {g}")) }
        }
        (w, g) if w == g => Ok(()),
        (w, g) => Err(format!("expected {w:.200}, got {g:.200}")),
    }
}
