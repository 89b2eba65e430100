//! Arithmetic as onnxruntime does it, where whole numbers wrap. Narrow types are computed in wider ones, see
//! [`crate::ops::math::widen`].

use crate::tensor::Element;

/// A numeric element.
pub trait Number: Element + Copy + PartialOrd {
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// Truncated for whole numbers; a divisor of 0, which callers refuse before, gives 0 there.
    fn over(self, other: Self) -> Self;
    /// Remainder with the sign of the dividend (C's `%`, `fmod`); 0 for a whole number by 0.
    fn remainder(self, other: Self) -> Self;
    /// Remainder with the sign of the divisor (Python's `%`).
    fn modulo(self, other: Self) -> Self;
    fn negated(self) -> Self;
    fn magnitude(self) -> Self;
    /// -1, 0 or 1; of NaN, NaN.
    fn sign(self) -> Self;
    fn nan(self) -> bool;
    fn to_f64(self) -> f64;
    /// As x86 converts in C: out of range or NaN gives the smallest whole number of 32 or 64 bits.
    fn from_f64(value: f64) -> Self;
    fn one() -> Self;
    fn lowest() -> Self;
    fn highest() -> Self;
    /// The smallest finite number.
    fn least() -> Self;
    /// The largest finite number.
    fn most() -> Self;
    /// Whether it is a whole number type, where division by zero is an error.
    const WHOLE: bool;
}

macro_rules! whole {
    ($($ty:ty: $modulo:expr, $negated:expr, $magnitude:expr, $signum:expr, $convert:expr;)*) => {
        $(impl Number for $ty {
            fn plus(self, other: Self) -> Self { self.wrapping_add(other) }
            fn minus(self, other: Self) -> Self { self.wrapping_sub(other) }
            fn times(self, other: Self) -> Self { self.wrapping_mul(other) }
            fn over(self, other: Self) -> Self { if other == 0 { 0 } else { self.wrapping_div(other) } }
            fn remainder(self, other: Self) -> Self { if other == 0 { 0 } else { self.wrapping_rem(other) } }
            fn modulo(self, other: Self) -> Self { $modulo(self.remainder(other), other) }
            fn negated(self) -> Self { $negated(self) }
            fn magnitude(self) -> Self { $magnitude(self) }
            fn sign(self) -> Self { $signum(self) }
            fn nan(self) -> bool { false }
            fn to_f64(self) -> f64 { self as f64 }
            fn from_f64(value: f64) -> Self { $convert(value) }
            fn one() -> Self { 1 }
            fn lowest() -> Self { Self::MIN }
            fn highest() -> Self { Self::MAX }
            fn least() -> Self { Self::MIN }
            fn most() -> Self { Self::MAX }
            const WHOLE: bool = true;
        })*
    };
}

/// What `cvttsd2si` gives: truncated, or the smallest number if that does not fit.
fn i32_of(value: f64) -> i32 {
    let truncated = value as i64;
    if value.is_nan() { i32::MIN } else { i32::try_from(truncated).unwrap_or(i32::MIN) }
}

fn i64_of(value: f64) -> i64 {
    // 2^63 is exact in f64, so that everything below it fits.
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value) { value as i64 } else { i64::MIN }
}

fn u64_of(value: f64) -> u64 {
    match value {
        18_446_744_073_709_551_616.0.. => 0,
        9_223_372_036_854_775_808.0.. => value as u64,
        _ => i64_of(value) as u64,
    }
}

macro_rules! signed_modulo {
    ($ty:ty) => {
        |rest: $ty, by: $ty| if rest != 0 && (rest < 0) != (by < 0) { rest.wrapping_add(by) } else { rest }
    };
}

whole! {
    i32: signed_modulo!(i32), i32::wrapping_neg, i32::wrapping_abs, i32::signum, i32_of;
    i64: signed_modulo!(i64), i64::wrapping_neg, i64::wrapping_abs, i64::signum, i64_of;
    u64: |rest, _| rest, u64::wrapping_neg, |v| v, |v| u64::from(v > 0), u64_of;
}

