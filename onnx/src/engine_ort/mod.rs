//! The second engine: the onnxruntime library, loaded when the program runs, one thread a run.

mod values;

use std::path::Path;
use std::path::PathBuf;
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::session::Session as OrtSession;
use ort::session::SessionInputValue;

use crate::engine::Engine;
use crate::engine::Runner;
use crate::error::LoadError;
use crate::error::RunError;
use crate::graph::Port;
use crate::graph::convert::Model;
use crate::value::Value;

/// Names under which the loader of the system may find the library.
const LIBRARY: &str = if cfg!(target_os = "macos") { "libonnxruntime.dylib" } else { "libonnxruntime.so" };

/// onnxruntime's sessions of one model; each thread has its own, since a run needs it alone.
#[derive(Debug)]
pub struct Onnxruntime {
    path: PathBuf,
    environment: &'static Environment,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    file_bytes: usize,
}

/// Loads the library once for the process; the first path wins.
fn environment(library: Option<&Path>) -> Result<&'static Environment, LoadError> {
    static LOADED: OnceLock<Result<Environment, String>> = OnceLock::new();
    let path = library.map(Path::to_path_buf).or_else(|| std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from));
    let path = path.unwrap_or_else(|| LIBRARY.into());
    let loaded = LOADED.get_or_init(|| {
        let builder = ort::init_from(&path).map_err(|e| e.to_string())?;
        builder.with_name("tidemill").with_telemetry(false).build().map_err(|e| e.to_string())
    });
    loaded.as_ref().map_err(|why| {
        LoadError::Refused(format!(
            "the onnxruntime library {} cannot be loaded: {why}; name it by ORT_DYLIB_PATH \
             (the wheel of onnxruntime has it as onnxruntime/capi/libonnxruntime.so.*)",
            path.display()
        ))
    })
}

impl Onnxruntime {
    /// Loads a model file and tries it by making one session.
    ///
    /// # Errors
    /// If the library or the model cannot be loaded.
    pub fn load(model: &Model, outputs: &[Port], library: Option<&Path>) -> Result<Onnxruntime, LoadError> {
        let path = model.path.clone();
        let path = path.ok_or_else(|| LoadError::Refused("onnxruntime needs a model in a file".into()))?;
        let environment = environment(library)?;
        let file_bytes = std::fs::metadata(&path).map_or(0, |m| m.len() as usize);
        let inputs = model.graph.inputs.clone();
        let engine = Onnxruntime { path, environment, inputs, outputs: outputs.to_vec(), file_bytes };
        engine.session().map_err(LoadError::Refused)?;
        Ok(engine)
    }

    fn session(&self) -> Result<OrtSession, String> {
        let refused = |e: String| format!("onnxruntime refuses the model: {}", first_line(&e));
        let mut builder = OrtSession::builder(self.environment)
            .map_err(|e| refused(e.to_string()))?
            .with_intra_threads(1)
            .map_err(|e| refused(e.to_string()))?
            .with_inter_threads(1)
            .map_err(|e| refused(e.to_string()))?
            .with_log_level(ort::logging::LogLevel::Error)
            .map_err(|e| refused(e.to_string()))?;
        builder.commit_from_file(&self.path).map_err(|e| refused(e.to_string()))
    }
}

/// Its messages may go on with what the tensors hold.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}

impl Engine for Onnxruntime {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn runner(&self) -> Result<Box<dyn Runner>, RunError> {
        let session = self.session().map_err(RunError::Failed)?;
        let names = |ports: &[Port]| ports.iter().map(|p| p.name.clone()).collect();
        Ok(Box::new(OrtRunner { session, inputs: names(&self.inputs), outputs: names(&self.outputs) }))
    }

    fn parameters(&self) -> usize {
        0
    }

    fn bytes(&self) -> usize {
        0
    }

    /// The weights are read again for every thread, and often packed beside.
    fn runner_bytes(&self) -> usize {
        self.file_bytes * 2
    }

    fn notes(&self) -> Vec<String> {
        vec!["onnxruntime, one thread a run".into()]
    }
}

struct OrtRunner {
    session: OrtSession,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

impl Runner for OrtRunner {
    fn run(&mut self, inputs: Vec<Value>) -> Result<Vec<Value>, RunError> {
        let mut given: Vec<(String, SessionInputValue<'_>)> = vec![];
        for (name, value) in self.inputs.iter().zip(inputs) {
            if !value.is_absent() {
                let value =
                    values::give(value).map_err(|e| RunError::Input { name: name.clone(), what: e.to_string() })?;
                given.push((name.clone(), value.into()));
            }
        }
        let failed = |e: ort::Error| RunError::Failed(format!("onnxruntime: {}", first_line(&e.to_string())));
        let made = self.session.run(given).map_err(failed)?;
        let take = |name: &String| {
            let value = made.get(name).ok_or_else(|| RunError::Failed(format!("output `{name}` was not made")))?;
            values::take(value).map_err(|e| RunError::Failed(format!("output `{name}`: {e}")))
        };
        self.outputs.iter().map(take).collect()
    }
}
