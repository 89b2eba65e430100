//! Broken and hostile files (`tests/models/broken`): a clear error for each, soon, within bounded memory, without a panic.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use serde::Deserialize;
use tidemill_onnx::json::parse;
use tidemill_onnx::session::Options;
use tidemill_onnx::session::Session;
use tidemill_onnx::session::sample;

/// A file, what is wrong with it, and words of which the message needs one.
#[derive(Deserialize)]
struct Case {
    file: String,
    wrong: String,
    words: Vec<String>,
    row: Option<serde_json::Value>,
    /// To accept it does no harm.
    #[serde(default)]
    harmless: bool,
    /// How onnxruntime ends: "load" and "run" are errors, "accepts" is none, "time" never ended.
    onnxruntime: Option<String>,
}

/// What onnxruntime refuses and Tidemill takes, with the reason.
const TAKEN: &[(&str, &str)] = &[
    ("inputs_many.onnx", "inputs that no version of the operator has are never read"),
    ("outputs_many.onnx", "outputs that nobody reads are never made"),
    ("transpose_perm_minus_1_0.onnx", "axes are counted from the end, as everywhere else"),
    ("tree_round.onnx", "nodes that no root leads to are never visited"),
];

/// One file may take this long, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Resident memory that no file may drive the process over, in kB.
const MEMORY: usize = 4_000_000;

#[test]
fn broken_files_are_refused_with_a_clear_error() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/models/broken");
    let manifest = fs::read_to_string(folder.join("broken.jsonl")).expect("the list of broken files");
    let filter = std::env::var("TIDEMILL_MODEL_FILTER").unwrap_or_default();
    let mut wrong = vec![];
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for line in manifest.lines() {
        let case: Case = serde_json::from_str(line).expect("a line of the list");
        if !filter.split(',').any(|f| case.file.contains(f)) {
            continue;
        }
        let path = folder.join(&case.file);
        let start = Instant::now();
        // as the program does: deep files are read on a thread with room
        let row = case.row.clone();
        let thread = std::thread::Builder::new().stack_size(256 << 20);
        let end = thread.spawn(move || attempt(&path, row.as_ref())).unwrap().join();
        let taken = TAKEN.iter().any(|(file, _)| *file == case.file);
        let title = format!("{} ({})", case.file, case.wrong);
        match end {
            Err(_) => wrong.push(format!("{title}: panicked")),
            Ok(Ok(())) if case.harmless || taken || case.onnxruntime.as_deref() == Some("accepts") => {
                *ends.entry("accepted").or_default() += 1
            }
            Ok(Ok(())) => wrong.push(format!("{title}: was accepted, onnxruntime says {:?}", case.onnxruntime)),
            Ok(Err(message)) => {
                *ends.entry("refused").or_default() += 1;
                let lower = message.to_lowercase();
                if !case.words.is_empty() && !case.words.iter().any(|w| lower.contains(&w.to_lowercase())) {
                    wrong.push(format!("{title}: says `{message}`, expected one of {:?}", case.words));
                }
            }
        }
        if start.elapsed() > PATIENCE / 10 {
            println!("{title}: {:?}, {} kB so far", start.elapsed(), peak());
        }
        if start.elapsed() > PATIENCE {
            wrong.push(format!("{title}: took {:?}", start.elapsed()));
        }
    }
    println!("{ends:?}, at most {} kB", peak());
    assert!(wrong.is_empty(), "{} of the broken files:\n{}", wrong.len(), wrong.join("\n"));
    assert!(peak() < MEMORY, "{} kB were resident", peak());
}

/// Loads the file and scores one row: the given one, or a made-up one.
fn attempt(path: &Path, row: Option<&serde_json::Value>) -> Result<(), String> {
    let session = Session::load_file(path, None, &Options::default()).map_err(|e| e.to_string())?;
    let session = Arc::new(session);
    let inputs = match row {
        Some(row) => {
            let row = parse::row(&session.inputs, &row.to_string()).map_err(|e| e.to_string())?;
            parse::stack(&session.inputs, vec![row]).map_err(|e| e.to_string())?
        }
        None => sample::rows(&session.inputs, 1, 1).map_err(|e| e.to_string())?,
    };
    let mut worker = session.worker().map_err(|e| e.to_string())?;
    worker.run(1, inputs).map(|_| ()).map_err(|e| e.to_string())
}

fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}
