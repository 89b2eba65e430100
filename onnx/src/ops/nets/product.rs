//! Matrix products of any number type that networks use: the kernels of [`crate::dense`] for `f32`, plain loops else.

use std::fmt::Debug;

use crate::dense;
use crate::dense::Start;
use crate::dense::activation::Activation;
use crate::dense::plain;

/// What can be multiplied and summed.
pub trait Scalar: Copy + Debug + Default + Send + Sync + 'static {
    const ZERO: Self;
    /// A right side, `[k, n]`, that many products share.
    type Right: Clone + Debug + Send + Sync;

    /// From `b`, row-major `[k, n]`, or `[n, k]` if `transposed`.
    fn prepare(b: &[Self], k: usize, n: usize, transposed: bool) -> Self::Right;

    /// `out += a x right`, with `a` row-major `[m, k]` and `out` `[m, n]`.
    fn multiply_by(a: &[Self], right: &Self::Right, out: &mut [Self]);

    /// `out += a x b`, all row-major: `[m, k]`, `[k, n]`, `[m, n]`.
    fn multiply(a: &[Self], b: &[Self], sides: (usize, usize), out: &mut [Self]);

    /// Bytes in memory.
    fn bytes(right: &Self::Right) -> usize;
}

/// A right side as it is, row-major `[k, n]`.
#[derive(Clone, Debug)]
pub struct Plain<T> {
    values: Vec<T>,
    k: usize,
    n: usize,
}

impl Scalar for f32 {
    const ZERO: f32 = 0.0;
    type Right = dense::Weights;

    fn prepare(b: &[f32], k: usize, n: usize, transposed: bool) -> dense::Weights {
        // Without depth there is nothing to transpose, which the panels do not expect.
        dense::Weights::new(b, k, n, transposed && k > 0)
    }

    fn multiply_by(a: &[f32], right: &dense::Weights, out: &mut [f32]) {
        right.multiply(a, out, Start::Output, 1.0, Activation::None);
    }

    fn multiply(a: &[f32], b: &[f32], sides: (usize, usize), out: &mut [f32]) {
        dense::multiply(a, b, sides, out, Start::Output, 1.0);
    }

    fn bytes(right: &dense::Weights) -> usize {
        right.bytes()
    }
}

macro_rules! plain {
    ($($ty:ty: $zero:expr),*) => {$(
        impl Scalar for $ty {
            const ZERO: $ty = $zero;
            type Right = Plain<$ty>;

            fn prepare(b: &[$ty], k: usize, n: usize, transposed: bool) -> Plain<$ty> {
                let values = if transposed { plain::transposed(b, n, k) } else { b.to_vec() };
                Plain { values, k, n }
            }

            fn multiply_by(a: &[$ty], right: &Plain<$ty>, out: &mut [$ty]) {
                plain::multiply(a, &right.values, (right.k, right.n), out);
            }

            fn multiply(a: &[$ty], b: &[$ty], sides: (usize, usize), out: &mut [$ty]) {
                plain::multiply(a, b, sides, out);
            }

            fn bytes(right: &Plain<$ty>) -> usize {
                size_of_val(right.values.as_slice())
            }
        }
    )*};
}
plain!(f64: 0.0, i32: 0);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Scalar + PartialEq>(number: impl Fn(i32) -> T) {
        for (m, k, n) in [(1, 1, 1), (4, 8, 8), (5, 3, 9), (7, 0, 2), (3, 17, 20)] {
            let a: Vec<i32> = (0..m * k).map(|i| (i * 7 % 13) as i32 - 6).collect();
            let b: Vec<i32> = (0..k * n).map(|i| (i * 5 % 11) as i32 - 5).collect();
            let transposed: Vec<T> = (0..n * k).map(|i| number(b[i % k * n + i / k])).collect();
            let sum = |at: usize| (0..k).map(|j| a[at / n * k + j] * b[j * n + at % n]).sum::<i32>();
            let want: Vec<T> = (0..m * n).map(|at| number(2 + sum(at))).collect();
            let (a, b) =
                (a.into_iter().map(&number).collect::<Vec<T>>(), b.into_iter().map(&number).collect::<Vec<T>>());
            let mut got = vec![number(2); m * n];
            T::multiply(&a, &b, (k, n), &mut got);
            assert_eq!(got, want, "{m} {k} {n}");
            for right in [T::prepare(&b, k, n, false), T::prepare(&transposed, k, n, true)] {
                let mut got = vec![number(2); m * n];
                T::multiply_by(&a, &right, &mut got);
                assert_eq!(got, want, "{m} {k} {n}");
            }
        }
    }

    #[test]
    fn agrees_with_the_definition() {
        check(|v| v as f32);
        check(f64::from);
        check(|v| v);
    }
}
