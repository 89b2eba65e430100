//! MatMul and onnxruntime's FusedMatMul.

use half::f16;

use crate::bad;
use crate::dense;
use crate::dense::Start;
use crate::dense::Weights;
use crate::dense::activation::Activation;
use crate::dense::batch::Stack;
use crate::dense::batch::permuted;
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
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::shared("MatMul", matmul).note("no bfloat16"),
    Operator::own("FusedMatMul", fused).of(MICROSOFT).note("float, double and float16"),
    Operator::own("TransposeMatMul", fused).of(MICROSOFT).note("float, double and float16"),
];

/// The product of two tensors; a constant matrix on the right is prepared.
#[derive(Debug)]
struct MatMul {
    weights: Option<Weights>,
}

fn matmul(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(MatMul { weights: build.constant(1).and_then(|b| prepared(b)) }))
}

/// A matrix of floats in panels; `None` for all else.
fn prepared(b: &Tensor) -> Option<Weights> {
    match (b.shape(), b.elements()) {
        (&[k, n], Elements::F32(v)) if dense::is_packable(k, n) => Some(Weights::new(v, k, n, false)),
        _ => None,
    }
}

impl Kernel for MatMul {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (a, b) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let stack = Stack::new(a.shape(), b.shape())?;
        if let Some(weights) = self.weights.as_ref().filter(|w| w.shape() == (stack.k, stack.n)) {
            let mut out = vec![0.0; stack.m * stack.n];
            weights.multiply(a.slice()?, &mut out, Start::Zero, 1.0, Activation::None);
            return Ok(one(Tensor::new(&stack.shape, out)?));
        }
        Ok(one(Tensor::from_elements(&stack.shape, product(a, b, &stack, 1.0)?)?))
    }

    fn bytes(&self) -> usize {
        self.weights.as_ref().map_or(0, Weights::bytes)
    }
}

/// `alpha * a x b` for every matrix of the stack.
///
/// # Errors
/// If the types differ or have no product.
pub fn product(a: &Tensor, b: &Tensor, stack: &Stack, alpha: f32) -> Result<Elements, OpError> {
    if a.element_type() != b.element_type() {
        bad!("{} is multiplied by {}", a.element_type(), b.element_type());
    }
    match (a.elements(), b.elements()) {
        (Elements::F32(_) | Elements::F16(_), _) => {
            let (left, right) = (floats(a)?, floats(b)?);
            let mut out = vec![0.0; volume(stack)];
            each(stack, &mut out, |(i, j), out| {
                let (left, right) = (part(&left, i, stack.m * stack.k), part(&right, j, stack.k * stack.n));
                dense::multiply(left, right, (stack.k, stack.n), out, Start::Zero, alpha);
            });
            Ok(rounded(out, a))
        }
        (Elements::F64(a), Elements::F64(b)) => {
            let mut out = generic(a, b, stack);
            if alpha != 1.0 {
                out.iter_mut().for_each(|x| *x *= f64::from(alpha));
            }
            Ok(Elements::F64(out))
        }
        (Elements::I32(a), Elements::I32(b)) if alpha == 1.0 => Ok(Elements::I32(generic(a, b, stack))),
        (Elements::I64(a), Elements::I64(b)) if alpha == 1.0 => Ok(Elements::I64(generic(a, b, stack))),
        (Elements::U32(a), Elements::U32(b)) if alpha == 1.0 => Ok(Elements::U32(generic(a, b, stack))),
        (Elements::U64(a), Elements::U64(b)) if alpha == 1.0 => Ok(Elements::U64(generic(a, b, stack))),
        _ => bad!("{} cannot be multiplied", a.element_type()),
    }
}

fn volume(stack: &Stack) -> usize {
    stack.shape.iter().product()
}

/// The `i`-th matrix of a stack.
fn part<T>(all: &[T], i: usize, len: usize) -> &[T] {
    &all[i * len..(i + 1) * len]
}

/// Calls `f` with each pair of matrices and its part of the output.
pub fn each<T>(stack: &Stack, out: &mut [T], mut f: impl FnMut((usize, usize), &mut [T])) {
    let len = stack.m * stack.n;
    if len > 0 {
        stack.pairs.iter().zip(out.chunks_exact_mut(len)).for_each(|(pair, out)| f(*pair, out));
    }
}

fn generic<T: Number>(a: &[T], b: &[T], stack: &Stack) -> Vec<T> {
    let mut out = vec![T::default(); volume(stack)];
    each(stack, &mut out, |(i, j), out| {
        let (left, right) = (part(a, i, stack.m * stack.k), part(b, j, stack.k * stack.n));
        plain::multiply(left, right, (stack.k, stack.n), out);
    });
    out
}

/// A product with its sides transposed first.
#[derive(Debug)]
struct Fused {
    alpha: f32,
    a: Turned,
    b: Turned,
}

/// How a side is transposed: its matrices, and the first axis against the other axes of the batch.
#[derive(Debug, Clone, Copy)]
struct Turned {
    matrix: bool,
    batch: bool,
}

fn fused(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let turned = |matrix, batch| {
        Ok::<_, OpError>(Turned { matrix: attributes.flag(matrix, false)?, batch: attributes.flag(batch, false)? })
    };
    Ok(Box::new(Fused {
        alpha: attributes.float_or("alpha", 1.0)?,
        a: turned("transA", "transBatchA")?,
        b: turned("transB", "transBatchB")?,
    }))
}

impl Turned {
    /// # Errors
    /// If the elements are no floats.
    fn apply(self, tensor: &Tensor) -> Result<Tensor, OpError> {
        let rank = tensor.rank();
        let mut order: Vec<usize> = (0..rank).collect();
        if self.batch && rank > 2 {
            order[..rank - 1].rotate_left(1);
        }
        if self.matrix && rank > 1 {
            order.swap(rank - 2, rank - 1);
        }
        fn turn<T: Element>(from: &[T], tensor: &Tensor, order: &[usize]) -> Result<Tensor, OpError> {
            let (values, shape) = permuted(from, tensor.shape(), order);
            Tensor::new(&shape, values)
        }
        match tensor.elements() {
            Elements::F32(v) => turn(v, tensor, &order),
            Elements::F64(v) => turn(v, tensor, &order),
            Elements::F16(v) => turn::<f16>(v, tensor, &order),
            _ => bad!("expected floats, found {}", tensor.element_type()),
        }
    }
}

impl Kernel for Fused {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (a, b) = (self.a.apply(inputs.tensor(0)?)?, self.b.apply(inputs.tensor(1)?)?);
        let stack = Stack::new(a.shape(), b.shape())?;
        Ok(one(Tensor::from_elements(&stack.shape, product(&a, &b, &stack, self.alpha)?)?))
    }
}
