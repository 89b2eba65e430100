//! A bundle on disk: `model.onnx`, `model.toml`, `golden.jsonl`, read, checked and planned.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use sha2::Digest;
use sha2::Sha256;

use crate::adapters::models::features::Features;
use crate::adapters::models::features::ParsePath;
use crate::adapters::models::graph;
use crate::adapters::models::graph::GraphError;
use crate::adapters::models::graph::brief;
use crate::adapters::models::graph::guarded;
use crate::adapters::models::manifest::Manifest;
use crate::adapters::models::plan::Plans;
use crate::adapters::models::readout::Readout;
use crate::adapters::models::scorer::Scorer;
use crate::domain::fault::Fault;
use crate::domain::fields::FieldSpec;
use crate::domain::outputs::OutputSpec;
use crate::ports::Model;

pub const MODEL_FILE: &str = "model.onnx";
pub const MANIFEST_FILE: &str = "model.toml";
pub const GOLDEN_FILE: &str = "golden.jsonl";

/// Why a bundle cannot be used. Every one of them needs a person.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("{path}: {source}; a bundle is a folder with model.onnx, model.toml and golden.jsonl")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: {message}")]
    Toml { path: PathBuf, message: String },
    #[error("{path}: {}", .problems.join("; "))]
    Manifest { path: PathBuf, problems: Vec<String> },
    #[error("{path}: {source}")]
    Graph { path: PathBuf, source: GraphError },
}

impl BundleError {
    pub fn fault(&self) -> Fault {
        Fault::Stop
    }
}

/// A model that is ready to be run, with everything that others must know of it.
#[derive(Debug)]
pub struct Bundle {
    pub dir: PathBuf,
    pub manifest: Manifest,
    /// SHA-256 of `model.onnx` followed by `model.toml`, in hexadecimal digits.
    pub digest: String,
    /// Fields that the model wants of the decoder, each once.
    pub wanted: Vec<FieldSpec>,
    pub summary: Summary,
    features: Features,
    readouts: Vec<Readout>,
    plans: Plans,
}

/// What `check` says of a model.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Summary {
    pub name: String,
    pub version: String,
    pub digest: String,
    /// Name of the input tensor.
    pub input: String,
    pub features: usize,
    /// Columns with their kinds.
    pub outputs: Vec<String>,
    /// Operators of the graph with how often they occur.
    pub operators: BTreeMap<String, usize>,
    /// Numbers that training chose.
    pub parameters: usize,
    pub file_bytes: usize,
    /// Memory of the plans, shared by all threads.
    pub plan_bytes: usize,
    /// Memory of one row on its way through the graph.
    pub row_bytes: usize,
    /// Whether a second plan serves batches of one record.
    pub single_plan: bool,
}

impl Summary {
    /// Memory that the model takes with `threads` threads and batches of at most `rows` records.
    pub fn memory(&self, threads: usize, rows: usize) -> usize {
        self.plan_bytes.saturating_add(self.row_bytes.saturating_mul(threads).saturating_mul(rows))
    }
}

fn read(dir: &Path, name: &str) -> Result<Vec<u8>, BundleError> {
    let path = dir.join(name);
    fs::read(&path).map_err(|source| BundleError::Read { path, source })
}

impl Bundle {
    /// Reads a folder; `parse_path` is the reader of path texts that the event format uses.
    ///
    /// # Errors
    /// Names the file, and of `model.toml` all that is wrong at once. Golden records are checked by
    /// [`crate::adapters::models::golden::verify`].
    pub fn load(dir: &Path, parse_path: ParsePath<'_>) -> Result<Bundle, BundleError> {
        let onnx = read(dir, MODEL_FILE)?;
        let toml = read(dir, MANIFEST_FILE)?;
        let path = dir.join(MANIFEST_FILE);
        let manifest = parse_manifest(&path, &toml)?;
        let mut problems = manifest.problems();
        let planned = match Features::plan(&manifest.features, parse_path) {
            Ok(planned) if problems.is_empty() => planned,
            planned => {
                problems.extend(planned.err().unwrap_or_default());
                return Err(BundleError::Manifest { path, problems });
            }
        };
        let (features, wanted) = planned;

        let model = dir.join(MODEL_FILE);
        let in_model = |source| BundleError::Graph { path: model.clone(), source };
        let mut tensors: Vec<&str> = vec![];
        for output in &manifest.outputs {
            if !tensors.contains(&output.tensor.as_str()) {
                tensors.push(&output.tensor);
            }
        }
        let graph =
            graph::read(&onnx, manifest.input.tensor.as_deref(), features.width(), &tensors).map_err(in_model)?;
        let readouts =
            readouts(&manifest, &graph, &tensors).map_err(|problems| BundleError::Manifest { path, problems })?;
        let plans = guarded(|| Plans::build(&graph, features.width()).map_err(|e| GraphError::Load(brief(e))))
            .map_err(in_model)?;
        let digest = digest(&onnx, &toml);
        let summary = Summary {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            digest: digest.clone(),
            input: graph.input.clone(),
            features: features.width(),
            outputs: readouts.iter().map(|r| format!("{}: {}", r.spec.name, r.spec.kind)).collect(),
            operators: graph.operators.clone(),
            parameters: graph.parameters,
            file_bytes: onnx.len(),
            plan_bytes: plans.bytes(&graph),
            row_bytes: plans.row_bytes(&graph.batch) + features.width() * size_of::<f32>(),
            single_plan: plans.single.is_some(),
        };
        Ok(Bundle { dir: dir.into(), manifest, digest, wanted, summary, features, readouts, plans })
    }

    /// Columns that the model fills, in the order of [`crate::domain::outputs::Outputs::columns`].
    pub fn outputs(&self) -> Vec<OutputSpec> {
        self.readouts.iter().map(|r| r.spec.clone()).collect()
    }

    /// A model over a decoder that has `wanted[i]` in slot `slots[i]`; fork it for further threads.
    ///
    /// # Panics
    /// If `slots` is shorter than [`Bundle::wanted`].
    pub fn model(&self, slots: &[usize]) -> Box<dyn Model> {
        Box::new(self.scorer(slots))
    }

    pub(super) fn scorer(&self, slots: &[usize]) -> Scorer {
        let made = Scorer::new(&self.plans, self.features.at(slots), self.readouts.clone());
        made.expect("the plan has been run when the bundle was loaded")
    }
}

fn parse_manifest(path: &Path, toml: &[u8]) -> Result<Manifest, BundleError> {
    let bad = |message: String| BundleError::Toml { path: path.into(), message };
    let text = std::str::from_utf8(toml).map_err(|_| bad("not UTF-8 text".into()))?;
    toml::from_str(text).map_err(|e| bad(e.to_string().trim_end().to_string()))
}

fn readouts(manifest: &Manifest, graph: &graph::Graph, tensors: &[&str]) -> Result<Vec<Readout>, Vec<String>> {
    let mut problems = vec![];
    let mut out = vec![];
    for output in &manifest.outputs {
        let position = tensors.iter().position(|t| *t == output.tensor).expect("every tensor was collected");
        let fact = graph.typed.output_fact(position);
        let made = fact.map_err(brief).and_then(|fact| Readout::new(output, position, fact, &graph.batch));
        match made {
            Ok(readout) => out.push(readout),
            Err(why) => problems.push(why),
        }
    }
    if problems.is_empty() { Ok(out) } else { Err(problems) }
}

fn digest(onnx: &[u8], toml: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(onnx);
    hash.update(toml);
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all");
        text
    })
}
