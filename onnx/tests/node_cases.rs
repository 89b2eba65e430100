//! The ONNX project's own cases for operators, as its package writes them: a folder a case with `model.onnx` and
//! `test_data_set_0/{input,output}_N.pb`. `TIDEMILL_NODE_CASES` names the folder around them,
//! `TIDEMILL_NODE_FILTER` a part of the cases' names.

#[path = "node_cases/docs.rs"]
mod docs;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use prost::Message;
use tidemill_onnx::each_type;
use tidemill_onnx::error::OpError;
use tidemill_onnx::error::RunError;
use tidemill_onnx::graph::Kind;
use tidemill_onnx::graph::convert;
use tidemill_onnx::program::Program;
use tidemill_onnx::program::State;
use tidemill_onnx::proto::TensorProto;
use tidemill_onnx::proto::tensors;
use tidemill_onnx::tensor::Elements;
use tidemill_onnx::tensor::Tensor;
use tidemill_onnx::value::Value;

#[derive(Clone, PartialEq, Message)]
struct SequenceProto {
    #[prost(int32, tag = "2")]
    elem_type: i32,
    #[prost(message, repeated, tag = "3")]
    tensors: Vec<TensorProto>,
    #[prost(message, repeated, tag = "5")]
    sequences: Vec<SequenceProto>,
}

#[derive(Clone, PartialEq, Message)]
struct OptionalProto {
    #[prost(int32, tag = "2")]
    elem_type: i32,
    #[prost(message, optional, tag = "3")]
    tensor: Option<TensorProto>,
    #[prost(message, optional, tag = "5")]
    sequence: Option<SequenceProto>,
}

enum Outcome {
    Passed,
    Unsupported(String),
    Failed(String),
}

/// Cases whose expectation onnxruntime does not meet either: it is the reference.
const OTHERWISE: &[(&str, &str)] = &[
    ("test_maxunpool_export_with_output_shape", "onnxruntime counts the indices in the given shape"),
    ("test_resize_downsample_scales_cubic_align_corners", "onnxruntime takes the length from the scales, not rounded"),
    ("test_resize_downsample_scales_linear_align_corners", "onnxruntime takes the length from the scales, not rounded"),
];

#[test]
fn the_onnx_projects_own_cases() {
    let Ok(folder) = std::env::var("TIDEMILL_NODE_CASES") else {
        eprintln!("left out: TIDEMILL_NODE_CASES is not set");
        return;
    };
    let filter = std::env::var("TIDEMILL_NODE_FILTER").unwrap_or_default();
    let mut cases = vec![];
    find(Path::new(&folder), &mut cases);
    cases.sort();
    assert!(cases.len() > 1000 || !filter.is_empty(), "only {} cases in {folder}", cases.len());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut by_operator = docs::Counts::new();
    let mut failed = vec![];
    for case in cases {
        let name = case.file_name().unwrap().to_string_lossy().to_string();
        // full-size networks of constant weights take minutes without optimisation: they must be asked for
        if !filter.split(',').any(|f| name.contains(f)) || filter.is_empty() && name.starts_with("light_") {
            continue;
        }
        let outcome = std::panic::catch_unwind(|| run(&case)).unwrap_or(Outcome::Failed("panicked".into()));
        docs::count(&mut by_operator, &case, &name, matches!(outcome, Outcome::Passed));
        let key = match outcome {
            Outcome::Passed => "passed",
            Outcome::Unsupported(why) => {
                println!("unsupported {name}: {why}");
                "unsupported"
            }
            Outcome::Failed(why) if !OTHERWISE.iter().any(|(n, _)| *n == name) => {
                println!("FAILED {name}: {why}");
                failed.push(name);
                "failed"
            }
            Outcome::Failed(_) => "as onnxruntime",
        };
        *counts.entry(key).or_default() += 1;
    }
    println!("{counts:?}");
    assert!(failed.is_empty(), "{} cases failed: {}", failed.len(), failed.join(", "));
    if filter.is_empty() {
        docs::check(Some(&by_operator));
    }
}

#[test]
fn the_table_in_the_documentation_is_the_registry() {
    docs::check(None);
}

fn find(folder: &Path, out: &mut Vec<PathBuf>) {
    if folder.join("model.onnx").is_file() {
        return out.push(folder.into());
    }
    for entry in fs::read_dir(folder).expect("a folder of cases").map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            find(&entry, out);
        }
    }
}

