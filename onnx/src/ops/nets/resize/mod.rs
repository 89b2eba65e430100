//! Resize and Upsample: one axis after the other, each output position a weighted sum of a few elements.

mod taps;

use smallvec::smallvec;

use crate::bad;
use crate::each_number;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::real;
use crate::ops::nets::resize::taps::Coordinates;
use crate::ops::nets::resize::taps::Mode;
use crate::ops::nets::resize::taps::Nearest;
use crate::ops::nets::resize::taps::Rule;
use crate::ops::nets::resize::taps::Scaling;
use crate::ops::nets::resize::taps::Taps;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::ElementType;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::unsupported;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("Resize", resize), Operator::own("Upsample", upsample)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Stretch,
    NotLarger,
    NotSmaller,
}

#[derive(Debug)]
struct Resize {
    rule: Rule,
    policy: Policy,
    axes: Option<Vec<i64>>,
    extrapolation: f32,
    /// Where the inputs are; `None` where the version has none.
    roi: Option<usize>,
    scales: Option<usize>,
    sizes: Option<usize>,
    /// Scales of Upsample 7.
    fixed: Option<Vec<f32>>,
}

impl Kernel for Resize {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let shape = inputs.tensor(0)?.shape().to_vec();
        let scalings = self.scalings(inputs, &shape)?;
        let output: Vec<usize> = scalings.iter().map(|s| s.output).collect();
        let element = inputs.tensor(0)?.element_type();
        volume(&output, element.size())?;
        if shape.contains(&0) || output.contains(&0) {
            return Ok(one(Tensor::zeros_of(element, &output)?));
        }
        if shape == output {
            // Whatever the scales and the crop are: so does onnxruntime.
            return Ok(smallvec![inputs.take_value(0)]);
        }
        if let Mode::Nearest(_) = self.rule.mode {
            let outside = f64::from(self.extrapolation);
            let tensor = inputs.take(0)?;
            return Ok(one(each_number!(
                tensor.elements(),
                v => self.pick(v.clone(), &shape, &scalings, from_f64(outside))?,
                bad!("{element} cannot be resized")
            )));
        }
        self.weigh(inputs.tensor(0)?, &shape, &scalings)
            .map(|(values, shape)| restore(element, &shape, values))?
            .map(one)
    }
}

/// `value` in the type of a tensor's elements.
fn from_f64<T: FromF64>(value: f64) -> T {
    T::from_f64(value)
}

trait FromF64: Element + Copy {
    fn from_f64(value: f64) -> Self;
}

macro_rules! from_f64 {
    ($($ty:ty),*) => { $(impl FromF64 for $ty { fn from_f64(value: f64) -> $ty { value as $ty } })* };
}
from_f64!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);

impl FromF64 for half::f16 {
    fn from_f64(value: f64) -> half::f16 {
        half::f16::from_f64(value)
    }
}

impl Resize {
    /// What every axis becomes.
    fn scalings(&self, inputs: &Inputs<'_>, shape: &[usize]) -> Result<Vec<Scaling>, OpError> {
        let rank = shape.len();
        let axes: Vec<usize> = match &self.axes {
            None => (0..rank).collect(),
            Some(axes) => axes
                .iter()
                .map(|a| usize::try_from(if *a < 0 { a + rank as i64 } else { *a }).ok().filter(|a| *a < rank))
                .collect::<Option<_>>()
                .ok_or_else(|| OpError::bad("an axis lies outside the input"))?,
        };
        let given = |i: Option<usize>| -> Result<Option<&Tensor>, OpError> {
            let Some(i) = i else { return Ok(None) };
            Ok(inputs.optional(i)?.filter(|t| !t.is_empty()))
        };
        let same = |d: &usize| Scaling { input: *d, output: *d, scale: 1.0, roi: (0.0, 1.0) };
        let mut all: Vec<Scaling> = shape.iter().map(same).collect();
        if let Some(sizes) = given(self.sizes)? {
            self.by_sizes(&mut all, &axes, &sizes.to_i64s()?)?;
        } else {
            let scales = match (&self.fixed, given(self.scales)?) {
                (Some(fixed), _) => fixed.clone(),
                (None, Some(scales)) => scales.slice::<f32>()?.to_vec(),
                (None, None) => bad!("neither scales nor sizes are given"),
            };
            by_scales(&mut all, &axes, &scales)?;
        }
        if self.rule.coordinates == Coordinates::CropAndResize {
            let roi = floats(given(self.roi)?.ok_or_else(|| OpError::bad("the crop is missing"))?)?;
            if roi.len() != 2 * axes.len() {
                bad!("a crop of {} numbers for {} axes", roi.len(), axes.len());
            }
            for (i, axis) in axes.iter().enumerate() {
                all[*axis].roi = (roi[i], roi[axes.len() + i]);
            }
        }
        Ok(all)
    }

