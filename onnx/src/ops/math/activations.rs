//! Activations with parameters: LeakyRelu, PRelu, Elu, Selu, Celu, HardSigmoid, HardSwish, Mish, Softplus, Softsign,
//! ThresholdedRelu, Gelu, QuickGelu, Shrink, Swish.

use std::f64::consts::FRAC_1_SQRT_2;
use std::f64::consts::FRAC_2_SQRT_PI;

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::Attributes;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::math::broadcast::binary_in_place;
use crate::ops::math::broadcast::writable;
use crate::ops::math::functions::Real;
use crate::ops::math::functions::each;
use crate::ops::math::number::Number;
use crate::ops::math::number::number_type;
use crate::ops::math::unary::Floats;
use crate::ops::math::widen::widened_one;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Shape;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[
    Operator::own("Celu", build),
    Operator::shared("Elu", build),
    Operator::own("Gelu", build),
    Operator::own("Gelu", build).of(MICROSOFT),
    Operator::own("HardSigmoid", build),
    Operator::own("HardSwish", build),
    Operator::shared("LeakyRelu", build),
    Operator::own("Mish", build),
    Operator::own("PRelu", |build| Ok(Box::new(PRelu { channels: build.version() < 7 }))),
    Operator::own("QuickGelu", build).of(MICROSOFT),
    Operator::own("Selu", build),
    Operator::own("Shrink", shrink),
    Operator::own("Softplus", build),
    Operator::own("Softsign", build),
    Operator::own("Swish", build),
    Operator::own("ThresholdedRelu", build),
];

/// A function of floats and doubles from one body; numbers named in `[...]` are floats outside and of the element's
/// type inside.
macro_rules! function {
    ([$($parameter:ident),*] $v:ident => $body:expr) => {
        Floats::of(function!(@ f32, [$($parameter),*] $v => $body), function!(@ f64, [$($parameter),*] $v => $body))
    };
    (@ $t:ty, [$($parameter:ident),*] $v:ident => $body:expr) => {{
        $(let $parameter = <$t as Real>::from_f32($parameter);)*
        Box::new(move |all: &mut [$t]| each(all, |$v: $t| $body))
    }};
}

fn build(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(named(&build.node.op_type, &build.node.attributes)?))
}

fn positive<R: Real>(v: R) -> R {
    if v > R::default() { v } else { R::default() }
}

fn logistic<R: Real>(v: R) -> R {
    R::one().over(R::one().plus(v.negated().exponential()))
}

fn softplus<R: Real>(v: R) -> R {
    positive(v).plus(v.magnitude().negated().exponential().log_one_plus())
}

/// An activation by the name of its operator.
///
/// # Errors
/// If there is none of this name, or an attribute is mistyped.
pub fn named(name: &str, attributes: &Attributes) -> Result<Floats, OpError> {
    let alpha = |otherwise: f32| attributes.float_or("alpha", otherwise);
    Ok(match name {
        "Celu" => {
            let a = alpha(1.0)?;
            function!([a] v => {
                let low = a * ((v / a).exponential() - 1.0);
                positive(v) + if low > 0.0 { 0.0 } else { low }
            })
        }
        "Elu" => {
            let a = alpha(1.0)?;
            function!([a] v => if v >= 0.0 { v } else { a * (v.exponential() - 1.0) })
        }
        "Gelu" => match attributes.text_or("approximate", "none")? {
            "none" => exact_gelu(),
            "tanh" => tanh_gelu(),
            _ => bad!("attribute `approximate` must be none or tanh"),
        },
        "HardSigmoid" => {
            let (a, b) = (alpha(0.2)?, attributes.float_or("beta", 0.5)?);
            function!([a, b] v => bounded(a * v + b))
        }
        "HardSwish" => function!([] v => v * bounded(v / 6.0 + 0.5)),
        "LeakyRelu" => {
            let a = alpha(0.01)?;
            function!([a] v => if v >= 0.0 { v } else { a * v })
        }
        "Mish" => function!([] v => v * softplus(v).tangent()),
        "QuickGelu" => {
            let a = alpha(1.702)?;
            function!([a] v => v * logistic(a * v))
        }
        "Selu" => {
            let a = alpha(1.673_263_2)?;
            let g = attributes.float_or("gamma", 1.050_701)?;
            function!([a, g] v => g * if v > 0.0 { v } else { a * v.exponential() - a })
        }
        "Softplus" => function!([] v => softplus(v)),
        "Softsign" => function!([] v => v / (1.0 + v.magnitude())),
        "Swish" => {
            let a = alpha(1.0)?;
            function!([a] v => v * logistic(a * v))
        }
        "ThresholdedRelu" => {
            let a = alpha(1.0)?;
            function!([a] v => if v > a { v } else { 0.0 })
        }
        other => bad!("there is no activation {other}"),
    })
}

fn bounded<R: Real>(v: R) -> R {
    let v = if v < R::default() { R::default() } else { v };
    if v > R::one() { R::one() } else { v }
}

