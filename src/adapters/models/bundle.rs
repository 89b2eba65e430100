//! A bundle on disk: `model.onnx`, `model.toml`, `golden.jsonl`, read, checked and ready to run.

use std::fmt::Write as _;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::Digest;
use sha2::Sha256;
use tidemill_onnx::engine::EngineName;
use tidemill_onnx::error::LoadError;
use tidemill_onnx::error::RunError;
use tidemill_onnx::graph::convert;
use tidemill_onnx::graph::convert::Model as Graph;
use tidemill_onnx::session::Options;
use tidemill_onnx::session::Session;
use tidemill_onnx::session::worker::RowValues;
use tidemill_onnx::value::Value;

use crate::adapters::models::features::Features;
use crate::adapters::models::features::ParsePath;
use crate::adapters::models::manifest::GoldenSource;
use crate::adapters::models::manifest::Manifest;
use crate::adapters::models::readout::Facts;
use crate::adapters::models::readout::Readout;
use crate::adapters::models::scorer::Scorer;
use crate::adapters::models::summary;
use crate::adapters::models::summary::Summary;
use crate::domain::fault::Fault;
use crate::domain::fields::FieldSpec;
use crate::domain::outputs::OutputSpec;
use crate::ports::Model;

pub const MODEL_FILE: &str = "model.onnx";
pub const MANIFEST_FILE: &str = "model.toml";
pub const GOLDEN_FILE: &str = "golden.jsonl";

/// A graph with deep subgraphs is read by recursion, within the reader's bounds; the caller's stack may be small.
const STACK: usize = 256 << 20;

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
    Graph { path: PathBuf, source: LoadError },
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
    /// SHA-256 of `model.onnx`, `model.toml` and the files that weights lie in, by name; in hexadecimal digits.
    pub digest: String,
    /// Fields that the model wants of the decoder.
    pub wanted: Vec<FieldSpec>,
    pub summary: Summary,
    features: Features,
    readouts: Arc<[Readout]>,
    session: Arc<Session>,
}

impl Bundle {
    /// Reads a folder; `parse_path` is the reader of path texts that the event format uses.
    ///
    /// # Errors
    /// Names the file, and of `model.toml` all that is wrong at once. Golden records are checked by
    /// [`crate::adapters::models::golden::verify`].
    pub fn load(dir: &Path, parse_path: ParsePath<'_>) -> Result<Bundle, BundleError> {
        let path = dir.join(MANIFEST_FILE);
        let toml = fs::read(&path).map_err(|source| BundleError::Read { path: path.clone(), source })?;
        let manifest = parse_manifest(&path, &toml)?;
        let wrong = |problems| BundleError::Manifest { path: path.clone(), problems };
        match manifest.problems() {
            problems if problems.is_empty() => {}
            problems => return Err(wrong(problems)),
        }
        let mut digest = Sha256::new();
        let mut file_bytes = hash(dir, MODEL_FILE, &mut digest)?;
        digest.update(&toml);
        let tensors = tensors(&manifest);
        let (session, files) = load(dir, manifest.engine.into(), &tensors)?;
        for file in &files {
            file_bytes += hash(dir, file, &mut digest)?;
        }
        let (features, wanted) = Features::plan(&manifest, &session.inputs, parse_path).map_err(wrong)?;
        let first = FirstRun::new(&session, &features);
        let readouts = readouts(&manifest, &session, &tensors, &first).map_err(wrong)?;
        let digest = hexadecimal(&digest.finalize());
        let summary = Summary {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            digest: digest.clone(),
            engine: session.engine_name.to_string(),
            inputs: session.inputs.iter().map(|p| format!("{}: {}", p.name, p.kind)).collect(),
            features: features.width(),
            outputs: readouts.iter().map(|r| format!("{}: {}", r.spec.name, r.spec.kind)).collect(),
            operators: session.operators.clone(),
            parameters: session.engine().parameters(),
            file_bytes,
            session_bytes: session.engine().bytes(),
            runner_bytes: session.engine().runner_bytes(),
            record_bytes: features.row_bytes() + wanted.len() * size_of::<u64>(),
            row_bytes: first.row_bytes,
            feeding: summary::feeding(&session),
            rows_at_once: summary::rows_at_once(&session),
            golden: manifest.golden.source,
            notes: first.notes.into_iter().chain(session.engine().notes()).collect(),
        };
        let readouts = readouts.into();
        Ok(Bundle { dir: dir.into(), manifest, digest, wanted, summary, features, readouts, session })
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
        let made = Scorer::new(&self.session, Arc::new(self.features.at(slots)), self.readouts.clone());
        made.expect("a runner was made when the bundle was loaded")
    }

