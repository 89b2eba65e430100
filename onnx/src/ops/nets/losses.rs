//! Losses that training exports leave in a graph: NegativeLogLikelihoodLoss, SoftmaxCrossEntropyLoss.

use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::real::Real;
use crate::ops::nets::real::by_float;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::value::Values;

pub const OPERATORS: &[Operator] =
    &[Operator::own("NegativeLogLikelihoodLoss", likelihood), Operator::own("SoftmaxCrossEntropyLoss", entropy)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reduction {
    None,
    Sum,
    Mean,
}

#[derive(Debug)]
struct Loss {
    reduction: Reduction,
    ignored: Option<i64>,
    /// The input are scores, not logarithms of probabilities.
    scores: bool,
}

impl Kernel for Loss {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.loss::<f32>(i), |i| self.loss::<f64>(i))
    }
}

impl Loss {
    fn loss<T: Real>(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
        let (x, target) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let shape = x.shape();
        if shape.len() < 2 || target.shape()[..] != [&shape[..1], &shape[2..]].concat() {
            bad!("labels of {:?} for scores of {shape:?}", target.shape());
        }
        let (classes, inner) = (shape[1], shape[2..].iter().product::<usize>());
        let weights = inputs.optional(2)?.map(Tensor::slice::<T>).transpose()?;
        if weights.is_some_and(|w| w.len() != classes) {
            bad!("the weights do not fit {classes} classes");
        }
        let mut logs = x.slice::<T>()?.to_vec();
        if self.scores && !logs.is_empty() {
            logs.chunks_exact_mut(classes * inner).for_each(|rows| log_softmax(rows, inner));
        }
        let mut losses = Vec::with_capacity(target.len());
        let mut total = T::ZERO;
        for (at, label) in target.to_i64s()?.into_iter().enumerate() {
            if Some(label) == self.ignored {
                losses.push(T::ZERO);
                continue;
            }
            let Some(class) = usize::try_from(label).ok().filter(|c| *c < classes) else { bad!("a label of {label}") };
            let weight = weights.map_or(T::ONE, |w| w[class]);
            total += weight;
            losses.push(-logs[(at / inner * classes + class) * inner + at % inner] * weight);
        }
        let loss = match self.reduction {
            Reduction::None => Tensor::new(target.shape(), losses)?,
            Reduction::Sum => Tensor::scalar(losses.into_iter().sum::<T>()),
            Reduction::Mean => Tensor::scalar(losses.into_iter().sum::<T>() / total),
        };
        Ok(if self.scores { smallvec![loss.into(), Tensor::new(shape, logs)?.into()] } else { smallvec![loss.into()] })
    }
}

/// Over the classes of one item, `[classes, inner]`.
fn log_softmax<T: Real>(rows: &mut [T], inner: usize) {
    for i in 0..inner {
        let most = rows[i..].iter().step_by(inner).fold(T::LOWEST, |m, v| m.max(*v));
        let sum: T = rows[i..].iter().step_by(inner).map(|v| (*v - most).exp()).sum();
        rows[i..].iter_mut().step_by(inner).for_each(|v| *v = *v - most - sum.ln());
    }
}

fn make(build: &Build<'_>, scores: bool) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let reduction = match attributes.text_or("reduction", "mean")? {
        "none" => Reduction::None,
        "sum" => Reduction::Sum,
        "mean" => Reduction::Mean,
        other => bad!("reduction `{other}` is not known"),
    };
    Ok(Box::new(Loss { reduction, ignored: attributes.int("ignore_index")?, scores }))
}

fn likelihood(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    make(build, false)
}

fn entropy(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    make(build, true)
}
