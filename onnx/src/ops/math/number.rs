//! Arithmetic of every numeric element type as onnxruntime does it: whole numbers wrap, float16 computes in float.

use half::f16;

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
    fn to_f32(self) -> f32;
    /// As x86 converts in C: out of range or NaN gives the smallest whole number of 32 or 64 bits.
    fn from_f64(value: f64) -> Self;
    fn one() -> Self;
    fn lowest() -> Self;
    fn highest() -> Self;
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
            fn to_f32(self) -> f32 { self as f32 }
            fn from_f64(value: f64) -> Self { $convert(value) }
            fn one() -> Self { 1 }
            fn lowest() -> Self { Self::MIN }
            fn highest() -> Self { Self::MAX }
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
    if value >= 9_223_372_036_854_775_808.0 { value as u64 } else { i64_of(value) as u64 }
}

macro_rules! signed_modulo {
    ($ty:ty) => {
        |rest: $ty, by: $ty| if rest != 0 && (rest < 0) != (by < 0) { rest.wrapping_add(by) } else { rest }
    };
}

whole! {
    i8: signed_modulo!(i8), i8::wrapping_neg, i8::wrapping_abs, i8::signum, |v| i32_of(v) as i8;
    i16: signed_modulo!(i16), i16::wrapping_neg, i16::wrapping_abs, i16::signum, |v| i32_of(v) as i16;
    i32: signed_modulo!(i32), i32::wrapping_neg, i32::wrapping_abs, i32::signum, i32_of;
    i64: signed_modulo!(i64), i64::wrapping_neg, i64::wrapping_abs, i64::signum, i64_of;
    u8: |rest, _| rest, u8::wrapping_neg, |v| v, |v| u8::from(v > 0), |v| i32_of(v) as u8;
    u16: |rest, _| rest, u16::wrapping_neg, |v| v, |v| u16::from(v > 0), |v| i32_of(v) as u16;
    u32: |rest, _| rest, u32::wrapping_neg, |v| v, |v| u32::from(v > 0), |v| i64_of(v) as u32;
    u64: |rest, _| rest, u64::wrapping_neg, |v| v, |v| u64::from(v > 0), u64_of;
}

macro_rules! float {
    ($ty:ty, $wide:ty, $of:expr, $to:expr, $back:expr) => {
        impl Number for $ty {
            fn plus(self, other: Self) -> Self {
                $of($to(self) + $to(other))
            }
            fn minus(self, other: Self) -> Self {
                $of($to(self) - $to(other))
            }
            fn times(self, other: Self) -> Self {
                $of($to(self) * $to(other))
            }
            fn over(self, other: Self) -> Self {
                $of($to(self) / $to(other))
            }
            fn remainder(self, other: Self) -> Self {
                $of($to(self) % $to(other))
            }
            fn modulo(self, other: Self) -> Self {
                let (rest, by) = ($to(self) % $to(other), $to(other));
                $of(match rest {
                    0.0 => rest.copysign(by),
                    _ if (rest < 0.0) != (by < 0.0) => rest + by,
                    _ => rest,
                })
            }
            fn negated(self) -> Self {
                -self
            }
            fn magnitude(self) -> Self {
                $of($to(self).abs())
            }
            fn sign(self) -> Self {
                let v: $wide = $to(self);
                // Zero, -0 too, becomes 0, as in onnxruntime.
                $of(if v.is_nan() { v } else { <$wide>::from(i8::from(v > 0.0) - i8::from(v < 0.0)) })
            }
            fn nan(self) -> bool {
                self.is_nan()
            }
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            fn to_f32(self) -> f32 {
                $back(self)
            }
            fn from_f64(value: f64) -> Self {
                $of(value as $wide)
            }
            fn one() -> Self {
                $of(1.0)
            }
            fn lowest() -> Self {
                Self::NEG_INFINITY
            }
            fn highest() -> Self {
                Self::INFINITY
            }
            const WHOLE: bool = false;
        }
    };
}
float!(f32, f32, |v: f32| v, |v: f32| v, |v: f32| v);
float!(f64, f64, |v: f64| v, |v: f64| v, |v: f64| v as f32);
float!(f16, f32, f16::from_f32, |v: f16| v.to_f32(), |v: f16| v.to_f32());

/// Runs `$body` with `$t` standing for the Rust type of a numeric element type; `$otherwise` is for bool and text.
macro_rules! number_type {
    ($element_type:expr, $t:ident => $body:expr, $otherwise:expr) => {
        number_type!(@ $element_type, $t => $body, $otherwise, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16,
            U32 u32, U64 u64, F16 half::f16, F32 f32, F64 f64)
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
        assert_eq!(i8::MIN.magnitude(), i8::MIN);
        assert_eq!(i64::MIN.over(-1), i64::MIN);
        assert_eq!(i64::MIN.remainder(-1), 0);
        assert_eq!((1i16.over(0), 1u8.remainder(0)), (0, 0));
        assert_eq!((3u8.minus(5), 3u8.negated()), (254, 253));
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
        assert_eq!((Number::sign(-2.5f64), Number::sign(f16::from_f32(3.0)).to_f32()), (-1.0, 1.0));
    }
}