/// x/2 (1 + erf(x/√2)).
pub fn exact_gelu() -> Floats {
    fn gelu<R: Real>(v: R) -> R {
        let error = v.times(R::from_f64(FRAC_1_SQRT_2)).error();
        v.times(R::from_f64(0.5)).times(R::one().plus(error))
    }
    function!([] v => gelu(v))
}

/// x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))).
pub fn tanh_gelu() -> Floats {
    fn gelu<R: Real>(v: R) -> R {
        let cubic = v.times(v).times(v).times(R::from_f64(0.044_715));
        let inner = v.plus(cubic).times(R::from_f64(FRAC_2_SQRT_PI * FRAC_1_SQRT_2));
        v.times(R::from_f64(0.5)).times(R::one().plus(inner.tangent()))
    }
    function!([] v => gelu(v))
}

/// `slope` for what is negative, broadcast.
#[derive(Debug)]
struct PRelu {
    /// One slope a channel, as before operator set 7.
    channels: bool,
}

impl Kernel for PRelu {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        if self.channels {
            let rank = inputs.tensor(0)?.rank();
            let slope = inputs.take(1)?;
            let mut shape = Shape::from_slice(slope.shape());
            if slope.rank() == 1 && rank > 2 {
                shape.extend(std::iter::repeat_n(1, rank - 2));
            }
            inputs.0[1] = slope.reshaped(&shape)?.into();
        }
        widened_one(inputs, |inputs| {
            let element_type = inputs.tensor(0)?.element_type();
            number_type!(element_type, T => {
                binary_in_place::<T>(inputs, |v, slope| if *v < T::default() { v.times(*slope) } else { *v })
            }, bad!("expected numbers, found {element_type}"))
        })
    }
}

#[derive(Debug)]
struct Shrink {
    bias: f32,
    lambd: f32,
}

fn shrink(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    Ok(Box::new(Shrink { bias: attributes.float_or("bias", 0.0)?, lambd: attributes.float_or("lambd", 0.5)? }))
}

impl Kernel for Shrink {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        widened_one(inputs, |inputs| {
            let element_type = inputs.tensor(0)?.element_type();
            let mut value = inputs.take_value(0);
            number_type!(element_type, T => self.all::<T>(&mut value)?, bad!("expected numbers, found {element_type}"));
            Ok(value)
        })
    }
}

impl Shrink {
    fn all<T: Number>(&self, value: &mut Value) -> Result<(), OpError> {
        let (bias, lambd) = (f64::from(self.bias), f64::from(self.lambd));
        // onnxruntime's result is a float for every type, its sum beside a whole number as well.
        let shifted =
            |v: f64, by: f64| T::from_f64(f64::from(if T::WHOLE { v as f32 + by as f32 } else { (v + by) as f32 }));
        each(writable::<T>(value)?, |v| {
            let wide = v.to_f64();
            if wide < -lambd {
                shifted(wide, bias)
            } else if wide > lambd {
                shifted(wide, -bias)
            } else {
                T::default()
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;

    fn values(name: &str, of: &[f32]) -> Vec<f32> {
        let mut value: Value = Tensor::vector(of.to_vec()).into();
        named(name, &Attributes::default()).unwrap().apply(&mut value).unwrap();
        value.tensor().unwrap().slice::<f32>().unwrap().to_vec()
    }

    /// Results of onnxruntime 1.32, at -100, -5, -0.5, 0.5, 1 and infinity.
    #[test]
    fn ends_and_middles_are_those_of_onnxruntime() {
        let of = [-100.0, -5.0, -0.5, 0.5, 1.0, f32::INFINITY];
        let inf = f32::INFINITY;
        let table = [
            ("Elu", [-1.0, -0.993_262_05, -0.393_469_34, 0.5, 1.0, inf]),
            ("Gelu", [0.0, -1.490_116e-6, -0.154_268_77, 0.345_731_23, 0.841_344_7, inf]),
            ("HardSigmoid", [0.0, 0.0, 0.4, 0.6, 0.7, 1.0]),
            ("HardSwish", [0.0, 0.0, -0.208_333_33, 0.291_666_66, 0.666_666_7, inf]),
            ("LeakyRelu", [-1.0, -0.05, -0.005, 0.5, 1.0, inf]),
            ("Mish", [0.0, -0.033_576_24, -0.220_743_83, 0.375_245_24, 0.865_098_4, inf]),
            ("Selu", [-1.758_099_3, -1.746_253_4, -0.691_758_2, 0.525_350_5, 1.050_701, inf]),
            ("Softplus", [0.0, 0.006_715_348_6, 0.474_077, 0.974_077, 1.313_261_6, inf]),
            ("ThresholdedRelu", [0.0, 0.0, 0.0, 0.0, 0.0, inf]),
        ];
        for (name, want) in table {
            for (got, want) in values(name, &of).iter().zip(want) {
                assert!(*got == want || (got - want).abs() < 3e-7 + 2e-6 * want.abs(), "{name}: {got} {want}");
            }
            let nan = values(name, &[f32::NAN])[0];
            assert!(nan.is_nan() || name == "ThresholdedRelu", "{name}");
        }
    }
}
