//! Rows in, rows out: a session knows which axis of a graph is the batch, and feeds any number of rows to any graph.

pub mod probe;
pub mod rows;
pub mod sample;
pub mod tune;
pub mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;

use crate::engine;
use crate::engine::Engine;
use crate::engine::EngineName;
use crate::engine::Native;
use crate::error::LoadError;
use crate::error::RunError;
use crate::graph::Graph;
use crate::graph::Kind;
use crate::graph::Port;
use crate::graph::convert;
use crate::graph::convert::Model;
use crate::session::rows::RowPort;
use crate::session::worker::Worker;
use crate::value::Value;

/// How a session is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub engine: EngineName,
    /// The onnxruntime library, for that engine; `None` looks at `ORT_DYLIB_PATH` and the system's folders.
    pub library: Option<std::path::PathBuf>,
}

/// How many rows a graph takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feeding {
    /// Any number.
    Any,
    /// Exactly this number: rows are fed in pieces, and the last one is padded with its last row.
    Fixed(usize),
    /// One at a time, with the reason.
    Single(Reason),
}

/// Why rows are fed one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An operator takes statistics over the batch, as dynamic quantisation does.
    Statistics,
    /// How many results an operator makes depends on the values, so that those of a batch cannot be told apart.
    Lengths,
    /// A trial showed that a row's result depends on the rows beside it.
    Mixes,
    /// A batch could not be run, or an output has no axis for it.
    NoBatchAxis,
    /// An input has no axis for rows: a scalar, a map, a sequence.
    PlainInput,
}

impl fmt::Display for Feeding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Feeding::Any => f.write_str("any number of rows at once"),
            Feeding::Fixed(n) => write!(f, "pieces of {n} rows, the last one padded"),
            Feeding::Single(reason) => write!(f, "row by row: {reason}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Statistics => "an operator takes statistics over the batch",
            Reason::Lengths => "how many results an operator makes depends on the values",
            Reason::Mixes => "the rows of a batch change each other's results",
            Reason::NoBatchAxis => "an output has no axis for the rows",
            Reason::PlainInput => "an input has no axis for the rows",
        })
    }
}

/// A loaded model that takes rows.
#[derive(Debug)]
pub struct Session {
    engine: Arc<dyn Engine>,
    pub engine_name: EngineName,
    /// Inputs as rows see them.
    pub inputs: Vec<RowPort>,
    pub outputs: Vec<Port>,
    /// Distinct operators with how often they occur, such as `ai.onnx.ml:Scaler`; functions are taken apart.
    pub operators: BTreeMap<String, usize>,
    declared: Feeding,
    learnt: Learnt,
}

/// What trials have shown; filled by the first runs.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    /// For each output the axis of the rows; `None` if it has none.
    pub axes: OnceLock<Vec<Option<usize>>>,
    /// Whether rows may share a run.
    pub feeding: OnceLock<Feeding>,
    /// Most rows of one run, where small pieces are faster; 0 for no limit.
    pub piece: AtomicUsize,
}

