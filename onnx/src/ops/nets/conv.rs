//! Convolutions: patches of the input as the columns of a matrix, the weights as the other one; depthwise ones directly.

use std::sync::Arc;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::activation::Activation;
use crate::ops::nets::patches::Patches;
use crate::ops::nets::product;
use crate::ops::nets::product::Left;
use crate::ops::nets::product::Right;
use crate::ops::nets::real;
use crate::ops::nets::real::Real;
use crate::ops::nets::real::by_float;
use crate::ops::nets::window::Axis;
use crate::ops::nets::window::Window;
use crate::ops::nets::window::three;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Elements;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::heavy("Conv", conv).note("at most three spatial axes"),
    Operator::own("FusedConv", fused).of(MICROSOFT).note("at most three spatial axes"),
];

/// Bytes of patches that are multiplied at a time: they stay in the second-level cache.
const TILE_BYTES: usize = 192 << 10;

#[derive(Debug)]
struct Conv {
    window: Window,
    groups: usize,
    /// Constant weights, packed by group; `None` if they are no constant or the convolution is depthwise.
    packed: Option<Vec<Left<f32>>>,
    activation: Option<Activation>,
}

/// Sizes of one convolution.
pub struct Plan {
    pub batch: usize,
    pub groups: usize,
    /// Channels of a group, coming in and going out.
    pub channels: usize,
    pub filters: usize,
    pub axes: [Axis; 3],
    /// Shape of the output.
    pub shape: Shape,
}

impl Plan {
    /// # Errors
    /// If input, weights and attributes do not fit each other.
    pub fn new(window: &Window, groups: usize, x: &[usize], w: &[usize]) -> Result<Plan, OpError> {
        if x.len() < 3 || w.len() != x.len() {
            bad!("an input of {} axes and weights of {}", x.len(), w.len());
        }
        if Some(x[1]) != w[1].checked_mul(groups) || w[0] % groups != 0 {
            bad!("{} channels and weights of {} to {} in {groups} groups", x[1], w[1], w[0]);
        }
        let axes = window.place(&x[2..], &w[2..])?;
        let mut shape = Shape::from_slice(&[x[0], w[0]]);
        shape.extend(axes.iter().map(|a| a.output));
        Ok(Plan { batch: x[0], groups, channels: w[1], filters: w[0] / groups, axes: three(&axes), shape })
    }

    /// Elements of one channel, coming in.
    pub fn input(&self) -> usize {
        self.axes.iter().map(|a| a.input).product()
    }

    /// Elements of one channel, going out.
    pub fn output(&self) -> usize {
        self.axes.iter().map(|a| a.output).product()
    }

    /// Elements of one channel of a filter.
    pub fn taps(&self) -> usize {
        self.axes.iter().map(|a| a.kernel).product()
    }

    fn depthwise(&self) -> bool {
        self.channels == 1 && self.filters <= 2
    }
}

impl Kernel for Conv {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.convolve::<f32>(i, self.packed.as_deref()), |i| self.convolve::<f64>(i, None))
    }

    fn bytes(&self) -> usize {
        self.packed.iter().flatten().map(Left::bytes).sum()
    }
}

impl Conv {
    fn convolve<T: Real>(&self, inputs: &mut Inputs<'_>, packed: Option<&[Left<T>]>) -> Result<Values, OpError> {
        let (x, w) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let plan = Plan::new(&self.window, self.groups, x.shape(), w.shape())?;
        let (xs, ws) = (inputs.slice::<T>(0)?, inputs.slice::<T>(1)?);
        let len = volume(&plan.shape, T::TYPE.size())?;
        if len == 0 {
            return Ok(one(Tensor::new::<T>(&plan.shape, vec![])?));
        }
        let mut out = start(inputs, &plan, len)?;
        if xs.is_empty() || ws.is_empty() {
            // Nothing but padding to look at.
        } else if plan.depthwise() {
            depthwise(&plan, xs, ws, &mut out);
        } else {
            let fresh;
            let lefts = match packed {
                Some(lefts) => lefts,
                None => {
                    fresh = pack(ws, plan.groups, plan.filters, plan.channels * plan.taps());
                    &fresh
                }
            };
            multiply(&plan, xs, lefts, &mut out);
        }
        if let Some(activation) = self.activation {
            activation.apply(&mut out);
        }
        Ok(one(Tensor::new(&plan.shape, out)?))
    }
}

/// The output before any product: the bias and what is to be added, or 0.
fn start<T: Real>(inputs: &Inputs<'_>, plan: &Plan, len: usize) -> Result<Vec<T>, OpError> {
    let mut out = match inputs.optional(3)? {
        Some(sum) if sum.shape() == &plan.shape[..] => sum.slice::<T>()?.to_vec(),
        Some(sum) => bad!("{} to add to an output of {}", sum.len(), len),
        None => vec![T::ZERO; len],
    };
    if let Some(bias) = inputs.optional(2)? {
        let bias = bias.slice::<T>()?;
        if bias.len() != plan.groups * plan.filters {
            bad!("{} biases for {} filters", bias.len(), plan.groups * plan.filters);
        }
        for (channel, b) in out.chunks_exact_mut(plan.output().max(1)).zip(bias.iter().cycle()) {
            channel.iter_mut().for_each(|v| *v += *b);
        }
    }
    Ok(out)
}

