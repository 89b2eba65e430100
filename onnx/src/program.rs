//! The executor: a graph compiled to steps over slots.

pub mod compile;
mod fuse;
mod group;

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::error::OpError;
use crate::error::RunError;
use crate::graph::Port;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::tensor::Tensor;
use crate::value::Value;

/// A graph that is ready to run; shared by threads, each with a [`State`] of its own.
pub struct Program {
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    pub(crate) steps: Vec<Step>,
    pub(crate) results: Vec<Source>,
    pub(crate) slots: usize,
    /// Elements of the constants that steps read, each constant once.
    pub(crate) constants: usize,
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Nothing,
    Constant(Arc<Tensor>),
    Slot(usize),
    /// A slot that nobody reads later: its value is moved.
    Last(usize),
}

/// A kernel between slots.
pub(crate) struct Step {
    pub kernel: Box<dyn Kernel>,
    /// Operator and node, for messages.
    pub operator: String,
    pub node: String,
    pub inputs: Vec<Source>,
    /// `None` for an output that nobody reads.
    pub outputs: Vec<Option<usize>>,
}

/// Slots of one thread, empty between runs.
#[derive(Debug, Default)]
pub struct State {
    slots: Vec<Value>,
}

impl Program {
    /// Runs the graph; `inputs` and the result are in the order of [`Program::inputs`] and [`Program::outputs`].
    ///
    /// # Errors
    /// If an input does not fit a node; program and state are as good as new then.
    pub fn run(&self, state: &mut State, inputs: Vec<Value>) -> Result<Vec<Value>, RunError> {
        if inputs.len() != self.inputs.len() {
            return Err(RunError::Failed(format!("{} inputs for a graph of {}", inputs.len(), self.inputs.len())));
        }
        state.slots.clear();
        state.slots.resize_with(self.slots, Value::default);
        for (slot, input) in state.slots.iter_mut().zip(inputs) {
            *slot = input;
        }
        for step in &self.steps {
            if let Err(source) = step.run(&mut state.slots) {
                state.slots.clear();
                return Err(step.error(source));
            }
        }
        let results = self.results.iter().map(|source| source.read(&mut state.slots)).collect();
        state.slots.clear();
        Ok(results)
    }

    /// Bytes of everything that one run makes, inputs included.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run_bytes(&self, inputs: Vec<Value>) -> Result<usize, RunError> {
        let mut slots = vec![Value::Absent; self.slots];
        let mut bytes = inputs.iter().map(Value::bytes).sum();
        for (slot, input) in slots.iter_mut().zip(inputs) {
            *slot = input;
        }
        for step in &self.steps {
            step.run(&mut slots).map_err(|source| step.error(source))?;
            bytes += step.outputs.iter().flatten().map(|i| slots[*i].bytes()).sum::<usize>();
        }
        Ok(bytes)
    }

    /// Kernels in the order in which they run, with operator and node.
    pub fn kernels(&self) -> impl Iterator<Item = (&str, &str, &dyn Kernel)> {
        self.steps.iter().map(|s| (s.operator.as_str(), s.node.as_str(), &*s.kernel))
    }

    /// Numbers that training chose.
    pub fn parameters(&self) -> usize {
        self.constants + self.steps.iter().map(|s| s.kernel.parameters()).sum::<usize>()
    }

    /// Memory of weights and whatever kernels keep, in bytes.
    pub fn bytes(&self) -> usize {
        let constant = |s: &Source| if let Source::Constant(t) = s { t.bytes() } else { 0 };
        self.steps.iter().map(|s| s.kernel.bytes() + s.inputs.iter().map(constant).sum::<usize>()).sum()
    }
}

impl Source {
    fn read(&self, slots: &mut [Value]) -> Value {
        match self {
            Source::Nothing => Value::Absent,
            Source::Constant(tensor) => Value::Tensor(tensor.clone()),
            Source::Slot(i) => slots[*i].clone(),
            Source::Last(i) => std::mem::take(&mut slots[*i]),
        }
    }
}

impl Step {
    fn error(&self, source: OpError) -> RunError {
        RunError::Node { operator: self.operator.clone(), node: self.node.clone(), source }
    }

    fn run(&self, slots: &mut [Value]) -> Result<(), OpError> {
        let mut inputs: SmallVec<[Value; 6]> = self.inputs.iter().map(|s| s.read(slots)).collect();
        let values = self.kernel.run(&mut Inputs(&mut inputs))?;
        for (slot, value) in self.outputs.iter().zip(values) {
            if let Some(slot) = slot {
                slots[*slot] = value;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|s| &s.operator)).finish()
    }
}