/// Operators whose result for a row depends on the whole batch, by their definition.
const STATISTICS: &[&str] =
    &["DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "QAttention", "Unique"];
/// Operators that make more or fewer results by the values of the whole batch.
const LENGTHS: &[&str] = &["Compress", "NonMaxSuppression", "NonZero"];

impl Session {
    /// Reads and loads a file, with its weights only if the engine does not read them itself.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_file(path: &Path, outputs: Option<&[&str]>, options: &Options) -> Result<Session, LoadError> {
        let model = match options.engine {
            EngineName::Tract => convert::read_file(path)?,
            EngineName::Onnxruntime => convert::outline_file(path)?,
        };
        Session::load(&model, outputs, options)
    }

    /// Loads `model` for `outputs` (all, if `None`).
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(model: &Model, outputs: Option<&[&str]>, options: &Options) -> Result<Session, LoadError> {
        let outputs = engine::outputs(model, outputs)?;
        let engine: Arc<dyn Engine> = match options.engine {
            EngineName::Tract => Arc::new(Native::load(model, &outputs)?),
            EngineName::Onnxruntime => onnxruntime(model, &outputs, options)?,
        };
        let mut operators = BTreeMap::new();
        count(&model.graph, &mut operators);
        Ok(Session::over(engine, options.engine, operators))
    }

    /// A session over an engine that is loaded already.
    pub fn over(engine: Arc<dyn Engine>, engine_name: EngineName, operators: BTreeMap<String, usize>) -> Session {
        let (inputs, mut declared) = rows::ports(engine.inputs());
        let any_of = |names: &[&str]| operators.keys().any(|o| names.contains(&o.rsplit(':').next().unwrap_or(o)));
        if declared == Feeding::Any && any_of(STATISTICS) {
            declared = Feeding::Single(Reason::Statistics);
        }
        if declared == Feeding::Any && any_of(LENGTHS) {
            declared = Feeding::Single(Reason::Lengths);
        }
        let outputs = engine.outputs().to_vec();
        Session { engine, engine_name, inputs, outputs, operators, declared, learnt: Learnt::default() }
    }

    /// How rows are fed, as far as it is known: trials may still find that they cannot share a run.
    pub fn feeding(&self) -> Feeding {
        match self.declared {
            Feeding::Any => self.learnt.feeding.get().copied().unwrap_or(Feeding::Any),
            declared => declared,
        }
    }

    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// A worker for one thread.
    ///
    /// # Errors
    /// If the engine cannot make another runner.
    pub fn worker(self: &Arc<Session>) -> Result<Worker, RunError> {
        Ok(Worker::new(self.clone(), self.engine.runner()?))
    }

    /// Memory that one row takes while it passes through the graph, in bytes, all intermediate results added up; `None`
    /// if no row can be made up, or the engine does not tell.
    pub fn row_bytes(&self) -> Option<usize> {
        let rows = match self.feeding() {
            Feeding::Fixed(n) => n,
            _ => 1,
        };
        self.row_bytes_of(rows, sample::rows(&self.inputs, rows, 1).ok()?)
    }

    /// As [`Session::row_bytes`], of these rows, as a worker takes them.
    pub fn row_bytes_of(&self, rows: usize, made: Vec<Value>) -> Option<usize> {
        let placed =
            self.inputs.iter().zip(made).map(|(port, value)| place(port, value)).collect::<Option<Vec<_>>>()?;
        Some(self.engine.run_bytes(placed)?.div_ceil(rows))
    }

    pub(crate) fn learnt(&self) -> &Learnt {
        &self.learnt
    }

    /// Whether an output is a tensor, as declared.
    pub fn is_tensor(&self, output: usize) -> bool {
        matches!(self.outputs[output].kind, Kind::Tensor { .. } | Kind::Unknown)
    }
}

/// A batch of rows with its axis where the graph wants it; one row without an axis where it has none.
fn place(port: &RowPort, value: Value) -> Option<Value> {
    let Value::Tensor(tensor) = value else { return None };
    let tensor = Arc::unwrap_or_clone(tensor);
    let placed = match port.axis {
        Some(axis) => rows::move_axis(tensor, axis, false),
        None => {
            let shape = tensor.shape()[1..].to_vec();
            tensor.reshaped(&shape)
        }
    };
    placed.ok().map(Value::from)
}

fn count(graph: &Graph, operators: &mut BTreeMap<String, usize>) {
    for node in &graph.nodes {
        *operators.entry(node.operator()).or_default() += 1;
        node.attributes.graphs().for_each(|g| count(g, operators));
    }
}

#[cfg(feature = "onnxruntime")]
fn onnxruntime(model: &Model, outputs: &[Port], options: &Options) -> Result<Arc<dyn Engine>, LoadError> {
    let library = options.library.as_deref();
    Ok(Arc::new(crate::engine_ort::Onnxruntime::load(model, outputs, library)?))
}

#[cfg(not(feature = "onnxruntime"))]
fn onnxruntime(_: &Model, _: &[Port], _: &Options) -> Result<Arc<dyn Engine>, LoadError> {
    let why = "this program was built without onnxruntime; build it with `--features onnxruntime`";
    Err(LoadError::Refused(why.into()))
}
