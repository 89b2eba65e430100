//! Arithmetic of quantised numbers, as onnxruntime's MLAS rounds: halves to even, then saturated.

use half::f16;

use crate::bad;
use crate::error::OpError;
use crate::ops::dense::floats;
use crate::tensor::Element;
use crate::tensor::ElementType;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::unsupported;

/// A whole number that floats are quantised to.
pub trait Quantum: Element + Copy {
    const LOW: f32;
    const HIGH: f32;
    fn from_float(x: f32) -> Self;
    fn float(self) -> f32;
}

macro_rules! quanta {
    ($($ty:ty),*) => { $(impl Quantum for $ty {
        const LOW: f32 = <$ty>::MIN as f32;
        const HIGH: f32 = <$ty>::MAX as f32;
        #[inline(always)]
        fn from_float(x: f32) -> Self { x as $ty }
        #[inline(always)]
        fn float(self) -> f32 { f32::from(self) }
    })* };
}
quanta!(i8, u8, i16, u16);

/// A float that is already divided by its scale; NaN becomes the smallest number, as vector instructions have it.
#[inline(always)]
pub fn quantum<T: Quantum>(scaled: f32, zero: T) -> T {
    let (low, high) = (T::LOW - zero.float(), T::HIGH - zero.float());
    let above = if scaled > low { scaled } else { low };
    let within = if above < high { above } else { high };
    T::from_float(within.round_ties_even() + zero.float())
}

/// Scale and zero point of a tensor that is quantised as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Scaled {
    pub scale: f32,
    pub zero: f32,
}

impl Scaled {
    /// # Errors
    /// If either is no single number of the right type.
    pub fn read(scale: &Tensor, zero: Option<&Tensor>) -> Result<Scaled, OpError> {
        let zero = zero.map_or(Ok(0.0), |t| integers(t).and_then(|v| single(&v).map(f32::from)))?;
        Ok(Scaled { scale: single(&floats(scale)?)?, zero })
    }
}

/// # Errors
/// If there is not exactly one.
pub fn single<T: Copy>(all: &[T]) -> Result<T, OpError> {
    match all {
        [one] => Ok(*one),
        _ => Err(OpError::bad(format!("expected one scale or zero point, found {}", all.len()))),
    }
}

/// Numbers of eight bits, wide enough for a zero point to be taken off.
///
/// # Errors
/// If the elements are neither int8 nor uint8.
pub fn integers(tensor: &Tensor) -> Result<Vec<i16>, OpError> {
    match tensor.elements() {
        Elements::I8(v) => Ok(v.iter().map(|x| i16::from(*x)).collect()),
        Elements::U8(v) => Ok(v.iter().map(|x| i16::from(*x)).collect()),
        _ => Err(OpError::bad(format!("expected int8 or uint8, found {}", tensor.element_type()))),
    }
}

/// Quantises floats that are already divided by their scale.
///
/// # Errors
/// If `zero` is neither int8 nor uint8, or of several numbers.
pub fn quantised(scaled: impl Iterator<Item = f32>, zero: &Tensor) -> Result<Elements, OpError> {
    match zero.elements() {
        Elements::I8(z) => {
            let zero = single(z)?;
            Ok(Elements::I8(scaled.map(|x| quantum(x, zero)).collect()))
        }
        Elements::U8(z) => {
            let zero = single(z)?;
            Ok(Elements::U8(scaled.map(|x| quantum(x, zero)).collect()))
        }
        _ => bad!("a zero point of type {}", zero.element_type()),
    }
}

/// Rounds numbers that have their zero point in them already to the type of `zero`.
///
/// # Errors
/// If that is neither int8 nor uint8.
pub fn saturated(with_zero: impl Iterator<Item = f32>, zero: &Tensor) -> Result<Elements, OpError> {
    match zero.elements() {
        Elements::I8(_) => Ok(Elements::I8(with_zero.map(|x| quantum(x, 0)).collect())),
        Elements::U8(_) => Ok(Elements::U8(with_zero.map(|x| quantum(x, 0)).collect())),
        _ => bad!("a zero point of type {}", zero.element_type()),
    }
}

