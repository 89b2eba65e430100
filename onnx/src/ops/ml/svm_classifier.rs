//! SVMClassifier of `ai.onnx.ml`: votes of every pair of classes, or one weight vector a class.

use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::Attributes;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::ml::labels;
use crate::ops::ml::matrix::floats;
use crate::ops::ml::matrix::rows_columns;
use crate::ops::ml::pairwise::couple;
use crate::ops::ml::post_transform::two;
use crate::ops::ml::product::Product;
use crate::ops::ml::svm::Vectors;
use crate::registry::ML;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::trees::transform::Transform;
use crate::trees::transform::logistic;
use crate::value::Keys;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[Operator::own("SVMClassifier", svm_classifier).of(ML)];

/// Pairs of classes grow with the square.
const CLASSES_MAX: usize = 65_535;

#[derive(Debug)]
enum Mode {
    /// One weight vector a class.
    Linear {
        weights: Product,
        rho: Vec<f32>,
    },
    Votes(Votes),
}

/// A decision for every pair of classes.
#[derive(Debug)]
struct Votes {
    vectors: Vectors,
    /// Number of support vectors of each class; they lie in the order of the classes.
    per_class: Vec<usize>,
    /// `[classes - 1, vectors]`: what a vector counts against the other classes.
    coefficients: Vec<f32>,
    rho: Vec<f32>,
    /// Slopes and constants that make probabilities of decisions.
    sigmoids: Option<(Vec<f32>, Vec<f32>)>,
}

#[derive(Debug)]
struct SvmClassifier {
    mode: Mode,
    labels: Keys,
    transform: Transform,
    /// No coefficient is negative: scores of two classes are probabilities.
    positive: bool,
    has_probabilities: bool,
    wants_label: bool,
}

impl Kernel for SvmClassifier {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let tensor = inputs.tensor(0)?;
        let (rows, columns) = rows_columns(tensor)?;
        let expected = match &self.mode {
            Mode::Linear { weights, .. } => weights.columns(),
            Mode::Votes(votes) => votes.vectors.columns(),
        };
        if columns != expected {
            bad!("{columns} columns, expected {expected}");
        }
        let x = floats(tensor)?;
        let (chosen, scores) = match &self.mode {
            Mode::Linear { weights, rho } => self.linear(weights, rho, &x, rows)?,
            Mode::Votes(votes) => self.votes(votes, &x, rows)?,
        };
        let label = if self.wants_label {
            labels::tensor(&self.labels, rows, chosen.into_iter())?.into()
        } else {
            Value::Absent
        };
        let width = self.width();
        Ok(smallvec![label, Tensor::new(&[rows, width], scores)?.into()])
    }

    fn bytes(&self) -> usize {
        match &self.mode {
            Mode::Linear { weights, .. } => weights.bytes(),
            Mode::Votes(votes) => votes.vectors.bytes() + size_of_val(&votes.coefficients[..]),
        }
    }

    fn parameters(&self) -> usize {
        match &self.mode {
            Mode::Linear { weights, .. } => weights.parameters() + 1,
            Mode::Votes(votes) => votes.vectors.parameters() + votes.coefficients.len() + votes.rho.len(),
        }
    }
}

impl SvmClassifier {
    /// Scores of a row.
    fn width(&self) -> usize {
        let classes = self.labels.len();
        match self.mode {
            Mode::Votes(_) if !self.has_probabilities => {
                if classes > 2 {
                    pairs(classes)
                } else {
                    2
                }
            }
            _ => classes,
        }
    }

    fn linear(
        &self,
        weights: &Product,
        rho: &[f32],
        x: &[f32],
        rows: usize,
    ) -> Result<(Vec<usize>, Vec<f32>), OpError> {
        let classes = weights.outputs();
        let mut scores = vec![0.0; volume(&[rows, classes], size_of::<f32>())?];
        weights.run(x, 1.0, rho, &mut scores);
        let mut chosen = Vec::with_capacity(rows);
        for row in scores.chunks_exact_mut(classes) {
            let best = labels::argmax(row);
            let positive = if self.positive { row[best] >= 0.5 } else { row[best] > 0.0 };
            chosen.push(if classes == 2 && !self.has_probabilities && positive { 1 } else { best });
            self.finish(row);
        }
        Ok((chosen, scores))
    }

    fn votes(&self, votes: &Votes, x: &[f32], rows: usize) -> Result<(Vec<usize>, Vec<f32>), OpError> {
        let classes = self.labels.len();
        let width = self.width();
        let near = votes.vectors.near(x, rows)?;
        let mut scores = vec![0.0; volume(&[rows, width], size_of::<f32>())?];
        let mut chosen = Vec::with_capacity(rows);
        let mut decisions = vec![0.0; pairs(classes)];
        let mut counts = vec![0u32; classes];
        for (row, near) in scores.chunks_exact_mut(width).zip(near.chunks_exact(votes.vectors.count())) {
            counts.fill(0);
            votes.decide(near, &mut decisions, &mut counts);
            chosen.push(first_greatest(&counts));
            if let Some((slopes, constants)) = &votes.sigmoids {
                couple(&probabilities(&decisions, slopes, constants, classes), row);
                self.finish(row);
            } else if classes > 2 {
                row.copy_from_slice(&decisions);
                self.finish(row);
            } else if let [decision] = decisions[..] {
                row.copy_from_slice(&match self.transform {
                    Transform::None => [-decision, decision],
                    transform => two(transform, decision),
                });
            }
        }
        Ok((chosen, scores))
    }

