//! Random tree ensembles against onnxruntime's answers, committed by `trees/generate.py trees/cases 60 3 8 16000`: all operators
//! of trees with their modes, aggregates, transforms, base values, labels and number types.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value as Json;
use tidemill_onnx::graph::convert;
use tidemill_onnx::json::parse;
use tidemill_onnx::json::write;
use tidemill_onnx::session::Options;
use tidemill_onnx::session::Session;

#[test]
fn random_ensembles_agree_with_onnxruntime() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees/cases");
    let files = fs::read_dir(&folder).expect("the folder is committed").map(|e| e.unwrap().path());
    let models: Vec<PathBuf> = files.filter(|p| p.extension().is_some_and(|e| e == "onnx")).collect();
    assert!(models.len() >= 40, "{} models", models.len());
    let wrong: Vec<String> =
        models.iter().filter_map(|m| check(m).err().map(|why| format!("{}: {why}", m.display()))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(path: &Path) -> Result<(), String> {
    let model = convert::read_file(path).map_err(|e| e.to_string())?;
    let session = Arc::new(Session::load(&model, None, &Options::default()).map_err(|e| e.to_string())?);
    let names: Vec<String> = session.outputs.iter().map(|p| p.name.clone()).collect();
    let text = |extension| fs::read_to_string(path.with_extension(extension)).expect("the file is committed");
    let rows = text("rows.jsonl").lines().map(|l| parse::row(&session.inputs, l)).collect::<Result<Vec<_>, _>>();
    let rows = rows.map_err(|e| e.to_string())?;
    let expected: Vec<Json> = text("expected.jsonl").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.len(), expected.len());
    for batch in [1, rows.len()] {
        let mut worker = session.worker().map_err(|e| e.to_string())?;
        for (from, chunk) in rows.chunks(batch).enumerate() {
            let inputs = parse::stack(&session.inputs, chunk.to_vec()).map_err(|e| e.to_string())?;
            let outputs = worker.run(chunk.len(), inputs).map_err(|e| e.to_string())?;
            for i in 0..chunk.len() {
                let mut line = String::new();
                write::line(&mut line, &names, &outputs, i).map_err(|e| e.to_string())?;
                let got: Json = serde_json::from_str(&line).map_err(|e| e.to_string())?;
                same(&expected[from * batch + i], &got).map_err(|e| format!("row {}: {e}", from * batch + i))?;
            }
        }
    }
    Ok(())
}

fn same(want: &Json, got: &Json) -> Result<(), String> {
    match (want, got) {
        (Json::Object(w), Json::Object(g)) if w.len() == g.len() => {
            w.iter().try_for_each(|(key, w)| same(w, g.get(key).unwrap_or(&Json::Null)))
        }
        (Json::Array(w), Json::Array(g)) if w.len() == g.len() => w.iter().zip(g).try_for_each(|(w, g)| same(w, g)),
        (Json::Number(w), Json::Number(g)) => {
            let (w, g) = (w.as_f64().unwrap(), g.as_f64().unwrap());
            if (w - g).abs() <= 1e-5 * w.abs().max(1.0) { Ok(()) } else { Err(format!("expected {w}, got {g}")) }
        }
        (w, g) if w == g => Ok(()),
        (w, g) => Err(format!("expected {w}, got {g}")),
    }
}
