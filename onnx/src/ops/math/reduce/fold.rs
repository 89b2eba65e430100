//! What a reduction does with its elements, along a line or over the rows of a block.
//!
//! Sums of floats are added up as onnxruntime adds them, because what follows may compare them with a threshold: a
//! line in two packets of four (Eigen's `redux`, read in its source; the packets begin at the line's first element, as
//! they do there for the first row of a batch, so that a row's sum does not depend on its place in the batch), rows of
//! a block one after the other. Whole numbers go through doubles and stop at the ends of their type, as there.

use crate::ops::math::functions::Real;
use crate::ops::math::number::Number;

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    L1,
    L2,
    LogSum,
    LogSumExp,
    Max,
    Mean,
    Min,
    Prod,
    Sum,
    SumSquare,
}

/// An element type that can be reduced.
pub trait Folded: Number {
    /// Of one line; it may be empty.
    fn line(fold: Fold, values: &[Self]) -> Self;
    /// Of every `n` elements.
    fn lines(fold: Fold, values: &[Self], n: usize) -> Vec<Self> {
        values.chunks_exact(n).map(|line| Self::line(fold, line)).collect()
    }
    /// Of every column of `n` rows of `inner` elements.
    fn columns(fold: Fold, values: &[Self], n: usize, inner: usize) -> Vec<Self>;
}

/// Lanes of a packet of 16 bytes.
const fn lanes<T>() -> usize {
    16 / size_of::<T>()
}

/// All elements of a line taken together by `op` in the order of Eigen's vectorised reduction; `None` of an empty line.
fn packed<T: Number>(values: &[T], op: impl Fn(T, T) -> T) -> Option<T> {
    let p = lanes::<T>();
    let Some(first) = values.get(..p) else {
        return values.iter().copied().reduce(op);
    };
    let mut even = [T::default(); 4];
    even[..p].copy_from_slice(first);
    let whole = values.len() / p * p;
    if whole > p {
        let mut odd = [T::default(); 4];
        odd[..p].copy_from_slice(&values[p..2 * p]);
        let pairs = values[2 * p..].chunks_exact(2 * p);
        let rest = pairs.remainder();
        for pair in pairs {
            for i in 0..p {
                even[i] = op(even[i], pair[i]);
                odd[i] = op(odd[i], pair[p + i]);
            }
        }
        for i in 0..p {
            even[i] = op(even[i], odd[i]);
        }
        if let Some(last) = rest.get(..p) {
            for i in 0..p {
                even[i] = op(even[i], last[i]);
            }
        }
    }
    let total = if p == 4 { op(op(even[0], even[2]), op(even[1], even[3])) } else { op(even[0], even[1]) };
    Some(values[whole..].iter().fold(total, |sum, v| op(sum, *v)))
}

/// The sum of a line in the order of Eigen's vectorised reduction.
pub fn packed_sum<T: Number>(values: &[T]) -> T {
    packed(values, T::plus).unwrap_or_default()
}

fn sequential<T: Number>(values: &[T], f: impl Fn(T) -> T) -> T {
    values.iter().fold(T::default(), |sum, v| sum.plus(f(*v)))
}

/// Of two elements the first, unless the second is better: a NaN stays where it is the first, and gives way where it is
/// the second. What becomes of NaN therefore hangs on the order, which is onnxruntime's.
fn extreme<T: Number>(values: &[T], none: T, better: impl Fn(T, T) -> bool) -> T {
    packed(values, |a, b| if better(b, a) { b } else { a }).unwrap_or(none)
}

/// The extremes of columns: whole packets of columns take the rows after the first by fours, in pairs (Eigen's
/// `packetwise_redux_impl`, read in its source), the columns that are left take them one after the other.
fn extreme_columns<T: Number>(values: &[T], inner: usize, better: impl Fn(T, T) -> bool) -> Vec<T> {
    let pick = |a: T, b: T| if better(b, a) { b } else { a };
    let (first, rest) = values.split_at(inner);
    let mut out = first.to_vec();
    let whole = inner / lanes::<T>() * lanes::<T>();
    let fours = rest.chunks_exact(4 * inner);
    let last = fours.remainder();
    for rows in fours {
        let row = |r: usize, i: usize| rows[r * inner + i];
        for (i, best) in out[..whole].iter_mut().enumerate() {
            *best = pick(*best, pick(pick(row(0, i), row(1, i)), pick(row(2, i), row(3, i))));
        }
        for (i, best) in out.iter_mut().enumerate().skip(whole) {
            *best = (0..4).fold(*best, |best, r| pick(best, row(r, i)));
        }
    }
    for row in last.chunks_exact(inner) {
        out.iter_mut().zip(row).for_each(|(best, v)| *best = pick(*best, *v));
    }
    out
}

fn real_line<T: Real>(fold: Fold, values: &[T]) -> T {
    let log_sum_exp = |values: &[T]| {
        let max = extreme(values, T::lowest(), |a, b| a > b);
        let shift = if max.finite() { max } else { T::default() };
        sequential(values, |v| v.minus(shift).exponential()).logarithm().plus(shift)
    };
    match fold {
        Fold::L1 => sequential(values, T::magnitude),
        Fold::L2 => sequential(values, |v| v.times(v)).root(),
        Fold::LogSum => sequential(values, |v| v).logarithm(),
        Fold::LogSumExp => log_sum_exp(values),
        Fold::Max => extreme(values, T::lowest(), |a, b| a > b),
        Fold::Mean if values.is_empty() => T::default(),
        Fold::Mean => packed_sum(values).over(T::from_count(values.len())),
        Fold::Min => extreme(values, T::highest(), |a, b| a < b),
        Fold::Prod => values.iter().fold(T::one(), |product, v| product.times(*v)),
        Fold::Sum => packed_sum(values),
        Fold::SumSquare => sequential(values, |v| v.times(v)),
    }
}

