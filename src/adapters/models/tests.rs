//! Tests on the committed bundles and on fixtures made by onnxruntime (`tests/fixtures/models/make.py`).

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;
use tidemill_onnx::error::LoadError;
use tidemill_onnx::graph::convert;
use tidemill_onnx::session;
use tidemill_onnx::session::Session;
use tidemill_onnx::session::worker::RowValues;
use tidemill_onnx::tensor::Tensor;
use tidemill_onnx::value::Value as Input;

use crate::adapters::models::bundle::Bundle;
use crate::adapters::models::bundle::BundleError;
use crate::adapters::models::golden;
use crate::adapters::models::golden::GoldenError;
use crate::adapters::models::manifest;
use crate::adapters::models::manifest::Manifest;
use crate::domain::batch::Batch;
use crate::domain::batch::Record;
use crate::domain::batch::Span;
use crate::domain::batch::TimestampKind;
use crate::domain::fields::FieldKind;
use crate::domain::fields::FieldSpec;
use crate::domain::fields::Fields;
use crate::domain::fields::Otherwise;
use crate::domain::fields::Step;
use crate::domain::outputs::Column;
use crate::domain::outputs::OutputKind;
use crate::domain::outputs::Outputs;
use crate::domain::verdict::Rejected;
use crate::domain::verdict::Stage;
use crate::domain::verdict::Verdict;
use crate::domain::verdict::Verdicts;
use crate::ports::Decoder;
use crate::ports::Model;
use crate::ports::ModelError;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn fixture(name: &str) -> PathBuf {
    repository().join("tests/fixtures/models").join(name)
}

fn parse_path(text: &str) -> Result<Vec<Step>, String> {
    if text.is_empty() {
        return Err("a path must not be empty".into());
    }
    Ok(text.split('.').map(|k| Step::Key(k.into())).collect())
}

fn fraud(kind: &str) -> Bundle {
    Bundle::load(&repository().join("models/fraud").join(kind), &parse_path).unwrap()
}

/// A plain reader of JSON events, by way of `serde_json::Value`. The first `shift` slots are somebody else's.
#[derive(Clone)]
struct PlainDecoder {
    specs: Vec<FieldSpec>,
    shift: usize,
}

impl Decoder for PlainDecoder {
    fn decode(&mut self, batch: &Batch, fields: &mut Fields, verdicts: &mut Verdicts) {
        fields.reset(batch.records.len(), self.specs.len() + self.shift);
        for record in 0..batch.records.len() {
            let event: Value = serde_json::from_slice(batch.payload(record).unwrap()).unwrap();
            for (i, spec) in self.specs.iter().enumerate() {
                let value = spec.path.iter().try_fold(&event, |at, step| match step {
                    Step::Key(key) => at.get(key),
                    Step::Index(i) => at.get(*i as usize),
                });
                let read = |v: &Value| read(v, &spec.kind);
                if let (FieldKind::Length { min, max }, Some(len)) = (&spec.kind, value.and_then(Value::as_array))
                    && !(*min as usize..=*max as usize).contains(&len.len())
                {
                    verdicts.reject(record, Rejected::new(Stage::Decode, "wrong_length", format!("{:?}", spec.path)));
                }
                let (bits, otherwise) = match value.filter(|v| !v.is_null()) {
                    None => (None, spec.missing),
                    Some(v) => (read(v), spec.wrong),
                };
                let mut row = fields.row_mut(record);
                let slot = i + self.shift;
                match (bits, otherwise) {
                    (Some(Read::Number(n)), _) => row.set_number(slot, n),
                    (Some(Read::Integer(n)), _) => row.set_integer(slot, n),
                    (Some(Read::Text(t)), _) => row.set_text_copied(slot, t.as_bytes()),
                    (None, Otherwise::Absent) => {}
                    (None, Otherwise::Value(n)) if spec.kind == FieldKind::Number => row.set_number(slot, n),
                    (None, Otherwise::Value(n)) => row.set_integer(slot, n as i64),
                    (None, Otherwise::Reject) => {
                        verdicts
                            .reject(record, Rejected::new(Stage::Decode, "missing_field", format!("{:?}", spec.path)));
                    }
                }
            }
        }
    }

    fn fork(&self) -> Box<dyn Decoder> {
        Box::new(self.clone())
    }
}

enum Read {
    Number(f64),
    Integer(i64),
    Text(String),
}

fn read(value: &Value, kind: &FieldKind) -> Option<Read> {
    Some(match kind {
        FieldKind::Number => Read::Number(value.as_f64()?),
        FieldKind::Integer | FieldKind::Timestamp(_) => Read::Integer(value.as_i64()?),
        FieldKind::Boolean => Read::Integer(i64::from(value.as_bool()?)),
        FieldKind::Length { .. } => Read::Integer(value.as_array()?.len() as i64),
        FieldKind::Text | FieldKind::Bytes => Read::Text(value.as_str()?.into()),
        FieldKind::Category(list) => {
            let text = value.as_str()?;
            Read::Integer(list.iter().position(|v| v == text).map_or(-1, |i| i as i64))
        }
    })
}

