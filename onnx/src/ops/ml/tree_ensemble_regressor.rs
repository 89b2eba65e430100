//! `ai.onnx.ml.TreeEnsembleRegressor` 1 and 3: `[n, features]` in, `[n, targets]` out, always 32-bit floats.

use smallvec::smallvec;

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
use crate::ops::ml::tree_parts::Widen;
use crate::registry::ML;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::trees::finish::Regression;
use crate::trees::forest::Forest;
use crate::trees::tally::Aggregate;
use crate::trees::transform::Transform;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[Operator::own("TreeEnsembleRegressor", build).of(ML)];

#[derive(Debug)]
struct Regressor(Typed<Regression<f32>>);

impl Widen for Regression<f32> {
    type Wide = Regression<f64>;

    fn widen(&self) -> Regression<f64> {
        self.widened()
    }
}

fn build(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let node = &build.node.attributes;
    Ok(Box::new(Regressor(if tree_parts::is_double(node) {
        Typed::Double(Box::new(part::<f64>(build)?))
    } else {
        Typed::single(part::<f32>(build)?)
    })))
}

fn part<T: Number>(build: &Build<'_>) -> Result<Part<T, Regression<T>>, OpError> {
    let node = &build.node.attributes;
    let targets = usize::try_from(node.int("n_targets")?.ok_or_else(|| missing("n_targets"))?).unwrap_or(0);
    let aggregate = Aggregate::parse(node.text_or("aggregate_function", "SUM")?)?;
    let transform = Transform::parse(node.text_or("post_transform", "NONE")?)?;
    let ensemble = tree_parts::arrays::<T>(node, "target", targets)?.read()?;
    let base = tree_parts::floats(node, "base_values")?;
    let finish = Regression::new(aggregate, transform, base, targets, ensemble.roots.len())?;
    Ok(Part { forest: Forest::new(ensemble, aggregate, finish.asks()), finish })
}

/// Writes the answers of all rows.
struct Write;

fn write<T: Number>(part: &Part<T, Regression<T>>, room: &mut Room<T>, count: usize) -> Result<Tensor, OpError> {
    let tally = part.forest.tally();
    let shape = [count, tally.outputs];
    crate::tensor::volume(&shape, 4)?;
    let mut out = Vec::with_capacity(count * tally.outputs);
    for row in 0..count {
        let (scores, has) = tally.row(&mut room.scratch.scores, row);
        part.finish.row(scores, has);
        out.extend(scores.iter().map(|s| s.to_f32()));
    }
    Tensor::new(&shape, out)
}

impl Answer<Regression<f32>> for Write {
    type Out = Result<Tensor, OpError>;

    fn single(self, part: &Part<f32, Regression<f32>>, room: &mut Room<f32>, count: usize) -> Self::Out {
        write(part, room, count)
    }

    fn double(self, part: &Part<f64, Regression<f64>>, room: &mut Room<f64>, count: usize) -> Self::Out {
        write(part, room, count)
    }
}

impl Kernel for Regressor {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        Ok(smallvec![self.0.run(inputs.tensor(0)?, Write)??.into()])
    }

    fn parameters(&self) -> usize {
        self.0.parameters()
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }

    fn notes(&self) -> Vec<String> {
        self.0.notes()
    }
}
