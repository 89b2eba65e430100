//! Sum, Mean, Max, Min of any number of tensors.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::math::broadcast::binary_in_place;
use crate::ops::math::broadcast::writable;
use crate::ops::math::functions::each;
use crate::ops::math::number::Number;
use crate::ops::math::number::number_type;
use crate::ops::math::widen::widened_one;
use crate::registry::Operator;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[
    Operator::own("Max", build),
    Operator::own("Mean", build),
    Operator::own("Min", build),
    Operator::own("Sum", build),
];

#[derive(Clone, Copy, Debug)]
enum Variadic {
    Max,
    Mean,
    Min,
    Sum,
}

fn build(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(match build.node.op_type.as_str() {
        "Max" => Variadic::Max,
        "Mean" => Variadic::Mean,
        "Min" => Variadic::Min,
        _ => Variadic::Sum,
    }))
}

impl Kernel for Variadic {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        widened_one(inputs, |inputs| {
            let element_type = inputs.tensor(0)?.element_type();
            number_type!(element_type, T => self.all::<T>(inputs), bad!("expected numbers, found {element_type}"))
        })
    }
}

impl Variadic {
    fn all<T: Number>(self, inputs: &mut Inputs<'_>) -> Result<Value, OpError> {
        let mut total = inputs.take_value(0);
        for i in 1..inputs.len() {
            let mut pair = [total, inputs.take_value(i)];
            let pair = &mut Inputs(&mut pair);
            // NaN wins over all numbers; of equal ones, such as 0 and -0, the second is taken.
            total = match self {
                Variadic::Max => binary_in_place::<T>(pair, |a, b| if a.nan() || a > b { *a } else { *b })?,
                Variadic::Min => binary_in_place::<T>(pair, |a, b| if a.nan() || a < b { *a } else { *b })?,
                Variadic::Mean | Variadic::Sum => binary_in_place::<T>(pair, |a, b| a.plus(*b))?,
            };
        }
        if matches!(self, Variadic::Mean) && inputs.len() > 1 {
            let n = T::from_f64(inputs.len() as f64);
            each(writable::<T>(&mut total)?, |v| v.over(n));
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;

    #[test]
    fn nan_wins_and_shapes_are_stretched() {
        let mut inputs = [
            Tensor::vector(vec![1.0f32, f32::NAN, 3.0]).into(),
            Tensor::scalar(2.0f32).into(),
            Tensor::new(&[2, 1], vec![0.0f32, 9.0]).unwrap().into(),
        ];
        let out = Variadic::Max.run(&mut Inputs(&mut inputs)).unwrap();
        let out = out[0].tensor().unwrap();
        assert_eq!(out.shape(), [2, 3]);
        let shown: Vec<String> = out.slice::<f32>().unwrap().iter().map(f32::to_string).collect();
        assert_eq!(shown, ["2", "NaN", "3", "9", "NaN", "9"]);
    }
}
