//! CDist of Microsoft's domain: distances between all rows of two matrices, which skl2onnx writes for nearest neighbours.
//!
//! Computed as onnxruntime does it, by `-2ab + a² + b²` in this order: rows that nearly coincide come out as far apart as its
//! rounding makes them, and a neighbour's rank may depend on that.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::ml::product::Product;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::ElementType;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("CDist", cdist).of(MICROSOFT)];

#[derive(Debug)]
struct CDist {
    /// The root is taken.
    root: bool,
}

impl Kernel for CDist {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (a, b) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let ([rows, columns], [others, columns_b]) = (a.shape(), b.shape()) else {
            bad!("{} and {} are not two matrices", show(a.shape()), show(b.shape()));
        };
        if columns != columns_b || *columns == 0 {
            bad!("rows of {columns} and of {columns_b} numbers");
        }
        let shape = [*rows, *others];
        Ok(one(match a.element_type() {
            ElementType::F32 => self.singles(a.slice()?, b.slice()?, *columns, &shape)?,
            ElementType::F64 => self.doubles(a.slice()?, b.slice()?, *columns, &shape)?,
            other => bad!("expected float or double, found {other}"),
        }))
    }
}

impl CDist {
    fn singles(&self, a: &[f32], b: &[f32], columns: usize, shape: &[usize; 2]) -> Result<Tensor, OpError> {
        let mut y = Tensor::zeros::<f32>(shape)?;
        if y.is_empty() {
            return Ok(y);
        }
        Product::new(b, shape[1])?.run(a, -2.0, &[], y.slice_mut()?);
        let squares_b: Vec<f32> = b.chunks_exact(columns).map(squares).collect();
        for (a, out) in a.chunks_exact(columns).zip(y.slice_mut::<f32>()?.chunks_exact_mut(shape[1].max(1))) {
            let square = squares(a);
            for (y, b) in out.iter_mut().zip(&squares_b) {
                let distance = (*y + square + b).abs();
                *y = if self.root { distance.sqrt() } else { distance };
            }
        }
        Ok(y)
    }

    fn doubles(&self, a: &[f64], b: &[f64], columns: usize, shape: &[usize; 2]) -> Result<Tensor, OpError> {
        let mut y = Tensor::zeros::<f64>(shape)?;
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b);
        let squares_b: Vec<f64> = b.chunks_exact(columns).map(|b| product(b, b)).collect();
        for (a, out) in a.chunks_exact(columns).zip(y.slice_mut::<f64>()?.chunks_exact_mut(shape[1].max(1))) {
            let square = product(a, a);
            for ((y, b), square_b) in out.iter_mut().zip(b.chunks_exact(columns)).zip(&squares_b) {
                let distance = (-2.0 * product(a, b) + square + square_b).abs();
                *y = if self.root { distance.sqrt() } else { distance };
            }
        }
        Ok(y)
    }
}

/// Sum of squares in the order of Eigen's `squaredNorm`: four lanes, two groups of them side by side, an odd one behind.
fn squares(row: &[f32]) -> f32 {
    let (groups, rest) = row.as_chunks::<4>();
    let (pairs, odd) = groups.as_chunks::<2>();
    let squared = |group: &[f32; 4]| group.map(|x| x * x);
    let plus = |a: [f32; 4], b: [f32; 4]| std::array::from_fn(|i| a[i] + b[i]);
    let lanes = match (pairs, odd) {
        ([], []) => None,
        ([], [only, ..]) => Some(squared(only)),
        ([[a, b], more @ ..], odd) => {
            let start = (squared(a), squared(b));
            let both = more.iter().fold(start, |sum, [a, b]| (plus(sum.0, squared(a)), plus(sum.1, squared(b))));
            Some(odd.iter().fold(plus(both.0, both.1), |sum, group| plus(sum, squared(group))))
        }
    };
    let start = lanes.map_or(0.0, |sum| (sum[0] + sum[2]) + (sum[1] + sum[3]));
    rest.iter().fold(start, |sum, x| sum + x * x)
}

fn cdist(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    match build.node.attributes.text_or("metric", "sqeuclidean")? {
        "sqeuclidean" => Ok(Box::new(CDist { root: false })),
        "euclidean" => Ok(Box::new(CDist { root: true })),
        _ => Err(OpError::unsupported("only the metrics euclidean and sqeuclidean exist")),
    }
}
