//! Clip, with its bounds as attributes (before operator set 11) or as inputs.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::math::broadcast::writable;
use crate::ops::math::functions::each;
use crate::ops::math::number::Number;
use crate::ops::math::number::number_type;
use crate::ops::math::widen::widened_one;
use crate::registry::Operator;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[Operator::shared("Clip", build)];

#[derive(Debug)]
struct Clip {
    least: Option<f32>,
    most: Option<f32>,
}

fn build(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    Ok(Box::new(Clip { least: attributes.float("min")?, most: attributes.float("max")? }))
}

impl Kernel for Clip {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        widened_one(inputs, |inputs| {
            let element_type = inputs.tensor(0)?.element_type();
            number_type!(element_type, T => self.all::<T>(inputs), bad!("expected numbers, found {element_type}"))
        })
    }
}

impl Clip {
    /// NaN stays, a bound that is NaN is none, a bound that is left out is the last finite number, and of crossed
    /// bounds the upper one counts: as in onnxruntime.
    fn all<T: Number>(&self, inputs: &mut Inputs<'_>) -> Result<Value, OpError> {
        let least = bound::<T>(inputs, 1, self.least, T::least())?;
        let most = bound::<T>(inputs, 2, self.most, T::most())?;
        let mut value = inputs.take_value(0);
        each(writable::<T>(&mut value)?, |v| {
            let v = if v < least { least } else { v };
            if v > most { most } else { v }
        });
        Ok(value)
    }
}

fn bound<T: Number>(inputs: &Inputs<'_>, i: usize, given: Option<f32>, none: T) -> Result<T, OpError> {
    match inputs.optional(i)? {
        Some(tensor) => match tensor.slice::<T>()? {
            [bound] => Ok(*bound),
            all => bad!("a bound must be one number, not {}", all.len()),
        },
        None => Ok(given.map_or(none, |v| T::from_f64(f64::from(v)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;

    fn clip(values: &[f32], least: Option<f32>, most: Option<f32>) -> String {
        let bound = |v: Option<f32>| v.map_or(Value::Absent, |v| Tensor::scalar(v).into());
        let mut inputs = [Tensor::vector(values.to_vec()).into(), bound(least), bound(most)];
        let out = Clip { least: None, most: None }.run(&mut Inputs(&mut inputs)).unwrap();
        format!("{:?}", out[0].tensor().unwrap().slice::<f32>().unwrap())
    }

    #[test]
    fn the_odd_bounds_are_those_of_onnxruntime() {
        let values = [f32::NAN, 1.0, f32::NEG_INFINITY, 3.0];
        assert_eq!(clip(&values, Some(0.0), Some(2.0)), "[NaN, 1.0, 0.0, 2.0]");
        assert_eq!(clip(&values, Some(f32::NAN), Some(2.0)), "[NaN, 1.0, -inf, 2.0]");
        assert_eq!(clip(&values, Some(2.0), Some(0.0)), "[NaN, 0.0, 0.0, 0.0]");
        assert_eq!(clip(&values, None, None), "[NaN, 1.0, -3.4028235e38, 3.0]");
    }
}
