//! Products of matrices of eight-bit numbers: MatMulInteger, QLinearMatMul, and onnxruntime's own kin.

use crate::bad;
use crate::dense::batch::Stack;
use crate::dense::plain;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::dense::floats;
use crate::ops::dense::quant::dynamic;
use crate::ops::dense::quant::integers;
use crate::ops::dense::quant::quantised;
use crate::ops::dense::quant::quantum;
use crate::ops::dense::quant::single;
use crate::ops::dense::saturating;
use crate::ops::dense::saturating::saturates;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::own("DynamicQuantizeMatMul", |b| product(b, Kind::Dynamic))
        .of(MICROSOFT)
        .note("takes statistics over the whole left side"),
    Operator::own("MatMulInteger", |b| product(b, Kind::Sums)),
    Operator::own("MatMulIntegerToFloat", |b| product(b, Kind::Floats)).of(MICROSOFT),
    Operator::own("QGemm", |b| product(b, Kind::Gemm)).of(MICROSOFT),
    Operator::own("QLinearMatMul", |b| product(b, Kind::Quantised)),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Sums,
    Floats,
    Dynamic,
    Quantised,
    Gemm,
}

/// Positions of inputs; those that an operator lacks lie beyond its last one.
struct Places {
    a: [usize; 3],
    b: [usize; 3],
    bias: usize,
    y: [usize; 2],
}

const NONE: usize = usize::MAX;

impl Kind {
    /// Each as value, scale, zero point.
    fn places(self) -> Places {
        match self {
            Kind::Sums => Places { a: [0, NONE, 2], b: [1, NONE, 3], bias: NONE, y: [NONE, NONE] },
            Kind::Floats => Places { a: [0, 2, 4], b: [1, 3, 5], bias: 6, y: [NONE, NONE] },
            Kind::Dynamic => Places { a: [0, NONE, NONE], b: [1, 2, 3], bias: 4, y: [NONE, NONE] },
            Kind::Quantised => Places { a: [0, 1, 2], b: [3, 4, 5], bias: NONE, y: [6, 7] },
            Kind::Gemm => Places { a: [0, 1, 2], b: [3, 4, 5], bias: 6, y: [7, 8] },
        }
    }
}

#[derive(Debug)]
struct Product {
    kind: Kind,
    trans_a: bool,
    trans_b: bool,
    alpha: f32,
    /// The right side as [`right`] makes it, if it is constant.
    prepared: Option<Vec<i16>>,
}

fn product(build: &Build<'_>, kind: Kind) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let gemm = kind == Kind::Gemm;
    let mut product = Product {
        kind,
        trans_a: gemm && attributes.flag("transA", false)?,
        trans_b: gemm && attributes.flag("transB", false)?,
        alpha: if gemm { attributes.float_or("alpha", 1.0)? } else { 1.0 },
        prepared: None,
    };
    let [b, _, zero] = kind.places().b;
    let known = !build.has_input(zero) || build.constant(zero).is_some();
    if let (Some(b), true) = (build.constant(b), known) {
        // what is wrong with it is said at the run, with the other side's shape
        product.prepared = right(b, build.constant(zero).map(|z| &**z), product.trans_b).ok();
    }
    Ok(Box::new(product))
}

/// The left side less its zero point, which may differ from row to row.
fn left(a: Vec<i16>, k: usize, zero: Option<&Tensor>) -> Result<Vec<i16>, OpError> {
    let zeros = zero.map_or_else(|| Ok(vec![0]), integers)?;
    let mut a = a;
    let rows = a.len().checked_div(k).unwrap_or(0);
    if zeros.is_empty() || !rows.is_multiple_of(zeros.len()) && zeros.len() != 1 {
        bad!("{} zero points for {rows} rows", zeros.len());
    }
    if k > 0 {
        for (i, row) in a.chunks_exact_mut(k).enumerate() {
            let zero = zeros[i % zeros.len()];
            row.iter_mut().for_each(|x| *x -= zero);
        }
    }
    Ok(a)
}

