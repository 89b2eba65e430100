//! Model files: the corpus' models with bytes changed end in an error or a result, never in a panic or a long wait.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use tidemill_onnx::graph::convert;
use tidemill_onnx::session::Options;
use tidemill_onnx::session::Session;
use tidemill_onnx::session::sample;

use super::Target;
use crate::random::Random;
use crate::random::hash;

/// Larger files would mostly have their weights changed.
const BYTES: u64 = 6_000;

/// The inputs are names of models; those that it mutates are their bytes.
pub struct Onnx {
    models: Vec<PathBuf>,
}

impl Onnx {
    pub fn new() -> Onnx {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/corpus");
        let all = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
        let small =
            |p: &PathBuf| p.extension().is_some_and(|e| e == "onnx") && fs::metadata(p).is_ok_and(|m| m.len() < BYTES);
        let mut models: Vec<PathBuf> = all.filter(small).collect();
        models.sort();
        Onnx { models }
    }
}

impl Target for Onnx {
    fn name(&self) -> &'static str {
        "onnx"
    }

    /// Half of the tries begin with one of the models of `tests/models/corpus`, spoilt in a few bytes.
    fn restructure(&mut self, input: &mut Vec<u8>, random: &mut Random) -> bool {
        *input = fs::read(random.pick(&self.models)).expect("the models are committed");
        for _ in 0..1 + random.below(3) {
            let at = random.below(input.len());
            match random.below(6) {
                0 => input[at] = random.word() as u8,
                1 => input[at] = input[at].wrapping_add(1),
                2 => input[at] ^= 1 << random.below(8),
                3 => input[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                4 => input.truncate(at.max(1)),
                _ => {
                    let end = (at + 1 + random.below(16)).min(input.len());
                    let part = input[at..end].to_vec();
                    input.splice(at..at, part);
                }
            }
        }
        true
    }

    /// Models are loaded with this much in the program too.
    fn stack(&self) -> usize {
        256 << 20
    }

    fn memory_mib(&self) -> u64 {
        8 << 10
    }

    fn seconds(&self) -> u64 {
        10
    }

    fn executions(&self) -> u64 {
        2_000
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let words = |stage: &str, message: String| {
            let some: Vec<&str> =
                message.split(|c: char| !c.is_ascii_lowercase()).filter(|w| w.len() > 3).take(6).collect();
            hash(&[stage.as_bytes(), some.join(" ").as_bytes()])
        };
        let model = match convert::read(input, None) {
            Ok(model) => model,
            Err(error) => return words("read", error.to_string()),
        };
        let session = match Session::load(&model, None, &Options::default()) {
            Ok(session) => Arc::new(session),
            Err(error) => return words("load", error.to_string()),
        };
        let Ok(inputs) = sample::rows(&session.inputs, 3, 1) else { return 1 };
        match session.worker().map(|mut worker| worker.run(3, inputs).is_ok()) {
            Ok(scored) => hash(&[b"ran", &[scored.into(), session.inputs.len().min(9) as u8]]),
            Err(error) => words("worker", error.to_string()),
        }
    }
}