fn run(case: &Path) -> Outcome {
    let model = match convert::read_file(&case.join("model.onnx")) {
        Ok(model) => model,
        Err(e) => return Outcome::Unsupported(e.to_string()),
    };
    let program = match Program::compile(&model.graph, &model.graph.outputs) {
        Ok(program) => program,
        Err(e) => return Outcome::Unsupported(e.to_string()),
    };
    for set in 0.. {
        let data = case.join(format!("test_data_set_{set}"));
        if !data.is_dir() {
            break;
        }
        let read = |prefix: &str, i: usize, kind: &Kind| value(&data.join(format!("{prefix}_{i}.pb")), kind);
        let inputs =
            program.inputs.iter().enumerate().map(|(i, p)| read("input", i, &p.kind)).collect::<Option<Vec<_>>>();
        let outputs =
            program.outputs.iter().enumerate().map(|(i, p)| read("output", i, &p.kind)).collect::<Option<Vec<_>>>();
        let (Some(inputs), Some(outputs)) = (inputs, outputs) else {
            return Outcome::Unsupported("its data cannot be read".into());
        };
        let made = match program.run(&mut State::default(), inputs) {
            Ok(made) => made,
            Err(RunError::Node { source: OpError::Unsupported(why), .. }) => return Outcome::Unsupported(why),
            Err(e) => return Outcome::Failed(e.to_string()),
        };
        for ((port, want), got) in program.outputs.iter().zip(&outputs).zip(&made) {
            if let Err(why) = same(want, got) {
                return Outcome::Failed(format!("output {}: {why}", port.name));
            }
        }
    }
    Outcome::Passed
}

fn value(path: &Path, kind: &Kind) -> Option<Value> {
    let Ok(bytes) = fs::read(path) else { return Some(Value::Absent) };
    let tensor = |t: &TensorProto| tensors::read(t, None).ok().map(Value::from);
    let sequence =
        |s: &SequenceProto| Some(Value::Sequence(Arc::new(s.tensors.iter().map(tensor).collect::<Option<Vec<_>>>()?)));
    match kind {
        Kind::Sequence(_) => sequence(&SequenceProto::decode(&*bytes).ok()?),
        Kind::Optional(_) => {
            let optional = OptionalProto::decode(&*bytes).ok()?;
            match (&optional.tensor, &optional.sequence) {
                (Some(t), _) => tensor(t),
                (_, Some(s)) => sequence(s),
                _ => Some(Value::Absent),
            }
        }
        _ => tensor(&TensorProto::decode(&*bytes).ok()?),
    }
}

fn same(want: &Value, got: &Value) -> Result<(), String> {
    match (want, got) {
        (Value::Tensor(want), Value::Tensor(got)) => same_tensor(want, got),
        (Value::Sequence(want), Value::Sequence(got)) if want.len() == got.len() => {
            want.iter().zip(got.iter()).try_for_each(|(w, g)| same(w, g))
        }
        (Value::Absent, Value::Absent) => Ok(()),
        _ => Err(format!("expected {}, got {}", want.kind(), got.kind())),
    }
}

fn same_tensor(want: &Tensor, got: &Tensor) -> Result<(), String> {
    if want.shape() != got.shape() || want.element_type() != got.element_type() {
        let show = |t: &Tensor| Value::from(t.clone()).kind();
        return Err(format!("expected {}, got {}", show(want), show(got)));
    }
    let floats = |t: &Tensor| -> Option<Vec<f64>> {
        Some(match t.elements() {
            Elements::F16(v) => v.iter().map(|x| x.to_f64()).collect(),
            Elements::F32(v) => v.iter().map(|x| f64::from(*x)).collect(),
            Elements::F64(v) => v.clone(),
            _ => return None,
        })
    };
    let tolerance = if matches!(want.elements(), Elements::F16(_)) { 2e-3 } else { 1e-3 };
    let (Some(w), Some(g)) = (floats(want), floats(got)) else {
        return if want == got { Ok(()) } else { Err(differing(want, got)) };
    };
    for (i, (w, g)) in w.iter().zip(&g).enumerate() {
        let equal = w == g || w.is_nan() && g.is_nan() || (w - g).abs() <= 1e-6 + tolerance * w.abs();
        if !equal {
            return Err(format!("element {i}: expected {w}, got {g}"));
        }
    }
    Ok(())
}

fn differing(want: &Tensor, got: &Tensor) -> String {
    let text =
        |t: &Tensor| each_type!(t.elements(), v => v.iter().take(20).map(|x| format!("{x:?}")).collect::<Vec<_>>());
    format!("expected {:?}, got {:?}", text(want), text(got))
}