/// The right side less its zero point, which may differ from column to column; each matrix as `[n, k]`.
fn right(b: &Tensor, zero: Option<&Tensor>, transposed: bool) -> Result<Vec<i16>, OpError> {
    let zeros = zero.map_or_else(|| Ok(vec![0]), integers)?;
    let (k, n) = match (b.shape(), transposed) {
        ([k], _) => (*k, 1),
        ([.., k, n], false) | ([n, k], true) => (*k, *n),
        _ => bad!("a right side of shape {}", show(b.shape())),
    };
    let values = integers(b)?;
    if values.is_empty() {
        return Ok(values);
    }
    let columns = values.len() / k;
    if zeros.is_empty() || columns % zeros.len() != 0 {
        bad!("{} zero points for {columns} columns", zeros.len());
    }
    let mut out = Vec::with_capacity(values.len());
    for matrix in values.chunks_exact(k * n) {
        if transposed {
            out.extend_from_slice(matrix);
        } else {
            out.extend(plain::transposed(matrix, k, n));
        }
    }
    for (j, column) in out.chunks_exact_mut(k).enumerate() {
        let zero = zeros[j % zeros.len()];
        column.iter_mut().for_each(|x| *x -= zero);
    }
    Ok(out)
}

/// Sums of products; they wrap round as everybody's do.
fn sums(stack: &Stack, left: &[i16], right: &[i16], product: impl Fn(&[i16], &[i16], [usize; 2]) -> i32) -> Vec<i32> {
    let Stack { m, k, n, pairs, .. } = stack;
    let mut out = vec![];
    for (i, j) in pairs {
        let (a, b) = (&left[i * m * k..(i + 1) * m * k], &right[j * k * n..(j + 1) * k * n]);
        for row in 0..*m {
            let at = &a[row * k..(row + 1) * k];
            let column = |c: usize| product(at, &b[c * k..(c + 1) * k], [i * m + row, j * n + c]);
            out.extend((0..*n).map(column));
        }
    }
    out
}

/// The zero points of all rows or columns, of which `count` are there; one may be for all.
fn zeros(zero: Option<&Tensor>, count: usize) -> Result<Vec<i32>, OpError> {
    let zeros = zero.map_or_else(|| Ok(vec![0]), integers)?;
    Ok(zeros.iter().cycle().take(count).map(|z| i32::from(*z)).collect())
}

/// As [`sums`] of what [`left`] and [`right`] make, by products that saturate before the zero points are taken off.
fn saturated_sums(stack: &Stack, left: &[i16], right: &[i16], zeros: [Vec<i32>; 2]) -> Vec<i32> {
    let k = stack.k.max(1);
    let raw = |values: &[i16], zeros: &[i32]| -> Vec<i16> {
        let rows = values.chunks_exact(k).zip(zeros);
        rows.flat_map(|(row, zero)| row.iter().map(|x| *x + *zero as i16)).collect()
    };
    let (left, right) = (raw(left, &zeros[0]), raw(right, &zeros[1]));
    let totals = |values: &[i16]| -> Vec<i32> { values.chunks_exact(k).map(saturating::total).collect() };
    let (rows, columns) = (totals(&left), totals(&right));
    sums(stack, &left, &right, |a, b, [i, j]| {
        let zeros = [zeros[0][i], zeros[1][j]];
        saturating::sum(a, b).wrapping_add(saturating::correction(stack.k, [rows[i], columns[j]], zeros))
    })
}

