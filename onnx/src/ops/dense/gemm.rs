//! Gemm and onnxruntime's FusedGemm: `activation(alpha * A x B + beta * C)`.

use std::borrow::Cow;

use crate::bad;
use crate::dense;
use crate::dense::Start;
use crate::dense::Weights;
use crate::dense::activation::Activation;
use crate::dense::batch::fits;
use crate::dense::plain;
use crate::dense::plain::Number;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::dense::floats;
use crate::ops::dense::rounded;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::tensor::volume;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::shared("Gemm", gemm).note("no bfloat16"),
    Operator::own("FusedGemm", fused).of(MICROSOFT).note("the usual activations"),
];

#[derive(Debug)]
struct Gemm {
    alpha: f32,
    beta: f32,
    trans_a: bool,
    trans_b: bool,
    activation: Activation,
    weights: Option<Weights>,
}

fn gemm(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Gemm::new(build, Activation::None)?))
}

fn fused(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let (alpha, beta) = (attributes.float("activation_alpha")?, attributes.float("activation_beta")?);
    Ok(Box::new(Gemm::new(build, Activation::named(attributes.text_or("activation", "")?, alpha, beta)?)?))
}

impl Gemm {
    fn new(build: &Build<'_>, activation: Activation) -> Result<Gemm, OpError> {
        let attributes = &build.node.attributes;
        let trans_b = attributes.flag("transB", false)?;
        Ok(Gemm {
            alpha: attributes.float_or("alpha", 1.0)?,
            beta: attributes.float_or("beta", 1.0)?,
            trans_a: attributes.flag("transA", false)?,
            trans_b,
            activation,
            weights: build.constant(1).and_then(|b| prepared(b, trans_b)),
        })
    }

    fn floats(&self, a: &Tensor, b: &Tensor, c: Option<&Tensor>, sizes: Sizes) -> Result<Elements, OpError> {
        let Sizes { m, k, n } = sizes;
        let left = turned(floats(a)?, self.trans_a, k, m);
        let c_shape = c.map_or(&[][..], Tensor::shape);
        let c = c.map(floats).transpose()?;
        let mut out = vec![0.0; volume(&[m, n], 4)?];
        let start = match &c {
            Some(row) if self.beta == 1.0 && fits(c_shape, m, n)? == (1, n) => Start::Row(row),
            Some(c) => {
                spread(c, fits(c_shape, m, n)?, n, &mut out);
                out.iter_mut().for_each(|x| *x *= self.beta);
                Start::Output
            }
            None => Start::Zero,
        };
        match &self.weights {
            Some(weights) if weights.shape() == (k, n) => {
                weights.multiply(&left, &mut out, start, self.alpha, self.activation);
            }
            _ => {
                let right = turned(floats(b)?, self.trans_b, n, k);
                dense::multiply(&left, &right, (k, n), &mut out, start, self.alpha);
                dense::activate(self.activation, &mut out);
            }
        }
        Ok(rounded(out, a))
    }

    fn others<T: Number + Element>(
        &self,
        (a, b, c): (&Tensor, &Tensor, Option<&Tensor>),
        sizes: Sizes,
        scaled: fn(T, f32) -> T,
    ) -> Result<Elements, OpError> {
        let Sizes { m, k, n } = sizes;
        if self.activation != Activation::None {
            bad!("activations are for float and float16, not for {}", a.element_type());
        }
        let left = turned(Cow::Borrowed(a.slice::<T>()?), self.trans_a, k, m);
        let right = turned(Cow::Borrowed(b.slice::<T>()?), self.trans_b, n, k);
        let len = volume(&[m, n], size_of::<T>())?;
        let mut sums = vec![T::default(); len];
        plain::multiply(&left, &right, (k, n), &mut sums);
        if self.alpha != 1.0 {
            sums.iter_mut().for_each(|x| *x = scaled(*x, self.alpha));
        }
        if let Some(c) = c {
            let mut spread_out = vec![T::default(); len];
            spread(c.slice::<T>()?, fits(c.shape(), m, n)?, n, &mut spread_out);
            for (sum, c) in sums.iter_mut().zip(spread_out) {
                *sum = sum.plus(scaled(c, self.beta), T::ONE);
            }
        }
        Ok(T::wrap(sums))
    }
}

#[derive(Clone, Copy)]
struct Sizes {
    m: usize,
    k: usize,
    n: usize,
}

fn prepared(b: &Tensor, transposed: bool) -> Option<Weights> {
    let (&[rows, cols], Elements::F32(v)) = (b.shape(), b.elements()) else { return None };
    let (k, n) = if transposed { (cols, rows) } else { (rows, cols) };
    dense::is_packable(k, n).then(|| Weights::new(v, k, n, transposed))
}

/// The matrix `[rows, cols]` transposed, if so wanted.
fn turned<T: Copy>(from: Cow<'_, [T]>, wanted: bool, rows: usize, cols: usize) -> Cow<'_, [T]> {
    if wanted { Cow::Owned(plain::transposed(&from, rows, cols)) } else { from }
}

/// Writes C, of one or all rows and one or all columns, over the whole output.
fn spread<T: Copy>(c: &[T], (rows, cols): (usize, usize), n: usize, out: &mut [T]) {
    if n == 0 {
        return;
    }
    for (i, out) in out.chunks_exact_mut(n).enumerate() {
        let from = if rows == 1 { 0 } else { i * cols };
        if cols == 1 {
            out.fill(c[from]);
        } else {
            out.copy_from_slice(&c[from..from + n]);
        }
    }
}

impl Kernel for Gemm {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (a, b) = (inputs.tensor(0)?, inputs.tensor(1)?);
        // onnxruntime does not look at C then
        let c = if self.beta == 0.0 { None } else { inputs.optional(2)? };
        let (&[a0, a1], &[b0, b1]) = (a.shape(), b.shape()) else {
            bad!("expected two matrices, found {} and {}", show(a.shape()), show(b.shape()));
        };
        let (m, k) = if self.trans_a { (a1, a0) } else { (a0, a1) };
        let (rows, n) = if self.trans_b { (b1, b0) } else { (b0, b1) };
        if rows != k {
            bad!("{} cannot be multiplied by {}", show(&[m, k]), show(&[rows, n]));
        }
        let types = [a.element_type(), b.element_type(), c.map_or(a.element_type(), Tensor::element_type)];
        if types.iter().any(|t| *t != types[0]) {
            bad!("the types of A, B and C differ");
        }
        let sizes = Sizes { m, k, n };
        let out = match a.elements() {
            Elements::F32(_) | Elements::F16(_) => self.floats(a, b, c, sizes)?,
            Elements::F64(_) => self.others::<f64>((a, b, c), sizes, |x, by| x * f64::from(by))?,
            Elements::I32(_) => self.others::<i32>((a, b, c), sizes, |x, by| x.wrapping_mul(by as i32))?,
            Elements::I64(_) => self.others::<i64>((a, b, c), sizes, |x, by| x.wrapping_mul(by as i64))?,
            Elements::U32(_) => self.others::<u32>((a, b, c), sizes, |x, by| x.wrapping_mul(by as u32))?,
            Elements::U64(_) => self.others::<u64>((a, b, c), sizes, |x, by| x.wrapping_mul(by as u64))?,
            _ => bad!("{} cannot be multiplied", a.element_type()),
        };
        Ok(one(Tensor::from_elements(&[m, n], out)?))
    }

    fn bytes(&self) -> usize {
        self.weights.as_ref().map_or(0, Weights::bytes)
    }
}