fn ready(bundle: &Bundle) -> (PlainDecoder, Box<dyn Model>) {
    let slots: Vec<usize> = (3..3 + bundle.wanted.len()).collect();
    (PlainDecoder { specs: bundle.wanted.clone(), shift: 3 }, bundle.model(&slots))
}

/// The events of a bundle's golden file, over and over, up to `count`.
fn events(bundle: &Bundle, count: usize) -> Batch {
    let text = fs::read_to_string(bundle.dir.join("golden.jsonl")).unwrap();
    let mut batch = Batch::default();
    for line in text.lines().cycle().take(count) {
        let event = serde_json::from_str::<Value>(line).unwrap()["event"].to_string();
        let payload = batch.push_bytes(Some(event.as_bytes()));
        let kind = TimestampKind::Missing;
        batch.records.push(Record { offset: 0, timestamp: 0, kind, key: Span::NULL, payload, headers: Span::NULL });
    }
    batch
}

fn copy_of(kind: &str, name: &str) -> PathBuf {
    let to = std::env::temp_dir().join(format!("tidemill-models-{}-{name}", std::process::id()));
    fs::create_dir_all(&to).unwrap();
    for file in ["model.onnx", "model.toml", "golden.jsonl"] {
        fs::copy(repository().join("models/fraud").join(kind).join(file), to.join(file)).unwrap();
    }
    to
}

#[test]
fn both_fraud_models_load_and_their_golden_records_pass() {
    for (kind, operator) in [("gbt", "ai.onnx.ml:TreeEnsembleClassifier"), ("mlp", "Gemm")] {
        let bundle = fraud(kind);
        let (mut decoder, mut model) = ready(&bundle);
        let report = golden::verify(&bundle, &mut decoder, &mut *model).unwrap();
        assert!(report.records >= 32 && report.worst <= 2e-6, "{kind}: {report:?}");
        let outputs = bundle.outputs();
        assert_eq!(outputs[0].kind, OutputKind::Float);
        assert_eq!(outputs[1].kind, OutputKind::Boolean);
        assert!(!outputs[0].nan_allowed);
        assert!(bundle.summary.operators.contains_key(operator), "{:?}", bundle.summary);
        assert_eq!(bundle.summary.features, 20);
        assert!(bundle.summary.parameters > 5_000 && bundle.summary.session_bytes > 30_000, "{:?}", bundle.summary);
        assert_eq!(bundle.digest.len(), 64);
        // 18 fields and 3 texts for the two equalities, one of them shared
        assert_eq!(bundle.wanted.len(), 21);
    }
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    for kind in ["gbt", "mlp"] {
        let bundle = fraud(kind);
        let (mut decoder, mut model) = ready(&bundle);
        let batch = events(&bundle, 1000);
        let (mut fields, mut verdicts) = (Fields::default(), Verdicts::default());
        verdicts.reset(1000);
        decoder.decode(&batch, &mut fields, &mut verdicts);
        let records: Vec<u32> = (0..1000).collect();
        let mut outputs = Outputs::new(&bundle.outputs());
        model.run(&batch, &fields, &records, &mut outputs).unwrap();
        let (whole, labels) = (floats(&outputs), outputs.columns[1].clone());
        assert_eq!(whole.len(), 1000);
        let mut forked = model.fork();
        for size in [1, 7, 64, 999] {
            for (i, part) in records.chunks(size).enumerate() {
                forked.run(&batch, &fields, part, &mut outputs).unwrap();
                for (k, score) in floats(&outputs).iter().enumerate() {
                    let want = whole[i * size + k];
                    assert!((score - want).abs() <= 1e-6, "{kind} batch {size} row {}: {score} {want}", i * size + k);
                }
                let (Column::Boolean(got), Column::Boolean(all)) = (&outputs.columns[1], &labels) else { panic!() };
                assert_eq!(got[..], all[i * size..][..part.len()]);
            }
        }
        // any selection, in any order; and none
        model.run(&batch, &fields, &[900, 3, 3], &mut outputs).unwrap();
        assert!((floats(&outputs)[1] - whole[3]).abs() <= 1e-6 && floats(&outputs).len() == 3);
        model.run(&batch, &fields, &[], &mut outputs).unwrap();
        assert!(outputs.columns.iter().all(Column::is_empty));
    }
}

fn floats(outputs: &Outputs) -> Vec<f64> {
    let Column::Float(v) = &outputs.columns[0] else { panic!("not a float column") };
    v.clone()
}

