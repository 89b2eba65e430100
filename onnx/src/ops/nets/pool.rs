//! Pools over windows, row by row of the output: AveragePool, LpPool, and what MaxPool shares with them.

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::real::Real;
use crate::ops::nets::real::by_float;
use crate::ops::nets::window::Axis;
use crate::ops::nets::window::Window;
use crate::ops::nets::window::three;
use crate::registry::Operator;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::own("AveragePool", average).note("at most three spatial axes"),
    Operator::own("LpPool", lp).note("at most three spatial axes"),
];

/// Sizes of one run of a pool.
#[derive(Debug)]
pub struct Plan {
    /// Images times channels.
    pub channels: usize,
    pub axes: [Axis; 3],
    pub shape: Shape,
}

impl Plan {
    /// # Errors
    /// If the input and the attributes do not fit, or the output is too large.
    pub fn new(window: &Window, x: &[usize], size: usize) -> Result<Plan, OpError> {
        let Some(kernel) = &window.kernel else { return Err(missing("kernel_shape")) };
        if x.len() < 3 {
            bad!("an input of {} axes", x.len());
        }
        let axes = window.place(&x[2..], kernel)?;
        let mut shape = Shape::from_slice(&x[..2]);
        shape.extend(axes.iter().map(|a| a.output));
        volume(&shape, size)?;
        Ok(Plan { channels: x[0].saturating_mul(x[1]), axes: three(&axes), shape })
    }

    /// Elements of one channel, coming in.
    pub fn input(&self) -> usize {
        self.axes.iter().map(|a| a.input).product()
    }

    /// Folds every window: starts with `first`, calls `step(value so far, element)`, then `end(row, positions)` for
    /// every row of the output with its two outer positions.
    pub fn fold<T: Copy, A: Copy>(
        &self,
        x: &[T],
        first: A,
        step: impl Fn(A, T) -> A,
        mut end: impl FnMut(&mut [A], usize, usize),
    ) -> Vec<A> {
        let [deep, high, wide] = &self.axes;
        let mut out = vec![first; self.shape.iter().product()];
        if out.is_empty() || x.is_empty() {
            return out;
        }
        let rows = deep.output * high.output;
        for (i, row) in out.chunks_exact_mut(wide.output).enumerate() {
            let channel = &x[i / rows * self.input()..][..self.input()];
            let (od, oh) = (i % rows / high.output, i % high.output);
            let (d, h) = (deep.taps(od), high.taps(oh));
            for id in (d.0..d.1).filter_map(|k| deep.at(od, k)) {
                for ih in (h.0..h.1).filter_map(|k| high.at(oh, k)) {
                    let source = &channel[(id * high.input + ih) * wide.input..][..wide.input];
                    fold_row(wide, source, row, &step);
                }
            }
            end(row, od, oh);
        }
        out
    }
}

fn fold_row<T: Copy, A: Copy>(wide: &Axis, source: &[T], row: &mut [A], step: &impl Fn(A, T) -> A) {
    // Taps that never leave the padding are not visited: a kernel may be much longer than the row.
    for tap in wide.taps(wide.output - 1).0..wide.taps(0).1 {
        let (from, to) = wide.inside(tap);
        if from == to {
            continue;
        }
        let first = wide.first(from, tap);
        let row = &mut row[from..to];
        match wide.stride {
            1 => row.iter_mut().zip(&source[first..]).for_each(|(v, s)| *v = step(*v, *s)),
            stride => row.iter_mut().zip(source[first..].iter().step_by(stride)).for_each(|(v, s)| *v = step(*v, *s)),
        }
    }
}

#[derive(Debug)]
struct AveragePool {
    window: Window,
    include_pads: bool,
}

impl Kernel for AveragePool {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.pool::<f32>(i), |i| self.pool::<f64>(i))
    }
}

impl AveragePool {
    fn pool<T: Real>(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        let plan = Plan::new(&self.window, x.shape(), size_of::<T>())?;
        let out = averages(&plan, x.slice::<T>()?, self.include_pads);
        Ok(one(Tensor::new(&plan.shape, out)?))
    }
}

/// The mean of every window; with `include_pads` the padding counts as zeros, but never what lies behind it.
pub fn averages<T: Real>(plan: &Plan, x: &[T], include_pads: bool) -> Vec<T> {
    let [deep, high, wide] = &plan.axes;
    let counts = |axis: &Axis| -> Vec<usize> {
        (0..axis.output).map(|o| if include_pads { padded(axis, o) } else { axis.taps(o).1 - axis.taps(o).0 }).collect()
    };
    let (ds, hs, ws) = (counts(deep), counts(high), counts(wide));
    plan.fold(
        x,
        T::ZERO,
        |v, s| v + s,
        |row, od, oh| {
            for (v, count) in row.iter_mut().zip(&ws) {
                let count = ds[od] * hs[oh] * count;
                if count > 0 {
                    *v /= T::from_usize(count);
                }
            }
        },
    )
}

/// Taps of the window `o` inside the input and its padding.
fn padded(axis: &Axis, o: usize) -> usize {
    let room = axis.before + axis.input as isize + axis.after - (o * axis.stride) as isize;
    (room.max(0) as usize).div_ceil(axis.dilation).min(axis.kernel)
}

fn average(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let include_pads = attributes.flag("count_include_pad", false)?;
    Ok(Box::new(AveragePool { window: Window::of_pool(attributes)?, include_pads }))
}

#[derive(Debug)]
struct LpPool {
    window: Window,
    p: i64,
}

impl Kernel for LpPool {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.pool::<f32>(i), |i| self.pool::<f64>(i))
    }
}

impl LpPool {
    fn pool<T: Real>(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        let plan = Plan::new(&self.window, x.shape(), size_of::<T>())?;
        let xs = x.slice::<T>()?;
        let out = match self.p {
            1 => plan.fold(xs, T::ZERO, |v, s| v + s.abs(), |_, _, _| {}),
            2 => plan.fold(xs, T::ZERO, |v, s| v + s * s, |row, _, _| row.iter_mut().for_each(|v| *v = v.sqrt())),
            p => {
                let p = T::from_f64(p as f64);
                let root = move |v: &mut T| *v = v.powf(T::ONE / p);
                plan.fold(xs, T::ZERO, |v, s| v + s.abs().powf(p), |row, _, _| row.iter_mut().for_each(root))
            }
        };
        Ok(one(Tensor::new(&plan.shape, out)?))
    }
}

fn lp(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    // Version 1 had a float.
    let p = match attributes.int("p") {
        Ok(p) => p.unwrap_or(2),
        Err(_) => attributes.float_or("p", 2.0)? as i64,
    };
    if p < 1 {
        bad!("p is {p}");
    }
    Ok(Box::new(LpPool { window: Window::of_pool(attributes)?, p }))
}
