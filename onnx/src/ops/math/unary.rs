//! Functions of one element: Exp, Log, Sqrt, the trigonometric ones, rounding, Abs, Neg, Sign, Relu, IsNaN, IsInf, ...

use std::fmt;

use half::f16;
use smallvec::smallvec;

use crate::bad;
use crate::dense::activate;
use crate::dense::activation::Activation;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::math::broadcast::writable;
use crate::ops::math::functions;
use crate::ops::math::functions::each;
use crate::ops::math::number::Number;
use crate::ops::math::number::number_type;
use crate::ops::math::widen::widened_one;
use crate::registry::Operator;
use crate::tensor::ElementType;
use crate::tensor::Tensor;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[
    Operator::shared("Abs", number),
    Operator::own("Acos", float),
    Operator::own("Acosh", float),
    Operator::own("Asin", float),
    Operator::own("Asinh", float),
    Operator::own("Atan", float),
    Operator::own("Atanh", float),
    Operator::own("Ceil", float),
    Operator::own("Cos", float),
    Operator::own("Cosh", float),
    Operator::shared("Erf", float),
    Operator::shared("Exp", float),
    Operator::own("Floor", float),
    Operator::own("IsInf", is_inf),
    Operator::own("IsNaN", |_| Ok(Box::new(Test { positive: true, negative: true, nan: true }))),
    Operator::shared("Log", float),
    Operator::shared("Neg", number),
    Operator::shared("Reciprocal", float),
    Operator::shared("Relu", number),
    Operator::own("Round", float),
    Operator::shared("Sigmoid", float),
    Operator::own("Sign", number),
    Operator::own("Sin", float),
    Operator::own("Sinh", float),
    Operator::shared("Sqrt", float),
    Operator::own("Tan", float),
    Operator::shared("Tanh", float),
];

/// A function of every float, in place; float16 computes in float, as onnxruntime does.
pub struct Floats {
    single: Function<f32>,
    double: Function<f64>,
}

/// A function of all elements of a slice, in place.
pub type Function<T> = Box<dyn Fn(&mut [T]) + Send + Sync>;

impl Floats {
    pub fn of(single: Function<f32>, double: Function<f64>) -> Floats {
        Floats { single, double }
    }

    /// # Errors
    /// If it holds no floats.
    pub fn apply(&self, value: &mut Value) -> Result<(), OpError> {
        match value.tensor().map(Tensor::element_type) {
            Some(ElementType::F32) => (self.single)(writable::<f32>(value)?),
            Some(ElementType::F64) => (self.double)(writable::<f64>(value)?),
            Some(ElementType::F16) => through_f32(writable::<f16>(value)?, &self.single),
            _ => bad!("expected floats, found {}", value.kind()),
        }
        Ok(())
    }
}

impl fmt::Debug for Floats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Floats")
    }
}

impl Kernel for Floats {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let mut value = inputs.take_value(0);
        self.apply(&mut value)?;
        Ok(smallvec![value])
    }
}

/// Runs a function of floats on half floats.
pub fn through_f32(values: &mut [f16], f: impl Fn(&mut [f32])) {
    let mut wide: Vec<f32> = values.iter().map(|v| v.to_f32()).collect();
    f(&mut wide);
    for (v, w) in values.iter_mut().zip(wide) {
        *v = f16::from_f32(w);
    }
}

macro_rules! floats {
    ($single:expr, $double:expr) => {
        Floats::of(Box::new(|v: &mut [f32]| each(v, $single)), Box::new(|v: &mut [f64]| each(v, $double)))
    };
}

/// Functions that onnxruntime approximates for floats: what lies beyond the approximation's ends is exactly 0 or 1, and
/// a logarithm behind it an infinity.
fn approximated(single: Activation, double: fn(f64) -> f64) -> Floats {
    Floats::of(Box::new(move |v| activate(single, v)), Box::new(move |v| each(v, double)))
}

