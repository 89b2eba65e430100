//! A dense tensor in row-major order, of any element type that a stream's model uses.

mod element_type;

use std::fmt;

use half::f16;
use smallvec::SmallVec;

use crate::error::OpError;
use crate::limits;

/// Lengths of the axes, outermost first; empty for a scalar.
pub type Shape = SmallVec<[usize; 6]>;

/// Type of a tensor's elements, with the names of the ONNX specification.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum ElementType {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    F32,
    F64,
    Text,
}

/// Elements of a tensor.
#[derive(Clone, PartialEq, Debug)]
pub enum Elements {
    Bool(Vec<bool>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    F16(Vec<f16>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Text(Vec<String>),
}

/// A Rust type that can be a tensor's element.
pub trait Element: Clone + Default + PartialEq + Send + Sync + fmt::Debug + 'static {
    const TYPE: ElementType;
    fn wrap(values: Vec<Self>) -> Elements;
    fn slice(elements: &Elements) -> Option<&[Self]>;
    fn slice_mut(elements: &mut Elements) -> Option<&mut Vec<Self>>;
    /// The vector itself, if it is of this type.
    fn take(elements: Elements) -> Option<Vec<Self>>;
}

macro_rules! elements {
    ($($variant:ident $ty:ty),*) => {
        $(impl Element for $ty {
            const TYPE: ElementType = ElementType::$variant;
            fn wrap(values: Vec<Self>) -> Elements { Elements::$variant(values) }
            fn slice(elements: &Elements) -> Option<&[Self]> {
                match elements { Elements::$variant(v) => Some(v), _ => None }
            }
            fn slice_mut(elements: &mut Elements) -> Option<&mut Vec<Self>> {
                match elements { Elements::$variant(v) => Some(v), _ => None }
            }
            fn take(elements: Elements) -> Option<Vec<Self>> {
                match elements { Elements::$variant(v) => Some(v), _ => None }
            }
        })*
        impl Elements {
            pub fn element_type(&self) -> ElementType {
                match self { $(Elements::$variant(_) => ElementType::$variant),* }
            }
            pub fn len(&self) -> usize {
                match self { $(Elements::$variant(v) => v.len()),* }
            }
        }
    };
}
elements!(Bool bool, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64, F16 f16, F32 f32, F64 f64, Text String);

/// Runs `$body` with `$v` bound to the vector inside, whatever its type: `each_type!(&t.data, v => v.len())`.
#[macro_export]
macro_rules! each_type {
    ($elements:expr, $v:ident => $body:expr) => {
        match $elements {
            $crate::tensor::Elements::Bool($v) => $body,
            $crate::tensor::Elements::I8($v) => $body,
            $crate::tensor::Elements::I16($v) => $body,
            $crate::tensor::Elements::I32($v) => $body,
            $crate::tensor::Elements::I64($v) => $body,
            $crate::tensor::Elements::U8($v) => $body,
            $crate::tensor::Elements::U16($v) => $body,
            $crate::tensor::Elements::U32($v) => $body,
            $crate::tensor::Elements::U64($v) => $body,
            $crate::tensor::Elements::F16($v) => $body,
            $crate::tensor::Elements::F32($v) => $body,
            $crate::tensor::Elements::F64($v) => $body,
            $crate::tensor::Elements::Text($v) => $body,
        }
    };
}

/// Like `each_type!`, for types with arithmetic; `$otherwise` is the arm for bool and text.
#[macro_export]
macro_rules! each_number {
    ($elements:expr, $v:ident => $body:expr, $otherwise:expr) => {
        match $elements {
            $crate::tensor::Elements::I8($v) => $body,
            $crate::tensor::Elements::I16($v) => $body,
            $crate::tensor::Elements::I32($v) => $body,
            $crate::tensor::Elements::I64($v) => $body,
            $crate::tensor::Elements::U8($v) => $body,
            $crate::tensor::Elements::U16($v) => $body,
            $crate::tensor::Elements::U32($v) => $body,
            $crate::tensor::Elements::U64($v) => $body,
            $crate::tensor::Elements::F16($v) => $body,
            $crate::tensor::Elements::F32($v) => $body,
            $crate::tensor::Elements::F64($v) => $body,
            _ => $otherwise,
        }
    };
}

impl Elements {
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A dense tensor; the product of `shape` is the number of elements, always.
#[derive(Clone, PartialEq, Debug)]
pub struct Tensor {
    shape: Shape,
    data: Elements,
}

/// Number of elements of a shape.
///
/// # Errors
/// If elements of `size` bytes would take more than [`limits::TENSOR_BYTES`], or the axes are more than [`limits::RANK`].
pub fn volume(shape: &[usize], size: usize) -> Result<usize, OpError> {
    volume_within(shape, size, limits::TENSOR_BYTES)
}

/// As [`volume`], with another bound in bytes.
///
/// # Errors
/// As there.
pub fn volume_within(shape: &[usize], size: usize, bound: usize) -> Result<usize, OpError> {
    let too_large = || OpError::too_large(format!("a tensor of shape {} is too large", show(shape)));
    if shape.len() > limits::RANK {
        return Err(too_large());
    }
    if shape.contains(&0) {
        return Ok(0);
    }
    let len = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).ok_or_else(too_large)?;
    match len.checked_mul(size.max(1)) {
        Some(bytes) if bytes <= bound => Ok(len),
        _ => Err(too_large()),
    }
}

/// A shape as messages show it: `[2, 3]`.
pub fn show(shape: &[usize]) -> String {
    let dims: Vec<String> = shape.iter().take(limits::RANK).map(ToString::to_string).collect();
    format!("[{}]", dims.join(", "))
}

impl Tensor {
    /// # Errors
    /// If the product of `shape` is not the number of values, or too large.
    pub fn new<T: Element>(shape: &[usize], values: Vec<T>) -> Result<Tensor, OpError> {
        Tensor::from_elements(shape, T::wrap(values))
    }

