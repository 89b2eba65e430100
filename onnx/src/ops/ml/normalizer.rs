//! Normalizer of `ai.onnx.ml`: a row divided by its maximum, its sum of absolute values or its length.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::ml::matrix::floats;
use crate::ops::ml::matrix::rows_columns;
use crate::registry::ML;
use crate::registry::Operator;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("Normalizer", normalizer).of(ML)];

/// Rows whose sums are added up side by side: one sum waits for itself, several do not.
const SIDE_BY_SIDE: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Norm {
    Max,
    L1,
    L2,
}

#[derive(Debug)]
struct Normalizer(Norm);

impl Kernel for Normalizer {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.take(0)?;
        let (rows, columns) = rows_columns(&x)?;
        let squares = match (self.0, x.elements()) {
            (Norm::L2, Elements::F64(v)) => Some(v.iter().map(|x| (x * x) as f32).collect()),
            (Norm::L2, Elements::I64(v)) => Some(v.iter().map(|x| x.wrapping_mul(*x) as f32).collect()),
            (Norm::L2, Elements::I32(v)) => Some(v.iter().map(|x| x.wrapping_mul(*x) as f32).collect()),
            _ => None,
        };
        let shape = x.shape().to_vec();
        let mut y = match x.elements() {
            Elements::F32(_) => x.into_vec::<f32>()?,
            _ => floats(&x)?.into_owned(),
        };
        if columns > 0 {
            self.rows(&mut y, squares, rows, columns);
        }
        Ok(one(Tensor::new(&shape, y)?))
    }
}

impl Normalizer {
    fn rows(&self, y: &mut [f32], squares: Option<Vec<f32>>, rows: usize, columns: usize) {
        match self.0 {
            Norm::Max => {
                for row in y.chunks_exact_mut(columns) {
                    let max = row.iter().fold(f32::MIN, |m, x| if m < *x { *x } else { m });
                    divide(row, max);
                }
            }
            Norm::L1 => {
                let sums = sums(y, rows, columns, f32::abs);
                y.chunks_exact_mut(columns).zip(sums).for_each(|(row, sum)| divide(row, sum));
            }
            Norm::L2 => {
                let square = |x: f32| x * x;
                let sums = match &squares {
                    None => sums(y, rows, columns, square),
                    Some(squares) => sums(squares, rows, columns, |x| x),
                };
                for (r, (row, sum)) in y.chunks_exact_mut(columns).zip(sums).enumerate() {
                    match &squares {
                        _ if sum == 0.0 => {}
                        None => row.iter_mut().for_each(|x| *x = root(*x, square(*x), sum)),
                        Some(all) => {
                            let squares = &all[r * columns..];
                            row.iter_mut().zip(squares).for_each(|(x, square)| *x = root(*x, *square, sum));
                        }
                    }
                }
            }
        }
    }
}

/// `x` divided by the length, by its square as onnxruntime does it.
fn root(x: f32, square: f32, sum: f32) -> f32 {
    let root = (square / sum).sqrt();
    if x < 0.0 { -root } else { root }
}

fn divide(row: &mut [f32], by: f32) {
    if by != 0.0 {
        row.iter_mut().for_each(|x| *x /= by);
    }
}

/// Sums of `f` over each row, in the order of its columns.
fn sums(all: &[f32], rows: usize, columns: usize, f: impl Fn(f32) -> f32) -> Vec<f32> {
    let mut sums = vec![0.0f32; rows];
    for (block, sums) in all.chunks(SIDE_BY_SIDE * columns).zip(sums.chunks_mut(SIDE_BY_SIDE)) {
        if sums.len() == SIDE_BY_SIDE {
            let mut acc = [0.0f32; SIDE_BY_SIDE];
            let rows: [&[f32]; SIDE_BY_SIDE] = std::array::from_fn(|r| &block[r * columns..(r + 1) * columns]);
            for c in 0..columns {
                for (acc, row) in acc.iter_mut().zip(&rows) {
                    *acc += f(row[c]);
                }
            }
            sums.copy_from_slice(&acc);
            continue;
        }
        for (row, sum) in block.chunks_exact(columns).zip(sums) {
            *sum = row.iter().fold(0.0, |sum, x| sum + f(*x));
        }
    }
    sums
}

fn normalizer(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let norm = match build.node.attributes.text_or("norm", "MAX")? {
        "MAX" => Norm::Max,
        "L1" => Norm::L1,
        "L2" => Norm::L2,
        _ => bad!("attribute `norm` must be MAX, L1 or L2"),
    };
    Ok(Box::new(Normalizer(norm)))
}
