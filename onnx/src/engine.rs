//! What runs a whole graph: this crate's own program, or another library's.

use std::fmt;
use std::fmt::Debug;
use std::sync::Arc;

use crate::error::LoadError;
use crate::error::RunError;
use crate::graph::Port;
use crate::graph::convert::Model;
use crate::graph::quantised;
use crate::program::Program;
use crate::program::State;
use crate::value::Value;

/// A loaded graph, shared by threads.
pub trait Engine: Send + Sync + Debug {
    fn inputs(&self) -> &[Port];
    fn outputs(&self) -> &[Port];

    /// A runner for one thread.
    ///
    /// # Errors
    /// If the engine cannot make another one.
    fn runner(&self) -> Result<Box<dyn Runner>, RunError>;

    /// Numbers that training chose, if known.
    fn parameters(&self) -> usize;

    /// Memory shared by all runners, in bytes, as far as it is known.
    fn bytes(&self) -> usize;

    /// Memory of each runner, in bytes, as far as it is known.
    fn runner_bytes(&self) -> usize {
        0
    }

    /// Bytes of all intermediate results of one run; `None` if the engine does not tell, or the run fails.
    fn run_bytes(&self, inputs: Vec<Value>) -> Option<usize> {
        let _ = inputs;
        None
    }

    /// What is worth saying to a person.
    fn notes(&self) -> Vec<String> {
        vec![]
    }
}

/// One thread's way to run a graph.
pub trait Runner: Send {
    /// Inputs and outputs in the order of the engine's ports.
    ///
    /// # Errors
    /// If the inputs do not fit; the runner is as good as new then.
    fn run(&mut self, inputs: Vec<Value>) -> Result<Vec<Value>, RunError>;
}

/// Name of an engine, as bundles and the command line write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// This crate's kernels and tract.
    #[default]
    Tract,
    /// The onnxruntime library, loaded when the program runs; needs the cargo feature of that name.
    Onnxruntime,
}

impl fmt::Display for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EngineName::Tract => "tract",
            EngineName::Onnxruntime => "onnxruntime",
        })
    }
}

/// The graph outputs named by `names`, or all.
///
/// # Errors
/// If there is no such output.
pub fn outputs(model: &Model, names: Option<&[&str]>) -> Result<Vec<Port>, LoadError> {
    let all = &model.graph.outputs;
    let Some(names) = names else { return Ok(all.clone()) };
    let find = |name: &&str| {
        all.iter().find(|p| p.name == **name).cloned().ok_or_else(|| {
            let known: Vec<String> = all.iter().map(|p| format!("`{}`", p.name)).collect();
            LoadError::Unknown { what: "output", name: (*name).into(), known: known.join(", ") }
        })
    };
    names.iter().map(find).collect()
}

/// This crate's engine.
#[derive(Debug)]
pub struct Native(Arc<Program>);

impl Native {
    /// Compiles the part of a model that makes `outputs`.
    ///
    /// # Errors
    /// If an operator is not supported or a node is broken.
    pub fn load(model: &Model, outputs: &[Port]) -> Result<Native, LoadError> {
        Ok(Native(Arc::new(Program::compile(&quantised::joined(&model.graph), outputs)?)))
    }

    pub fn program(&self) -> &Program {
        &self.0
    }
}

impl Engine for Native {
    fn inputs(&self) -> &[Port] {
        &self.0.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.0.outputs
    }

    fn runner(&self) -> Result<Box<dyn Runner>, RunError> {
        Ok(Box::new(NativeRunner { program: self.0.clone(), state: State::default() }))
    }

    fn parameters(&self) -> usize {
        self.0.parameters()
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }

    fn run_bytes(&self, inputs: Vec<Value>) -> Option<usize> {
        self.0.run_bytes(inputs).ok()
    }

    fn notes(&self) -> Vec<String> {
        let all = self.0.kernels();
        all.flat_map(|(operator, _, k)| k.notes().into_iter().map(move |n| format!("{operator}: {n}"))).collect()
    }
}

struct NativeRunner {
    program: Arc<Program>,
    state: State,
}

impl Runner for NativeRunner {
    fn run(&mut self, inputs: Vec<Value>) -> Result<Vec<Value>, RunError> {
        self.program.run(&mut self.state, inputs)
    }
}
