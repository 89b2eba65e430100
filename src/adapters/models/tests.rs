//! Tests on the committed bundles and on fixtures made by onnxruntime (`tests/fixtures/models/make.py`).

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value;
use tract_onnx::prelude::IntoRunnable;
use tract_onnx::prelude::Tensor;
use tract_onnx::prelude::tvec;
use tract_onnx::tract_hir::internal::IntoTValue;

use crate::adapters::models::bundle::Bundle;
use crate::adapters::models::bundle::BundleError;
use crate::adapters::models::golden;
use crate::adapters::models::golden::GoldenError;
use crate::adapters::models::graph;
use crate::adapters::models::graph::GraphError;
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
use crate::domain::verdict::Verdicts;
use crate::ports::Decoder;
use crate::ports::Model;

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
                let (bits, otherwise) = match value.filter(|v| !v.is_null()) {
                    None => (None, spec.missing),
                    Some(v) => (read(v, &spec.kind), spec.wrong),
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
        FieldKind::Text => Read::Text(value.as_str()?.into()),
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
        assert!(bundle.summary.parameters > 5_000 && bundle.summary.plan_bytes > 30_000, "{:?}", bundle.summary);
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
        let good = |n| Tensor::zero::<f32>(&[n, 20]).unwrap();
        scorer.score(good(8), &mut outputs).unwrap();
        let before = floats(&outputs);
        for bad in [
            Tensor::zero::<f32>(&[20]).unwrap(),
            Tensor::zero::<f32>(&[8, 19]).unwrap(),
            Tensor::zero::<f64>(&[8, 20]).unwrap(),
        ] {
            let error = scorer.score(bad, &mut outputs).unwrap_err().to_string();
            assert!(error.contains("expected f32 [n, 20]"), "{error}");
            assert!(outputs.columns.iter().all(Column::is_empty));
            scorer.score(good(5), &mut outputs).unwrap();
            assert_eq!(floats(&outputs), before[..5]);
            scorer.score(good(1), &mut outputs).unwrap();
        }
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
    assert!(with("missing = \"nan\"", "missing = \"maybe\"").contains("expected \"reject\", \"nan\" or a number"));
    let all = with(
        "[input]",
        "[[output]]\nname = \"score\"\ntensor = \"label\"\nkind = \"reals\"\nindex = 2\n[[feature]]\n[input]",
    );
    for part in
        ["exactly one of `field` and `equal`", "two outputs have the name `score`", "takes all columns, no `index`"]
    {
        assert!(all.contains(part), "{all}");
    }
    assert!(with("tensor = \"x\"", "tensor = \"y\"").contains("input is `x`: name this one"));
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
    assert!(load().contains("input `x` is [n, 20], model.toml makes [n, 19]"), "{}", load());
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn what_cannot_run_is_refused_with_operator_node_and_way_out() {
    let refuse = |name: &str| {
        let bytes = fs::read(fixture(name)).unwrap();
        match graph::read(&bytes, None, 2, &["score"]) {
            Ok(_) => panic!("{name} was accepted"),
            Err(error) => error,
        }
    };
    let zipmap = refuse("unsupported_zipmap.onnx");
    let text = zipmap.to_string();
    assert!(text.starts_with("operator ai.onnx.ml:ZipMap of node `zip` is not supported"), "{text}");
    assert!(text.contains("\"zipmap\": False"), "{text}");
    for (name, operator) in
        [("unsupported_unknown.onnx", "com.example:FlyToTheMoon"), ("unsupported_domain.onnx", "com.example:Scaler")]
    {
        let error = refuse(name);
        assert!(matches!(&error, GraphError::Unsupported { operator: o, .. } if o == operator), "{error}");
    }
    for (name, part) in [
        ("shared", "reached twice"),
        ("cycle", "reached twice"),
        ("dangling", "has no node 77"),
        ("feature", "feature -4 is out of range"),
        ("short", "`nodes_values` has 1 entries, expected 3"),
        ("target", "output 9 of 1"),
    ] {
        let error = refuse(&format!("hostile_{name}.onnx")).to_string();
        assert!(error.contains(part) && error.contains(name), "{name}: {error}");
    }
}

#[test]
fn an_output_that_is_not_one_row_a_record_is_refused_with_its_shape() {
    let dir = copy_of("gbt", "shape");
    fs::copy(fixture("summed.onnx"), dir.join("model.onnx")).unwrap();
    let toml = "name = 'a'\nversion = '1'\n[[feature]]\nfield = 'a'\ntype = 'number'\n[[feature]]\nfield = 'b'\ntype = 'number'\n\
                [[output]]\nname = 'score'\ntensor = 'score'\nkind = 'float'\n";
    fs::write(dir.join("model.toml"), toml).unwrap();
    let error = Bundle::load(&dir, &parse_path).unwrap_err();
    assert!(matches!(&error, BundleError::Manifest { .. }), "{error}");
    assert!(error.to_string().contains("has the shape []; one row a record is needed"), "{error}");
    fs::remove_dir_all(dir).unwrap();
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
    let graph = graph::read(&fs::read(onnx).unwrap(), None, vectors.width, names).unwrap();
    let plan = graph.typed.into_optimized().unwrap().into_runnable().unwrap();
    let mut worst = 0f32;
    for rows in vectors.rows.chunks(size) {
        let flat: Vec<f32> = rows.iter().flat_map(|r| r.0.clone()).collect();
        let input = Tensor::from_shape(&[rows.len(), vectors.width], &flat).unwrap();
        let run = plan.run(tvec![input.into_tvalue()]).unwrap();
        let view = run[0].try_as_plain_ram().unwrap();
        let got = view.as_slice::<f32>().unwrap();
        for (k, ((x, want, label), got)) in rows.iter().zip(got.chunks(vectors.scores)).enumerate() {
            for (g, w) in got.iter().zip(want) {
                let apart = if g == w || g.is_nan() && w.is_nan() { 0.0 } else { (g - w).abs() / w.abs().max(1.0) };
                assert!(apart <= 1e-5, "{vectors_of}: row {k} of {size}: got {got:?}, want {want:?} for {x:?}");
                worst = worst.max(apart);
            }
            if let Some(label) = label {
                let labels = run[1].try_as_plain_ram().unwrap();
                assert_eq!(labels.as_slice::<i64>().unwrap()[k], *label, "{vectors_of} {got:?} {want:?}");
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
        let _ = graph::read(&bytes, None, 20, &["score", "is_fraud"]);
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
        for size in [1usize, 64, 1024] {
            let start = std::time::Instant::now();
            for _ in 0..10_000 {
                std::hint::black_box(Tensor::zero::<f32>(&[size, 20]).unwrap());
            }
            println!("zeroed tensor of {size}: {:.3} us", start.elapsed().as_secs_f64() * 1e2);
        }
    }
}
