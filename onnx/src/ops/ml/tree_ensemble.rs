//! `ai.onnx.ml.TreeEnsemble` 5: `[n, features]` in, `[n, targets]` of the same float type out.
//!
//! 16-bit models run in 32 bits, which hold all their numbers, and the answers are rounded once; onnxruntime lacks them.

use half::f16;
use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::ml::tree_parts;
use crate::ops::ml::tree_parts::Answer;
use crate::ops::ml::tree_parts::Number;
use crate::ops::ml::tree_parts::Part;
use crate::ops::ml::tree_parts::Room;
use crate::ops::ml::tree_parts::Typed;
use crate::registry::ML;
use crate::registry::Operator;
use crate::tensor::ElementType;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::trees::attributes5::Attributes5;
use crate::trees::finish::Regression;
use crate::trees::forest::Forest;
use crate::trees::tally::Aggregate;
use crate::trees::transform::Transform;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[Operator::own("TreeEnsemble", build).of(ML)];

#[derive(Debug)]
struct TreeEnsemble {
    trees: Typed<Regression<f32>>,
    /// Type of thresholds, weights, input and output.
    element: ElementType,
}

fn build(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let splits = build.node.attributes.tensor("nodes_splits")?.ok_or_else(|| missing("nodes_splits"))?;
    let element = splits.element_type();
    let trees = match element {
        ElementType::F64 => Typed::Double(Box::new(part::<f64>(build)?)),
        ElementType::F32 | ElementType::F16 => Typed::single(part::<f32>(build)?),
        other => bad!("attribute `nodes_splits` must hold floats, got {other}"),
    };
    Ok(Box::new(TreeEnsemble { trees, element }))
}

fn part<T: Number>(build: &Build<'_>) -> Result<Part<T, Regression<T>>, OpError> {
    let node = &build.node.attributes;
    let targets = usize::try_from(node.int("n_targets")?.ok_or_else(|| missing("n_targets"))?).unwrap_or(0);
    let aggregate = Aggregate::number(node.int_or("aggregate_function", 1)?)?;
    let transform = Transform::number(node.int_or("post_transform", 0)?)?;
    let ints = |name: &str| Ok::<_, OpError>(node.ints(name)?.unwrap_or(&[]).to_vec());
    let numbers = |name: &str| match node.tensor(name)? {
        Some(tensor) => tree_parts::tensor_floats(name, tensor),
        None => Ok(vec![]),
    };
    let modes = node.tensor("nodes_modes")?.ok_or_else(|| missing("nodes_modes"))?.slice::<u8>()?.to_vec();
    let arrays = Attributes5::<T> {
        features: ints("nodes_featureids")?,
        modes,
        splits: numbers("nodes_splits")?,
        yes: ints("nodes_truenodeids")?,
        no: ints("nodes_falsenodeids")?,
        yes_leaf: ints("nodes_trueleafs")?,
        no_leaf: ints("nodes_falseleafs")?,
        nan_true: ints("nodes_missing_value_tracks_true")?,
        members: numbers("membership_values")?,
        leaf_targets: ints("leaf_targetids")?,
        leaf_weights: numbers("leaf_weights")?,
        roots: ints("tree_roots")?,
        outputs: targets,
    };
    let ensemble = arrays.read()?;
    let finish = Regression::new(aggregate, transform, vec![], targets, ensemble.roots.len())?;
    Ok(Part { forest: Forest::new(ensemble, aggregate, finish.asks()), finish })
}

/// Writes the answers of all rows in the type of the operator.
struct Write(ElementType);

fn finish<T: Number>(part: &Part<T, Regression<T>>, room: &mut Room<T>, count: usize) -> Result<Vec<T>, OpError> {
    let tally = part.forest.tally();
    crate::tensor::volume(&[count, tally.outputs], size_of::<T>())?;
    let mut out = Vec::with_capacity(count * tally.outputs);
    for row in 0..count {
        let (scores, has) = tally.row(&mut room.scratch.scores, row);
        part.finish.row(scores, has);
        out.extend_from_slice(scores);
    }
    Ok(out)
}

impl Answer<Regression<f32>> for Write {
    type Out = Result<Elements, OpError>;

    fn single(self, part: &Part<f32, Regression<f32>>, room: &mut Room<f32>, count: usize) -> Self::Out {
        let out = finish(part, room, count)?;
        Ok(match self.0 {
            ElementType::F16 => Elements::F16(out.into_iter().map(f16::from_f32).collect()),
            _ => Elements::F32(out),
        })
    }

    fn double(self, part: &Part<f64, Regression<f64>>, room: &mut Room<f64>, count: usize) -> Self::Out {
        Ok(Elements::F64(finish(part, room, count)?))
    }
}

impl Kernel for TreeEnsemble {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let input = inputs.tensor(0)?;
        if input.element_type() != self.element {
            bad!("the trees are of {}, the input is of {}", self.element, input.element_type());
        }
        let count = if let [count, _] = input.shape() { *count } else { 1 };
        let out = self.trees.run(input, Write(self.element))??;
        let outputs = out.len().checked_div(count).unwrap_or(0);
        Ok(smallvec![Tensor::from_elements(&[count, outputs], out)?.into()])
    }

    fn parameters(&self) -> usize {
        self.trees.parameters()
    }

    fn bytes(&self) -> usize {
        self.trees.bytes()
    }

    fn notes(&self) -> Vec<String> {
        self.trees.notes()
    }
}
