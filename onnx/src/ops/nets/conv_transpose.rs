//! ConvTranspose: every element of the input spreads its filter over the output.

use std::sync::Arc;

use crate::bad;
use crate::dense::plain;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::conv::groups;
use crate::ops::nets::real;
use crate::ops::nets::real::Real;
use crate::ops::nets::real::by_float;
use crate::ops::nets::window::Axis;
use crate::ops::nets::window::Padding;
use crate::ops::nets::window::Window;
use crate::ops::nets::window::three;
use crate::registry::Operator;
use crate::tensor::Elements;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::unsupported;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::heavy("ConvTranspose", transpose).note("at most three spatial axes")];

/// Bytes of spread filters that are computed at a time.
const TILE_BYTES: usize = 256 << 10;

#[derive(Debug)]
struct ConvTranspose {
    window: Window,
    groups: usize,
    output_padding: Option<Vec<usize>>,
    output_shape: Option<Vec<usize>>,
    /// Constant weights, transposed by group.
    packed: Option<Vec<f32>>,
}

/// Sizes of one run. The axes are those of the convolution that this one undoes: its windows lie over *our output*.
struct Plan {
    groups: usize,
    channels: usize,
    filters: usize,
    axes: [Axis; 3],
    shape: Shape,
}

impl Kernel for ConvTranspose {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.spread::<f32>(i, self.packed.as_deref()), |i| self.spread::<f64>(i, None))
    }

    fn bytes(&self) -> usize {
        self.packed.as_ref().map_or(0, |w| size_of_val(w.as_slice()))
    }
}

impl ConvTranspose {
    fn plan(&self, x: &[usize], w: &[usize]) -> Result<Plan, OpError> {
        let rank = x.len().saturating_sub(2);
        if rank == 0 || w.len() != x.len() {
            bad!("an input of {} axes and weights of {}", x.len(), w.len());
        }
        if rank > 3 {
            unsupported!("{rank} spatial axes");
        }
        if x[1] != w[0] || !x[1].is_multiple_of(self.groups) {
            bad!("{} channels and weights for {} in {} groups", x[1], w[0], self.groups);
        }
        let axes = (0..rank).map(|i| self.axis(rank, i, x[i + 2], w[i + 2])).collect::<Result<Vec<_>, _>>()?;
        let Some(filters) = w[1].checked_mul(self.groups) else { bad!("{} filters", w[1]) };
        let mut shape = Shape::from_slice(&[x[0], filters]);
        shape.extend(axes.iter().map(|a| a.input));
        let channels = x[1] / self.groups;
        Ok(Plan { groups: self.groups, channels, filters: w[1], axes: three(&axes), shape })
    }

    fn axis(&self, rank: usize, i: usize, input: usize, kernel: usize) -> Result<Axis, OpError> {
        let window = &self.window;
        if kernel == 0 || kernel > 1 << 30 || window.kernel.as_ref().is_some_and(|k| k.get(i) != Some(&kernel)) {
            bad!("a kernel's side of {kernel}");
        }
        let stride = Window::side(&window.strides, rank, i, 1)?;
        let dilation = Window::side(&window.dilations, rank, i, 1)?;
        let extra = Window::side(&self.output_padding, rank, i, 0)?;
        let whole = (input.max(1) - 1).saturating_mul(stride).saturating_add(extra + (kernel - 1) * dilation + 1);
        let wanted = match (&self.output_shape, window.padding) {
            (Some(_), _) => Some(Window::side(&self.output_shape, rank, i, 0)?),
            (None, Padding::SameLower | Padding::SameUpper) => Some(whole.min(input.saturating_mul(stride))),
            (None, _) => None,
        };
        let (before, output) = match wanted {
            Some(output) => {
                let total = whole.saturating_sub(output);
                let less = total / 2;
                (if window.padding == Padding::SameUpper { less } else { total - less }, output)
            }
            None => {
                let (before, after) = if window.padding == Padding::Valid { (0, 0) } else { window.given(rank, i)? };
                match whole.checked_sub(before + after) {
                    Some(output) => (before, output),
                    None => bad!("more padding than elements"),
                }
            }
        };
        Ok(Axis { input: output, output: input, kernel, stride, dilation, before: before as isize, after: 0 })
    }

    fn spread<T: Real>(&self, inputs: &Inputs<'_>, packed: Option<&[T]>) -> Result<Values, OpError> {
        let (x, w) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let plan = self.plan(x.shape(), w.shape())?;
        let mut out = vec![T::ZERO; volume(&plan.shape, T::TYPE.size())?];
        let size: usize = if out.is_empty() { 0 } else { plan.shape[2..].iter().product() };
        let (xs, ws) = (x.slice::<T>()?, w.slice::<T>()?);
        if !out.is_empty() && !xs.is_empty() && !ws.is_empty() {
            match packed {
                Some(weights) => plan.run(xs, weights, &mut out),
                None => plan.run(xs, &pack(ws, plan.groups, plan.channels), &mut out),
            }
        }
        if let Some(bias) = inputs.optional(2)? {
            let bias = bias.slice::<T>()?;
            if bias.len() != plan.shape[1] {
                bad!("{} biases for {} filters", bias.len(), plan.shape[1]);
            }
            for (channel, b) in out.chunks_exact_mut(size.max(1)).zip(bias.iter().cycle()) {
                channel.iter_mut().for_each(|v| *v += *b);
            }
        }
        Ok(one(Tensor::new(&plan.shape, out)?))
    }
}