    /// How rows are fed to the graph; the golden records show more than loading does.
    pub fn feeding(&self) -> String {
        summary::feeding(&self.session)
    }

    /// Whether the golden records were computed by Tidemill itself.
    pub fn is_self_made(&self) -> bool {
        self.manifest.golden.source == GoldenSource::SelfMade
    }
}

fn parse_manifest(path: &Path, toml: &[u8]) -> Result<Manifest, BundleError> {
    let bad = |message: String| BundleError::Toml { path: path.into(), message };
    let text = std::str::from_utf8(toml).map_err(|_| bad("not UTF-8 text".into()))?;
    toml::from_str(text).map_err(|e| bad(e.to_string().trim_end().to_string()))
}

/// The graph's outputs that are wanted, each once.
fn tensors(manifest: &Manifest) -> Vec<&str> {
    let mut tensors: Vec<&str> = vec![];
    for output in &manifest.outputs {
        if !tensors.contains(&output.tensor.as_str()) {
            tensors.push(&output.tensor);
        }
    }
    tensors
}

/// Adds a file to a digest; its size.
fn hash(dir: &Path, name: &str, digest: &mut Sha256) -> Result<u64, BundleError> {
    let path = dir.join(name);
    let mut add = || {
        let mut file = File::open(&path)?;
        let (mut part, mut size) = (vec![0; 1 << 20], 0);
        loop {
            match file.read(&mut part)? {
                0 => return Ok(size),
                n => {
                    digest.update(&part[..n]);
                    size += n as u64;
                }
            }
        }
    };
    add().map_err(|source| BundleError::Read { path: path.clone(), source })
}

/// Loads the graph, and says which other files it needed.
fn load(dir: &Path, engine: EngineName, outputs: &[&str]) -> Result<(Arc<Session>, Vec<String>), BundleError> {
    let path = dir.join(MODEL_FILE);
    let work = || {
        let graph: Graph = match engine {
            EngineName::Tract => convert::read_file(&path)?,
            EngineName::Onnxruntime => convert::outline_file(&path)?,
        };
        let session = Arc::new(Session::load(&graph, Some(outputs), &Options { engine, library: None })?);
        session.worker().map_err(|e| LoadError::Refused(e.to_string()))?;
        Ok((session, graph.files.into_iter().collect()))
    };
    let done = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("load".into()).stack_size(STACK);
        let spawned = thread.spawn_scoped(scope, work).map_err(|e| LoadError::Refused(e.to_string()))?;
        // a panic has said its place already
        spawned.join().unwrap_or_else(|_| Err(LoadError::Refused("the file broke the reader; export it again".into())))
    });
    done.map_err(|source| BundleError::Graph { path: path.clone(), source })
}

/// What running one made-up row showed.
struct FirstRun {
    made: Option<Vec<RowValues>>,
    row_bytes: usize,
    notes: Vec<String>,
}

impl FirstRun {
    fn new(session: &Arc<Session>, features: &Features) -> FirstRun {
        let mut first = FirstRun { made: None, row_bytes: 0, notes: vec![] };
        match features.neutral().and_then(|row| first.run(session, row).map_err(|e| e.to_string())) {
            Ok(()) => {}
            Err(why) => first.notes.push(format!("a row of zeros could not be run at load: {why}")),
        }
        first
    }

    fn run(&mut self, session: &Arc<Session>, row: Vec<Value>) -> Result<(), RunError> {
        let trial = || {
            let made = session.worker()?.run(1, row.clone())?;
            session.tune(&row)?;
            Ok((made, session.row_bytes_of(1, row.clone()).unwrap_or(0)))
        };
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(trial));
        let (made, row_bytes) = done.unwrap_or_else(|_| Err(RunError::Failed("the model panicked".into())))?;
        (self.made, self.row_bytes) = (Some(made), row_bytes);
        Ok(())
    }
}

fn readouts(
    manifest: &Manifest,
    session: &Session,
    tensors: &[&str],
    first: &FirstRun,
) -> Result<Vec<Readout>, Vec<String>> {
    let mut problems = vec![];
    let mut out = vec![];
    for output in &manifest.outputs {
        let position = tensors.iter().position(|t| *t == output.tensor).expect("every tensor was collected");
        let facts = match &first.made {
            Some(made) => Facts::made(&made[position]),
            None => Facts::declared(&session.outputs[position].kind),
        };
        match Readout::new(output, position, &facts) {
            Ok(readout) => out.push(readout),
            Err(why) => problems.push(why),
        }
    }
    if problems.is_empty() {
        return Ok(out);
    }
    problems.extend(first.notes.iter().cloned());
    Err(problems)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all");
        text
    })
}
