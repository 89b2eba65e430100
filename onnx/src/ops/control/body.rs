//! A subgraph as If, Loop, Scan and SequenceMap run it, with bounds on how much all its turns may do.

use std::cell::Cell;

use crate::bad;
use crate::each_type;
use crate::error::OpError;
use crate::graph::Dim;
use crate::graph::Kind;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Subprogram;
use crate::limits;
use crate::ops::layout;
use crate::program::State;
use crate::tensor::Element;
use crate::tensor::ElementType;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::tensor::volume;
use crate::value::Value;

/// A compiled subgraph: its own inputs first, then what it reads from around.
#[derive(Debug)]
pub struct Body {
    inner: Subprogram,
    /// Number of its own inputs.
    pub inputs: usize,
    pub outputs: usize,
}

impl Body {
    /// Compiles the subgraph of an attribute.
    ///
    /// # Errors
    /// If there is none, or it is broken or not supported.
    pub fn new(build: &Build<'_>, attribute: &str) -> Result<Body, OpError> {
        let graph = build.node.attributes.graph(attribute)?.ok_or_else(|| missing(attribute))?;
        let inner = (build.compile)(graph)?;
        Ok(Body { inner, inputs: graph.inputs.len(), outputs: graph.outputs.len() })
    }

    pub fn captures(&self) -> &[String] {
        &self.inner.captures
    }

    /// Declared type of an own input.
    pub fn input(&self, i: usize) -> &Kind {
        &self.inner.program.inputs[i].kind
    }

    pub fn output(&self, i: usize) -> &Kind {
        &self.inner.program.outputs[i].kind
    }

    /// Runs the subgraph once.
    ///
    /// # Errors
    /// If one of its nodes fails; the text names it.
    pub fn run(&self, state: &mut State, inputs: Vec<Value>) -> Result<Vec<Value>, OpError> {
        self.inner.program.run(state, inputs).map_err(|e| OpError::bad(format!("in its subgraph: {e}")))
    }

    pub fn parameters(&self) -> usize {
        self.inner.program.parameters()
    }

    pub fn bytes(&self) -> usize {
        self.inner.program.bytes()
    }

    pub fn is_pure(&self) -> bool {
        self.inner.program.kernels().all(|(_, _, kernel)| kernel.is_pure())
    }

    /// What a turn costs besides the elements that it makes, in elements: it bounds loops that compute nothing.
    fn toll(&self) -> usize {
        const TURN: usize = 256;
        const STEP: usize = 32;
        TURN + STEP * self.inner.program.kernels().count()
    }
}

/// What it costs to take a sequence's entry along for one more turn, in elements.
const ENTRY: usize = 8;

thread_local! {
    /// Elements that the outermost loop of this thread and all loops inside it may still make.
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Bounds the turns of a loop, together with all loops around it.
pub struct Budget {
    outermost: bool,
    turns: usize,
    /// Elements of the sequences that the last turn made: of these only what they grow by is new.
    held: usize,
    toll: usize,
}

impl Budget {
    pub fn new(body: &Body) -> Budget {
        let outermost = LEFT.get().is_none();
        if outermost {
            LEFT.set(Some(limits::LOOP_ELEMENTS));
        }
        Budget { outermost, turns: 0, held: 0, toll: body.toll() }
    }

    /// Counts a turn that made `values`.
    ///
    /// # Errors
    /// If it is one too many.
    pub fn charge(&mut self, values: &[Value]) -> Result<(), OpError> {
        self.turns += 1;
        let made: usize = values.iter().filter_map(Value::tensor).map(Tensor::len).sum();
        let sequences = || values.iter().filter(|v| v.tensor().is_none());
        let held: usize = sequences().map(Value::elements).sum();
        let copied: usize = sequences().map(|v| if let Value::Sequence(all) = v { ENTRY * all.len() } else { 0 }).sum();
        let made = made + held.saturating_sub(self.held) + copied;
        self.held = held;
        let left = LEFT.get().and_then(|left| left.checked_sub(made)?.checked_sub(self.toll));
        match left {
            Some(left) if self.turns <= limits::TURNS => {
                LEFT.set(Some(left));
                Ok(())
            }
            _ => Err(OpError::too_large(format!("the loop did not end after {} turns", self.turns))),
        }
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        if self.outermost {
            LEFT.set(None);
        }
    }
}

/// Tensors of the same shape behind one another on a new first axis; `kind` tells the shape if there are none.
///
/// # Errors
/// If their shapes or types differ, or the result is too large.
pub fn stack(all: &[Value], kind: &Kind) -> Result<Tensor, OpError> {
    let tensors: Vec<&Tensor> = all.iter().filter_map(Value::tensor).collect();
    if tensors.len() != all.len() {
        bad!("a subgraph made no tensor where one is collected");
    }
    let Some(first) = tensors.first() else { return nothing(kind) };
    if let Some(other) = tensors.iter().find(|t| t.shape() != first.shape()) {
        bad!("a subgraph made {} first and {} later", show(first.shape()), show(other.shape()));
    }
    let mut shape = Shape::from_slice(&[tensors.len()]);
    shape.extend_from_slice(first.shape());
    each_type!(first.elements(), v => stack_typed(v, &tensors, &shape))
}

fn stack_typed<T: Element>(_like: &[T], all: &[&Tensor], shape: &[usize]) -> Result<Tensor, OpError> {
    layout::admit_together(all)?;
    let mut out: Vec<T> = Vec::with_capacity(volume(shape, T::TYPE.size())?);
    for tensor in all {
        out.extend_from_slice(tensor.slice()?);
    }
    Tensor::new(shape, out)
}

/// No entries of the declared kind; what is not declared counts as 0.
fn nothing(kind: &Kind) -> Result<Tensor, OpError> {
    let Kind::Tensor { element_type, shape: dims } = kind else {
        return Tensor::zeros_of(ElementType::F32, &[0]);
    };
    let mut shape = Shape::from_slice(&[0]);
    shape.extend(dims.iter().flatten().map(|d| if let Dim::Fixed(n) = d { *n } else { 0 }));
    Tensor::zeros_of(element_type.unwrap_or(ElementType::F32), &shape)
}

/// A number or flag as an input of the declared kind: a vector of one if it is declared as such, else a scalar.
pub fn scalar<T: Element>(value: T, kind: &Kind) -> Value {
    match kind {
        Kind::Tensor { shape: Some(dims), .. } if dims.len() == 1 => Tensor::vector(vec![value]).into(),
        _ => Tensor::scalar(value).into(),
    }
}

/// The only element of a tensor of flags.
///
/// # Errors
/// If it is no tensor of one flag.
pub fn flag(value: &Value) -> Result<bool, OpError> {
    let Some(tensor) = value.tensor() else { bad!("the condition is {}, expected a flag", value.kind()) };
    match tensor.slice::<bool>()? {
        [flag] => Ok(*flag),
        all => bad!("the condition has {} elements", all.len()),
    }
}

/// What a kernel with a `body` says of itself is what the body says: four methods of [`crate::kernel::Kernel`].
#[macro_export]
macro_rules! as_its_body {
    () => {
        fn captures(&self) -> &[String] {
            self.body.captures()
        }

        fn parameters(&self) -> usize {
            self.body.parameters()
        }

        fn bytes(&self) -> usize {
            self.body.bytes()
        }

        fn is_pure(&self) -> bool {
            self.body.is_pure()
        }
    };
}
