//! LinearClassifier and LinearRegressor of `ai.onnx.ml`.

use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::ml::labels;
use crate::ops::ml::matrix::floats;
use crate::ops::ml::matrix::rows_columns;
use crate::ops::ml::post_transform::two;
use crate::ops::ml::product::Product;
use crate::registry::ML;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::trees::transform::Transform;
use crate::value::Keys;
use crate::value::Value;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::own("LinearClassifier", classifier).of(ML).note("post transforms as in onnxruntime"),
    Operator::own("LinearRegressor", regressor).of(ML).note("post transforms as in onnxruntime"),
];

/// Weights, constants and what comes behind, for both operators.
#[derive(Debug)]
struct Linear {
    product: Product,
    intercepts: Vec<f32>,
    transform: Transform,
}

impl Linear {
    fn read(build: &Build<'_>, outputs: usize, intercepts: Option<&[f32]>) -> Result<Linear, OpError> {
        let attributes = &build.node.attributes;
        let weights = attributes.floats("coefficients")?.ok_or_else(|| missing("coefficients"))?;
        Ok(Linear {
            product: Product::new(weights, outputs)?,
            intercepts: intercepts.unwrap_or_default().to_vec(),
            transform: Transform::parse(attributes.text_or("post_transform", "NONE")?)?,
        })
    }

    /// The number of rows, and scores before the transform.
    fn scores(&self, x: &Tensor) -> Result<(usize, Vec<f32>), OpError> {
        let (rows, columns) = rows_columns(x)?;
        if columns != self.product.columns() {
            bad!("{columns} columns, expected {}", self.product.columns());
        }
        let mut scores = Tensor::zeros::<f32>(&[rows, self.product.outputs()])?.into_vec::<f32>()?;
        self.product.run(&floats(x)?, 1.0, &self.intercepts, &mut scores);
        Ok((rows, scores))
    }
}

#[derive(Debug)]
struct Regressor(Linear);

impl Kernel for Regressor {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (rows, mut scores) = self.0.scores(inputs.tensor(0)?)?;
        let outputs = self.0.product.outputs();
        // a single target is left as it is by all transforms but one
        if outputs > 1 || self.0.transform == Transform::Probit {
            scores.chunks_exact_mut(outputs).for_each(|row| self.0.transform.apply(row));
        }
        Ok(one(Tensor::new(&[rows, outputs], scores)?))
    }

    fn bytes(&self) -> usize {
        self.0.product.bytes()
    }

    fn parameters(&self) -> usize {
        self.0.product.parameters() + self.0.intercepts.len()
    }
}

fn regressor(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let targets = attributes.int_or("targets", 1)?;
    let targets = usize::try_from(targets).map_err(|_| OpError::bad(format!("attribute `targets` is {targets}")))?;
    // onnxruntime ignores intercepts that are not one a target
    let intercepts = attributes.floats("intercepts")?.filter(|v| v.len() == targets);
    Ok(Box::new(Regressor(Linear::read(build, targets, intercepts)?)))
}

#[derive(Debug)]
struct Classifier {
    linear: Linear,
    labels: Keys,
    /// One score stands for two classes.
    binary: bool,
    wants_label: bool,
}

impl Kernel for Classifier {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (rows, mut scores) = self.linear.scores(inputs.tensor(0)?)?;
        let classes = self.linear.product.outputs();
        let label = match (self.wants_label, classes) {
            (false, _) => Value::Absent,
            (true, 1) => labels::tensor(&self.labels, rows, scores.iter().map(|s| usize::from(*s > 0.0)))?.into(),
            _ => labels::tensor(&self.labels, rows, scores.chunks_exact(classes).map(labels::argmax))?.into(),
        };
        let width = if self.binary { 2 } else { classes };
        if self.binary {
            scores = scores.iter().flat_map(|s| two(self.linear.transform, *s)).collect();
        } else if classes > 1 || self.linear.transform == Transform::Probit {
            scores.chunks_exact_mut(classes).for_each(|row| self.linear.transform.apply(row));
        }
        Ok(smallvec![label, Tensor::new(&[rows, width], scores)?.into()])
    }

    fn bytes(&self) -> usize {
        self.linear.product.bytes()
    }

    fn parameters(&self) -> usize {
        self.linear.product.parameters() + self.linear.intercepts.len()
    }
}

fn classifier(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let mut names = labels::read(attributes, "classlabels_ints", "classlabels_strings")?;
    let intercepts = attributes.floats("intercepts")?.filter(|v| !v.is_empty());
    let classes = intercepts.map_or(names.len(), <[f32]>::len);
    let binary = classes == 1 && names.len() == 2;
    if classes == 1 {
        names = labels::pair(names);
    } else if names.len() < classes {
        bad!("{} labels for {classes} classes", names.len());
    }
    let linear = Linear::read(build, classes, intercepts)?;
    Ok(Box::new(Classifier { linear, labels: names, binary, wants_label: build.has_output(0) }))
}