#[test]
fn a_refused_tensor_leaves_the_model_as_good_as_new() {
    for kind in ["gbt", "mlp"] {
        let bundle = fraud(kind);
        let slots: Vec<usize> = (0..bundle.wanted.len()).collect();
        let mut scorer = bundle.scorer(&slots);
        let mut outputs = Outputs::new(&bundle.outputs());
        let good = |n: usize| vec![Input::from(Tensor::zeros::<f32>(&[n, 20]).unwrap())];
        scorer.score(8, good(8), &mut outputs).unwrap();
        let before = floats(&outputs);
        for bad in [Tensor::zeros::<f32>(&[20]), Tensor::zeros::<f32>(&[8, 19]), Tensor::zeros::<f64>(&[8, 20])] {
            scorer.score(8, vec![bad.unwrap().into()], &mut outputs).unwrap_err();
            assert!(outputs.columns.iter().all(Column::is_empty));
            scorer.score(5, good(5), &mut outputs).unwrap();
            assert_eq!(floats(&outputs), before[..5]);
            scorer.score(1, good(1), &mut outputs).unwrap();
        }
        assert!(scorer.score(2, vec![], &mut outputs).is_err());
    }
}

#[test]
fn a_tampered_golden_record_is_named_by_line_and_output() {
    let dir = copy_of("gbt", "tampered");
    let path = dir.join("golden.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    lines[2]["outputs"]["score"] = 0.123.into();
    let flag = lines[6]["outputs"]["is_fraud"].as_bool().unwrap();
    lines[6]["outputs"]["is_fraud"] = (!flag).into();
    lines[9]["event"].as_object_mut().unwrap().remove("amount");
    let write = |lines: &[Value]| {
        fs::write(&path, lines.iter().map(|l| l.to_string() + "\n").collect::<String>()).unwrap();
    };
    write(&lines);
    let bundle = Bundle::load(&dir, &parse_path).unwrap();
    let (mut decoder, mut model) = ready(&bundle);
    let error = golden::verify(&bundle, &mut decoder, &mut *model).unwrap_err();
    let GoldenError::Differs { total: 3, named, .. } = &error else { panic!("{error}") };
    let at: Vec<_> = named.iter().map(|m| (m.line, m.field.as_str())).collect();
    assert_eq!(at, [(3, "score"), (7, "is_fraud"), (10, "event")]);
    assert!(error.to_string().contains("line 3: score expected 0.123, got 0."), "{error}");
    assert!(error.to_string().contains("missing_field"), "{error}");

    lines[0]["outputs"].as_object_mut().unwrap().remove("score");
    write(&lines);
    let error = golden::verify(&bundle, &mut decoder, &mut *model).unwrap_err().to_string();
    assert!(error.ends_with("golden.jsonl:1: output `score` is missing"), "{error}");
    fs::write(&path, "\n").unwrap();
    assert!(matches!(golden::verify(&bundle, &mut decoder, &mut *model), Err(GoldenError::Empty { .. })));
    fs::remove_file(&path).unwrap();
    assert!(matches!(golden::verify(&bundle, &mut decoder, &mut *model), Err(GoldenError::Read { .. })));
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_broken_bundle_is_refused_with_its_file_and_no_panic() {
    let dir = copy_of("gbt", "broken");
    let onnx = fs::read(dir.join("model.onnx")).unwrap();
    let load = || Bundle::load(&dir, &parse_path).unwrap_err().to_string();
    for cut in [0, 1, 10, 1000, onnx.len() / 2, onnx.len() - 1] {
        fs::write(dir.join("model.onnx"), &onnx[..cut]).unwrap();
        let error = load();
        assert!(error.contains("model.onnx: "), "{cut}: {error}");
    }
    fs::write(dir.join("model.onnx"), b"PK\x03\x04 no model at all").unwrap();
    assert!(load().contains("not an ONNX file"), "{}", load());
    fs::remove_file(dir.join("model.onnx")).unwrap();
    assert!(load().contains("a bundle is a folder with"), "{}", load());
    fs::write(dir.join("model.onnx"), &onnx).unwrap();

    let toml = fs::read_to_string(dir.join("model.toml")).unwrap();
    let with = |from: &str, to: &str| {
        assert!(toml.contains(from), "{from}");
        fs::write(dir.join("model.toml"), toml.replacen(from, to, 1)).unwrap();
        load()
    };
    assert!(with("wrong = \"reject\"", "wrongly = 1").contains("unknown field `wrongly`"));
    assert!(with("missing = \"nan\"", "missing = \"maybe\"").contains("expected \"reject\", \"nan\", a number or"));
    let all = with(
        "[input]",
        "[[output]]\nname = \"score\"\ntensor = \"label\"\nkind = \"reals\"\nindex = 2\n[[feature]]\n[input]",
    );
    for part in [
        "exactly one of `field`, `equal` and `constant`",
        "two outputs have the name `score`",
        "takes all columns, no `index`",
    ] {
        assert!(all.contains(part), "{all}");
    }
    assert!(with("tensor = \"x\"", "tensor = \"y\"").contains("the graph has no input `y`; it has `x`"));
    assert!(
        with("tensor = \"label\"", "tensor = \"nope\"").contains("no output `nope`; it has `label`, `probabilities`")
    );
    assert!(with("index = 1\n", "").contains("has 2 columns: say which one"));
    assert!(with("index = 1\n", "index = 2\n").contains("has 2 columns, `index` is 2"));
    assert!(with("kind = \"float\"", "kind = \"boolean\"").contains("does not make a column"));
    let fewer = toml.replacen(
        "[[feature]]\nfield = \"card.bin\"\ntype = \"integer\"\nmissing = \"reject\"\nwrong = \"reject\"\n",
        "",
        1,
    );
    fs::write(dir.join("model.toml"), fewer).unwrap();
    assert!(load().contains("a row is [20], its features make 19 values"), "{}", load());
    fs::remove_dir_all(dir).unwrap();
}

/// Loads a graph without a bundle.
fn session(path: &Path, outputs: Option<&[&str]>) -> Result<Arc<Session>, LoadError> {
    Session::load_file(path, outputs, &session::Options::default()).map(Arc::new)
}

#[test]
fn what_cannot_run_is_refused_with_operator_node_and_way_out() {
    let refuse = |name: &str| session(&fixture(name), None).unwrap_err();
    for (name, operator) in
        [("unsupported_unknown.onnx", "com.example:FlyToTheMoon"), ("unsupported_domain.onnx", "com.example:Scaler")]
    {
        let error = refuse(name);
        assert!(matches!(&error, LoadError::Unsupported { operator: o, .. } if o == operator), "{error}");
        assert!(error.to_string().contains("engine = \"onnxruntime\""), "{error}");
    }
    for name in ["shared", "cycle", "dangling", "feature", "short", "target"] {
        let error = refuse(&format!("hostile_{name}.onnx")).to_string();
        assert!(error.contains("ai.onnx.ml:TreeEnsembleRegressor") && error.contains(name), "{name}: {error}");
    }
}

#[test]
fn a_graph_that_adds_its_rows_up_gets_them_one_by_one() {
    let toml = "feature = [{ field = 'a', type = 'number' }, { field = 'b', type = 'number' }]\n\
                output = [{ name = 'score', tensor = 'score', kind = 'float' }]";
    let bundle = Made::of("summed.onnx", toml).load().unwrap();
    assert!(bundle.summary.feeding.starts_with("row by row"), "{:?}", bundle.summary);
    let (columns, _) = run(&bundle, &[json!({"a": 1, "b": 2}), json!({"a": 10, "b": 20})]);
    assert_eq!(columns.unwrap(), [Column::Float(vec![3.0, 30.0])]);
}

/// Rows and onnxruntime's answers, see the fixture script.
struct Vectors {
    width: usize,
    scores: usize,
    rows: Vec<(Vec<f32>, Vec<f32>, Option<i64>)>,
}

fn vectors(path: &Path) -> Vectors {
    let bytes = fs::read(path).unwrap();
    let mut at = &bytes[..];
    let mut take = |n: usize| at.split_off(..n).unwrap();
    let head: Vec<usize> = take(16).chunks(4).map(|c| u32::from_le_bytes(c.try_into().unwrap()) as usize).collect();
    let floats = |bytes: &[u8]| bytes.chunks(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect::<Vec<_>>();
    let rows = (0..head[0])
        .map(|_| {
            let (x, y) = (floats(take(4 * head[1])), floats(take(4 * head[2])));
            (x, y, (head[3] == 1).then(|| i64::from_le_bytes(take(8).try_into().unwrap())))
        })
        .collect();
    Vectors { width: head[1], scores: head[2], rows }
}

/// Greatest difference to onnxruntime over all rows, scored in batches of `size`; labels must be equal.
fn compare(onnx: &Path, vectors_of: &str, names: &[&str], size: usize) -> f32 {
    let vectors = vectors(&fixture(&format!("{vectors_of}.vectors")));
    let session = session(onnx, Some(names)).unwrap();
    let mut worker = session.worker().unwrap();
    let mut worst = 0f32;
    for rows in vectors.rows.chunks(size) {
        let flat: Vec<f32> = rows.iter().flat_map(|r| r.0.clone()).collect();
        let input = Tensor::new(&[rows.len(), vectors.width], flat).unwrap();
        let run = worker.run(rows.len(), vec![input.into()]).unwrap();
        let RowValues::Tensor(scores) = &run[0] else { panic!("{:?}", run[0]) };
        let got = scores.slice::<f32>().unwrap();
        for (k, ((x, want, label), got)) in rows.iter().zip(got.chunks(vectors.scores)).enumerate() {
            for (g, w) in got.iter().zip(want) {
                let apart = if g == w || g.is_nan() && w.is_nan() { 0.0 } else { (g - w).abs() / w.abs().max(1.0) };
                assert!(apart <= 1e-5, "{vectors_of}: row {k} of {size}: got {got:?}, want {want:?} for {x:?}");
                worst = worst.max(apart);
            }
            if let Some(label) = label {
                let RowValues::Tensor(labels) = &run[1] else { panic!("{:?}", run[1]) };
                assert_eq!(labels.slice::<i64>().unwrap()[k], *label, "{vectors_of} {got:?} {want:?}");
            }
        }
    }
    worst
}

#[test]
fn operators_agree_with_onnxruntime() {
    let regressors = [
        "mode_leq",
        "mode_lt",
        "mode_gte",
        "mode_gt",
        "mode_eq",
        "mode_neq",
        "modes_mixed",
        "modes_all",
        "deep",
        "targets",
        "average",
        "single_logistic",
        "scaler",
    ];
    let classifiers = [
        "binary_plain",
        "binary_logistic",
        "binary_positive",
        "binary_second",
        "binary_second_positive",
        "two",
        "two_positive",
        "many",
        "many_zero",
    ];
    for size in [1, 13, 100] {
        for name in regressors.iter().chain(&["many_text"]) {
            compare(&fixture(&format!("{name}.onnx")), name, &["y"], size);
        }
        for name in classifiers {
            compare(&fixture(&format!("{name}.onnx")), name, &["y", "label"], size);
        }
    }
}

#[test]
fn the_fraud_trees_agree_with_onnxruntime_on_thresholds_and_holes() {
    let onnx = repository().join("models/fraud/gbt/model.onnx");
    for size in [1, 9, 600] {
        let worst = compare(&onnx, "fraud_gbt", &["probabilities", "label"], size);
        assert!(worst <= 2e-6, "{worst}");
    }
}

#[test]
fn labels_reals_and_integers_become_columns() {
    let dir = copy_of("gbt", "kinds");
    let toml = fs::read_to_string(dir.join("model.toml")).unwrap();
    let features = &toml[..toml.find("[[output]]").unwrap()];
    let outputs = "[[output]]\nname = 'both'\ntensor = 'probabilities'\nkind = 'reals'\nnan = 'store'\n\
                   [[output]]\nname = 'word'\ntensor = 'label'\nkind = 'label'\nlabels = { 0 = 'good' }\n\
                   [[output]]\nname = 'number'\ntensor = 'label'\nkind = 'integer'\n";
    fs::write(dir.join("model.toml"), format!("{features}{outputs}")).unwrap();
    let bundle = Bundle::load(&dir, &parse_path).unwrap();
    assert_eq!(bundle.outputs()[0].kind, OutputKind::Reals { width: 2 });
    assert!(bundle.outputs()[0].nan_allowed && !bundle.outputs()[2].nan_allowed);
    let (mut decoder, mut model) = ready(&bundle);
    let batch = events(&bundle, 83);
    let (mut fields, mut verdicts) = (Fields::default(), Verdicts::default());
    verdicts.reset(83);
    decoder.decode(&batch, &mut fields, &mut verdicts);
    let mut outputs = Outputs::new(&bundle.outputs());
    model.run(&batch, &fields, &(0..83).collect::<Vec<_>>(), &mut outputs).unwrap();
    let Column::Reals { values, .. } = &outputs.columns[0] else { panic!() };
    let Column::Integer(numbers) = &outputs.columns[2] else { panic!() };
    assert!(numbers.contains(&0) && numbers.contains(&1));
    for row in 0..83 {
        assert!((values[2 * row] + values[2 * row + 1] - 1.0).abs() < 1e-6);
        // a class without a text is stored as its number
        assert_eq!(outputs.columns[1].label(row), if numbers[row] == 0 { &b"good"[..] } else { b"1" });
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_schema_describes_the_committed_manifests() {
    let schema = serde_json::to_value(manifest::schema()).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    for kind in ["gbt", "mlp"] {
        let text = fs::read_to_string(repository().join("models/fraud").join(kind).join("model.toml")).unwrap();
        let manifest: Manifest = toml::from_str(&text).unwrap();
        assert!(manifest.problems().is_empty());
        for key in serde_json::to_value(&manifest).unwrap().as_object().unwrap().keys() {
            assert!(schema["properties"].get(key).is_some(), "{key}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A damaged file is refused or loaded, but never brings the process down.
    #[test]
    fn damaged_files_never_panic(at in 0usize..44_722, byte: u8, cut in proptest::bool::ANY) {
        let mut bytes = fs::read(repository().join("models/fraud/mlp/model.onnx")).unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        let _ = convert::read(&bytes, None)
            .and_then(|model| Session::load(&model, Some(&["score", "is_fraud"]), &session::Options::default()));
    }
}

/// Microseconds a row; run by hand: `cargo test --lib models::tests::time -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn time_a_row() {
    for kind in ["gbt", "mlp"] {
        let bundle = fraud(kind);
        let (mut decoder, mut model) = ready(&bundle);
        let batch = events(&bundle, 4096);
        let (mut fields, mut verdicts) = (Fields::default(), Verdicts::default());
        verdicts.reset(4096);
        decoder.decode(&batch, &mut fields, &mut verdicts);
        let mut outputs = Outputs::new(&bundle.outputs());
        let records: Vec<u32> = (0..4096).collect();
        println!("{kind}: {:?}", bundle.summary);
        for size in [1usize, 8, 64, 256, 1024] {
            let mut best = f64::MAX;
            for _ in 0..15 {
                let start = std::time::Instant::now();
                for part in records.chunks(size) {
                    model.run(&batch, &fields, part, &mut outputs).unwrap();
                }
                best = best.min(start.elapsed().as_secs_f64());
            }
            println!("{kind} batch {size}: {:.3} us a row", best / 4096.0 * 1e6);
        }
    }
}

/// A bundle of a fixture's graph; the folder is removed at the end.
struct Made(PathBuf);

impl Made {
    fn of(onnx: &str, toml: &str) -> Made {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tidemill-made-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::copy(fixture(onnx), dir.join("model.onnx")).unwrap();
        fs::write(dir.join("model.toml"), format!("name = 'm'\nversion = '1'\n{toml}")).unwrap();
        Made(dir)
    }

    fn load(&self) -> Result<Bundle, BundleError> {
        Bundle::load(&self.0, &parse_path)
    }

    fn error(&self) -> String {
        self.load().unwrap_err().to_string()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs events through a bundle: the columns, or what was said; and which records the decoder rejected, with the reason.
fn run(bundle: &Bundle, events: &[Value]) -> (Result<Vec<Column>, ModelError>, Vec<(usize, &'static str)>) {
    let mut batch = Batch::default();
    for event in events {
        let payload = batch.push_bytes(Some(event.to_string().as_bytes()));
        let kind = TimestampKind::Missing;
        batch.records.push(Record { offset: 0, timestamp: 0, kind, key: Span::NULL, payload, headers: Span::NULL });
    }
    let (mut decoder, mut model) = ready(bundle);
    let (mut fields, mut verdicts) = (Fields::default(), Verdicts::default());
    verdicts.reset(events.len());
    decoder.decode(&batch, &mut fields, &mut verdicts);
    let reason = |r: usize| match verdicts.of[r] {
        Verdict::Dead(why) => Some((r, verdicts.rejected[why as usize].reason)),
        _ => None,
    };
    let dead: Vec<_> = (0..events.len()).filter_map(reason).collect();
    let kept: Vec<u32> = (0..events.len() as u32).filter(|r| verdicts.is_kept(*r as usize)).collect();
    let mut outputs = Outputs::new(&bundle.outputs());
    let ran = model.run(&batch, &fields, &kept, &mut outputs);
    (ran.map(|()| outputs.columns), dead)
}

const NAMED: &str = r#"
feature = [
  { input = "age", field = "a.age", type = "number", missing = "nan" },
  { input = "count", field = "count", type = "integer", missing = -1 },
  { input = "small", field = "small", type = "integer" },
  { input = "flag", field = "flag", type = "boolean", missing = 0 },
  { input = "job", field = "job", type = "text", missing = { text = "none" } },
  { input = "half", field = "half", type = "number" },
  { input = "wide", constant = 0.1 },
]
output = [
  { name = "age", tensor = "age_out", kind = "float", nan = "store" },
  { name = "count", tensor = "count_out", kind = "integer" },
  { name = "small", tensor = "small_out", kind = "label", labels = { 7 = "seven" } },
  { name = "flag", tensor = "flag_out", kind = "boolean" },
  { name = "job", tensor = "job_out", kind = "label" },
  { name = "half", tensor = "half_out", kind = "float" },
  { name = "wide", tensor = "wide_out", kind = "float" },
]
"#;

fn labels(column: &Column) -> Vec<String> {
    (0..column.len()).map(|i| String::from_utf8(column.label(i).to_vec()).unwrap()).collect()
}

#[test]
fn many_inputs_take_values_of_their_own_type_exactly() {
    let made = Made::of("named.onnx", NAMED);
    let bundle = made.load().unwrap();
    assert_eq!(bundle.summary.inputs.len(), 7, "{:?}", bundle.summary);
    let events = [
        json!({"a": {"age": 41.5}, "count": 9007199254740993i64, "small": 7, "flag": true, "job": "smith", "half": 0.1}),
        json!({"small": -128, "job": "", "half": 65504}),
    ];
    let (columns, dead) = run(&bundle, &events);
    let columns = columns.unwrap();
    assert_eq!(dead, []);
    let Column::Float(ages) = &columns[0] else { panic!() };
    assert!(ages[0] == 41.5 && ages[1].is_nan());
    assert_eq!(columns[1], Column::Integer(vec![9007199254740993, -1]));
    assert_eq!(labels(&columns[2]), ["seven", "-128"]);
    assert_eq!(columns[3], Column::Boolean(vec![true, false]));
    assert_eq!(labels(&columns[4]), ["smith", ""]);
    assert_eq!(columns[5], Column::Float(vec![half::f16::from_f64(0.1).to_f64(), 65504.0]));
    assert_eq!(columns[6], Column::Float(vec![0.1, 0.1]));
}

#[test]
fn a_value_outside_the_type_names_its_record_and_feature_and_no_value() {
    let made = Made::of("named.onnx", NAMED);
    let event = |small: i64| json!({"small": small, "half": 0});
    let (ran, _) = run(&made.load().unwrap(), &[event(1), event(128), event(2), event(-777)]);
    let error = ran.unwrap_err();
    let why = "feature small: the value is outside the range of the input's type".to_string();
    assert_eq!(error.guilty, [(1, why.clone()), (3, why)]);
}

#[test]
fn inputs_that_do_not_fit_are_all_named() {
    let with = |from: &str, to: &str| {
        assert!(NAMED.contains(from), "{from}");
        Made::of("named.onnx", &NAMED.replacen(from, to, 1)).error()
    };
    assert!(with("input = \"age\", ", "").contains("the graph has the inputs `age`, `count`"));
    assert!(with("input = \"age\", ", "input = \"agé\", ").contains("no input `agé`; it has `age`, `count`"));
    assert!(with("missing = -1", "missing = \"nan\"").contains("`missing`, int64: there is no value, and the input's"));
    assert!(
        with("type = \"text\", missing = { text = \"none\" }", "type = \"number\"").contains("the input is of texts")
    );
    assert!(with("\"count\", type = \"integer\"", "\"count\", type = \"text\"").contains("a text cannot be int64"));
    let none = with("  { input = \"wide\", constant = 0.1 },\n", "");
    assert!(none.contains("input `wide` (double[n]) has no [[feature]]"), "{none}");
    let two = with("  { input = \"wide\"", "  { input = \"wide\", constant = 1 }, { input = \"wide\"");
    assert!(two.contains("a row is [], its features make 2 values"), "{two}");
}

const ARRAYS: &str = r#"
feature = [
  { input = "x", field = "x", type = "number", length = 4, pad = "nan", truncate = true },
  { input = "ids", field = "ids", type = "integer", length = [2, 3], missing = 0 },
  { input = "words", field = "words", type = "text", length = 2, pad = { text = "<pad>" } },
]
output = [
  { name = "x", tensor = "x_out", kind = "reals", nan = "store" },
  { name = "id", tensor = "ids_out", kind = "integer", index = 5 },
  { name = "word", tensor = "words_out", kind = "label", index = 1 },
]
"#;

#[test]
fn arrays_are_padded_cut_or_rejected_as_they_say() {
    let made = Made::of("arrays.onnx", ARRAYS);
    let bundle = made.load().unwrap();
    assert_eq!(bundle.outputs()[0].kind, OutputKind::Reals { width: 4 });
    let events = [
        json!({"x": [1, 2, 3, 4, 5], "ids": [[1, 2, 3], [4, 5, 6]], "words": ["a", "b"]}),
        json!({"x": [1], "words": []}),
        json!({"x": [1], "words": ["a", "b", "c"]}),
        json!({"x": 1, "words": []}),
        json!({"words": []}),
        json!({"x": [], "ids": [[1, 2, 3]], "words": []}),
        json!({"x": [], "ids": [[1, 2, 3], [4, 5]], "words": []}),
        json!({"x": [], "ids": [[1, 2, 3], [4, 5, 6.5]], "words": []}),
    ];
    let (columns, dead) = run(&bundle, &events);
    let columns = columns.unwrap();
    let lengths: Vec<usize> = dead.iter().filter(|d| d.1 == "wrong_length").map(|d| d.0).collect();
    assert_eq!((dead.iter().map(|d| d.0).collect::<Vec<_>>(), lengths), (vec![2, 3, 4, 5, 6, 7], vec![2, 5, 6]));
    let Column::Reals { values, .. } = &columns[0] else { panic!() };
    assert_eq!(values[..5], [1.0, 2.0, 3.0, 4.0, 1.0]);
    assert!(values[5..].iter().all(|v| v.is_nan()) && values.len() == 8);
    assert_eq!(columns[1], Column::Integer(vec![6, 0]));
    assert_eq!(labels(&columns[2]), ["b", "<pad>"]);
    let error = Made::of("arrays.onnx", &ARRAYS.replace("[2, 3]", "[2, 2]")).error();
    assert!(error.contains("a row is [2, 3], its features make 4 values"), "{error}");
    let error = Made::of("arrays.onnx", &ARRAYS.replace("length = 4,", "length = 5000,")).error();
    assert!(error.contains("must make 1 to 4096 elements"), "{error}");
}

const SMALL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR4nGP4z8DA8J+BgYHhP5eIHAAaWAM6guCrUwAAAABJRU5ErkJggg==";
const LARGE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAFCAIAAADtz9qMAAAAFElEQVR4nGNkYOHggQEWAwMDUjkAi3oEesolRIcAAAAASUVORK5CYII=";
/// A file of 80 bytes that says it has 60,000 x 60,000 pixels.
const BOMB: &str =
    "iVBORw0KGgoAAAANSUhEUgAA6mAAAOpgCAIAAAAPsOIVAAAAEUlEQVR4nGNgGAWjYBQMdwAAA+gAAbOm00YAAAAASUVORK5CYII=";

const PICTURES: &str = r#"
feature = [
  { input = "photo", field = "photo", type = "image", image = { width = 2, height = 2, scale = 0.5, mean = [0, 1, 2], std = [2] } },
  { input = "grey", field = "photo", type = "image", image = { width = 2, height = 2, channels = 1, layout = "nhwc" } },
]
output = [
  { name = "photo", tensor = "photo_out", kind = "reals" },
  { name = "grey", tensor = "grey_out", kind = "reals" },
]
"#;

#[test]
fn pictures_become_numbers_as_pillow_sees_them() {
    let made = Made::of("pictures.onnx", PICTURES);
    let bundle = made.load().unwrap();
    let (columns, _) =
        run(&bundle, &[json!({"photo": SMALL}), json!({"photo": format!("data:image/png;base64,{SMALL}")})]);
    let columns = columns.unwrap();
    let Column::Reals { values, .. } = &columns[0] else { panic!() };
    let red = [255.0, 0.0, 0.0, 10.0].map(|v: f32| v * 0.5 / 2.0);
    let blue = [0.0, 0.0, 255.0, 30.0].map(|v: f32| (v * 0.5 - 2.0) / 2.0);
    assert_eq!((&values[..4], &values[8..12]), (&red[..], &blue[..]));
    assert_eq!(values[..12], values[12..]);
    // Pillow's convert("L")
    assert_eq!(columns[1], Column::Reals { width: 4, values: [76.0, 150.0, 29.0, 18.0].repeat(2) });

    let scaled = PICTURES.replace("height = 2,", "height = 2, resize = \"bilinear\",");
    let (columns, _) = run(&Made::of("pictures.onnx", &scaled).load().unwrap(), &[json!({"photo": LARGE})]);
    let Column::Reals { values, .. } = &columns.unwrap()[1] else { panic!() };
    let apart = values.iter().zip([60.0f32, 78.0, 156.0, 174.0]).map(|(v, w)| (v - w).abs()).fold(0.0, f32::max);
    assert!(apart <= 1.0, "{values:?}");
}

#[test]
fn pictures_that_are_none_too_large_or_of_another_size_are_named() {
    let made = Made::of("pictures.onnx", PICTURES);
    let pictures = [SMALL, LARGE, BOMB, "bm8gcGljdHVyZQ==", "###", &SMALL[..60], ""];
    let events: Vec<Value> = pictures.iter().map(|p| json!({"photo": p})).collect();
    let (ran, _) = run(&made.load().unwrap(), &events);
    let guilty = ran.unwrap_err().guilty;
    let why = [
        "feature photo: 4 x 5 pixels, wanted are 2 x 2",
        "feature photo: 60000 x 60000 pixels, at most 16777216 are decoded",
        "feature photo: neither PNG nor JPEG",
        "feature photo: neither a picture nor its base64 text",
        "feature photo: the picture is broken",
        "feature photo: neither PNG nor JPEG",
    ];
    let first: Vec<(u32, &str)> = guilty.iter().take(6).map(|(r, w)| (*r, w.as_str())).collect();
    assert_eq!(first, (1..).zip(why).collect::<Vec<_>>());
    let raw = PICTURES.replace("height = 2,", "height = 2, encoding = \"raw\",");
    let (ran, _) = run(&Made::of("pictures.onnx", &raw).load().unwrap(), &[json!({"photo": "AAAA"})]);
    assert!(ran.unwrap_err().text.contains("3 bytes of pixels, wanted are 12"));
}

#[test]
fn classes_of_a_zipmap_are_columns_by_name() {
    let features = "feature = [{ field = 'x', type = 'number', length = 3 }]\n";
    let output = |what: &str| {
        let toml = format!("{features}output = [{{ name = 'p', tensor = 'by_class', {what} }}]");
        Made::of("zipmap.onnx", &toml)
    };
    let made = output("kind = 'float', class = 'bad'");
    let (columns, _) = run(&made.load().unwrap(), &[json!({"x": [0.25, 0.5, 0.75]}), json!({"x": [1, 2, 3]})]);
    assert_eq!(columns.unwrap(), [Column::Float(vec![0.5, 2.0])]);
    let (columns, _) = run(&output("kind = 'reals'").load().unwrap(), &[json!({"x": [0.25, 0.5, 0.75]})]);
    assert_eq!(columns.unwrap(), [Column::Reals { width: 3, values: vec![0.25, 0.5, 0.75] }]);
    assert!(output("kind = 'float', class = 'worse'").error().contains("no class `worse`; it has good, bad, ugly"));
    assert!(output("kind = 'float'").error().contains("say which one by `class` or `index`"));
}

#[test]
fn weights_in_another_file_are_read_and_count_for_the_digest() {
    let toml = "feature = [{ field = 'a', type = 'number' }, { field = 'b', type = 'number' }]\n\
                output = [{ name = 'y', tensor = 'y', kind = 'float' }]\n[golden]\nsource = 'self-made'";
    let made = Made::of("external.onnx", toml);
    assert!(made.error().contains("external data of `w`"), "{}", made.error());
    let weights = |a: f32, b: f32| {
        let bytes: Vec<u8> = [9.0, a, b].iter().flat_map(|v: &f32| v.to_le_bytes()).collect();
        fs::write(made.0.join("weights.bin"), bytes).unwrap();
        made.load().unwrap()
    };
    let (one, other) = (weights(2.0, 3.0), weights(2.0, 4.0));
    assert!(one.digest != other.digest && one.is_self_made());
    let (columns, _) = run(&one, &[json!({"a": 1, "b": 10})]);
    assert_eq!(columns.unwrap(), [Column::Float(vec![32.0])]);
}