    /// # Errors
    /// As [`Tensor::new`].
    pub fn from_elements(shape: &[usize], data: Elements) -> Result<Tensor, OpError> {
        // the elements are there already, so only the arithmetic needs a bound
        let len = volume_within(shape, data.element_type().size(), limits::WEIGHT_BYTES)?;
        if len != data.len() {
            return Err(OpError::bad(format!("{} values for the shape {}", data.len(), show(shape))));
        }
        Ok(Tensor { shape: Shape::from_slice(shape), data })
    }

    /// Zeros, false or empty texts.
    ///
    /// # Errors
    /// If the shape is too large.
    pub fn zeros<T: Element>(shape: &[usize]) -> Result<Tensor, OpError> {
        Tensor::full(shape, T::default())
    }

    /// As [`Tensor::zeros`], with the type known at run time only.
    ///
    /// # Errors
    /// If the shape is too large.
    pub fn zeros_of(element_type: ElementType, shape: &[usize]) -> Result<Tensor, OpError> {
        use ElementType::*;
        match element_type {
            Bool => Tensor::zeros::<bool>(shape),
            I8 => Tensor::zeros::<i8>(shape),
            I16 => Tensor::zeros::<i16>(shape),
            I32 => Tensor::zeros::<i32>(shape),
            I64 => Tensor::zeros::<i64>(shape),
            U8 => Tensor::zeros::<u8>(shape),
            U16 => Tensor::zeros::<u16>(shape),
            U32 => Tensor::zeros::<u32>(shape),
            U64 => Tensor::zeros::<u64>(shape),
            F16 => Tensor::zeros::<f16>(shape),
            F32 => Tensor::zeros::<f32>(shape),
            F64 => Tensor::zeros::<f64>(shape),
            Text => Tensor::zeros::<String>(shape),
        }
    }

