//! `tidemill model`: what a data scientist sees before any Kafka exists.

use std::fs;
use std::path::PathBuf;

use serde_json::Value as Json;

use crate::support::folder::Folder;
use crate::world::Ran;
use crate::world::root;
use crate::world::tidemill;

/// Six inputs of `[n, 1]`, numbers and texts, and a ZipMap behind gradient boosting.
const MIXED: &str = "mixed_gb_zipmap";

/// One input of `[n, 5, 3]`.
const NESTED: &str = "net_lstm_torch";

fn corpus(name: &str, end: &str) -> PathBuf {
    root().join(format!("tests/models/corpus/{name}.{end}"))
}

fn lines(text: &str) -> Vec<Json> {
    text.lines().map(|l| serde_json::from_str(l).expect("a JSON line")).collect()
}

fn model(arguments: &[&str]) -> Ran {
    let mut all = vec!["model"];
    all.extend(arguments);
    tidemill(&all, &[])
}

fn close(a: &Json, b: &Json) -> bool {
    (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-5
}

#[test]
fn run_scores_rows_in_batches_of_any_size() {
    let (file, rows) = (corpus(MIXED, "onnx"), corpus(MIXED, "rows.jsonl"));
    let expected = lines(&fs::read_to_string(corpus(MIXED, "expected.jsonl")).unwrap());
    for batch in ["1", "7", "1000"] {
        let ran = model(&["run", file.to_str().unwrap(), "--rows", rows.to_str().unwrap(), "--batch", batch]);
        ran.says(0, &[]);
        let got = lines(&ran.out);
        assert_eq!(got.len(), expected.len());
        for (got, want) in got.iter().zip(&expected) {
            assert_eq!(got["output_label"], want["output_label"]);
            for class in ["0", "1"] {
                assert!(close(&got["output_probability"][class], &want["output_probability"][class]), "{got} {want}");
            }
        }
    }
}

#[test]
fn run_names_what_is_wrong_in_one_line_and_ends_with_2() {
    let folder = Folder::new("rows");
    let rows = folder.join("rows.jsonl");
    let run = |file: PathBuf| model(&["run", file.to_str().unwrap(), "--rows", rows.to_str().unwrap()]);
    let good = fs::read_to_string(corpus(MIXED, "rows.jsonl")).unwrap();
    let first = good.lines().next().unwrap();
    let cases = [
        (first.replace("\"age\":", "\"ages\":"), "there is no input `ages`"),
        (first.replace("\"age\":[2706],", ""), "input `age` is missing"),
        (first.replace("[2706]", "[\"old\"]"), "input `age`: expected int64, found a text"),
        (first.replace("[2706]", "[1,2]"), "input `age`: shape [2], expected [1] for one row"),
        (first[..20].to_string(), "not a JSON object"),
    ];
    for (line, says) in cases {
        fs::write(&rows, format!("{first}\n{line}\n")).unwrap();
        let ran = run(corpus(MIXED, "onnx"));
        assert_eq!((ran.code, ran.err.trim().lines().count()), (2, 1), "{ran}");
        assert!(ran.err.contains("row 2") && ran.err.contains(says), "{says}: {ran}");
    }
    fs::write(&rows, "").unwrap();
    for (file, says) in [("empty", "not an ONNX file"), ("text", "not an ONNX file"), ("opset_absurd", "opset 999")] {
        let ran = run(root().join(format!("tests/models/broken/{file}.onnx")));
        assert_eq!((ran.code, ran.err.trim().lines().count()), (2, 1), "{ran}");
        assert!(ran.err.contains(says) && ran.err.contains(file), "{ran}");
    }
    let ran = run(folder.join("nothing.onnx"));
    assert!(ran.code == 2 && ran.err.contains("nothing.onnx"), "{ran}");
}

#[test]
fn inspect_says_what_a_model_takes_makes_and_lacks() {
    let file = corpus(MIXED, "onnx");
    let ran = model(&["inspect", file.to_str().unwrap()]);
    ran.says(0, &["input       amount: float[?, 1], [1] a row", "1 x ai.onnx.ml:ZipMap: own", "missing     nothing"]);
    let report: Json = serde_json::from_str(&model(&["inspect", "--json", file.to_str().unwrap()]).out).unwrap();
    assert_eq!(report["inputs"][0]["name"], "amount");
    assert_eq!(report["missing"], serde_json::json!([]));
    assert!(report["model_bytes"].as_u64().unwrap() > 1000 && report["row_bytes"].as_u64().unwrap() > 10, "{report}");

    let unknown = root().join("tests/models/broken/operator_unknown.onnx");
    let ran = model(&["inspect", unknown.to_str().unwrap()]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.err.contains("is not supported") && ran.err.contains("onnxruntime"), "{ran}");
    assert!(ran.out.lines().any(|l| l.starts_with("missing") && !l.ends_with("nothing")), "{ran}");
}

/// Events as a topic would hold them: the corpus' rows with plain values.
fn events() -> String {
    let rows = lines(&fs::read_to_string(corpus(MIXED, "rows.jsonl")).unwrap());
    let plain = |row: &Json| -> String {
        let fields = row.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v[0].clone()));
        Json::Object(fields.filter(|(_, v)| *v != "NaN").collect()).to_string() + "\n"
    };
    rows.iter().map(plain).collect()
}

