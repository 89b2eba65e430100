//! Cast, CastLike and BitCast: the same numbers as another type.
//!
//! Where a number does not fit, the result is onnxruntime's on x86-64, which the specification leaves open: a float is
//! cut to a whole number of 32 bits (64 for int64, uint32, uint64), the smallest one if it does not fit, and narrower
//! types keep its lowest bits.

use half::f16;
use smallvec::smallvec;

use crate::bad;
use crate::each_number;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::shape::cast_text;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::ElementType;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::unsupported;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::own("BitCast", bit_cast).note("no types narrower than a byte"),
    Operator::shared("Cast", cast).note("no bfloat16, complex, float8 or narrower"),
    Operator::own("CastLike", cast_like),
];

#[derive(Debug)]
struct Cast {
    to: ElementType,
}

impl Kernel for Cast {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        if inputs.tensor(0)?.element_type() == self.to {
            return Ok(smallvec![inputs.take_value(0)]);
        }
        convert(inputs.tensor(0)?, self.to).map(one)
    }
}

fn cast(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Cast { to: target(build)? }))
}

fn target(build: &Build<'_>) -> Result<ElementType, OpError> {
    let attributes = &build.node.attributes;
    // the first version names the type
    if build.version() < 6
        && let Ok(Some(name)) = attributes.text("to")
    {
        return named(name);
    }
    let code = attributes.int("to")?.ok_or_else(|| missing("to"))?;
    let Some(to) = i32::try_from(code).ok().and_then(ElementType::from_onnx) else {
        unsupported!("a cast to the type {code}");
    };
    Ok(to)
}

fn named(name: &str) -> Result<ElementType, OpError> {
    use ElementType::*;
    let all = [Bool, I8, I16, I32, I64, U8, U16, U32, U64, F16, F32, F64, Text];
    let found = all.into_iter().find(|t| t.to_string().eq_ignore_ascii_case(name));
    found.ok_or_else(|| OpError::unsupported(format!("a cast to the type {name}")))
}

#[derive(Debug)]
struct CastLike;

impl Kernel for CastLike {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let to = inputs.tensor(1)?.element_type();
        Cast { to }.run(inputs)
    }
}

fn cast_like(_: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(CastLike))
}

/// The same numbers as `to`; see the module for those that do not fit.
///
/// # Errors
/// If a text is no number.
pub fn convert(from: &Tensor, to: ElementType) -> Result<Tensor, OpError> {
    let shape = from.shape();
    let data = match (from.elements(), to) {
        (Elements::Text(_), ElementType::Text) => return Ok(from.clone()),
        (Elements::Text(v), to) => cast_text::parse_all(v, to)?,
        (Elements::Bool(v), ElementType::Text) => cast_text::write_all(v, |b| u8::from(*b).to_string()),
        (Elements::Bool(v), to) => numbers(v, to)?,
        (Elements::F16(v), ElementType::Text) => cast_text::write_all(v, |x| cast_text::float(x.to_f64())),
        (Elements::F32(v), ElementType::Text) => cast_text::write_all(v, |x| cast_text::float(f64::from(*x))),
        (Elements::F64(v), ElementType::Text) => cast_text::write_all(v, |x| cast_text::float(*x)),
        (whole, ElementType::Text) => {
            each_number!(whole, v => cast_text::write_all(v, ToString::to_string), bad!("a cast of {} to text", from.element_type()))
        }
        (number, to) => {
            each_number!(number, v => numbers(v, to)?, bad!("a cast of {}", from.element_type()))
        }
    };
    Tensor::from_elements(shape, data)
}

/// A number as the types that others are made of.
pub trait Number: Element {
    fn single(&self) -> f32;
    fn double(&self) -> f64;
    /// Cut to 32 bits.
    fn small(&self) -> i32;
    /// Cut to 64 bits.
    fn wide(&self) -> i64;
    fn unsigned(&self) -> u64;
    fn truth(&self) -> bool;
}

macro_rules! whole {
    ($($ty:ty),*) => {$(
        impl Number for $ty {
            fn single(&self) -> f32 { *self as f32 }
            fn double(&self) -> f64 { *self as f64 }
            fn small(&self) -> i32 { *self as i32 }
            fn wide(&self) -> i64 { *self as i64 }
            fn unsigned(&self) -> u64 { *self as u64 }
            fn truth(&self) -> bool { *self != 0 }
        }
    )*};
}
whole!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! float {
    ($($ty:ty),*) => {$(
        impl Number for $ty {
            fn single(&self) -> f32 { *self as f32 }
            fn double(&self) -> f64 { f64::from(*self) }
            #[inline]
            fn small(&self) -> i32 {
                if *self > -2147483649.0 && *self < 2147483648.0 { *self as i32 } else { i32::MIN }
            }
            #[inline]
            fn wide(&self) -> i64 {
                if *self >= -9223372036854775808.0 && *self < 9223372036854775808.0 { *self as i64 } else { i64::MIN }
            }
            #[inline]
            fn unsigned(&self) -> u64 {
                const HALF: $ty = 9223372036854775808.0;
                if *self >= HALF { (*self - HALF).wide() as u64 ^ (1 << 63) } else { self.wide() as u64 }
            }
            fn truth(&self) -> bool { *self != 0.0 }
        }
    )*};
}
float!(f32, f64);

impl Number for f16 {
    fn single(&self) -> f32 {
        self.to_f32()
    }
    fn double(&self) -> f64 {
        self.to_f64()
    }
    fn small(&self) -> i32 {
        self.to_f32().small()
    }
    fn wide(&self) -> i64 {
        self.to_f32().wide()
    }
    fn unsigned(&self) -> u64 {
        self.to_f32().unsigned()
    }
    fn truth(&self) -> bool {
        self.to_f32() != 0.0
    }
}

