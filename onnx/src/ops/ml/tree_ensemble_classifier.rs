//! `ai.onnx.ml.TreeEnsembleClassifier` 1 and 3: `[n, features]` in, labels `[n]` and scores `[n, classes]` out.

use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
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
use crate::trees::finish::Classification;
use crate::trees::finish::Won;
use crate::trees::forest::Forest;
use crate::trees::tally::Aggregate;
use crate::trees::transform::Transform;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[Operator::own("TreeEnsembleClassifier", build)
    .of(ML)
    .note("as onnxruntime does, whole-number labels of two classes that both have weights are 0 and 1")];

#[derive(Debug)]
struct Classifier {
    trees: Typed<Classification<f32>>,
    labels: Labels,
}

#[derive(Debug)]
enum Labels {
    Integers(Vec<i64>),
    Texts(Vec<String>),
}

impl Widen for Classification<f32> {
    type Wide = Classification<f64>;

    fn widen(&self) -> Classification<f64> {
        self.widened()
    }
}

fn build(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let node = &build.node.attributes;
    let integers = node.ints("classlabels_int64s")?.unwrap_or(&[]).to_vec();
    let texts = node.texts("classlabels_strings")?.unwrap_or_default();
    let labels = match (integers.is_empty(), texts.is_empty()) {
        (false, true) => Labels::Integers(integers),
        (true, false) => Labels::Texts(texts),
        _ => bad!("exactly one of `classlabels_int64s` and `classlabels_strings` is needed"),
    };
    let classes = labels.len();
    let trees = if tree_parts::is_double(node) {
        Typed::Double(Box::new(part::<f64>(build, classes)?))
    } else {
        Typed::single(part::<f32>(build, classes)?)
    };
    Ok(Box::new(Classifier { trees, labels }))
}

fn part<T: Number>(build: &Build<'_>, classes: usize) -> Result<Part<T, Classification<T>>, OpError> {
    let node = &build.node.attributes;
    let transform = Transform::parse(node.text_or("post_transform", "NONE")?)?;
    let arrays = tree_parts::arrays::<T>(node, "class", classes)?;
    let ensemble = arrays.read()?;
    let base = tree_parts::floats(node, "base_values")?;
    let finish = Classification::new(transform, base, classes, &arrays.weight_outputs, &arrays.weights)?;
    Ok(Part { forest: Forest::new(ensemble, Aggregate::Sum, true), finish })
}

impl Labels {
    fn len(&self) -> usize {
        match self {
            Labels::Integers(l) => l.len(),
            Labels::Texts(l) => l.len(),
        }
    }
}

/// Writes labels and scores of all rows.
struct Write<'a>(&'a Labels);

impl Write<'_> {
    fn write<T: Number>(
        &self,
        part: &Part<T, Classification<T>>,
        room: &mut Room<T>,
        count: usize,
    ) -> Result<(Tensor, Tensor), OpError> {
        let tally = part.forest.tally();
        let shape = [count, tally.outputs];
        crate::tensor::volume(&shape, 4)?;
        let mut out = Vec::with_capacity(count * tally.outputs);
        let mut row = |row: usize| {
            let (scores, has) = tally.row(&mut room.scratch.scores, row);
            let won = part.finish.row(scores, has);
            out.extend(scores.iter().map(|s| s.to_f32()));
            won
        };
        let labels = match self.0 {
            Labels::Integers(labels) => {
                let number = |won| match won {
                    Won::Class(i) => labels[i],
                    Won::Number(i) => i as i64,
                };
                Tensor::new(&[count], (0..count).map(|i| number(row(i))).collect())?
            }
            Labels::Texts(labels) => {
                let (Won::Class(last) | Won::Number(last)) = Won::Class(labels.len() - 1);
                let text = |won| {
                    let (Won::Class(i) | Won::Number(i)) = won;
                    labels[i.min(last)].clone()
                };
                Tensor::new(&[count], (0..count).map(|i| text(row(i))).collect())?
            }
        };
        Ok((labels, Tensor::new(&shape, out)?))
    }
}

impl Answer<Classification<f32>> for Write<'_> {
    type Out = Result<(Tensor, Tensor), OpError>;

    fn single(self, part: &Part<f32, Classification<f32>>, room: &mut Room<f32>, count: usize) -> Self::Out {
        self.write(part, room, count)
    }

    fn double(self, part: &Part<f64, Classification<f64>>, room: &mut Room<f64>, count: usize) -> Self::Out {
        self.write(part, room, count)
    }
}

impl Kernel for Classifier {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (labels, scores) = self.trees.run(inputs.tensor(0)?, Write(&self.labels))??;
        Ok(smallvec![labels.into(), scores.into()])
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
