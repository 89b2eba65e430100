//! What the three tree operators share: arrays out of attributes, rows out of tensors, one scratch a thread.

use std::cell::RefCell;
use std::sync::OnceLock;

use crate::bad;
use crate::each_number;
use crate::error::OpError;
use crate::graph::attributes::Attributes as NodeAttributes;
use crate::tensor::Element;
use crate::tensor::ElementType;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::trees::attributes::Attributes;
use crate::trees::forest::Forest;
use crate::trees::forest::Rows;
use crate::trees::forest::Scratch;
use crate::trees::real::Real;

/// A number type with a scratch of its own in every thread.
pub trait Number: Real + Element {
    fn with_scratch<R>(run: impl FnOnce(&mut Room<Self>) -> R) -> R;
}

/// What a run needs: kept by the thread, so that runs do not allocate.
#[derive(Debug, Default)]
pub struct Room<T> {
    pub scratch: Scratch<T>,
    converted: Vec<T>,
}

macro_rules! number {
    ($($t:ty),*) => {
        $(impl Number for $t {
            fn with_scratch<R>(run: impl FnOnce(&mut Room<$t>) -> R) -> R {
                thread_local!(static ROOM: RefCell<Room<$t>> = RefCell::default());
                ROOM.with_borrow_mut(run)
            }
        })*
    };
}
number!(f32, f64);

/// What stands behind the trees and is made for both number types.
pub trait Widen {
    type Wide;
    fn widen(&self) -> Self::Wide;
}

/// Trees with what follows them, in the number type that onnxruntime would compute with: that of the input.
#[derive(Debug)]
pub enum Typed<F: Widen> {
    /// 32-bit attributes; the second is made when the first doubles come.
    Single(Box<Part<f32, F>>, OnceLock<Box<Part<f64, F::Wide>>>),
    /// Attributes of doubles.
    Double(Box<Part<f64, F::Wide>>),
}

/// Trees and what follows them.
#[derive(Debug)]
pub struct Part<T: Real, F> {
    pub forest: Forest<T>,
    pub finish: F,
}

/// Computes one answer from tallied rows.
pub trait Answer<F: Widen> {
    type Out;
    fn single(self, part: &Part<f32, F>, room: &mut Room<f32>, count: usize) -> Self::Out;
    fn double(self, part: &Part<f64, F::Wide>, room: &mut Room<f64>, count: usize) -> Self::Out;
}

impl<F: Widen> Typed<F> {
    pub fn single(part: Part<f32, F>) -> Typed<F> {
        Typed::Single(Box::new(part), OnceLock::new())
    }

    /// Tallies the rows of `input` and lets `answer` make the outputs.
    ///
    /// # Errors
    /// If the input is no matrix of numbers, or too narrow.
    pub fn run<A: Answer<F>>(&self, input: &Tensor, answer: A) -> Result<A::Out, OpError> {
        let wide = match self {
            Typed::Single(part, _) if input.element_type() != ElementType::F64 => {
                return f32::with_scratch(|room| {
                    let count = tally(&part.forest, input, room)?;
                    Ok(answer.single(part, room, count))
                });
            }
            Typed::Single(part, wide) => wide.get_or_init(|| {
                let tally = part.forest.tally();
                let forest = Forest::new(part.forest.ensemble().widened(), tally.aggregate, tally.told);
                Box::new(Part { forest, finish: part.finish.widen() })
            }),
            Typed::Double(part) => part,
        };
        f64::with_scratch(|room| {
            let count = tally(&wide.forest, input, room)?;
            Ok(answer.double(wide, room, count))
        })
    }

    pub fn parameters(&self) -> usize {
        match self {
            Typed::Single(part, _) => part.forest.parameters(),
            Typed::Double(part) => part.forest.parameters(),
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Typed::Single(part, wide) => part.forest.bytes() + wide.get().map_or(0, |w| w.forest.bytes()),
            Typed::Double(part) => part.forest.bytes(),
        }
    }

    pub fn notes(&self) -> Vec<String> {
        match self {
            Typed::Single(part, _) => part.forest.notes(),
            Typed::Double(part) => part.forest.notes(),
        }
    }
}

/// Tallies the rows of a tensor into the scratch; answers their number.
fn tally<T: Number>(forest: &Forest<T>, input: &Tensor, room: &mut Room<T>) -> Result<usize, OpError> {
    let (count, width) = match input.shape() {
        [width] => (1, *width),
        [count, width] => (*count, *width),
        shape => bad!("trees take a matrix, got {} axes", shape.len()),
    };
    let Room { scratch, converted } = room;
    let values = match input.slice::<T>() {
        Ok(values) => values,
        Err(_) => {
            converted.clear();
            convert(input.elements(), converted)?;
            &converted[..]
        }
    };
    forest.run(&Rows { values, width, count }, scratch)?;
    Ok(count)
}