    /// `value` everywhere.
    ///
    /// # Errors
    /// If the shape is too large.
    pub fn full<T: Element>(shape: &[usize], value: T) -> Result<Tensor, OpError> {
        let len = volume(shape, T::TYPE.size())?;
        Ok(Tensor { shape: Shape::from_slice(shape), data: T::wrap(vec![value; len]) })
    }

    pub fn scalar<T: Element>(value: T) -> Tensor {
        Tensor { shape: Shape::new(), data: T::wrap(vec![value]) }
    }

    /// One axis.
    ///
    /// # Panics
    /// If there are more values than a tensor may have.
    pub fn vector<T: Element>(values: Vec<T>) -> Tensor {
        let shape = [values.len()];
        Tensor::new(&shape, values).expect("a vector that is in memory already")
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    pub fn element_type(&self) -> ElementType {
        self.data.element_type()
    }

    pub fn elements(&self) -> &Elements {
        &self.data
    }

    /// Shape and elements, apart.
    pub fn into_parts(self) -> (Shape, Elements) {
        (self.shape, self.data)
    }

    /// # Errors
    /// If the elements are of another type.
    pub fn slice<T: Element>(&self) -> Result<&[T], OpError> {
        T::slice(&self.data).ok_or_else(|| self.mistyped(T::TYPE))
    }

    /// # Errors
    /// If the elements are of another type.
    pub fn slice_mut<T: Element>(&mut self) -> Result<&mut [T], OpError> {
        let found = self.mistyped(T::TYPE);
        T::slice_mut(&mut self.data).map(Vec::as_mut_slice).ok_or(found)
    }

    /// # Errors
    /// If the elements are of another type.
    pub fn into_vec<T: Element>(self) -> Result<Vec<T>, OpError> {
        let found = self.mistyped(T::TYPE);
        T::take(self.data).ok_or(found)
    }

    fn mistyped(&self, wanted: ElementType) -> OpError {
        OpError::bad(format!("expected {wanted}, found {}", self.element_type()))
    }

    /// The same elements with other axes.
    ///
    /// # Errors
    /// If the product differs.
    pub fn reshaped(mut self, shape: &[usize]) -> Result<Tensor, OpError> {
        if volume_within(shape, self.element_type().size(), limits::WEIGHT_BYTES)? != self.len() {
            return Err(OpError::bad(format!("{} cannot become {}", show(&self.shape), show(shape))));
        }
        self.shape = Shape::from_slice(shape);
        Ok(self)
    }

    /// Bytes in memory, texts included.
    pub fn bytes(&self) -> usize {
        let texts = match &self.data {
            Elements::Text(v) => v.iter().map(String::len).sum(),
            _ => 0,
        };
        self.len() * self.element_type().size() + texts
    }

    /// All elements as `i64`, for shapes, axes and counts.
    ///
    /// # Errors
    /// If they are no whole numbers.
    pub fn to_i64s(&self) -> Result<Vec<i64>, OpError> {
        match &self.data {
            Elements::I64(v) => Ok(v.clone()),
            Elements::I32(v) => Ok(v.iter().map(|x| i64::from(*x)).collect()),
            Elements::I16(v) => Ok(v.iter().map(|x| i64::from(*x)).collect()),
            Elements::I8(v) => Ok(v.iter().map(|x| i64::from(*x)).collect()),
            Elements::U8(v) => Ok(v.iter().map(|x| i64::from(*x)).collect()),
            Elements::U16(v) => Ok(v.iter().map(|x| i64::from(*x)).collect()),
            Elements::U32(v) => Ok(v.iter().map(|x| i64::from(*x)).collect()),
            _ => Err(OpError::bad(format!("expected whole numbers, found {}", self.element_type()))),
        }
    }

    /// The only element as `i64`.
    ///
    /// # Errors
    /// If there are more, or it is no whole number.
    pub fn to_i64(&self) -> Result<i64, OpError> {
        match self.to_i64s()?.as_slice() {
            [one] => Ok(*one),
            all => Err(OpError::bad(format!("expected one whole number, found {}", all.len()))),
        }
    }
}
