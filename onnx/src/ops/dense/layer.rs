//! A dense layer as one step: what fusing makes of MatMul or Gemm with constant weights and what follows it.

use crate::bad;
use crate::dense;
use crate::dense::Start;
use crate::dense::Weights;
use crate::dense::activation::Activation;
use crate::dense::spare;
use crate::error::OpError;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::tensor::volume;
use crate::value::Values;
use crate::value::one;

/// `activation(alpha * x X weights + bias)` along the last axis.
#[derive(Debug)]
pub struct Layer {
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

impl Layer {
    /// `weights` is `[k, n]`, or `[n, k]` if `transposed`; `bias` holds one number or `n`, along the last axis.
    ///
    /// # Errors
    /// If these are no floats of such shapes.
    pub fn new(
        weights: &Tensor,
        transposed: bool,
        bias: Option<&Tensor>,
        (alpha, beta): (f32, f32),
        activation: Activation,
        matrix: bool,
    ) -> Result<Layer, OpError> {
        let &[rows, cols] = weights.shape() else { bad!("weights of shape {}", show(weights.shape())) };
        let (k, n) = if transposed { (cols, rows) } else { (rows, cols) };
        if !dense::is_packable(k, n) {
            bad!("weights of shape {} are too large", show(weights.shape()));
        }
        let spread = |t: &Tensor| match t.slice::<f32>()? {
            [one] => Ok(vec![one * beta; n]),
            row if row.len() == n && t.shape().last() == Some(&n) => Ok(row.iter().map(|x| x * beta).collect()),
            _ => Err(OpError::bad(format!("a bias of shape {}", show(t.shape())))),
        };
        Ok(Layer {
            weights: Weights::new(weights.slice()?, k, n, transposed),
            bias_rank: bias.map_or(0, Tensor::rank),
            bias: bias.map(spread).transpose()?,
            alpha,
            activation,
            matrix,
        })
    }
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
        let mut out = spare::take(volume(&shape, 4)?);
        let start = self.bias.as_deref().map_or(Start::Zero, Start::Row);
        self.weights.multiply(x.slice()?, &mut out, start, self.alpha, self.activation);
        if let Some(done) = inputs.last::<f32>(0) {
            spare::give(done);
        }
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
