//! exp, tanh and erf of floats without branches, so that loops over them become vector code.
//!
//! The polynomials of exp and tanh are those of the Cephes library (`expf`, `tanhf`), those of erf are N. Juffa's
//! (maximum error 1 unit in the last place with fused multiplication, 2 without). Errors are tested below.

use std::f32::consts::LOG2_E;

use crate::ops::math::number::Number;

/// Adding and subtracting it rounds a float to the nearest whole number, which is left in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// e to the `x`; subnormal results are right, NaN stays NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Comparisons instead of `clamp`: NaN has to pass.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.5 { -104.5 } else { x };
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, the first one with few bits.
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5e-1;
    let y = p * (r * r) + r + 1.0;
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    // Two factors, as one would overflow at both ends.
    let half = n >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) << 23) as u32);
    y * power(half) * power(n.wrapping_sub(half))
}

#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let s = x * x;
    let p = -5.704_988_7e-3;
    let p = p * s + 2.063_908_8e-2;
    let p = p * s - 5.373_971_5e-2;
    let p = p * s + 1.333_144_2e-1;
    let p = p * s - 3.333_328e-1;
    let small = a + a * (s * p);
    let large = 1.0 - 2.0 / (exp(a + a) + 1.0);
    (if a < 0.625 { small } else { large }).copysign(x)
}

#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let a = x.abs();
    // 1 - erf(4) is less than half a unit in the last place of 1.
    let t = if a > 4.0 { 4.0 } else { a };
    let s = t * t;
    let r = -1.728_534_7e-5 * t + 3.831_971_3e-4;
    let u = -3.883_964_4e-3 * t + 2.425_462_2e-2;
    let r = r * s + u;
    let r = r * t - 1.067_778_8e-1;
    let r = r * t - 6.348_467e-1;
    let r = r * t - 1.287_175_1e-1;
    let r = r * t - t;
    let large = (1.0 - exp(r)).copysign(x);
    let p = -5.967_617e-4;
    let p = p * s + 4.991_194_2e-3;
    let p = p * s - 2.676_813_5e-2;
    let p = p * s + 1.128_199_25e-1;
    let p = p * s - 3.761_253_4e-1;
    let p = p * s + 1.283_791_7e-1;
    let small = p * x + x;
    if t > 0.927_734_4 { large } else { small }
}

/// The normal distribution's error function for doubles: its series up to 2, its continued fraction beyond
/// (Abramowitz & Stegun 7.1.6 and 7.1.14), both to the last digits.
pub fn erf_f64(x: f64) -> f64 {
    const TWO_OVER_ROOT_PI: f64 = std::f64::consts::FRAC_2_SQRT_PI;
    if x.is_nan() {
        return x;
    }
    let a = x.abs();
    if a < 2.5 {
        let (mut term, mut sum) = (a, a);
        for n in 1..100 {
            term *= 2.0 * a * a / f64::from(2 * n + 1);
            sum += term;
            if term < sum * 1e-17 {
                break;
            }
        }
        return (TWO_OVER_ROOT_PI * (-a * a).exp() * sum).copysign(x);
    }
    if a > 6.0 {
        return 1f64.copysign(x);
    }
    let fraction = (1..=60).rev().fold(a, |rest, n| a + f64::from(n) / 2.0 / rest);
    (1.0 - (-a * a).exp() / fraction / std::f64::consts::PI.sqrt()).copysign(x)
}

/// Floats that kernels compute in; float16 goes through float.
pub trait Real: Number {
    fn from_count(n: usize) -> Self;
    fn from_f32(value: f32) -> Self;
    fn exponential(self) -> Self;
    fn logarithm(self) -> Self;
    fn log_one_plus(self) -> Self;
    fn root(self) -> Self;
    /// The hyperbolic one.
    fn tangent(self) -> Self;
    /// The error function.
    fn error(self) -> Self;
    fn finite(self) -> bool;
}

macro_rules! real {
    ($ty:ty, $exp:expr, $tanh:expr, $erf:expr) => {
        impl Real for $ty {
            #[inline(always)]
            fn from_count(n: usize) -> $ty {
                n as $ty
            }
            #[inline(always)]
            fn from_f32(value: f32) -> $ty {
                value.into()
            }
            #[inline(always)]
            fn exponential(self) -> $ty {
                $exp(self)
            }
            #[inline(always)]
            fn logarithm(self) -> $ty {
                self.ln()
            }
            #[inline(always)]
            fn log_one_plus(self) -> $ty {
                self.ln_1p()
            }
            #[inline(always)]
            fn root(self) -> $ty {
                self.sqrt()
            }
            #[inline(always)]
            fn tangent(self) -> $ty {
                $tanh(self)
            }
            #[inline(always)]
            fn error(self) -> $ty {
                $erf(self)
            }
            #[inline(always)]
            fn finite(self) -> bool {
                self.is_finite()
            }
        }
    };
}
real!(f32, exp, tanh, erf);
real!(f64, f64::exp, f64::tanh, erf_f64);

/// Gives every element to `f`; a loop that the compiler can turn into vector code.
#[inline(always)]
pub fn each<T: Copy>(values: &mut [T], f: impl Fn(T) -> T) {
    for v in values {
        *v = f(*v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(from: f32, to: f32, of: fn(f32) -> f32, exact: fn(f64) -> f64) -> f64 {
        let n = 200_000;
        (0..=n)
            .map(|i| from + (to - from) * i as f32 / n as f32)
            .map(|x| ((f64::from(of(x)) - exact(f64::from(x))) / exact(f64::from(x)).abs().max(1e-37)).abs())
            .fold(0.0, f64::max)
    }

    #[test]
    fn relative_errors_stay_near_one_unit_in_the_last_place() {
        assert!(worst(-87.0, 88.7, exp, f64::exp) < 2e-7);
        assert!(worst(-10.0, 10.0, tanh, f64::tanh) < 3e-7);
        assert!(worst(-5.0, 5.0, erf, erf_f64) < 3e-7);
    }

    #[test]
    fn ends_are_kept() {
        assert_eq!((exp(f32::INFINITY), exp(f32::NEG_INFINITY), exp(89.0)), (f32::INFINITY, 0.0, f32::INFINITY));
        assert!((f64::from(exp(-100.0)) - (-100f64).exp()).abs() < 1e-45);
        assert_eq!((tanh(f32::INFINITY), tanh(-30.0)), (1.0, -1.0));
        assert_eq!((erf(f32::INFINITY), erf(f32::NEG_INFINITY)), (1.0, -1.0));
        for of in [exp, tanh, erf] {
            assert!(of(f32::NAN).is_nan());
        }
        for of in [tanh, erf] {
            assert_eq!(of(-0.0).to_bits(), (-0.0f32).to_bits());
            assert!(of(1e-30) > 0.0);
        }
    }

    /// Values of Abramowitz & Stegun, table 7.1, and of arbitrary-precision arithmetic.
    #[test]
    fn doubles_have_all_digits_of_erf() {
        let table = [
            (0.1, 0.112_462_916_018_284_9),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (2.5, 0.999_593_047_982_555),
            (3.0, 0.999_977_909_503_001_4),
            (4.0, 0.999_999_984_582_742_1),
        ];
        for (x, want) in table {
            assert!((erf_f64(x) - want).abs() < 1e-15, "{x}");
            assert!((erf_f64(-x) + want).abs() < 1e-15, "{x}");
        }
    }
}
