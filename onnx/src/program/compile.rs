//! From a graph to a program: unused nodes go, constants are computed, kernels are built, tract gets its segments.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

use crate::error::LoadError;
use crate::error::OpError;
use crate::graph::Graph;
use crate::graph::Node;
use crate::graph::Port;
use crate::graph::convert::captures;
use crate::graph::convert::reads;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::kernel::Subprogram;
use crate::ops::refused;
use crate::program::Program;
use crate::program::Source;
use crate::program::Step;
use crate::program::group;
use crate::registry;
use crate::registry::By;
use crate::segment::plan::knows;
use crate::tensor::Tensor;
use crate::value::Value;

/// Constants larger than this are not computed at load: it would trade memory for very little time.
const FOLDED_BYTES: usize = 64 << 20;

impl Program {
    /// Compiles the part of a graph that makes `outputs` (names of graph outputs, or of any value inside).
    ///
    /// # Errors
    /// If an operator is not supported, a node is broken, or an output does not exist.
    pub fn compile(graph: &Graph, outputs: &[Port]) -> Result<Program, LoadError> {
        compile(graph, graph.inputs.clone(), outputs, true)
    }

    /// As [`Program::compile`], without tract.
    ///
    /// # Errors
    /// As there, and if only tract has an operator.
    pub fn compile_own(graph: &Graph, outputs: &[Port]) -> Result<Program, LoadError> {
        compile(graph, graph.inputs.clone(), outputs, false)
    }
}

fn compile(graph: &Graph, inputs: Vec<Port>, outputs: &[Port], tract: bool) -> Result<Program, LoadError> {
    let mut compiler = Compiler::new(&inputs, tract);
    compiler.constants(graph);
    let planned = compiler.plan(graph, outputs)?;
    let steps = group::steps(planned, outputs)?;
    compiler.finish(steps, inputs, outputs)
}

/// Compiles a subgraph; what it reads from outside become inputs behind its own.
fn subprogram(graph: &Graph) -> Result<Subprogram, LoadError> {
    let captures = captures(graph);
    let mut inputs = graph.inputs.clone();
    inputs.extend(captures.iter().map(|name| Port { name: name.clone(), kind: Default::default() }));
    Ok(Subprogram { program: compile(graph, inputs, &graph.outputs, true)?, captures })
}

/// A node with what may run it, before neighbours are joined to segments.
#[derive(Debug)]
pub(crate) struct Planned {
    pub node: Node,
    pub inputs: Vec<Source>,
    pub outputs: Vec<Option<usize>>,
    /// This crate's kernel, or why there is none.
    pub kernel: Result<Box<dyn Kernel>, LoadError>,
    pub by: By,
    /// Whether tract has the operator.
    pub tract: bool,
}

struct Compiler {
    known: HashMap<String, Source>,
    slots: usize,
    tract: bool,
}

impl Compiler {
    fn new(inputs: &[Port], tract: bool) -> Compiler {
        let known: HashMap<_, _> = inputs.iter().enumerate().map(|(i, p)| (p.name.clone(), Source::Slot(i))).collect();
        Compiler { slots: inputs.len(), known, tract }
    }

    fn constants(&mut self, graph: &Graph) {
        let constants = graph.constants.iter();
        self.known.extend(constants.map(|(name, t)| (name.clone(), Source::Constant(t.clone()))));
    }

    fn plan(&mut self, graph: &Graph, outputs: &[Port]) -> Result<Vec<Planned>, LoadError> {
        let needed = needed(graph, outputs);
        let mut planned = vec![];
        for node in &graph.nodes {
            if !node.outputs.iter().any(|o| needed.contains(o.as_str())) {
                continue;
            }
            let mut node = node.clone();
            for output in &mut node.outputs {
                if !needed.contains(output.as_str()) {
                    output.clear();
                }
            }
            planned.extend(self.node(node)?);
        }
        Ok(planned)
    }

