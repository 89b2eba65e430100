//! What an operator is to the executor: built once from a node, run for every batch.

use std::fmt::Debug;
use std::sync::Arc;

use crate::error::LoadError;
use crate::error::OpError;
use crate::graph::Graph;
use crate::graph::Node;
use crate::program::Program;
use crate::tensor::Element;
use crate::tensor::Tensor;
use crate::value::Value;
use crate::value::Values;

/// An operator with its attributes read and checked; shared by threads.
pub trait Kernel: Send + Sync + Debug {
    /// Computes the outputs, in the node's order; outputs past the returned ones are absent.
    ///
    /// # Errors
    /// If the inputs do not fit; the kernel is as good as new then.
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError>;

    /// Names of values of the graph around that a subgraph reads: the executor appends them to the inputs, in this order.
    fn captures(&self) -> &[String] {
        &[]
    }

    /// Numbers that training chose and that are kept inside (trees, prepared weights); constants are counted elsewhere.
    fn parameters(&self) -> usize {
        0
    }

    /// Memory kept inside, in bytes.
    fn bytes(&self) -> usize {
        0
    }

    /// False if two runs may differ (random numbers): such a node is never computed at load.
    fn is_pure(&self) -> bool {
        true
    }

    /// What is worth saying to a person, such as the code path that was chosen.
    fn notes(&self) -> Vec<String> {
        vec![]
    }
}

/// Makes a kernel of a node.
pub type Builder = fn(&Build<'_>) -> Result<Box<dyn Kernel>, OpError>;

/// What a builder may look at.
pub struct Build<'a> {
    pub node: &'a Node,
    /// Constant inputs by position, where known.
    pub constants: &'a [Option<Arc<Tensor>>],
    /// Compiles a subgraph (If, Loop, Scan).
    pub compile: &'a dyn Fn(&Graph) -> Result<Subprogram, LoadError>,
}

/// A compiled subgraph, with the names that it reads from the graph around; its inputs are its own ones, then those.
#[derive(Debug)]
pub struct Subprogram {
    pub program: Program,
    pub captures: Vec<String>,
}

impl Build<'_> {
    pub fn constant(&self, i: usize) -> Option<&Arc<Tensor>> {
        self.constants.get(i).and_then(Option::as_ref)
    }

    /// Version of the operator set that the node belongs to.
    pub fn version(&self) -> i64 {
        self.node.version
    }

    /// Whether the `i`-th output is wanted by somebody.
    pub fn has_output(&self, i: usize) -> bool {
        self.node.outputs.get(i).is_some_and(|name| !name.is_empty())
    }

    /// Whether the `i`-th input is given.
    pub fn has_input(&self, i: usize) -> bool {
        self.node.inputs.get(i).is_some_and(|name| !name.is_empty())
    }
}

/// The inputs of one run. A value that nobody else needs can be taken and written into.
pub struct Inputs<'a>(pub &'a mut [Value]);

impl Inputs<'_> {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// # Errors
    /// If the input is left out.
    pub fn value(&self, i: usize) -> Result<&Value, OpError> {
        match self.0.get(i) {
            None | Some(Value::Absent) => Err(OpError::bad(format!("input {i} is missing"))),
            Some(value) => Ok(value),
        }
    }

    /// # Errors
    /// If the input is left out, or no tensor.
    pub fn tensor(&self, i: usize) -> Result<&Tensor, OpError> {
        let value = self.value(i)?;
        value.tensor().ok_or_else(|| OpError::bad(format!("input {i} is {}, expected a tensor", value.kind())))
    }

    /// `None` if the input is left out.
    ///
    /// # Errors
    /// If it is given and no tensor.
    pub fn optional(&self, i: usize) -> Result<Option<&Tensor>, OpError> {
        match self.0.get(i) {
            None | Some(Value::Absent) => Ok(None),
            Some(_) => self.tensor(i).map(Some),
        }
    }

    /// # Errors
    /// As [`Inputs::tensor`], or if the elements are of another type.
    pub fn slice<T: Element>(&self, i: usize) -> Result<&[T], OpError> {
        self.tensor(i)?.slice::<T>().map_err(|e| OpError::bad(format!("input {i}: {e}")))
    }

    /// The tensor itself, without a copy if nobody else holds it.
    ///
    /// # Errors
    /// As [`Inputs::tensor`].
    pub fn take(&mut self, i: usize) -> Result<Tensor, OpError> {
        self.tensor(i)?;
        match std::mem::take(&mut self.0[i]) {
            Value::Tensor(tensor) => Ok(Arc::unwrap_or_clone(tensor)),
            _ => Err(OpError::bad(format!("input {i} is no tensor"))),
        }
    }

    /// The elements of a tensor that nobody else holds, which nobody can read any more then.
    pub fn last<T: Element>(&mut self, i: usize) -> Option<Vec<T>> {
        match self.take_value(i) {
            Value::Tensor(tensor) => Arc::into_inner(tensor)?.into_vec().ok(),
            _ => None,
        }
    }

    /// The value itself; absent if it is left out.
    pub fn take_value(&mut self, i: usize) -> Value {
        self.0.get_mut(i).map(std::mem::take).unwrap_or_default()
    }
}