    fn by_sizes(&self, all: &mut [Scaling], axes: &[usize], sizes: &[i64]) -> Result<(), OpError> {
        if sizes.len() != axes.len() {
            bad!("{} sizes for {} axes", sizes.len(), axes.len());
        }
        for (axis, size) in axes.iter().zip(sizes) {
            let Some(size) = usize::try_from(*size).ok().filter(|s| *s <= 1 << 31) else { bad!("a size of {size}") };
            let scaling = &mut all[*axis];
            scaling.output = size;
            scaling.scale = size as f32 / scaling.input.max(1) as f32;
        }
        let scales = axes.iter().map(|a| all[*a].scale);
        let scale = match self.policy {
            Policy::Stretch => return Ok(()),
            Policy::NotLarger => scales.fold(f32::INFINITY, f32::min),
            Policy::NotSmaller => scales.fold(0.0, f32::max),
        };
        for axis in axes {
            let scaling = &mut all[*axis];
            scaling.scale = scale;
            scaling.output = (scale * scaling.input as f32).round() as usize;
        }
        Ok(())
    }

    /// Nearest elements, of any type.
    fn pick<T: Element + Copy>(
        &self,
        mut values: Vec<T>,
        shape: &[usize],
        scalings: &[Scaling],
        outside: T,
    ) -> Result<Tensor, OpError> {
        let mut shape = shape.to_vec();
        for (axis, s) in scalings.iter().enumerate() {
            if self.keeps(s) {
                continue;
            }
            let (length, inner) = (s.input, shape[axis + 1..].iter().product::<usize>());
            shape[axis] = s.output;
            let mut next = Vec::with_capacity(volume(&shape, T::TYPE.size())?);
            let taps = self.rule.taps(s);
            for block in values.chunks_exact(length * inner) {
                for tap in &taps {
                    match tap {
                        Some(t) => next.extend_from_slice(&block[t[0].0 * inner..][..inner]),
                        None => next.resize(next.len() + inner, outside),
                    }
                }
            }
            values = next;
        }
        Tensor::new(&shape, values)
    }

    /// Weighted sums, in `f32` or `f64`.
    fn weigh(&self, x: &Tensor, shape: &[usize], scalings: &[Scaling]) -> Result<(Sums, Vec<usize>), OpError> {
        let mut shape = shape.to_vec();
        let mut values = match x.elements() {
            Elements::F64(v) => Sums::Double(v.clone()),
            Elements::F32(v) => Sums::Single(v.clone()),
            Elements::F16(v) => Sums::Single(v.iter().map(|x| x.to_f32()).collect()),
            Elements::I8(v) => Sums::Double(v.iter().map(|x| f64::from(*x)).collect()),
            Elements::U8(v) => Sums::Double(v.iter().map(|x| f64::from(*x)).collect()),
            Elements::I32(v) => Sums::Double(v.iter().map(|x| f64::from(*x)).collect()),
            other => unsupported!("{} is resized by the nearest element only", other.element_type()),
        };
        // The last axis first: fewer elements are left for the others when the image shrinks.
        for (axis, s) in scalings.iter().enumerate().rev() {
            if self.keeps(s) {
                continue;
            }
            let inner = shape[axis + 1..].iter().product::<usize>();
            shape[axis] = s.output;
            let len = volume(&shape, 8)?;
            let taps = self.rule.taps(s);
            values = match values {
                Sums::Single(v) => Sums::Single(apply(&v, s.input, inner, &taps, self.extrapolation, len)),
                Sums::Double(v) => Sums::Double(apply(&v, s.input, inner, &taps, f64::from(self.extrapolation), len)),
            };
            if let (true, Sums::Double(v)) = (self.rule.antialias, &mut values) {
                round(x.element_type(), v);
            }
        }
        Ok((values, shape))
    }

    fn keeps(&self, s: &Scaling) -> bool {
        // Like onnxruntime, which then does not even crop.
        s.input == s.output && (s.scale == 1.0 || self.rule.antialias)
    }
}

fn by_scales(all: &mut [Scaling], axes: &[usize], scales: &[f32]) -> Result<(), OpError> {
    if scales.len() != axes.len() {
        bad!("{} scales for {} axes", scales.len(), axes.len());
    }
    for (axis, scale) in axes.iter().zip(scales) {
        let scaling = &mut all[*axis];
        let output = scale * scaling.input as f32;
        if !(*scale > 0.0 && output < 2_147_483_648.0) {
            bad!("a scale that is not positive, or too large");
        }
        scaling.scale = *scale;
        scaling.output = output as usize;
    }
    Ok(())
}

