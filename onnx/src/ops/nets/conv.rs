//! Convolutions: patches of the input as the columns of a matrix, the weights as the other one; depthwise ones directly.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::activation::Activation;
use crate::ops::nets::patches::Patches;
use crate::ops::nets::product::Scalar;
use crate::ops::nets::real::Real;
use crate::ops::nets::real::by_float;
use crate::ops::nets::window::Axis;
use crate::ops::nets::window::Window;
use crate::ops::nets::window::three;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
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
/// Patches that are multiplied at a time are a multiple of this, so that no panel of a product is half empty.
const COLUMNS: usize = 32;

#[derive(Debug)]
struct Conv {
    window: Window,
    groups: usize,
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
        if Some(x[1]) != w[1].checked_mul(groups) || !w[0].is_multiple_of(groups) {
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

    /// Every window is one element, and every element has one: the input is what the windows see.
    fn pointwise(&self) -> bool {
        let plain = |a: &Axis| a.kernel == 1 && a.stride == 1 && a.input == a.output && a.before == 0;
        self.axes.iter().all(plain)
    }

    /// One channel and one filter a group.
    pub fn is_depthwise(&self) -> bool {
        self.channels == 1 && self.filters == 1 && self.groups > 1
    }

    fn depthwise(&self) -> bool {
        self.channels == 1 && self.filters <= 2
    }
}

impl Kernel for Conv {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.convolve::<f32>(i), |i| self.convolve::<f64>(i))
    }
}

impl Conv {
    fn convolve<T: Real>(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
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
            multiply(&plan, xs, ws, T::ZERO, &mut out);
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

/// Adds the products of all groups to `out`; `padding` lies around the images.
pub fn multiply<T: Scalar>(plan: &Plan, x: &[T], w: &[T], padding: T, out: &mut [T]) {
    let (input, output) = (plan.channels * plan.input(), plan.output());
    let k = plan.channels * plan.taps();
    let patches = Patches { axes: &plan.axes, channels: plan.channels, padding };
    let tile = (TILE_BYTES / size_of::<T>() / k).max(COLUMNS).next_multiple_of(COLUMNS).min(output);
    let (mut columns, mut sums) = (vec![], vec![]);
    let groups = x.chunks_exact(input).zip(out.chunks_exact_mut(plan.filters * output));
    for (i, (image, result)) in groups.enumerate() {
        let weights = &w[i % plan.groups * plan.filters * k..][..plan.filters * k];
        if plan.pointwise() {
            T::multiply(weights, image, (k, output), result);
            continue;
        }
        for from in (0..output).step_by(tile) {
            let to = (from + tile).min(output);
            columns.resize(k * (to - from), padding);
            patches.fill(image, from, to, &mut columns);
            if to - from == output {
                T::multiply(weights, &columns, (k, output), result);
                continue;
            }
            sums.clear();
            for row in result.chunks_exact(output) {
                sums.extend_from_slice(&row[from..to]);
            }
            T::multiply(weights, &columns, (k, to - from), &mut sums);
            for (row, sums) in result.chunks_exact_mut(output).zip(sums.chunks_exact(to - from)) {
                row[from..to].copy_from_slice(sums);
            }
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
    let first = wide.first(from, tap);
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
    Ok(Conv { window: Window::read(&build.node.attributes)?, groups, activation })
}