/// Adds rows up, one after the other.
fn real_columns<T: Real>(fold: Fold, values: &[T], n: usize, inner: usize) -> Vec<T> {
    if matches!(fold, Fold::LogSumExp) {
        let mut line = Vec::with_capacity(n);
        return (0..inner)
            .map(|i| {
                line.clear();
                line.extend(values[i..].iter().step_by(inner).copied());
                real_line(fold, &line)
            })
            .collect();
    }
    let start = |f: fn(T) -> T| values[..inner].iter().map(|v| f(*v)).collect::<Vec<T>>();
    let rows = |mut out: Vec<T>, step: fn(T, T) -> T| {
        for row in values[inner..].chunks_exact(inner) {
            for (to, v) in out.iter_mut().zip(row) {
                *to = step(*to, *v);
            }
        }
        out
    };
    let finish = |mut out: Vec<T>, f: &dyn Fn(T) -> T| {
        out.iter_mut().for_each(|v| *v = f(*v));
        out
    };
    let squares = || rows(start(|v| v.times(v)), |sum, v| sum.plus(v.times(v)));
    match fold {
        Fold::L1 => rows(start(T::magnitude), |sum, v| sum.plus(v.magnitude())),
        Fold::L2 => finish(squares(), &T::root),
        Fold::LogSum => finish(rows(start(|v| v), T::plus), &T::logarithm),
        Fold::Max => extreme_columns(values, inner, |a, b| a > b),
        Fold::Mean => finish(rows(start(|v| v), T::plus), &|sum| sum.over(T::from_count(n))),
        Fold::Min => extreme_columns(values, inner, |a, b| a < b),
        Fold::Prod => rows(start(|v| v), T::times),
        Fold::Sum | Fold::LogSumExp => rows(start(|v| v), T::plus),
        Fold::SumSquare => squares(),
    }
}

macro_rules! reals {
    ($($ty:ty),*) => {
        $(impl Folded for $ty {
            fn line(fold: Fold, values: &[Self]) -> Self { real_line(fold, values) }
            fn columns(fold: Fold, values: &[Self], n: usize, inner: usize) -> Vec<Self> {
                real_columns(fold, values, n, inner)
            }
        })*
    };
}
reals!(f32, f64);

macro_rules! wholes {
    ($($ty:ty),*) => {
        $(impl Folded for $ty {
            fn line(fold: Fold, values: &[Self]) -> Self {
                match fold {
                    Fold::Max => extreme(values, Self::MIN, |a, b| a > b),
                    Fold::Min => extreme(values, Self::MAX, |a, b| a < b),
                    // A cast stops at the ends of the type.
                    _ => real_line(fold, &values.iter().map(|v| *v as f64).collect::<Vec<_>>()) as $ty,
                }
            }
            fn columns(fold: Fold, values: &[Self], n: usize, inner: usize) -> Vec<Self> {
                let mut line = Vec::with_capacity(n);
                (0..inner).map(|i| {
                    line.clear();
                    line.extend(values[i..].iter().step_by(inner).copied());
                    Self::line(fold, &line)
                }).collect()
            }
        })*
    };
}
wholes!(i64, u64);

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums that onnxruntime 1.32 returns, which differ from the sums in order.
    #[test]
    fn a_line_is_summed_in_two_packets() {
        let values: Vec<f32> = (0..23).map(|i| (i as f32 * 1.7).sin() * 10f32.powi(i % 7)).collect();
        let v = &values;
        let lane = |i: usize| (v[i] + v[8 + i]) + (v[4 + i] + v[12 + i]) + v[16 + i];
        let total = (lane(0) + lane(2)) + (lane(1) + lane(3)) + v[20] + v[21] + v[22];
        assert_eq!(packed_sum(v), total);
        assert_ne!(packed_sum(v), v.iter().sum::<f32>());
        assert_eq!(packed_sum(&v[..3]), v[0] + v[1] + v[2]);
        assert_eq!(packed_sum::<f32>(&[]), 0.0);
    }

    #[test]
    fn large_exponents_do_not_overflow() {
        assert_eq!(f32::line(Fold::LogSumExp, &[1000.0, 1000.0]), 1000.0 + 2f32.ln());
        assert_eq!(f32::line(Fold::LogSumExp, &[f32::NEG_INFINITY; 2]), f32::NEG_INFINITY);
        assert_eq!(f32::line(Fold::LogSumExp, &[f32::INFINITY, 1.0]), f32::INFINITY);
    }

    #[test]
    fn only_a_nan_in_front_is_an_extreme() {
        assert_eq!(f32::line(Fold::Max, &[1.0, f32::NAN, 2.0]), 2.0);
        assert!(f32::line(Fold::Max, &[f32::NAN, 2.0]).is_nan());
    }

    /// Answers of onnxruntime 1.32: a NaN takes the elements with it that it was compared with first.
    #[test]
    fn a_nan_hides_its_partners_in_a_packet() {
        let nan = f32::NAN;
        assert_eq!(f32::line(Fold::Max, &[1.0, nan, 2.0, 5.0]), 2.0);
        assert_eq!(f32::line(Fold::Min, &[4.0, 1.0, nan, 3.0, 9.0]), 1.0);
        let rows = [[0.0; 4], [nan; 4], [7.0; 4], [6.0; 4], [5.0; 4], [1.0; 4]].concat();
        assert_eq!(f32::columns(Fold::Max, &rows, 6, 4), [1.0; 4]);
        let narrow = [0.0, nan, 7.0, 6.0, 5.0, 1.0];
        assert_eq!(f32::columns(Fold::Max, &narrow, 6, 1), [7.0]);
    }
}