fn pack<T: Real>(weights: &[T], groups: usize, filters: usize, k: usize) -> Vec<Left<T>> {
    if filters * k == 0 {
        return vec![];
    }
    weights.chunks_exact(filters * k).take(groups).map(|w| Left::pack(w, filters, k)).collect()
}

fn multiply<T: Real>(plan: &Plan, x: &[T], lefts: &[Left<T>], out: &mut [T]) {
    let (input, output) = (plan.channels * plan.input(), plan.output());
    let k = plan.channels * plan.taps();
    let tile = (TILE_BYTES / size_of::<T>() / k).max(1).next_multiple_of(product::COLUMNS);
    let mut right = Right::empty();
    let groups = x.chunks_exact(input).zip(out.chunks_exact_mut(plan.filters * output));
    for (i, (image, result)) in groups.enumerate().take(plan.batch * plan.groups) {
        let left = &lefts[i % plan.groups];
        for from in (0..output).step_by(tile) {
            let to = (from + tile).min(output);
            right.reset(k, to - from);
            let patches = Patches { axes: &plan.axes, channels: plan.channels, padding: T::ZERO };
            patches.fill(image, from, to, |row, line| right.set_row(row, line));
            product::multiply(left, &right, &mut result[from..], output);
        }
    }
}

/// One channel a group: every tap of the filter adds a shifted, scaled piece of the channel's rows.
fn depthwise<T: Real>(plan: &Plan, x: &[T], w: &[T], out: &mut [T]) {
    let [deep, high, wide] = plan.axes;
    let (input, output, taps) = (plan.input(), plan.output(), plan.taps());
    let filters = plan.groups * plan.filters;
    for (i, result) in out.chunks_exact_mut(output).enumerate() {
        let channel = &x[i / plan.filters * input..][..input];
        let filter = &w[i % filters * taps..][..taps];
        for (row, line) in result.chunks_exact_mut(wide.output).enumerate() {
            let (od, oh) = (row / high.output, row % high.output);
            for (tap, weight) in filter.iter().enumerate() {
                let (kd, kh, kw) =
                    (tap / wide.kernel / high.kernel, tap / wide.kernel % high.kernel, tap % wide.kernel);
                let (Some(id), Some(ih)) = (deep.at(od, kd), high.at(oh, kh)) else { continue };
                let source = &channel[(id * high.input + ih) * wide.input..][..wide.input];
                add_scaled(&wide, kw, source, *weight, line);
            }
        }
    }
}

fn add_scaled<T: Real>(wide: &Axis, tap: usize, source: &[T], weight: T, line: &mut [T]) {
    let (from, to) = wide.inside(tap);
    if from == to {
        return;
    }
    let first = from * wide.stride + tap * wide.dilation - wide.before;
    if wide.stride == 1 {
        for (v, s) in line[from..to].iter_mut().zip(&source[first..]) {
            *v += weight * *s;
        }
    } else {
        for (v, s) in line[from..to].iter_mut().zip(source[first..].iter().step_by(wide.stride)) {
            *v += weight * *s;
        }
    }
}

/// The attribute `group`.
///
/// # Errors
/// If it is not positive.
pub fn groups(build: &Build<'_>) -> Result<usize, OpError> {
    match build.node.attributes.int_or("group", 1)? {
        groups @ 1.. => Ok(groups as usize),
        groups => bad!("{groups} groups"),
    }
}

fn conv(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(make(build, None)?))
}

fn fused(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let activation = match attributes.text_or("activation", "")? {
        "" => None,
        name => {
            let parameters = attributes.floats("activation_params")?.unwrap_or(&[]);
            let betas = parameters.get(1..).unwrap_or(&[]);
            Some(Activation::read(name, &mut &*parameters, &mut &*betas)?)
        }
    };
    Ok(Box::new(make(build, activation)?))
}

fn make(build: &Build<'_>, activation: Option<Activation>) -> Result<Conv, OpError> {
    let groups = groups(build)?;
    let packed = build.constant(1).and_then(|w| prepare(w, groups));
    Ok(Conv { window: Window::read(&build.node.attributes)?, groups, packed, activation })
}

/// Packs constant weights; those that break the specification are left to the first run, which says so.
fn prepare(weights: &Arc<Tensor>, groups: usize) -> Option<Vec<Left<f32>>> {
    let wide = real::widened(weights);
    let weights = wide.as_ref().unwrap_or(weights);
    let Elements::F32(values) = weights.elements() else { return None };
    let (filters, k) = (weights.shape().first()? / groups, weights.shape()[1..].iter().product());
    let fits = weights.rank() >= 3 && weights.shape()[0] % groups == 0 && filters * k > 0;
    (fits && (weights.shape()[1] > 1 || filters > 2)).then(|| pack(values, groups, filters, k))
}
