//! What follows a dense layer: functions of one float, written so that compilers vectorise them.
//!
//! Sigmoid and tanh are the rational approximations of onnxruntime's MLAS (`logistic.cpp`, `tanh.cpp`; the latter comes
//! from Eigen), so that both agree to the bit where the processor has fused multiply-add.

use crate::error::OpError;

/// A function of one float.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    None,
    Relu,
    /// `x` times the slope below 0.
    LeakyRelu(f32),
    Sigmoid,
    Tanh,
    /// Between two bounds.
    Clip(f32, f32),
    /// `max(0, min(1, alpha * x + beta))`.
    HardSigmoid(f32, f32),
    /// `alpha * (exp(x) - 1)` below 0.
    Elu(f32),
    /// `ln(1 + exp(x))`.
    Softplus,
    /// `x / (1 + |x|)`.
    Softsign,
}

impl Activation {
    /// By the name of its operator; `alpha` and `beta` are NaN where they are not given.
    ///
    /// # Errors
    /// If it is not one of those above.
    pub fn named(name: &str, alpha: Option<f32>, beta: Option<f32>) -> Result<Activation, OpError> {
        Ok(match name {
            "" => Activation::None,
            "Relu" => Activation::Relu,
            "LeakyRelu" => Activation::LeakyRelu(alpha.unwrap_or(0.01)),
            "Sigmoid" => Activation::Sigmoid,
            "Tanh" => Activation::Tanh,
            "Clip" => Activation::Clip(alpha.unwrap_or(f32::MIN), beta.unwrap_or(f32::MAX)),
            "HardSigmoid" => Activation::HardSigmoid(alpha.unwrap_or(0.2), beta.unwrap_or(0.5)),
            "Elu" => Activation::Elu(alpha.unwrap_or(1.0)),
            "Softplus" => Activation::Softplus,
            "Softsign" => Activation::Softsign,
            _ => return Err(OpError::unsupported(format!("the activation `{name}`"))),
        })
    }
}

/// Applies it in place. `FUSED`: the processor multiplies and adds in one instruction.
#[inline(always)]
pub(super) fn apply<const FUSED: bool>(activation: Activation, values: &mut [f32]) {
    let each = values.iter_mut();
    match activation {
        Activation::None => {}
        Activation::Relu => each.for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x }),
        Activation::LeakyRelu(alpha) => each.for_each(|x| *x = if *x >= 0.0 { *x } else { alpha * *x }),
        Activation::Sigmoid => each.for_each(|x| *x = sigmoid::<FUSED>(*x)),
        Activation::Tanh => each.for_each(|x| *x = tanh::<FUSED>(*x)),
        Activation::Clip(low, high) => each.for_each(|x| *x = clamp(*x, low, high)),
        Activation::HardSigmoid(alpha, beta) => each.for_each(|x| *x = clamp(alpha * *x + beta, 0.0, 1.0)),
        Activation::Elu(alpha) => each.for_each(|x| *x = if *x >= 0.0 { *x } else { alpha * x.exp_m1() }),
        Activation::Softplus => each.for_each(|x| {
            *x = if *x > 0.0 { *x + (-*x).exp().ln_1p() } else { x.exp().ln_1p() };
        }),
        Activation::Softsign => each.for_each(|x| *x /= 1.0 + x.abs()),
    }
}

/// `low` and `high` as bounds; NaN stays.
#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

#[inline(always)]
fn mul_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn polynomial<const FUSED: bool>(x: f32, from_the_highest: &[f32]) -> f32 {
    from_the_highest[1..].iter().fold(from_the_highest[0], |sum, c| mul_add::<FUSED>(sum, x, *c))
}

// as in the source, digits that a float32 has no room for included
#[allow(clippy::excessive_precision)]
const SIGMOID: ([f32; 5], [f32; 6]) = (
    [4.37031012579801e-11, 1.15627324459942e-07, 6.08574864600143e-05, 8.51377133304701e-03, 2.48287947061529e-01],
    [
        6.10247389755681e-13,
        5.76102136993427e-09,
        6.29106785017040e-06,
        1.70198817374094e-03,
        1.16817656904453e-01,
        9.93151921023180e-01,
    ],
);
#[allow(clippy::excessive_precision)]
const TANH: ([f32; 7], [f32; 4]) = (
    [
        -2.76076847742355e-16,
        2.00018790482477e-13,
        -8.60467152213735e-11,
        5.12229709037114e-08,
        1.48572235717979e-05,
        6.37261928875436e-04,
        4.89352455891786e-03,
    ],
    [1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03],
);

#[inline(always)]
fn sigmoid<const FUSED: bool>(x: f32) -> f32 {
    let x = clamp(x, -18.0, 18.0);
    let square = x * x;
    let p = x * polynomial::<FUSED>(square, &SIGMOID.0);
    clamp(p / polynomial::<FUSED>(square, &SIGMOID.1) + 0.5, 0.0, 1.0)
}

#[inline(always)]
fn tanh<const FUSED: bool>(x: f32) -> f32 {
    let x = clamp(x, -9.0, 9.0);
    let square = x * x;
    let p = x * polynomial::<FUSED>(square, &TANH.0);
    p / polynomial::<FUSED>(square, &TANH.1)
}
