//! Add, Sub, Mul, Div.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::math::broadcast::binary_in_place;
use crate::ops::math::legacy::Legacy;
use crate::ops::math::number::Number;
use crate::ops::math::number::number_type;
use crate::ops::math::widen::widened_one;
use crate::registry::Operator;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[
    Operator::shared("Add", build),
    Operator::shared("Div", build).note("whole numbers divided by zero fail the run"),
    Operator::shared("Mul", build),
    Operator::shared("Sub", build),
];

#[derive(Clone, Copy, Debug)]
enum Sign {
    Add,
    Sub,
    Mul,
    Div,
}

#[derive(Debug)]
struct Arithmetic {
    sign: Sign,
    legacy: Legacy,
}

fn build(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let sign = match build.node.op_type.as_str() {
        "Add" => Sign::Add,
        "Sub" => Sign::Sub,
        "Mul" => Sign::Mul,
        _ => Sign::Div,
    };
    Ok(Box::new(Arithmetic { sign, legacy: Legacy::read(build)? }))
}

impl Kernel for Arithmetic {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        self.legacy.align(inputs)?;
        widened_one(inputs, |inputs| {
            let element_type = inputs.tensor(0)?.element_type();
            number_type!(element_type, T => compute::<T>(self.sign, inputs), {
                bad!("there is no arithmetic of {element_type}")
            })
        })
    }
}

fn compute<T: Number>(sign: Sign, inputs: &mut Inputs<'_>) -> Result<Value, OpError> {
    match sign {
        Sign::Add => binary_in_place::<T>(inputs, |a, b| a.plus(*b)),
        Sign::Sub => binary_in_place::<T>(inputs, |a, b| a.minus(*b)),
        Sign::Mul => binary_in_place::<T>(inputs, |a, b| a.times(*b)),
        Sign::Div => {
            refuse_zero::<T>(inputs)?;
            binary_in_place::<T>(inputs, |a, b| a.over(*b))
        }
    }
}

/// # Errors
/// If whole numbers are to be divided by zero, where onnxruntime fails too.
pub fn refuse_zero<T: Number>(inputs: &Inputs<'_>) -> Result<(), OpError> {
    if T::WHOLE && inputs.slice::<T>(1)?.contains(&T::default()) {
        bad!("a whole number is divided by zero");
    }
    Ok(())
}
