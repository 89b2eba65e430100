//! Pools of Microsoft's domain for 8-bit images: QLinearAveragePool, QLinearGlobalAveragePool, NhwcMaxPool.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::pool::Plan;
use crate::ops::nets::pool::averages;
use crate::ops::nets::window::Window;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::own("NhwcMaxPool", nhwc_max).of(MICROSOFT),
    Operator::own("QLinearAveragePool", average).of(MICROSOFT),
    Operator::own("QLinearGlobalAveragePool", global).of(MICROSOFT),
];

/// `[n, ..., c]` to `[n, c, ...]`, or back.
fn channels<T: Copy>(values: &[T], batch: usize, rows: usize, columns: usize) -> Vec<T> {
    let mut out = Vec::with_capacity(values.len());
    for b in 0..batch {
        let item = &values[b * rows * columns..][..rows * columns];
        for j in 0..columns {
            out.extend((0..rows).map(|i| item[i * columns + j]));
        }
    }
    out
}

/// The shape with the channels second, and the number of positions.
fn first(shape: &[usize], last: bool) -> Result<(Vec<usize>, usize), OpError> {
    if shape.len() < 3 {
        bad!("an input of {} axes", shape.len());
    }
    let mut shape = shape.to_vec();
    if last {
        shape[1..].rotate_right(1);
    }
    let size = shape[2..].iter().product();
    Ok((shape, size))
}

#[derive(Debug)]
struct NhwcMax(Window);

impl Kernel for NhwcMax {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        match inputs.tensor(0)?.elements() {
            Elements::I8(v) => self.pool(inputs, v, i8::MIN),
            Elements::U8(v) => self.pool(inputs, v, u8::MIN),
            other => bad!("expected int8 or uint8, found {}", other.element_type()),
        }
    }
}

impl NhwcMax {
    fn pool<T: Element + Copy + Ord>(&self, inputs: &Inputs<'_>, x: &[T], lowest: T) -> Result<Values, OpError> {
        let (shape, size) = first(inputs.tensor(0)?.shape(), true)?;
        let plan = Plan::new(&self.0, &shape, size_of::<T>())?;
        let x = channels(x, shape[0], size, shape[1]);
        let out = plan.fold(&x, lowest, |v, s| v.max(s), |_, _, _| {});
        let mut shape = plan.shape.clone();
        let size = shape[2..].iter().product();
        let out = channels(&out, shape[0], shape[1], size);
        shape[1..].rotate_left(1);
        Ok(one(Tensor::new(&shape, out)?))
    }
}

fn nhwc_max(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(NhwcMax(Window::of_pool(&build.node.attributes)?)))
}

#[derive(Debug)]
struct Average {
    /// `None` for the whole image.
    window: Option<Window>,
    include_pads: bool,
    channels_last: bool,
}

impl Kernel for Average {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        let (shape, size) = first(x.shape(), self.channels_last)?;
        let scale = |i: usize| -> Result<f32, OpError> {
            inputs.slice::<f32>(i)?.first().copied().ok_or_else(|| OpError::bad(format!("input {i} is empty")))
        };
        let (x_scale, y_scale) = (scale(1)?, scale(3)?);
        let (x_zero, y_zero) = (zero(inputs.optional(2)?)?, zero(inputs.optional(4)?)?);
        let values: Vec<i32> = match x.elements() {
            Elements::I8(v) => v.iter().map(|v| i32::from(*v)).collect(),
            Elements::U8(v) => v.iter().map(|v| i32::from(*v)).collect(),
            other => bad!("expected int8 or uint8, found {}", other.element_type()),
        };
        let values = if self.channels_last { channels(&values, shape[0], size, shape[1]) } else { values };
        let y_zero = y_zero as f32;
        // Means in units of the output's scale, rounded as onnxruntime rounds: of a window with the zero point in them.
        let (means, mut out_shape): (Vec<f32>, Vec<usize>) = match &self.window {
            Some(window) => {
                let plan = Plan::new(window, &shape, 4)?;
                let values: Vec<f32> = values.iter().map(|v| (v - x_zero) as f32 * x_scale).collect();
                let means = averages(&plan, &values, self.include_pads);
                let round = |v: f32| (v / y_scale + y_zero).round_ties_even();
                (means.into_iter().map(round).collect(), plan.shape.to_vec())
            }
            None if size == 0 => bad!("an image without elements"),
            None => {
                let mut out_shape = shape[..2].to_vec();
                out_shape.resize(shape.len(), 1);
                let factor = x_scale / (y_scale * size as f32);
                let sum = |c: &[i32]| c.iter().map(|v| i64::from(v - x_zero)).sum::<i64>() as f32;
                let scaled = |c: &[i32]| (sum(c) * factor).round_ties_even() + y_zero;
                (values.chunks_exact(size).map(scaled).collect(), out_shape)
            }
        };
        let means = if self.channels_last {
            let size = out_shape[2..].iter().product();
            let means = channels(&means, out_shape[0], out_shape[1], size);
            out_shape[1..].rotate_left(1);
            means
        } else {
            means
        };
        let quantized = means.into_iter();
        Ok(one(match x.elements() {
            Elements::I8(_) => Tensor::new(&out_shape, quantized.map(|v| v as i8).collect::<Vec<_>>())?,
            _ => Tensor::new(&out_shape, quantized.map(|v| v as u8).collect::<Vec<_>>())?,
        }))
    }
}

fn zero(tensor: Option<&Tensor>) -> Result<i32, OpError> {
    let Some(tensor) = tensor else { return Ok(0) };
    Ok(i32::try_from(tensor.to_i64()?).unwrap_or(0))
}

fn average(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    Ok(Box::new(Average {
        window: Some(Window::of_pool(attributes)?),
        include_pads: attributes.flag("count_include_pad", false)?,
        channels_last: attributes.flag("channels_last", false)?,
    }))
}

fn global(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let channels_last = build.node.attributes.flag("channels_last", false)?;
    Ok(Box::new(Average { window: None, include_pads: false, channels_last }))
}
