//! A dense layer as one step: what fusing makes of MatMul or Gemm with constant weights and what follows it.

use std::sync::Arc;

use crate::bad;
use crate::dense::Start;
use crate::dense::Weights;
use crate::dense::activation::Activation;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::registry::Operator;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::tensor::volume;
use crate::value::Values;
use crate::value::one;

/// Domain of operators that no file may use: the program makes them itself.
pub const INTERNAL: &str = "tidemill";
/// Name of the operator.
pub const DENSE: &str = "Dense";

pub const OPERATORS: &[Operator] =
    &[Operator::own(DENSE, build).of(INTERNAL).note("made from MatMul or Gemm, a bias and an activation")];

/// `activation(alpha * x X weights + bias)` along the last axis.
#[derive(Debug)]
struct Layer {
    weights: Weights,
    /// One number a column.
    bias: Option<Vec<f32>>,
    /// Axes of the bias: a sum has at least as many.
    bias_rank: usize,
    alpha: f32,
    activation: Activation,
    /// Gemm takes matrices only.
    matrix: bool,
}

fn build(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let b: &Arc<Tensor> = attributes.tensor("weights")?.ok_or_else(|| missing("weights"))?;
    let transposed = attributes.flag("transposed", false)?;
    let &[rows, cols] = b.shape() else { bad!("weights of shape {}", show(b.shape())) };
    let (k, n) = if transposed { (cols, rows) } else { (rows, cols) };
    let bias = attributes.tensor("bias")?;
    let spread = |t: &Arc<Tensor>| match t.slice::<f32>()? {
        [one] => Ok(vec![*one; n]),
        row if row.len() == n => Ok(row.to_vec()),
        _ => Err(OpError::bad(format!("a bias of shape {}", show(t.shape())))),
    };
    let (alpha, beta) = (attributes.float("activation_alpha")?, attributes.float("activation_beta")?);
    Ok(Box::new(Layer {
        weights: Weights::new(b.slice()?, k, n, transposed),
        bias_rank: bias.map_or(0, |t| t.rank()),
        bias: bias.map(spread).transpose()?,
        alpha: attributes.float_or("alpha", 1.0)?,
        activation: Activation::named(attributes.text_or("activation", "")?, alpha, beta)?,
        matrix: attributes.flag("matrix", false)?,
    }))
}

impl Kernel for Layer {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        let (k, n) = self.weights.shape();
        let Some((&depth, batch)) = x.shape().split_last() else { bad!("a scalar cannot be multiplied") };
        if depth != k || self.matrix && batch.len() != 1 {
            bad!("{} cannot be multiplied by {}", show(x.shape()), show(&[k, n]));
        }
        let mut shape: Shape = Shape::new();
        shape.resize(self.bias_rank.saturating_sub(x.rank()), 1);
        shape.extend_from_slice(batch);
        shape.push(n);
        let mut out = vec![0.0; volume(&shape, 4)?];
        let start = self.bias.as_deref().map_or(Start::Zero, Start::Row);
        self.weights.multiply(x.slice()?, &mut out, start, self.alpha, self.activation);
        Ok(one(Tensor::new(&shape, out)?))
    }

    fn parameters(&self) -> usize {
        let (k, n) = self.weights.shape();
        k * n + self.bias.as_ref().map_or(0, Vec::len)
    }

    fn bytes(&self) -> usize {
        self.weights.bytes() + self.bias.as_ref().map_or(0, |b| size_of_val(b.as_slice()))
    }
}