    /// `None` if the node is computed now.
    fn node(&mut self, node: Node) -> Result<Option<Planned>, LoadError> {
        let mut inputs = node.inputs.iter().map(|n| self.source(n)).collect::<Result<Vec<_>, _>>()?;
        let constants: Vec<Option<Arc<Tensor>>> =
            inputs.iter().map(|s| if let Source::Constant(t) = s { Some(t.clone()) } else { None }).collect();
        let operator = registry::find(&node.domain, &node.op_type);
        let by = operator.map_or(By::Own, |o| o.by);
        let tract = self.tract && by != By::Own && node.domain.is_empty() && knows(&node.op_type);
        let kernel = kernel(&Build { node: &node, constants: &constants, compile: &subprogram });
        let kernel = match kernel {
            // a node that breaks the specification is not tried elsewhere
            Err(error) if !tract || matches!(error, LoadError::Node { .. }) => return Err(error),
            kernel => kernel,
        };
        if let Ok(kernel) = &kernel {
            for name in kernel.captures() {
                inputs.push(self.source(name)?);
            }
            if self.fold(&node, &**kernel, &inputs) {
                return Ok(None);
            }
        }
        let mut outputs = vec![];
        for name in &node.outputs {
            outputs.push((!name.is_empty()).then(|| {
                self.known.insert(name.clone(), Source::Slot(self.slots));
                self.slots += 1;
                self.slots - 1
            }));
        }
        Ok(Some(Planned { node, inputs, outputs, kernel, by, tract }))
    }

    fn source(&self, name: &str) -> Result<Source, LoadError> {
        if name.is_empty() {
            return Ok(Source::Nothing);
        }
        let source = self.known.get(name).cloned();
        source.ok_or_else(|| LoadError::Broken(format!("nothing makes the value `{name}`")))
    }

    /// Computes a node of constants now. A failure is left to the first run, which names the node.
    fn fold(&mut self, node: &Node, kernel: &dyn Kernel, inputs: &[Source]) -> bool {
        if !kernel.is_pure() || inputs.iter().any(|s| matches!(s, Source::Slot(_) | Source::Last(_))) {
            return false;
        }
        let mut values: Vec<Value> = inputs.iter().map(|s| s.read(&mut [])).collect();
        let Ok(made) = kernel.run(&mut Inputs(&mut values)) else { return false };
        let small = |v: &Value| v.tensor().is_some_and(|t| t.bytes() <= FOLDED_BYTES);
        if made.len() < node.outputs.len() || !made.iter().all(small) {
            return false;
        }
        for (name, value) in node.outputs.iter().zip(made) {
            if let (false, Value::Tensor(tensor)) = (name.is_empty(), value) {
                self.known.insert(name.clone(), Source::Constant(tensor));
            }
        }
        true
    }

    fn finish(self, mut steps: Vec<Step>, inputs: Vec<Port>, outputs: &[Port]) -> Result<Program, LoadError> {
        let mut results = outputs.iter().map(|p| self.source(&p.name)).collect::<Result<Vec<_>, _>>()?;
        let mut seen = BTreeSet::new();
        let read = steps.iter_mut().rev().flat_map(|s| s.inputs.iter_mut().rev());
        for source in results.iter_mut().rev().chain(read) {
            if let Source::Slot(i) = *source
                && seen.insert(i)
            {
                *source = Source::Last(i);
            }
        }
        let mut constants: HashMap<*const Tensor, usize> = HashMap::new();
        for source in steps.iter().flat_map(|s| &s.inputs) {
            if let Source::Constant(t) = source {
                constants.insert(Arc::as_ptr(t), t.len());
            }
        }
        let constants = constants.values().sum();
        Ok(Program { inputs, outputs: outputs.to_vec(), steps, results, slots: self.slots, constants })
    }
}

fn kernel(build: &Build<'_>) -> Result<Box<dyn Kernel>, LoadError> {
    let node = build.node;
    let unsupported = |why: String| LoadError::Unsupported { operator: node.operator(), node: node.title(), why };
    let Some(operator) = registry::find(&node.domain, &node.op_type) else {
        let why = refused::reason(&node.domain, &node.op_type).unwrap_or("it is not known here");
        return Err(unsupported(why.into()));
    };
    let Some(builder) = operator.build else {
        return Err(unsupported("only tract has it, and does not take it here".into()));
    };
    builder(build).map_err(|source| match source {
        OpError::Unsupported(why) => unsupported(why),
        source => LoadError::Node { operator: node.operator(), node: node.title(), source },
    })
}

/// Names of all values that the outputs depend on.
fn needed(graph: &Graph, outputs: &[Port]) -> BTreeSet<String> {
    let mut needed: BTreeSet<String> = outputs.iter().map(|p| p.name.clone()).collect();
    for node in graph.nodes.iter().rev() {
        if node.outputs.iter().any(|o| needed.contains(o)) {
            needed.extend(reads(node));
        }
    }
    needed
}

impl From<LoadError> for OpError {
    fn from(error: LoadError) -> OpError {
        match error {
            LoadError::Unsupported { .. } => OpError::Unsupported(error.to_string()),
            error => OpError::Bad(error.to_string()),
        }
    }
}