    /// A row of one score is left as it is by all transforms but one.
    fn finish(&self, row: &mut [f32]) {
        if row.len() > 1 || self.transform == Transform::Probit {
            self.transform.apply(row);
        }
    }
}

impl Votes {
    /// Decides between every two classes: a sum greater than zero is a vote for the first of them.
    fn decide(&self, near: &[f32], decisions: &mut [f32], counts: &mut [u32]) {
        let count = self.vectors.count();
        let sum = |coefficients: &[f32], start: usize, len: usize, sum: f64| {
            let (coefficients, near) = (&coefficients[start..start + len], &near[start..start + len]);
            coefficients.iter().zip(near).fold(sum, |sum, (c, n)| sum + f64::from(c * n))
        };
        let (mut pair, mut start_i) = (0, 0);
        for (i, len_i) in self.per_class.iter().enumerate() {
            let mut start_j = start_i + len_i;
            for (j, len_j) in self.per_class.iter().enumerate().skip(i + 1) {
                let against_j = &self.coefficients[(j - 1) * count..];
                let against_i = &self.coefficients[i * count..];
                let total = sum(against_j, start_i, *len_i, 0.0);
                let total = sum(against_i, start_j, *len_j, total) + f64::from(self.rho[pair]);
                decisions[pair] = total as f32;
                counts[if total > 0.0 { i } else { j }] += 1;
                pair += 1;
                start_j += len_j;
            }
            start_i += len_i;
        }
    }
}

/// Probability of i against j at `[i, j]` and of j against i at `[j, i]`.
fn probabilities(decisions: &[f32], slopes: &[f32], constants: &[f32], classes: usize) -> Vec<f32> {
    let mut all = vec![0.0; classes * classes];
    let mut sigmoids = decisions.iter().zip(slopes).zip(constants);
    for i in 0..classes {
        for j in i + 1..classes {
            let Some(((decision, slope), constant)) = sigmoids.next() else { return all };
            let p = 1.0 - logistic(decision * slope + constant);
            // a NaN stays one, where `clamp` would do as well but says nothing of it
            let p = if p < 1e-7 { 1e-7 } else { p };
            let p = if p > 1.0 - 1e-7 { 1.0 - 1e-7 } else { p };
            all[i * classes + j] = p;
            all[j * classes + i] = 1.0 - p;
        }
    }
    all
}

fn first_greatest(counts: &[u32]) -> usize {
    let max = counts.iter().max();
    counts.iter().position(|c| Some(c) == max).unwrap_or(0)
}

fn pairs(classes: usize) -> usize {
    classes * (classes - 1) / 2
}

fn svm_classifier(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let names = labels::some(attributes, "classlabels_ints", "classlabels_strings")?;
    let classes = names.len();
    if classes > CLASSES_MAX {
        bad!("{classes} classes, {CLASSES_MAX} are possible");
    }
    let coefficients = attributes.floats("coefficients")?.ok_or_else(|| missing("coefficients"))?;
    let rho = attributes.floats("rho")?.ok_or_else(|| missing("rho"))?;
    let per_class = attributes.ints("vectors_per_class")?.unwrap_or_default();
    let mode = if per_class.iter().all(|n| *n == 0) {
        let rho = rho.first().copied().ok_or_else(|| missing("rho"))?;
        Mode::Linear { weights: Product::new(coefficients, classes)?, rho: vec![rho; classes] }
    } else {
        Mode::Votes(votes(attributes, per_class, coefficients, rho, classes)?)
    };
    Ok(Box::new(SvmClassifier {
        mode,
        labels: names,
        transform: Transform::parse(attributes.text_or("post_transform", "NONE")?)?,
        positive: coefficients.iter().all(|c| *c >= 0.0),
        has_probabilities: attributes.floats("prob_a")?.is_some_and(|v| !v.is_empty()),
        wants_label: build.has_output(0),
    }))
}

fn votes(
    attributes: &Attributes,
    per_class: &[i64],
    coefficients: &[f32],
    rho: &[f32],
    classes: usize,
) -> Result<Votes, OpError> {
    let per_class = per_class.iter().map(|n| usize::try_from(*n)).collect::<Result<Vec<_>, _>>();
    let per_class = per_class.map_err(|_| OpError::bad("attribute `vectors_per_class` has a negative number"))?;
    if per_class.len() != classes {
        bad!("attribute `vectors_per_class` has {} entries for {classes} classes", per_class.len());
    }
    let count = per_class.iter().try_fold(0usize, |sum, n| sum.checked_add(*n));
    let count = count.ok_or_else(|| OpError::bad("attribute `vectors_per_class` adds up to too much"))?;
    let vectors = Vectors::read(attributes, count)?;
    if (classes - 1).checked_mul(count).is_none_or(|needed| coefficients.len() < needed) {
        bad!("{} coefficients for {classes} classes and {count} support vectors", coefficients.len());
    }
    let given = |name: &str| Ok::<_, OpError>(attributes.floats(name)?.unwrap_or_default().to_vec());
    let (slopes, constants) = (given("prob_a")?, given("prob_b")?);
    let needed = pairs(classes);
    let complete = |v: &[f32]| v.is_empty() || v.len() >= needed;
    if rho.len() < needed || slopes.len() != constants.len() || !complete(&slopes) {
        bad!("attributes `rho`, `prob_a` and `prob_b` need {needed} entries for {classes} classes");
    }
    Ok(Votes {
        vectors,
        per_class,
        coefficients: coefficients.to_vec(),
        rho: rho.to_vec(),
        sigmoids: (!slopes.is_empty()).then_some((slopes, constants)),
    })
}