impl Plan {
    fn run<T: Real>(&self, x: &[T], weights: &[T], out: &mut [T]) {
        let input: usize = self.axes.iter().map(|a| a.output).product();
        let output: usize = self.axes.iter().map(|a| a.input).product();
        let rows = weights.len() / self.groups / self.channels;
        let tile = (TILE_BYTES / size_of::<T>() / rows).clamp(1, input);
        let (mut columns, mut spread) = (vec![], vec![]);
        let groups = x.chunks_exact(self.channels * input).zip(out.chunks_exact_mut(self.filters * output));
        for (i, (image, result)) in groups.enumerate() {
            let weights = &weights[i % self.groups * rows * self.channels..][..rows * self.channels];
            for from in (0..input).step_by(tile) {
                let to = (from + tile).min(input);
                columns.clear();
                for channel in image.chunks_exact(input) {
                    columns.extend_from_slice(&channel[from..to]);
                }
                spread.clear();
                spread.resize(rows * (to - from), T::ZERO);
                T::multiply(weights, &columns, (self.channels, to - from), &mut spread);
                self.scatter(&spread, from, to, output, result);
            }
        }
    }

    /// Adds the rows of `spread`, one a filter and tap, to where they belong.
    fn scatter<T: Real>(&self, spread: &[T], from: usize, to: usize, output: usize, result: &mut [T]) {
        let [deep, high, wide] = &self.axes;
        let taps = deep.kernel * high.kernel * wide.kernel;
        for (r, row) in spread.chunks_exact(to - from).enumerate() {
            let channel = &mut result[r / taps * output..][..output];
            let tap = r % taps;
            let (kd, kh, kw) = (tap / wide.kernel / high.kernel, tap / wide.kernel % high.kernel, tap % wide.kernel);
            let inside = wide.inside(kw);
            let mut at = from;
            while at < to {
                let (line, x) = (at / wide.output, at % wide.output);
                let end = (at - x + wide.output).min(to);
                let (first, last) = (inside.0.clamp(x, x + end - at), inside.1.clamp(x, x + end - at));
                if let (Some(z), Some(y)) = (deep.at(line / high.output, kd), high.at(line % high.output, kh))
                    && first < last
                {
                    let target = &mut channel[(z * high.input + y) * wide.input..][..wide.input];
                    let start = wide.first(first, kw);
                    let source = &row[at - from + first - x..at - from + last - x];
                    target[start..].iter_mut().step_by(wide.stride).zip(source).for_each(|(t, s)| *t += *s);
                }
                at = end;
            }
        }
    }
}

/// Weights with the channels that come in last.
fn pack<T: Real>(weights: &[T], groups: usize, channels: usize) -> Vec<T> {
    let size = weights.len() / groups;
    weights.chunks_exact(size).flat_map(|w| plain::transposed(w, channels, size / channels)).collect()
}

fn transpose(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let sides = |name: &str| -> Result<Option<Vec<usize>>, OpError> {
        let Some(values) = attributes.ints(name)? else { return Ok(None) };
        match values.iter().all(|v| (0..=1 << 30).contains(v)) {
            true => Ok(Some(values.iter().map(|v| *v as usize).collect())),
            false => bad!("attribute `{name}` is out of bounds"),
        }
    };
    let groups = groups(build)?;
    let mut output_shape = sides("output_shape")?;
    if let (Some(shape), Some(kernel)) = (&mut output_shape, build.constant(1).map(|w| w.rank().saturating_sub(2)))
        && shape.len() == kernel + 2
    {
        // Some exporters write the batch and the channels, too.
        shape.drain(..2);
    }
    let packed = build.constant(1).and_then(|w| prepare(w, groups));
    let output_padding = sides("output_padding")?;
    Ok(Box::new(ConvTranspose { window: Window::read(attributes)?, groups, output_padding, output_shape, packed }))
}

/// Packs constant weights; those that break the specification are left to the first run, which says so.
fn prepare(weights: &Arc<Tensor>, groups: usize) -> Option<Vec<f32>> {
    let wide = real::widened(weights);
    let weights = wide.as_ref().unwrap_or(weights);
    let Elements::F32(values) = weights.elements() else { return None };
    let channels = *weights.shape().first()?;
    let fits = weights.rank() >= 3 && channels.is_multiple_of(groups) && !values.is_empty();
    fits.then(|| pack(values, groups, channels / groups))
}
