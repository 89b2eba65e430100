//! Sums and products of two elements of any type that has them, as onnxruntime makes them.

use half::f16;

use crate::tensor::Element;

/// Whole numbers wrap around; float16 is computed in float and rounded each time; flags know "or" and "and".
pub trait Arithmetic: Element + PartialOrd + Copy {
    const ONE: Self;
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
}

macro_rules! whole {
    ($($ty:ty),*) => {$(
        impl Arithmetic for $ty {
            const ONE: Self = 1;
            fn plus(self, other: Self) -> Self { self.wrapping_add(other) }
            fn times(self, other: Self) -> Self { self.wrapping_mul(other) }
        }
    )*};
}
whole!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! float {
    ($($ty:ty),*) => {$(
        impl Arithmetic for $ty {
            const ONE: Self = 1.0;
            fn plus(self, other: Self) -> Self { self + other }
            fn times(self, other: Self) -> Self { self * other }
        }
    )*};
}
float!(f32, f64);

impl Arithmetic for f16 {
    const ONE: Self = f16::ONE;
    fn plus(self, other: Self) -> Self {
        f16::from_f32(self.to_f32() + other.to_f32())
    }
    fn times(self, other: Self) -> Self {
        f16::from_f32(self.to_f32() * other.to_f32())
    }
}

impl Arithmetic for bool {
    const ONE: Self = true;
    fn plus(self, other: Self) -> Self {
        self | other
    }
    fn times(self, other: Self) -> Self {
        self & other
    }
}