impl Product {
    /// Sums, and how they lie.
    fn sums(&self, inputs: &Inputs<'_>) -> Result<(Stack, Vec<i32>, f32), OpError> {
        let places = self.kind.places();
        let (a, b) = (inputs.tensor(places.a[0])?, inputs.tensor(places.b[0])?);
        if self.kind == Kind::Gemm && (a.rank() != 2 || b.rank() != 2) {
            bad!("expected two matrices, found {} and {}", show(a.shape()), show(b.shape()));
        }
        let turned = |shape: &[usize], turn: bool| {
            let mut shape = shape.to_vec();
            if turn {
                shape.reverse();
            }
            shape
        };
        let stack = Stack::new(&turned(a.shape(), self.trans_a), &turned(b.shape(), self.trans_b))?;
        let quantised;
        let (a, scale, zero) = match self.kind {
            Kind::Dynamic => {
                let values = a.slice::<f32>()?;
                let (scale, zero) = dynamic(values);
                let numbers = values.iter().map(|x| quantum::<u8>(x / scale, zero)).collect::<Vec<_>>();
                quantised = (Tensor::new(a.shape(), numbers)?, Tensor::scalar(zero));
                (&quantised.0, scale, Some(&quantised.1))
            }
            Kind::Sums => (a, 1.0, inputs.optional(places.a[2])?),
            _ => (a, single(&floats(inputs.tensor(places.a[1])?)?)?, inputs.optional(places.a[2])?),
        };
        let numbers = integers(a)?;
        let numbers = if self.trans_a { plain::transposed(&numbers, stack.k, stack.m) } else { numbers };
        let left = left(numbers, stack.k, zero)?;
        let made;
        let right = match &self.prepared {
            Some(prepared) if prepared.len() == b.len() => prepared,
            _ => {
                made = right(b, inputs.optional(places.b[2])?, self.trans_b)?;
                &made
            }
        };
        let sums = if saturates(a.element_type(), b.element_type()) {
            let k = stack.k.max(1);
            let zeros = [zeros(zero, left.len() / k)?, zeros(inputs.optional(places.b[2])?, right.len() / k)?];
            saturated_sums(&stack, &left, right, zeros)
        } else {
            sums(&stack, &left, right, |a, b, _| saturating::exact(a, b))
        };
        Ok((stack, sums, scale))
    }

    /// What each column's sum is multiplied by.
    fn scales(&self, inputs: &Inputs<'_>, scale_a: f32, stack: &Stack) -> Result<Vec<f32>, OpError> {
        let places = self.kind.places();
        let y = match inputs.optional(places.y[0])? {
            Some(scale) => Some(single(&floats(scale)?)?),
            None => None,
        };
        let scale_b = floats(inputs.tensor(places.b[1])?)?;
        if scale_b.len() != 1 && scale_b.len() != stack.n {
            bad!("{} scales for {} columns", scale_b.len(), stack.n);
        }
        let scale = |b: &f32| {
            let scale = if self.alpha == 1.0 { scale_a * b } else { self.alpha * scale_a * b };
            y.map_or(scale, |y| scale / y)
        };
        Ok(scale_b.iter().map(scale).collect())
    }
}

impl Kernel for Product {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let places = self.kind.places();
        let (stack, mut sums, scale_a) = self.sums(inputs)?;
        if self.kind == Kind::Sums {
            return Ok(one(Tensor::new(&stack.shape, sums)?));
        }
        let scales = self.scales(inputs, scale_a, &stack)?;
        let bias = inputs.optional(places.bias)?;
        if let (Kind::Gemm, Some(bias)) = (self.kind, bias) {
            let (rows, cols) = crate::dense::batch::fits(bias.shape(), stack.m, stack.n)?;
            let bias = bias.slice::<i32>()?;
            for (i, sum) in sums.iter_mut().enumerate() {
                let (row, col) = (i / stack.n, i % stack.n);
                let at = if rows == 1 { 0 } else { row * cols } + if cols == 1 { 0 } else { col };
                *sum = sum.wrapping_add(bias[at]);
            }
        }
        let scaled = sums.iter().zip(scales.iter().cycle()).map(|(sum, scale)| *sum as f32 * scale);
        let out = match (inputs.optional(places.y[0])?, inputs.optional(places.y[1])?) {
            (Some(_), Some(zero)) => quantised(scaled, zero)?,
            (Some(_), None) => {
                let like = inputs.tensor(places.a[0])?;
                quantised(scaled, &Tensor::zeros_of(like.element_type(), &[])?)?
            }
            _ => {
                let mut out: Vec<f32> = scaled.collect();
                if let (Kind::Floats | Kind::Dynamic, Some(bias)) = (self.kind, bias) {
                    let bias = floats(bias)?;
                    if bias.len() != stack.n {
                        bad!("a bias of {} for {} columns", bias.len(), stack.n);
                    }
                    out.iter_mut().zip(bias.iter().cycle()).for_each(|(x, b)| *x += b);
                }
                Elements::F32(out)
            }
        };
        Ok(one(Tensor::from_elements(&stack.shape, out)?))
    }

    fn bytes(&self) -> usize {
        self.prepared.as_ref().map_or(0, |v| size_of_val(v.as_slice()))
    }
}
