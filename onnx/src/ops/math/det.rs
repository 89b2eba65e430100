//! Det: determinants of square matrices.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::math::functions::Real;
use crate::ops::math::widen::widened;
use crate::registry::Operator;
use crate::tensor::ElementType;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("Det", build)];

#[derive(Debug)]
struct Det;

fn build(_: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Det))
}

impl Kernel for Det {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        widened(inputs, 1, |inputs| match inputs.tensor(0)?.element_type() {
            ElementType::F32 => all::<f32>(inputs),
            ElementType::F64 => all::<f64>(inputs),
            other => bad!("expected floats, found {other}"),
        })
    }
}

fn all<R: Real>(inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
    let tensor = inputs.take(0)?;
    let shape = tensor.shape().to_vec();
    let [batch @ .., rows, n] = shape.as_slice() else { bad!("at least two axes are needed") };
    if rows != n {
        bad!("a matrix of {rows} rows and {n} columns has no determinant");
    }
    let mut values = tensor.into_vec::<R>()?;
    let count = batch.iter().product();
    let out: Vec<R> = match n {
        0 => vec![R::one(); count],
        n => values.chunks_exact_mut(n * n).map(|matrix| determinant(matrix, *n)).collect(),
    };
    Ok(one(Tensor::new(batch, out)?))
}

/// Gaussian elimination with the largest element of a column as its pivot.
fn determinant<R: Real>(m: &mut [R], n: usize) -> R {
    let mut product = R::one();
    for k in 0..n {
        let mut pivot = k;
        for i in k + 1..n {
            if m[i * n + k].magnitude() > m[pivot * n + k].magnitude() {
                pivot = i;
            }
        }
        if pivot != k {
            for j in 0..n {
                m.swap(k * n + j, pivot * n + j);
            }
            product = product.negated();
        }
        let head = m[k * n + k];
        product = product.times(head);
        if head == R::default() {
            return product;
        }
        for i in k + 1..n {
            let factor = m[i * n + k].over(head);
            for j in k..n {
                m[i * n + j] = m[i * n + j].minus(factor.times(m[k * n + j]));
            }
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn determinants_of_small_matrices() {
        let det = |n: usize, m: &[f64]| determinant(&mut m.to_vec(), n);
        assert_eq!(det(1, &[3.0]), 3.0);
        assert_eq!(det(2, &[0.0, 1.0, 1.0, 0.0]), -1.0);
        assert_eq!(det(2, &[1.0, 2.0, 2.0, 4.0]), 0.0);
        assert!((det(3, &[2.0, 0.0, 1.0, 1.0, 3.0, 2.0, 1.0, 1.0, 1.0]) - 0.0).abs() < 1e-12);
        assert!((det(3, &[2.0, 0.0, 1.0, 1.0, 3.0, 2.0, 1.0, 1.0, 4.0]) - 18.0).abs() < 1e-12);
    }
}
