//! Convolutions of 8-bit integers: ConvInteger and QLinearConv, with sums in 32 bits.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::dense::quant::integers;
use crate::ops::dense::saturating;
use crate::ops::nets::conv::Plan;
use crate::ops::nets::conv::groups;
use crate::ops::nets::conv::multiply;
use crate::ops::nets::window::Window;
use crate::registry::Operator;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::unsupported;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::own("ConvInteger", integer).note("at most three spatial axes"),
    Operator::own("QLinearConv", qlinear).note("at most three spatial axes"),
];

#[derive(Debug)]
struct IntegerConv {
    window: Window,
    groups: usize,
    /// With scales around (QLinearConv).
    scaled: bool,
}

impl Kernel for IntegerConv {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (w, x_zero, w_zero) = if self.scaled { (3, 2, 5) } else { (1, 2, 3) };
        let (x, w) = (inputs.tensor(0)?, inputs.tensor(w)?);
        let plan = Plan::new(&self.window, self.groups, x.shape(), w.shape())?;
        let mut sums = vec![0i32; volume(&plan.shape, 4)?];
        if !sums.is_empty() && !x.is_empty() && !w.is_empty() {
            let zeros = [inputs.optional(x_zero)?, inputs.optional(w_zero)?];
            if self.scaled && !plan.is_depthwise() && saturating::saturates(x.element_type(), w.element_type()) {
                let [x_zero, w_zero] = zeros.map(one_zero);
                saturating::convolve(&plan, &integers(x)?, &integers(w)?, [x_zero?, w_zero?], &mut sums);
            } else {
                multiply(&plan, &shifted(x, zeros[0])?, &shifted(w, zeros[1])?, 0, &mut sums);
            }
        }
        if !self.scaled {
            return Ok(one(Tensor::new(&plan.shape, sums)?));
        }
        if let Some(bias) = inputs.optional(8)? {
            let bias = bias.slice::<i32>()?;
            if bias.len() != plan.shape[1] {
                bad!("{} biases for {} filters", bias.len(), plan.shape[1]);
            }
            let size = if sums.is_empty() { 1 } else { plan.output() };
            for (channel, b) in sums.chunks_exact_mut(size).zip(bias.iter().cycle()) {
                channel.iter_mut().for_each(|v| *v = v.wrapping_add(*b));
            }
        }
        requantize(inputs, &plan, &sums)
    }
}

/// The zero point, of which there may be several equal ones; 0 if there is none.
fn one_zero(zero: Option<&Tensor>) -> Result<i16, OpError> {
    let zeros = zero.map_or_else(|| Ok(vec![]), integers)?;
    let first = zeros.first().copied().unwrap_or(0);
    if zeros.iter().any(|z| *z != first) {
        unsupported!("weights with several zero points");
    }
    Ok(first)
}

/// Elements of 8 bits minus their zero point; the zero point is one, or one for every first index.
///
/// # Errors
/// If they are of another type, or the zero points do not fit.
pub fn shifted(tensor: &Tensor, zero: Option<&Tensor>) -> Result<Vec<i32>, OpError> {
    let values = small(tensor)?;
    let Some(zero) = zero else { return Ok(values) };
    let zeros = small(zero)?;
    match zeros.as_slice() {
        [0] => Ok(values),
        [zero] => Ok(values.into_iter().map(|v| v - zero).collect()),
        zeros if Some(&zeros.len()) == tensor.shape().first() && !values.is_empty() => {
            let size = values.len() / zeros.len();
            Ok(values.iter().enumerate().map(|(i, v)| v - zeros[i / size]).collect())
        }
        zeros => bad!("{} zero points", zeros.len()),
    }
}

/// Elements of 8 bits.
fn small(tensor: &Tensor) -> Result<Vec<i32>, OpError> {
    match tensor.elements() {
        Elements::I8(v) => Ok(v.iter().map(|x| i32::from(*x)).collect()),
        Elements::U8(v) => Ok(v.iter().map(|x| i32::from(*x)).collect()),
        other => bad!("expected int8 or uint8, found {}", other.element_type()),
    }
}

/// Sums times `x_scale * w_scale / y_scale`, rounded to even, plus the output's zero point, saturated.
fn requantize(inputs: &Inputs<'_>, plan: &Plan, sums: &[i32]) -> Result<Values, OpError> {
    let scalar = |i: usize| -> Result<f32, OpError> {
        match inputs.slice::<f32>(i)? {
            [scale] => Ok(*scale),
            scales => bad!("input {i} holds {} scales", scales.len()),
        }
    };
    let (x_scale, y_scale, w_scales) = (scalar(1)?, scalar(6)?, inputs.slice::<f32>(4)?);
    if w_scales.len() != 1 && w_scales.len() != plan.shape[1] {
        bad!("{} scales for {} filters", w_scales.len(), plan.shape[1]);
    }
    let factors: Vec<f32> = w_scales.iter().map(|w| x_scale * w / y_scale).collect();
    let size = if sums.is_empty() { 1 } else { plan.output() };
    let scaled = sums.chunks_exact(size).enumerate().flat_map(|(i, channel)| {
        let factor = factors[i % plan.shape[1] % factors.len()];
        channel.iter().map(move |v| (*v as f32 * factor).round_ties_even())
    });
    let zero = inputs.tensor(7)?;
    Ok(one(match zero.elements() {
        Elements::U8(z) if z.len() == 1 => {
            let zero = f32::from(z[0]);
            Tensor::new(&plan.shape, scaled.map(|v| (v + zero) as u8).collect::<Vec<_>>())?
        }
        Elements::I8(z) if z.len() == 1 => {
            let zero = f32::from(z[0]);
            Tensor::new(&plan.shape, scaled.map(|v| (v + zero) as i8).collect::<Vec<_>>())?
        }
        other => bad!("{} zero points of type {}", other.len(), other.element_type()),
    }))
}

fn make(build: &Build<'_>, scaled: bool) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(IntegerConv { window: Window::read(&build.node.attributes)?, groups: groups(build)?, scaled }))
}

fn integer(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    make(build, false)
}

fn qlinear(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    make(build, true)
}