impl Number for bool {
    fn single(&self) -> f32 {
        f32::from(u8::from(*self))
    }
    fn double(&self) -> f64 {
        f64::from(u8::from(*self))
    }
    fn small(&self) -> i32 {
        i32::from(*self)
    }
    fn wide(&self) -> i64 {
        i64::from(*self)
    }
    fn unsigned(&self) -> u64 {
        u64::from(*self)
    }
    fn truth(&self) -> bool {
        *self
    }
}

/// Numbers as another type that is not text.
fn numbers<T: Number>(from: &[T], to: ElementType) -> Result<Elements, OpError> {
    fn each<T, R: Element>(from: &[T], f: impl Fn(&T) -> R) -> Elements {
        R::wrap(from.iter().map(f).collect())
    }
    Ok(match to {
        ElementType::Bool => each(from, T::truth),
        ElementType::I8 => each(from, |x| x.small() as i8),
        ElementType::I16 => each(from, |x| x.small() as i16),
        ElementType::I32 => each(from, T::small),
        ElementType::I64 => each(from, T::wide),
        ElementType::U8 => each(from, |x| x.small() as u8),
        ElementType::U16 => each(from, |x| x.small() as u16),
        ElementType::U32 => each(from, |x| x.wide() as u32),
        ElementType::U64 => each(from, T::unsigned),
        ElementType::F16 => each(from, |x| f16::from_f32(x.single())),
        ElementType::F32 => each(from, T::single),
        ElementType::F64 => each(from, T::double),
        ElementType::Text => bad!("a cast of numbers to text is made elsewhere"),
    })
}

#[derive(Debug)]
struct BitCast {
    to: ElementType,
}

impl Kernel for BitCast {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let from = inputs.tensor(0)?;
        let text = from.element_type() == ElementType::Text || self.to == ElementType::Text;
        if text || from.element_type().size() != self.to.size() {
            bad!("the bits of {} cannot be read as {}", from.element_type(), self.to);
        }
        let bits: Vec<u64> = match from.elements() {
            Elements::Bool(v) => v.iter().map(|x| u64::from(*x)).collect(),
            Elements::F16(v) => v.iter().map(|x| u64::from(x.to_bits())).collect(),
            Elements::F32(v) => v.iter().map(|x| u64::from(x.to_bits())).collect(),
            Elements::F64(v) => v.iter().map(|x| x.to_bits()).collect(),
            Elements::I8(v) => v.iter().map(|x| *x as u64).collect(),
            Elements::I16(v) => v.iter().map(|x| *x as u64).collect(),
            Elements::I32(v) => v.iter().map(|x| *x as u64).collect(),
            Elements::I64(v) => v.iter().map(|x| *x as u64).collect(),
            Elements::U8(v) => v.iter().map(|x| u64::from(*x)).collect(),
            Elements::U16(v) => v.iter().map(|x| u64::from(*x)).collect(),
            Elements::U32(v) => v.iter().map(|x| u64::from(*x)).collect(),
            Elements::U64(v) => v.clone(),
            Elements::Text(_) => bad!("texts have no bits"),
        };
        let data = match self.to {
            ElementType::F16 => Elements::F16(bits.iter().map(|b| f16::from_bits(*b as u16)).collect()),
            ElementType::F32 => Elements::F32(bits.iter().map(|b| f32::from_bits(*b as u32)).collect()),
            ElementType::F64 => Elements::F64(bits.iter().map(|b| f64::from_bits(*b)).collect()),
            // whole numbers and flags are their lowest bits
            to => numbers(&bits, to)?,
        };
        Tensor::from_elements(from.shape(), data).map(one)
    }
}

fn bit_cast(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(BitCast { to: target(build)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_floats(values: &[f32], to: ElementType) -> Elements {
        convert(&Tensor::vector(values.to_vec()), to).unwrap().into_parts().1
    }

    /// Results of onnxruntime 1.32 on x86-64.
    #[test]
    fn floats_that_do_not_fit() {
        let wild = [127.9, 128.0, -129.0, 300.0, 70000.0, 2147483648.0, -2147483648.0, 9.3e18, f32::NAN, f32::INFINITY];
        let i8s = vec![127, -128, 127, 44, 112, 0, 0, 0, 0, 0];
        assert_eq!(from_floats(&wild, ElementType::I8), Elements::I8(i8s));
        let min = i32::MIN;
        let i32s = vec![127, 128, -129, 300, 70000, min, min, min, min, min];
        assert_eq!(from_floats(&wild, ElementType::I32), Elements::I32(i32s));
        let u32s = vec![127, 128, 4294967167, 300, 70000, 2147483648, 2147483648, 0, 0, 0];
        assert_eq!(from_floats(&wild, ElementType::U32), Elements::U32(u32s));
        let (top, minus) = (1 << 63, (-129i64) as u64);
        let u64s = vec![127, 128, minus, 300, 70000, 1 << 31, u64::MAX - (1 << 31) + 1, 9300000300729368576, top, 0];
        assert_eq!(from_floats(&wild, ElementType::U64), Elements::U64(u64s));
    }

    #[test]
    fn halves_round_once_through_single() {
        let halves = from_floats(&[65519.9, 65520.0, 2.9e-8, f32::NAN], ElementType::F16);
        let Elements::F16(v) = halves else { panic!() };
        assert_eq!((v[0].to_f32(), v[1].to_f32(), v[2].to_f32()), (65504.0, f32::INFINITY, 0.0));
        assert!(v[3].is_nan());
    }

    #[test]
    fn types_by_their_old_names() {
        assert_eq!(named("FLOAT").unwrap(), ElementType::F32);
        assert_eq!(named("INT64").unwrap(), ElementType::I64);
        assert!(named("COMPLEX64").is_err());
    }
}