/// Numbers of another type, rounded to `T` as a C cast does.
fn convert<T: Real>(elements: &Elements, out: &mut Vec<T>) -> Result<(), OpError> {
    match elements {
        Elements::I64(v) => out.extend(v.iter().map(|x| T::from_i64(*x))),
        Elements::U64(v) => out.extend(v.iter().map(|x| T::from_u64(*x))),
        elements => each_number!(
            elements,
            v => out.extend(v.iter().map(|x| T::from_f64(f64_of(*x)))),
            bad!("trees take numbers, got {}", elements.element_type())
        ),
    }
    Ok(())
}

/// Types whose every value is a double; 64-bit integers do not come here.
trait Narrow {
    fn wide(self) -> f64;
}

macro_rules! narrow {
    ($($t:ty),*) => { $(impl Narrow for $t { fn wide(self) -> f64 { f64::from(self) } })* };
}
narrow!(i8, i16, i32, u8, u16, u32, half::f16, f32, f64);

impl Narrow for i64 {
    fn wide(self) -> f64 {
        self as f64
    }
}

impl Narrow for u64 {
    fn wide(self) -> f64 {
        self as f64
    }
}

fn f64_of(value: impl Narrow) -> f64 {
    value.wide()
}

/// Floats of the attribute `name`, or of the tensor `name_as_tensor` that version 3 has for doubles.
///
/// # Errors
/// If both are there, or one is of another type.
pub fn floats<T: Real>(attributes: &NodeAttributes, name: &str) -> Result<Vec<T>, OpError> {
    let plain = attributes.floats(name)?.unwrap_or(&[]);
    let tensor = attributes.tensor(&format!("{name}_as_tensor"))?.filter(|t| !t.is_empty());
    match tensor {
        Some(_) if !plain.is_empty() => bad!("attributes `{name}` and `{name}_as_tensor` exclude each other"),
        Some(tensor) => tensor_floats(name, tensor),
        None => Ok(plain.iter().map(|v| T::from_f32(*v)).collect()),
    }
}

/// # Errors
/// If the elements are no floats.
pub fn tensor_floats<T: Real>(name: &str, tensor: &Tensor) -> Result<Vec<T>, OpError> {
    Ok(match tensor.elements() {
        Elements::F32(v) => v.iter().map(|x| T::from_f32(*x)).collect(),
        Elements::F64(v) => v.iter().map(|x| T::from_f64(*x)).collect(),
        Elements::F16(v) => v.iter().map(|x| T::from_f32(x.to_f32())).collect(),
        _ => bad!("attribute `{name}` must hold floats"),
    })
}

/// Whether some attribute holds doubles.
pub fn is_double(attributes: &NodeAttributes) -> bool {
    let double = |name: &&str| {
        let tensor = attributes.tensor(name).ok().flatten();
        tensor.is_some_and(|t| t.element_type() == ElementType::F64 && !t.is_empty())
    };
    ["nodes_values_as_tensor", "base_values_as_tensor", "class_weights_as_tensor", "target_weights_as_tensor"]
        .iter()
        .any(double)
}

/// The arrays of versions 1 and 3; `prefix` is `class` or `target`.
///
/// # Errors
/// If an attribute is of another type.
pub fn arrays<T: Real>(node: &NodeAttributes, prefix: &str, outputs: usize) -> Result<Attributes<T>, OpError> {
    let ints = |name: &str| Ok::<_, OpError>(node.ints(name)?.unwrap_or(&[]).to_vec());
    Ok(Attributes {
        tree_ids: ints("nodes_treeids")?,
        node_ids: ints("nodes_nodeids")?,
        features: ints("nodes_featureids")?,
        modes: node.texts("nodes_modes")?.unwrap_or_default(),
        values: floats(node, "nodes_values")?,
        yes: ints("nodes_truenodeids")?,
        no: ints("nodes_falsenodeids")?,
        nan_true: ints("nodes_missing_value_tracks_true")?,
        weight_trees: ints(&format!("{prefix}_treeids"))?,
        weight_nodes: ints(&format!("{prefix}_nodeids"))?,
        weight_outputs: ints(&format!("{prefix}_ids"))?,
        weights: floats(node, &format!("{prefix}_weights"))?,
        outputs,
    })
}
