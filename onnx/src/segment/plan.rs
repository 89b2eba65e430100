//! tract's side of a segment: nodes become a plan for given shapes, one axis of which may stay open.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Once;

use half::f16;
use prost::Message;
use smallvec::SmallVec;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::optim::Optimizer;
use tract_onnx::tract_hir::internal::*;

use crate::error::OpError;
use crate::graph::Node;
use crate::proto;
use crate::proto::encode;
use crate::tensor;
use crate::tensor::ElementType;
use crate::tensor::Elements;
use crate::value::Value;
use crate::value::Values;

/// Type and shape of every input.
pub type Key = SmallVec<[(ElementType, tensor::Shape); 4]>;

/// What a segment is made of.
#[derive(Debug)]
pub struct Nodes {
    pub nodes: Vec<Node>,
    pub constants: Vec<(String, Arc<tensor::Tensor>)>,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
}

/// Axes that hold the same open number: `(input, axis)`.
pub type Open = Vec<(usize, usize)>;

/// A plan of tract's.
#[derive(Clone, Debug)]
pub struct Plan(Arc<TypedRunnableModel>);

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs something of tract's that may panic, without the panic's report: it is an answer like any other here.
fn quietly<T>(work: impl FnOnce() -> T) -> std::thread::Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                before(panic);
            }
        }));
    });
    QUIET.set(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    done
}

/// Shortest useful form of an error of tract's, which prints whole graphs and may print tensors.
fn brief(error: &TractError) -> String {
    let text: String = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(200).collect()
}

fn refused(error: &TractError) -> OpError {
    OpError::unsupported(format!("tract does not take it ({}); use engine = \"onnxruntime\"", brief(error)))
}

impl Plan {
    /// Plans `nodes` for inputs of these shapes; the axes of `open` may have any length, the same for all.
    ///
    /// # Errors
    /// If tract cannot read, type or plan them.
    pub fn build(nodes: &Nodes, key: &Key, open: &Open) -> Result<Plan, OpError> {
        let proto = message(nodes, key)?;
        let planned = quietly(|| plan(nodes, &proto, key, open));
        match planned {
            Ok(Ok(plan)) => Ok(plan),
            Ok(Err(error)) => Err(refused(&error)),
            Err(_) => Err(OpError::unsupported("tract gave up on it")),
        }
    }

    /// # Errors
    /// If tract fails or panics; the plan is as good as new then.
    pub fn run(&self, inputs: &[Value]) -> Result<Values, OpError> {
        let tensors = inputs.iter().map(to_tract).collect::<Result<TVec<TValue>, _>>()?;
        let made = quietly(|| self.0.run(tensors));
        match made {
            Ok(Ok(made)) => made.iter().map(|t| from_tract(t).map(Value::from)).collect(),
            Ok(Err(_)) => Err(OpError::bad("tract could not run it on these inputs")),
            Err(_) => Err(OpError::bad("tract gave up on these inputs")),
        }
    }

    /// Memory of the plan's constants, in bytes.
    pub fn bytes(&self) -> usize {
        let consts =
            self.0.model().nodes().iter().filter_map(|n| n.op_as::<tract_onnx::tract_core::ops::konst::Const>());
        consts.map(|c| c.val().len() * c.val().datum_type().size_of()).sum()
    }
}

/// The segment as a file that tract reads.
fn message(nodes: &Nodes, key: &Key) -> Result<Vec<u8>, OpError> {
    let version = nodes.nodes.first().map_or(13, |n| n.version);
    let graph = proto::GraphProto {
        name: "segment".into(),
        node: nodes.nodes.iter().map(encode::node).collect::<Result<_, _>>()?,
        initializer: nodes.constants.iter().map(|(name, t)| encode::tensor(name, t)).collect(),
        input: nodes.inputs.iter().zip(key).map(|(n, (t, _))| port(n, Some(*t))).collect(),
        output: nodes.outputs.iter().map(|n| port(n, None)).collect(),
        ..proto::GraphProto::default()
    };
    let model = proto::ModelProto {
        ir_version: 8,
        graph: Some(graph),
        opset_import: vec![proto::OperatorSetIdProto { domain: String::new(), version }],
        ..proto::ModelProto::default()
    };
    Ok(model.encode_to_vec())
}

