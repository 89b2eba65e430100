//! The two number types that thresholds and weights come in.

use std::fmt::Debug;
use std::ops::Add;
use std::ops::AddAssign;
use std::ops::Div;
use std::ops::Mul;
use std::ops::Neg;
use std::ops::Sub;

use crate::trees::fast::flat::Cell;
use crate::trees::fast::flat::Large;
use crate::trees::fast::flat::Small;

/// `f32` or `f64`; onnxruntime computes with the type of the input, and so do we.
pub trait Real:
    Copy
    + PartialOrd
    + Default
    + Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Div<Output = Self>
    + Mul<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + Send
    + Sync
    + 'static
{
    /// The smallest cell that holds such a threshold.
    type Narrow: Cell<Self>;
    const ZERO: Self;
    const ONE: Self;
    const INFINITY: Self;
    const NEG_INFINITY: Self;
    const NAN: Self;
    const LOWEST: Self;

    fn from_f32(value: f32) -> Self;
    fn from_f64(value: f64) -> Self;
    fn from_i64(value: i64) -> Self;
    fn from_u64(value: u64) -> Self;
    fn to_f32(self) -> f32;
    fn is_nan(self) -> bool;
    fn exp(self) -> Self;
    fn trunc(self) -> Self;
    /// The greatest number below.
    fn next_down(self) -> Self;
    /// The least number above.
    fn next_up(self) -> Self;
    /// The bits; both zeros are alike.
    fn key(self) -> u64;
    fn total_cmp(&self, other: &Self) -> std::cmp::Ordering;
    /// A NaN that carries a number; `None` if it has too many digits.
    fn tag(number: u32) -> Option<Self>;
    /// The number that [`Real::tag`] was given.
    fn untag(self) -> u32;
    /// The same numbers, if this type is `f32`.
    fn singles(values: &[Self]) -> Option<&[f32]>;
}

macro_rules! real {
    ($($t:ident $bits:ident $room:expr, $narrow:ty, $singles:expr;)*) => {
        $(impl Real for $t {
            type Narrow = $narrow;
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;
            const INFINITY: $t = $t::INFINITY;
            const NEG_INFINITY: $t = $t::NEG_INFINITY;
            const NAN: $t = $t::NAN;
            const LOWEST: $t = $t::MIN;

            #[inline(always)]
            fn from_f32(value: f32) -> $t { value as $t }
            #[inline(always)]
            fn from_f64(value: f64) -> $t { value as $t }
            fn from_i64(value: i64) -> $t { value as $t }
            fn from_u64(value: u64) -> $t { value as $t }
            #[inline(always)]
            fn to_f32(self) -> f32 { self as f32 }
            #[inline(always)]
            fn is_nan(self) -> bool { $t::is_nan(self) }
            #[inline(always)]
            fn exp(self) -> $t { $t::exp(self) }
            fn trunc(self) -> $t { $t::trunc(self) }
            fn next_down(self) -> $t { $t::next_down(self) }
            fn next_up(self) -> $t { $t::next_up(self) }
            fn total_cmp(&self, other: &$t) -> std::cmp::Ordering { $t::total_cmp(self, other) }
            fn key(self) -> u64 { u64::from((self + 0.0).to_bits()) }
            fn tag(number: u32) -> Option<$t> {
                let bits = $bits::from(number);
                (bits <= $room).then(|| $t::from_bits($t::NAN.to_bits() | bits))
            }
            #[inline(always)]
            fn untag(self) -> u32 { (self.to_bits() & $room) as u32 }
            #[inline(always)]
            fn singles(values: &[$t]) -> Option<&[f32]> { $singles(values) }
        })*
    };
}
// the mantissa's highest bit says that the NaN is a quiet one
real!(f32 u32 0x3f_ffff, Small, Some; f64 u64 0xffff_ffff, Large<f64>, |_| None;);