#[test]
fn arrays_in_arrays_are_drafted_as_one_feature() {
    let folder = Folder::new("nested");
    let (file, rows, bundle) = (corpus(NESTED, "onnx"), corpus(NESTED, "rows.jsonl"), folder.join("bundle"));
    let (rows, bundle) = (rows.to_str().unwrap(), bundle.to_str().unwrap());
    model(&["init", file.to_str().unwrap(), "--events", rows, "--out", bundle]).says(0, &["golden records"]);
    let toml = fs::read_to_string(folder.join("bundle/model.toml")).unwrap();
    assert!(toml.contains("length = [5, 3]"), "{toml}");
    let predicted = model(&["predict", bundle, "--events", rows]);
    predicted.says(0, &[]);
    let expected = lines(&fs::read_to_string(corpus(NESTED, "expected.jsonl")).unwrap());
    for (got, want) in lines(&predicted.out).iter().zip(&expected) {
        assert!((0..2).all(|i| close(&got["output"][i], &want["output"][i])), "{got} {want}");
    }
}

#[test]
fn a_bundle_is_drafted_tried_and_measured_without_any_service() {
    let folder = Folder::new("bundle");
    let (events_file, bundle) = (folder.join("events.jsonl"), folder.join("bundle"));
    fs::write(&events_file, events()).unwrap();
    let (events_file, bundle) = (events_file.to_str().unwrap(), bundle.to_str().unwrap());
    let file = corpus(MIXED, "onnx");
    let init = ["init", file.to_str().unwrap(), "--events", events_file, "--out", bundle, "--name", "mixed"];
    model(&init).says(0, &["golden records, computed by Tidemill itself"]);
    let toml = fs::read_to_string(folder.join("bundle/model.toml")).unwrap();
    assert!(toml.contains("source = \"self-made\"") && toml.contains("type = \"text\""), "{toml}");
    let again = model(&init);
    assert!(again.code == 2 && again.err.contains("exists already"), "{again}");

    let predicted = model(&["predict", bundle, "--events", events_file, "--batch", "5"]);
    predicted.says(0, &[]);
    let expected = lines(&fs::read_to_string(corpus(MIXED, "expected.jsonl")).unwrap());
    for (got, want) in lines(&predicted.out).iter().zip(&expected) {
        assert_eq!(got["output_label"], want["output_label"]);
        assert!(close(&got["output_probability_1"], &want["output_probability"]["1"]), "{got} {want}");
    }
    fs::write(folder.join("odd.jsonl"), "{\"amount\":\"much\"}\nnonsense\n").unwrap();
    let odd = model(&["predict", bundle, "--events", folder.join("odd.jsonl").to_str().unwrap()]);
    odd.says(0, &["\"stage\":\"decode\""]);
    assert_eq!(odd.out.lines().count(), 2, "{odd}");

    let bench = model(&["bench", bundle, "--time", "5ms", "--json"]);
    bench.says(0, &[]);
    let report: Json = serde_json::from_str(&bench.out).unwrap();
    let best = report["best_batch"].as_u64().unwrap();
    let batches = report["batches"].as_array().unwrap();
    assert!(batches.iter().any(|b| b["batch"] == best && b["rows_per_second"].as_f64().unwrap() > 100.0), "{bench}");
    let stages = ["decode_ns", "infer_ns", "encode_ns"];
    assert!(batches.iter().all(|b| stages.iter().all(|s| b[s].as_f64().unwrap() > 0.0)), "{bench}");
    let plain = report["row_bytes"].as_u64().unwrap();

    // a pipeline's own section decides what is read and stored
    let config = folder.join("pipeline.toml");
    let stored = "[[table.fields]]\ncolumn = \"amount\"\nfield = \"amount\"\ntype = \"number\"\n";
    fs::write(&config, stored).unwrap();
    let args = ["bench", bundle, "--events", events_file, "--time", "5ms", "--json", "-c", config.to_str().unwrap()];
    let bench = model(&args);
    bench.says(0, &[]);
    let report: Json = serde_json::from_str(&bench.out).unwrap();
    assert!(report["row_bytes"].as_u64().unwrap() > plain && report["event_bytes"].as_u64().unwrap() > 10, "{bench}");
    fs::write(&config, "[[skip]]\nfield = \"amount\"\nabsent = false\n").unwrap();
    let skipped = model(&args);
    assert!(skipped.code != 0 && skipped.err.contains("events are not stored"), "{skipped}");
}