fn float(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(match build.node.op_type.as_str() {
        "Acos" => floats!(f32::acos, f64::acos),
        "Acosh" => floats!(|v| f64::from(v).acosh() as f32, f64::acosh),
        "Asin" => floats!(f32::asin, f64::asin),
        "Asinh" => floats!(|v| f64::from(v).asinh() as f32, f64::asinh),
        "Atan" => floats!(f32::atan, f64::atan),
        "Atanh" => floats!(|v| f64::from(v).atanh() as f32, f64::atanh),
        "Ceil" => floats!(f32::ceil, f64::ceil),
        "Cos" => floats!(f32::cos, f64::cos),
        "Cosh" => floats!(f32::cosh, f64::cosh),
        "Erf" => floats!(functions::erf, functions::erf_f64),
        "Exp" => floats!(functions::exp, f64::exp),
        "Floor" => floats!(f32::floor, f64::floor),
        "Log" => floats!(f32::ln, f64::ln),
        "Reciprocal" => floats!(|v| 1.0 / v, |v| 1.0 / v),
        "Round" => floats!(f32::round_ties_even, f64::round_ties_even),
        "Sigmoid" => approximated(Activation::Sigmoid, |v| 1.0 / (1.0 + (-v).exp())),
        "Sin" => floats!(f32::sin, f64::sin),
        "Sinh" => floats!(f32::sinh, f64::sinh),
        "Sqrt" => floats!(f32::sqrt, f64::sqrt),
        "Tan" => floats!(f32::tan, f64::tan),
        "Tanh" => approximated(Activation::Tanh, f64::tanh),
        other => bad!("{other} is no function of one float"),
    }))
}

/// A function of every number, in place.
#[derive(Clone, Copy, Debug)]
enum Numbers {
    Abs,
    Neg,
    Relu,
    Sign,
}

fn number(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(match build.node.op_type.as_str() {
        "Abs" => Numbers::Abs,
        "Neg" => Numbers::Neg,
        "Relu" => Numbers::Relu,
        _ => Numbers::Sign,
    }))
}

impl Kernel for Numbers {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        widened_one(inputs, |inputs| {
            let element_type = inputs.tensor(0)?.element_type();
            let mut value = inputs.take_value(0);
            number_type!(element_type, T => self.all::<T>(&mut value)?, bad!("expected numbers, found {element_type}"));
            Ok(value)
        })
    }
}

impl Numbers {
    fn all<T: Number>(self, value: &mut Value) -> Result<(), OpError> {
        let values = writable::<T>(value)?;
        match self {
            Numbers::Abs => each(values, T::magnitude),
            Numbers::Neg => each(values, T::negated),
            // NaN and -0 stay, as in onnxruntime.
            Numbers::Relu => each(values, |v| if v < T::default() { T::default() } else { v }),
            Numbers::Sign => each(values, T::sign),
        }
        Ok(())
    }
}

/// IsNaN and IsInf.
#[derive(Debug)]
struct Test {
    positive: bool,
    negative: bool,
    nan: bool,
}

fn is_inf(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    Ok(Box::new(Test {
        positive: attributes.flag("detect_positive", true)?,
        negative: attributes.flag("detect_negative", true)?,
        nan: false,
    }))
}

impl Kernel for Test {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        widened_one(inputs, |inputs| {
            let tensor = inputs.tensor(0)?;
            let values: Vec<bool> = match tensor.element_type() {
                ElementType::F32 => self.all::<f32>(tensor)?,
                ElementType::F64 => self.all::<f64>(tensor)?,
                other => bad!("expected floats, found {other}"),
            };
            Ok(Tensor::new(tensor.shape(), values)?.into())
        })
    }
}

impl Test {
    fn all<T: Number>(&self, tensor: &Tensor) -> Result<Vec<bool>, OpError> {
        let values = tensor.slice::<T>()?.iter();
        Ok(if self.nan {
            values.map(|v| v.nan()).collect()
        } else {
            let (positive, negative) = (self.positive, self.negative);
            values.map(|v| positive && *v == T::highest() || negative && *v == T::lowest()).collect()
        })
    }
}