/// Values between two axes.
enum Sums {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

fn apply<T: real::Real>(values: &[T], length: usize, inner: usize, taps: &[Taps], outside: T, len: usize) -> Vec<T> {
    let mut out = vec![T::ZERO; len];
    let targets = out.chunks_exact_mut(taps.len() * inner);
    for (block, target) in values.chunks_exact(length * inner).zip(targets) {
        for (taps, target) in taps.iter().zip(target.chunks_exact_mut(inner)) {
            let Some(taps) = taps else {
                target.fill(outside);
                continue;
            };
            for (i, weight) in taps {
                let weight = T::from_f64(f64::from(*weight));
                for (t, v) in target.iter_mut().zip(&block[i * inner..][..inner]) {
                    *t += weight * *v;
                }
            }
        }
    }
    out
}

/// Between the axes, 8-bit images that are smoothed are images again, as in onnxruntime.
fn round(element: ElementType, values: &mut [f64]) {
    let (least, most) = match element {
        ElementType::I8 => (-128.0, 127.0),
        ElementType::U8 => (0.0, 255.0),
        _ => return,
    };
    values.iter_mut().for_each(|v| *v = v.round().clamp(least, most));
}

/// Back to the type of the input; whole numbers are cut off, as in onnxruntime.
fn restore(element: ElementType, shape: &[usize], values: Sums) -> Result<Tensor, OpError> {
    use ElementType::*;
    match (element, values) {
        (F16, Sums::Single(v)) => real::narrowed(shape, &v),
        // By way of float: 7 may have become 6.999999999.
        (I8, Sums::Double(v)) => Tensor::new(shape, v.iter().map(|x| *x as f32 as i8).collect::<Vec<_>>()),
        (U8, Sums::Double(v)) => Tensor::new(shape, v.iter().map(|x| *x as f32 as u8).collect::<Vec<_>>()),
        (I32, Sums::Double(v)) => Tensor::new(shape, v.iter().map(|x| *x as i32).collect::<Vec<_>>()),
        (_, Sums::Single(v)) => Tensor::new(shape, v),
        (_, Sums::Double(v)) => Tensor::new(shape, v),
    }
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>, OpError> {
    match tensor.elements() {
        Elements::F32(v) => Ok(v.clone()),
        Elements::F64(v) => Ok(v.iter().map(|x| *x as f32).collect()),
        Elements::F16(v) => Ok(v.iter().map(|x| x.to_f32()).collect()),
        other => bad!("expected floats, found {}", other.element_type()),
    }
}

fn mode(name: &str, nearest: Nearest, a: f32) -> Result<Mode, OpError> {
    Ok(match name {
        "nearest" => Mode::Nearest(nearest),
        "linear" | "bilinear" | "trilinear" => Mode::Linear,
        "cubic" => Mode::Cubic(a),
        _ => bad!("mode `{name}` is not known"),
    })
}

fn resize(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    if build.version() < 11 {
        return upsample(build);
    }
    let attributes = &build.node.attributes;
    let nearest = Nearest::read(attributes.text_or("nearest_mode", "round_prefer_floor")?)?;
    let a = attributes.float_or("cubic_coeff_a", -0.75)?;
    let rule = Rule {
        mode: mode(attributes.text_or("mode", "nearest")?, nearest, a)?,
        coordinates: Coordinates::read(attributes.text_or("coordinate_transformation_mode", "half_pixel")?)?,
        antialias: attributes.flag("antialias", false)?,
        exclude_outside: attributes.flag("exclude_outside", false)?,
    };
    let policy = match attributes.text_or("keep_aspect_ratio_policy", "stretch")? {
        "stretch" => Policy::Stretch,
        "not_larger" => Policy::NotLarger,
        "not_smaller" => Policy::NotSmaller,
        other => bad!("keep_aspect_ratio_policy `{other}` is not known"),
    };
    Ok(Box::new(Resize {
        rule,
        policy,
        axes: attributes.ints("axes")?.map(<[i64]>::to_vec),
        extrapolation: attributes.float_or("extrapolation_value", 0.0)?,
        roi: Some(1),
        scales: Some(2),
        sizes: Some(3),
        fixed: None,
    }))
}

/// Upsample, and Resize 10, which is the same.
fn upsample(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let rule = Rule {
        mode: mode(attributes.text_or("mode", "nearest")?, Nearest::Simple, -0.75)?,
        coordinates: Coordinates::Asymmetric,
        antialias: false,
        exclude_outside: false,
    };
    Ok(Box::new(Resize {
        rule,
        policy: Policy::Stretch,
        axes: None,
        extrapolation: 0.0,
        roi: None,
        scales: Some(1),
        sizes: None,
        fixed: attributes.floats("scales")?.map(<[f32]>::to_vec),
    }))
}