/// Scale and zero point that onnxruntime finds for floats which become uint8.
pub fn dynamic(values: &[f32]) -> (f32, u8) {
    let (scale, zero) = range(values, 0.0);
    (scale, zero as u8)
}

/// Scale and zero point of floats that become 256 numbers from `least` on, so that zero is one of them.
pub fn range(values: &[f32], least: f32) -> (f32, f32) {
    let low = values.iter().fold(0.0f32, |a, b| if *b < a { *b } else { a });
    let high = values.iter().fold(0.0f32, |a, b| if *b > a { *b } else { a });
    let scale = if low == high { 1.0 } else { (high - low) / 255.0 };
    (scale, (least - low / scale).clamp(least, least + 255.0).round_ties_even())
}

/// How the elements of a tensor share scales.
#[derive(Debug)]
pub struct Grid {
    outer: usize,
    axis: usize,
    inner: usize,
    sharing: Sharing,
}

#[derive(Debug)]
enum Sharing {
    /// One for all.
    All,
    /// One for each place along the axis.
    Axis,
    /// One for each so many places along the axis, and for each place along the other axes.
    Blocks(usize),
}

impl Grid {
    /// # Errors
    /// If the scales do not fit the tensor.
    pub fn new(shape: &[usize], scale: &[usize], axis: i64, block: usize) -> Result<Grid, OpError> {
        let (count, len) = (volume(scale, 1)?, volume(shape, 1)?);
        if count == 1 && scale.len() <= 1 {
            return Ok(Grid { outer: 1, axis: 1, inner: len, sharing: Sharing::All });
        }
        let rank = shape.len() as i64;
        if axis < -rank || axis >= rank {
            bad!("axis {axis} of a tensor of {rank} axes");
        }
        let at = axis.rem_euclid(rank) as usize;
        // nothing to go through if there are no elements, whatever the other axes say
        let lens = if len == 0 { (0, 0) } else { (shape[..at].iter().product(), shape[at + 1..].iter().product()) };
        let grid = |sharing| Ok(Grid { outer: lens.0, axis: shape[at], inner: lens.1, sharing });
        if block == 0 {
            if scale != [shape[at]] {
                bad!("{count} scales for an axis of {}", shape[at]);
            }
            return grid(Sharing::Axis);
        }
        let fits = scale.len() == shape.len()
            && scale
                .iter()
                .zip(shape)
                .enumerate()
                .all(|(i, (s, d))| *s == if i == at { d.div_ceil(block) } else { *d });
        if !fits {
            bad!("the scales do not fit blocks of {block}");
        }
        grid(Sharing::Blocks(block))
    }

    /// Calls `f` with a range of elements, the number of the first one's scale, and 1 or 0 as the step to the next.
    pub fn each(&self, mut f: impl FnMut(std::ops::Range<usize>, usize, usize)) {
        if let (Sharing::Axis, 1) = (&self.sharing, self.inner) {
            (0..self.outer).for_each(|o| f(o * self.axis..(o + 1) * self.axis, 0, 1));
            return;
        }
        for outer in 0..self.outer {
            for place in 0..self.axis {
                let begin = (outer * self.axis + place) * self.inner;
                let range = begin..begin + self.inner;
                match self.sharing {
                    Sharing::All => f(range, 0, 0),
                    Sharing::Axis => f(range, place, 0),
                    Sharing::Blocks(block) => {
                        f(range, (outer * self.axis.div_ceil(block) + place / block) * self.inner, 1);
                    }
                }
            }
        }
    }
}

/// Floats in the type wanted.
///
/// # Errors
/// If it is no type that dequantised numbers have.
pub fn floats_of(values: Vec<f32>, wanted: ElementType) -> Result<Elements, OpError> {
    match wanted {
        ElementType::F32 => Ok(Elements::F32(values)),
        ElementType::F16 => Ok(Elements::F16(values.into_iter().map(f16::from_f32).collect())),
        other => unsupported!("dequantised numbers of type {other}"),
    }
}
