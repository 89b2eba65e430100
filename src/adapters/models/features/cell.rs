//! One value on its way from an event into a tensor of any element type.

use half::f16;
use tidemill_onnx::tensor::Element;
use tidemill_onnx::tensor::ElementType;

/// What a feature is for one record, before it takes the tensor's type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// NaN where the tensor has one.
    Nothing,
    Float(f64),
    Integer(i64),
    /// A time in microseconds since 1970; seconds in the tensor, whole ones (rounded down) in one of whole numbers.
    Micros(i64),
    Text(&'a [u8]),
}

/// An element type that cells become.
pub trait FromCell: Element {
    /// Rounds to floats; whole numbers and booleans are exact or refused.
    ///
    /// # Errors
    /// A few words that do not hold the value.
    fn from_cell(cell: Cell<'_>) -> Result<Self, &'static str>;
}

const OUTSIDE: &str = "the value is outside the range of the input's type";
const FRACTION: &str = "the value is not whole, as the input's type is";
const ABSENT: &str = "there is no value, and the input's type has no NaN";
const TEXT: &str = "a text for an input of numbers";
const NUMBER: &str = "a number for an input of texts";

macro_rules! floats {
    ($($ty:ty: $from_float:expr, $from_integer:expr;)*) => {$(
        impl FromCell for $ty {
            #[inline(always)]
            fn from_cell(cell: Cell<'_>) -> Result<$ty, &'static str> {
                match cell {
                    Cell::Float(v) => Ok($from_float(v)),
                    Cell::Integer(v) => Ok($from_integer(v)),
                    Cell::Micros(v) => Ok($from_float(v as f64 / 1e6)),
                    Cell::Nothing => Ok($from_float(f64::NAN)),
                    Cell::Text(_) => Err(TEXT),
                }
            }
        }
    )*};
}
floats! {
    f64: |v: f64| v, |v: i64| v as f64;
    f32: |v: f64| v as f32, |v: i64| v as f32;
    f16: f16::from_f64, |v: i64| f16::from_f64(v as f64);
}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        impl FromCell for $ty {
            #[inline(always)]
            fn from_cell(cell: Cell<'_>) -> Result<$ty, &'static str> {
                match cell {
                    Cell::Integer(v) => <$ty>::try_from(v).map_err(|_| OUTSIDE),
                    Cell::Micros(v) => <$ty>::try_from(v.div_euclid(1_000_000)).map_err(|_| OUTSIDE),
                    Cell::Float(v) if v.is_nan() => Err(ABSENT),
                    Cell::Float(v) if v.fract() != 0.0 => Err(FRACTION),
                    // a cast from float to `i128` saturates, far outside every type here
                    Cell::Float(v) => <$ty>::try_from(v as i128).map_err(|_| OUTSIDE),
                    Cell::Nothing => Err(ABSENT),
                    Cell::Text(_) => Err(TEXT),
                }
            }
        }
    )*};
}
integers!(i8, i16, i32, i64, u8, u16, u32, u64);

impl FromCell for bool {
    fn from_cell(cell: Cell<'_>) -> Result<bool, &'static str> {
        match u8::from_cell(cell)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(OUTSIDE),
        }
    }
}

impl FromCell for String {
    fn from_cell(cell: Cell<'_>) -> Result<String, &'static str> {
        match cell {
            Cell::Text(text) => Ok(std::str::from_utf8(text).map_err(|_| "the text is not UTF-8")?.to_owned()),
            Cell::Nothing => Err("there is no text"),
            _ => Err(NUMBER),
        }
    }
}

/// Runs `$body` with `$ty` standing for the Rust type of an [`ElementType`].
macro_rules! with_type {
    ($element_type:expr, $ty:ident => $body:expr) => {{
        use tidemill_onnx::tensor::ElementType as T;
        macro_rules! arm {
            ($rust:ty) => {{
                type $ty = $rust;
                $body
            }};
        }
        match $element_type {
            T::Bool => arm!(bool),
            T::I8 => arm!(i8),
            T::I16 => arm!(i16),
            T::I32 => arm!(i32),
            T::I64 => arm!(i64),
            T::U8 => arm!(u8),
            T::U16 => arm!(u16),
            T::U32 => arm!(u32),
            T::U64 => arm!(u64),
            T::F16 => arm!(half::f16),
            T::F32 => arm!(f32),
            T::F64 => arm!(f64),
            T::Text => arm!(String),
        }
    }};
}
pub(crate) use with_type;

/// Whether a cell can be of this type.
///
/// # Errors
/// As [`FromCell::from_cell`].
pub fn fits(cell: Cell<'_>, element_type: ElementType) -> Result<(), &'static str> {
    with_type!(element_type, T => T::from_cell(cell).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_exact_or_refused() {
        assert_eq!(i8::from_cell(Cell::Integer(-128)), Ok(-128));
        assert_eq!(i8::from_cell(Cell::Integer(128)), Err(OUTSIDE));
        assert_eq!(u64::from_cell(Cell::Integer(-1)), Err(OUTSIDE));
        assert_eq!(u64::from_cell(Cell::Float(1.8446744073709552e19)), Err(OUTSIDE));
        assert_eq!(i64::from_cell(Cell::Float(-9223372036854775808.0)), Ok(i64::MIN));
        assert_eq!(i32::from_cell(Cell::Float(0.5)), Err(FRACTION));
        assert_eq!(i32::from_cell(Cell::Float(f64::INFINITY)), Err(FRACTION));
        assert_eq!(i32::from_cell(Cell::Float(f64::NAN)), Err(ABSENT));
        assert_eq!(i64::from_cell(Cell::Micros(-1)), Ok(-1));
        assert_eq!(bool::from_cell(Cell::Integer(2)), Err(OUTSIDE));
    }

    #[test]
    fn floats_round_once() {
        // by way of a double this integer would round twice
        assert_eq!(f32::from_cell(Cell::Integer((1 << 60) + (1 << 36) + 1)), Ok(((1i64 << 60) + (1 << 37)) as f32));
        assert!(f32::from_cell(Cell::Nothing).unwrap().is_nan());
        assert_eq!(f16::from_cell(Cell::Float(0.1)), Ok(f16::from_f64(0.1)));
        assert_eq!(f64::from_cell(Cell::Micros(1_500_000)), Ok(1.5));
        assert!(String::from_cell(Cell::Text(b"\xff")).is_err());
    }
}