/// Shapes are given to tract later, but it wants a type here.
fn port(name: &str, element_type: Option<ElementType>) -> proto::ValueInfoProto {
    let tensor = |t: ElementType| proto::type_proto::Tensor { elem_type: t.onnx(), shape: None };
    let value = element_type.map(|t| proto::type_proto::Value::Tensor(tensor(t)));
    proto::ValueInfoProto { name: name.into(), r#type: value.map(|v| proto::TypeProto { value: Some(v) }) }
}

fn plan(nodes: &Nodes, bytes: &[u8], key: &Key, open: &Open) -> TractResult<Plan> {
    let onnx = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
    let mut source = bytes;
    let parsed = onnx.parse(&onnx.proto_model_for_read(&mut source)?, None)?;
    ensure!(parsed.unresolved_inputs.is_empty(), "unknown values");
    let mut model = parsed.model;
    let batch = model.symbols.sym("batch");
    for (i, (element_type, shape)) in key.iter().enumerate() {
        let dims: Vec<TDim> = shape
            .iter()
            .enumerate()
            .map(|(axis, n)| if open.contains(&(i, axis)) { batch.to_dim() } else { n.to_dim() })
            .collect();
        let dt = datum_type(*element_type).context("texts are not given to tract")?;
        model.set_input_fact(i, InferenceFact::dt_shape(dt, &dims))?;
    }
    let find = |name: &String| parsed.outlets_by_name.get(name).copied().context("an output is missing");
    let outlets = nodes.outputs.iter().map(find).collect::<TractResult<Vec<_>>>()?;
    model.select_output_outlets(&outlets)?;
    let mut model = model.into_typed()?;
    let steps = STEPS + STEPS_A_NODE * model.nodes.len();
    for optimizer in [Optimizer::declutter(), Optimizer::codegen()] {
        model.optimize_with_session(&mut optimizer.stopping_at(steps).session())?;
    }
    Ok(Plan(model.into_runnable()?))
}

/// Rewrites that tract may make of a graph, for each node of it and besides. Some of its rules undo each other for ever (a
/// convolution, `Unsqueeze`, `Tile`, `Reshape` and a product); after each of them the graph is right, so it can stop anywhere.
const STEPS: usize = 300;
const STEPS_A_NODE: usize = 30;

fn datum_type(element_type: ElementType) -> Option<DatumType> {
    Some(match element_type {
        ElementType::Bool => DatumType::Bool,
        ElementType::I8 => DatumType::I8,
        ElementType::I16 => DatumType::I16,
        ElementType::I32 => DatumType::I32,
        ElementType::I64 => DatumType::I64,
        ElementType::U8 => DatumType::U8,
        ElementType::U16 => DatumType::U16,
        ElementType::U32 => DatumType::U32,
        ElementType::U64 => DatumType::U64,
        ElementType::F16 => DatumType::F16,
        ElementType::F32 => DatumType::F32,
        ElementType::F64 => DatumType::F64,
        ElementType::Text => return None,
    })
}

fn to_tract(value: &Value) -> Result<TValue, OpError> {
    let tensor = value.tensor().ok_or_else(|| OpError::bad("tract takes tensors only"))?;
    let shape = tensor.shape();
    let made = match tensor.elements() {
        Elements::Bool(v) => Tensor::from_shape(shape, v),
        Elements::I8(v) => Tensor::from_shape(shape, v),
        Elements::I16(v) => Tensor::from_shape(shape, v),
        Elements::I32(v) => Tensor::from_shape(shape, v),
        Elements::I64(v) => Tensor::from_shape(shape, v),
        Elements::U8(v) => Tensor::from_shape(shape, v),
        Elements::U16(v) => Tensor::from_shape(shape, v),
        Elements::U32(v) => Tensor::from_shape(shape, v),
        Elements::U64(v) => Tensor::from_shape(shape, v),
        Elements::F16(v) => Tensor::from_shape(shape, v),
        Elements::F32(v) => Tensor::from_shape(shape, v),
        Elements::F64(v) => Tensor::from_shape(shape, v),
        Elements::Text(_) => return Err(OpError::bad("texts are not given to tract")),
    };
    made.map(Tensor::into_tvalue).map_err(|_| OpError::bad("a tensor was not taken by tract"))
}

fn from_tract(value: &TValue) -> Result<tensor::Tensor, OpError> {
    let wrong = |_| OpError::unsupported("tract made a tensor of a type that is not known here");
    // symbolic numbers that stayed in a shape computation
    let cast;
    let value: &Tensor = if value.datum_type() == TDim::datum_type() {
        cast = value.cast_to::<i64>().map_err(wrong)?;
        &cast
    } else {
        value
    };
    let shape = value.shape().to_vec();
    let ram = value.try_as_plain_ram().map_err(wrong)?;
    macro_rules! take {
        ($ty:ty) => {
            tensor::Tensor::new(&shape, ram.as_slice::<$ty>().map_err(wrong)?.to_vec())
        };
    }
    match value.datum_type() {
        DatumType::Bool => take!(bool),
        DatumType::I8 => take!(i8),
        DatumType::I16 => take!(i16),
        DatumType::I32 => take!(i32),
        DatumType::I64 => take!(i64),
        DatumType::U8 => take!(u8),
        DatumType::U16 => take!(u16),
        DatumType::U32 => take!(u32),
        DatumType::U64 => take!(u64),
        DatumType::F16 => take!(f16),
        DatumType::F32 => take!(f32),
        DatumType::F64 => take!(f64),
        _ => Err(OpError::unsupported("tract made a tensor of a type that is not known here")),
    }
}

/// Whether tract has an operator of this name.
pub fn knows(name: &str) -> bool {
    static KNOWN: std::sync::OnceLock<std::collections::BTreeSet<String>> = std::sync::OnceLock::new();
    KNOWN.get_or_init(|| tract_onnx::onnx().op_register.0.keys().map(|k| (*k).to_string()).collect()).contains(name)
}