macro_rules! float {
    ($($ty:ty),*) => {
        $(impl Number for $ty {
            fn plus(self, other: Self) -> Self { self + other }
            fn minus(self, other: Self) -> Self { self - other }
            fn times(self, other: Self) -> Self { self * other }
            fn over(self, other: Self) -> Self { self / other }
            fn remainder(self, other: Self) -> Self { self % other }
            fn modulo(self, other: Self) -> Self {
                match self % other {
                    0.0 => <$ty>::default().copysign(other),
                    rest if (rest < 0.0) != (other < 0.0) => rest + other,
                    rest => rest,
                }
            }
            fn negated(self) -> Self { -self }
            fn magnitude(self) -> Self { self.abs() }
            // Zero, -0 too, becomes 0, as in onnxruntime.
            fn sign(self) -> Self {
                if self.is_nan() { self } else { <$ty>::from(i8::from(self > 0.0) - i8::from(self < 0.0)) }
            }
            fn nan(self) -> bool { self.is_nan() }
            fn to_f64(self) -> f64 { f64::from(self) }
            fn from_f64(value: f64) -> Self { value as $ty }
            fn one() -> Self { 1.0 }
            fn lowest() -> Self { Self::NEG_INFINITY }
            fn highest() -> Self { Self::INFINITY }
            fn least() -> Self { Self::MIN }
            fn most() -> Self { Self::MAX }
            const WHOLE: bool = false;
        })*
    };
}
float!(f32, f64);

/// Runs `$body` with `$t` standing for the Rust type of a numeric element type, one of those that
/// [`crate::ops::math::widen::widened`] leaves; `$otherwise` is for the others, bool and text.
macro_rules! number_type {
    ($element_type:expr, $t:ident => $body:expr, $otherwise:expr) => {
        number_type!(@ $element_type, $t => $body, $otherwise, I32 i32, I64 i64, U64 u64, F32 f32, F64 f64)
    };
    (@ $element_type:expr, $t:ident => $body:expr, $otherwise:expr, $($variant:ident $ty:ty),*) => {
        match $element_type {
            $($crate::tensor::ElementType::$variant => {
                type $t = $ty;
                $body
            })*
            _ => $otherwise,
        }
    };
}
pub(crate) use number_type;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_wrap_and_never_panic() {
        assert_eq!(i32::MAX.plus(1), i32::MIN);
        assert_eq!(i32::MIN.magnitude(), i32::MIN);
        assert_eq!(i64::MIN.over(-1), i64::MIN);
        assert_eq!(i64::MIN.remainder(-1), 0);
        assert_eq!((1i32.over(0), 1u64.remainder(0)), (0, 0));
        assert_eq!((3u64.minus(5), 3u64.negated()), (u64::MAX - 1, u64::MAX - 2));
    }

    #[test]
    fn remainders_take_the_sign_of_the_dividend_or_of_the_divisor() {
        let cases = [(-7, 2, -1, 1), (7, -2, 1, -1), (-7, -2, -1, -1), (6, -2, 0, 0), (7, 2, 1, 1)];
        for (a, b, c, python) in cases {
            assert_eq!(((a as i64).remainder(b), (a as i64).modulo(b)), (c, python));
            assert_eq!((f64::from(a).remainder(b as f64), f64::from(a).modulo(b as f64)), (c as f64, python as f64));
        }
    }

    #[test]
    fn floats_become_whole_numbers_as_on_x86() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e30] {
            assert_eq!((i32::from_f64(bad), i64::from_f64(bad)), (i32::MIN, i64::MIN));
        }
        assert_eq!(
            (i32::from_f64(-2.9), i64::from_f64(2.9), u64::from_f64(1.5e19)),
            (-2, 2, 15_000_000_000_000_000_000)
        );
    }

    #[test]
    fn signs_keep_nan_and_drop_the_sign_of_zero() {
        assert!(Number::sign(f32::NAN).is_nan());
        assert_eq!(Number::sign(-0.0f32).to_bits(), 0);
        assert_eq!((Number::sign(-2.5f64), Number::sign(3.0f32)), (-1.0, 1.0));
    }
}
