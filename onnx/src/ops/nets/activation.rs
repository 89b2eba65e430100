//! Activation functions by name, as recurrent layers and fused convolutions take them.

use crate::bad;
use crate::error::OpError;
use crate::ops::nets::real::Real;

/// An activation function with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    Affine(f32, f32),
    Clip(f32, f32),
    Elu(f32),
    Gelu,
    HardSigmoid(f32, f32),
    LeakyRelu(f32),
    Relu,
    ScaledTanh(f32, f32),
    Sigmoid,
    Softplus,
    Softsign,
    Tanh,
    ThresholdedRelu(f32),
}

impl Activation {
    /// By name in any case, with the defaults of onnxruntime (0 for most, whatever the operators of these names have); takes what parameters it has from the front of `alphas` and `betas`.
    ///
    /// # Errors
    /// If the name is not known.
    pub fn read(name: &str, alphas: &mut &[f32], betas: &mut &[f32]) -> Result<Activation, OpError> {
        let mut alpha = |otherwise: f32| next(alphas, otherwise);
        let mut beta = |otherwise: f32| next(betas, otherwise);
        Ok(match name.to_ascii_lowercase().as_str() {
            "affine" => Activation::Affine(alpha(0.0), beta(0.0)),
            "clip" => Activation::Clip(alpha(f32::NEG_INFINITY), alpha(f32::INFINITY)),
            "elu" => Activation::Elu(alpha(1.0)),
            "gelu" => Activation::Gelu,
            "hardsigmoid" => Activation::HardSigmoid(alpha(0.2), beta(0.5)),
            "leakyrelu" => Activation::LeakyRelu(alpha(0.01)),
            "relu" => Activation::Relu,
            "scaledtanh" => Activation::ScaledTanh(alpha(0.0), beta(0.0)),
            "sigmoid" => Activation::Sigmoid,
            "softplus" => Activation::Softplus,
            "softsign" => Activation::Softsign,
            "tanh" => Activation::Tanh,
            "thresholdedrelu" => Activation::ThresholdedRelu(alpha(0.0)),
            _ => bad!("the activation function `{name}` is not known"),
        })
    }

    /// Applies it to all values, in place.
    pub fn apply<T: Real>(self, values: &mut [T]) {
        let t = |v: f32| T::from_f64(f64::from(v));
        match self {
            Activation::Relu => each(values, |x| if x < T::ZERO { T::ZERO } else { x }),
            Activation::Sigmoid => T::all_sigmoid(values),
            Activation::Tanh => T::all_tanh(values),
            Activation::Affine(a, b) => each(values, |x| t(a) * x + t(b)),
            Activation::Clip(a, b) => each(values, |x| {
                if x < t(a) {
                    t(a)
                } else if x > t(b) {
                    t(b)
                } else {
                    x
                }
            }),
            Activation::Elu(a) => each(values, |x| if x < T::ZERO { t(a) * (x.exp() - T::ONE) } else { x }),
            Activation::Gelu => each(values, |x| T::from_f64(gelu(x.to_f64()))),
            Activation::HardSigmoid(a, b) => each(values, |x| (t(a) * x + t(b)).max(T::ZERO).min(T::ONE)),
            Activation::LeakyRelu(a) => each(values, |x| if x < T::ZERO { t(a) * x } else { x }),
            Activation::ScaledTanh(a, b) => each(values, |x| t(a) * (t(b) * x).tanh()),
            Activation::Softplus => {
                each(values, |x| if x > T::ZERO { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() });
            }
            Activation::Softsign => each(values, |x| x / (T::ONE + x.abs())),
            Activation::ThresholdedRelu(a) => each(values, |x| if x > t(a) { x } else { T::ZERO }),
        }
    }
}

fn next(values: &mut &[f32], otherwise: f32) -> f32 {
    let Some((first, rest)) = values.split_first() else { return otherwise };
    *values = rest;
    *first
}

fn each<T: Real>(values: &mut [T], f: impl Fn(T) -> T) {
    for value in values {
        *value = f(*value);
    }
}

/// By the error function's approximation 7.1.26 of Abramowitz and Stegun, refined: absolute error below 2e-7.
fn gelu(x: f64) -> f64 {
    let z = (x / std::f64::consts::SQRT_2).abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let poly =
        t * (0.254_829_592 + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let erf = 1.0 - poly * (-z * z).exp();
    0.5 * x * (1.0 + if x < 0.0 { -erf } else { erf })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_taken_in_turn() {
        let (mut alphas, mut betas) = (&[0.5f32, 0.1, 0.3][..], &[2.0f32][..]);
        let mut read = |name| Activation::read(name, &mut alphas, &mut betas).unwrap();
        assert_eq!(read("LeakyRelu"), Activation::LeakyRelu(0.5));
        assert_eq!(read("tanh"), Activation::Tanh);
        assert_eq!(read("HardSigmoid"), Activation::HardSigmoid(0.1, 2.0));
        assert_eq!(read("ScaledTanh"), Activation::ScaledTanh(0.3, 0.0));
        assert!(Activation::read("no such", &mut &[][..], &mut &[][..]).is_err());
    }

    #[test]
    fn values() {
        let table = [
            (Activation::Sigmoid, -1000.0, 0.0),
            (Activation::Softplus, 1000.0, 1000.0),
            (Activation::Softsign, -3.0, -0.75),
            (Activation::HardSigmoid(0.2, 0.5), 1.0, 0.7),
            (Activation::ThresholdedRelu(1.0), 1.0, 0.0),
            (Activation::Elu(2.0), 3.0, 3.0),
            (Activation::Clip(-1.0, 2.0), 5.0, 2.0),
            (Activation::Affine(2.0, 1.0), 3.0, 7.0),
            (Activation::Gelu, 1.0, 0.841_344_746),
        ];
        for (activation, x, want) in table {
            let mut values = [x];
            activation.apply(&mut values);
            assert!((values[0] - want).abs() < 1e-6, "{activation:?} {x}: {values:?}");
        }
    }
}
