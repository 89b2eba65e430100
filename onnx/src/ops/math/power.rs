//! Pow, of mixed types, and Mod.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::math::arithmetic::refuse_zero;
use crate::ops::math::broadcast::Plan;
use crate::ops::math::broadcast::binary_in_place;
use crate::ops::math::broadcast::writable;
use crate::ops::math::functions::each;
use crate::ops::math::legacy::Legacy;
use crate::ops::math::number::Number;
use crate::ops::math::number::number_type;
use crate::ops::math::widen::doubles;
use crate::ops::math::widen::widened_one;
use crate::registry::Operator;
use crate::tensor::ElementType;
use crate::tensor::Tensor;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[
    Operator::own("Mod", modulo).note("whole numbers divided by zero fail the run"),
    Operator::own("Pow", |build| Ok(Box::new(Pow { legacy: Legacy::read(build)? }))),
];

#[derive(Debug)]
struct Pow {
    legacy: Legacy,
}

impl Kernel for Pow {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        self.legacy.align(inputs)?;
        widened_one(inputs, |inputs| {
            let (base, exponent) = (inputs.tensor(0)?, inputs.tensor(1)?);
            let (base_type, same) = (base.element_type(), base.element_type() == exponent.element_type());
            // A scalar exponent leaves the base's shape, unless it has more axes.
            let scalar =
                if exponent.len() == 1 && exponent.rank() <= base.rank() { doubles(exponent)?.pop() } else { None };
            match (base_type, scalar) {
                (_, Some(times @ (2.0 | 3.0))) => number_type!(base_type, T => {
                    small_power::<T>(inputs.take_value(0), times == 3.0)
                }, bad!("{base_type} has no powers")),
                (ElementType::F32, _) if same => binary_in_place::<f32>(inputs, |a, b| a.powf(*b)),
                (ElementType::F64, _) if same => binary_in_place::<f64>(inputs, |a, b| a.powf(*b)),
                _ => number_type!(base_type, T => through_doubles::<T>(base, exponent), {
                    bad!("{base_type} has no powers")
                }),
            }
        })
    }
}

fn small_power<T: Number>(mut value: Value, cube: bool) -> Result<Value, OpError> {
    let values = writable::<T>(&mut value)?;
    if cube {
        each(values, |v| v.times(v).times(v));
    } else {
        each(values, |v| v.times(v));
    }
    Ok(value)
}

/// As C++'s `std::pow` computes whatever is not of one float type.
fn through_doubles<T: Number>(base: &Tensor, exponent: &Tensor) -> Result<Value, OpError> {
    let plan = Plan::new(base.shape(), exponent.shape(), T::TYPE.size())?;
    let values = plan.map(base.slice::<T>()?, &doubles(exponent)?, |a, b| T::from_f64(a.to_f64().powf(*b)));
    Ok(Tensor::new::<T>(&plan.shape, values)?.into())
}

#[derive(Debug)]
struct Mod {
    /// The sign of the dividend instead of the divisor's.
    fmod: bool,
}

fn modulo(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Mod { fmod: build.node.attributes.flag("fmod", false)? }))
}

impl Kernel for Mod {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        widened_one(inputs, |inputs| {
            let element_type = inputs.tensor(0)?.element_type();
            number_type!(element_type, T => {
                refuse_zero::<T>(inputs)?;
                if self.fmod {
                    binary_in_place::<T>(inputs, |a, b| a.remainder(*b))
                } else {
                    binary_in_place::<T>(inputs, |a, b| a.modulo(*b))
                }
            }, bad!("{element_type} has no remainders"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pow(base: Tensor, exponent: Tensor) -> Tensor {
        let pow = Pow { legacy: Legacy::default() };
        pow.run(&mut Inputs(&mut [base.into(), exponent.into()])).unwrap()[0].tensor().unwrap().clone()
    }

    /// Results of onnxruntime 1.32.
    #[test]
    fn powers_of_whole_numbers_go_through_doubles() {
        let base = Tensor::vector(vec![2i32, 0, -2, 100_000, 2]);
        let out = pow(base.clone(), Tensor::vector(vec![-1i32, -1, 3, 3, 31]));
        assert_eq!(out, Tensor::vector(vec![0, i32::MIN, -8, i32::MIN, i32::MIN]));
        let squares = Tensor::vector(vec![4, 0, 4, 1_410_065_408, 4]);
        assert_eq!(pow(base.clone(), Tensor::scalar(2i32)), squares);
        assert_eq!(pow(base, Tensor::scalar(2.0f32)), squares);
        let large = pow(Tensor::vector(vec![3i64, -2]), Tensor::vector(vec![39.0f32, 0.5]));
        assert_eq!(large, Tensor::vector(vec![4_052_555_153_018_976_256, i64::MIN]));
    }

    #[test]
    fn the_base_gives_the_type_and_both_the_shape() {
        let out = pow(Tensor::vector(vec![2.0f32, 9.0]), Tensor::new(&[2, 1], vec![0.5f64, 1.0]).unwrap());
        assert_eq!(out, Tensor::new(&[2, 2], vec![2f32.sqrt(), 3.0, 2.0, 9.0]).unwrap());
        let grown = pow(Tensor::vector(vec![3.0f32]), Tensor::new(&[1, 1], vec![2i64]).unwrap());
        assert_eq!(grown, Tensor::new(&[1, 1], vec![9.0f32]).unwrap());
    }
}
