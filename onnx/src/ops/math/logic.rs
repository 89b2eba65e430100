//! And, Or, Xor, Not.

use smallvec::smallvec;

use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::math::broadcast::binary_in_place;
use crate::ops::math::broadcast::writable;
use crate::ops::math::legacy::Legacy;
use crate::registry::Operator;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[
    Operator::own("And", build),
    Operator::own("Not", |_| Ok(Box::new(Not))),
    Operator::own("Or", build),
    Operator::own("Xor", build),
];

#[derive(Debug)]
struct Logic {
    of: fn(&bool, &bool) -> bool,
    legacy: Legacy,
}

fn build(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let of: fn(&bool, &bool) -> bool = match build.node.op_type.as_str() {
        "And" => |a, b| a & b,
        "Or" => |a, b| a | b,
        _ => |a, b| a ^ b,
    };
    Ok(Box::new(Logic { of, legacy: Legacy::read(build)? }))
}

impl Kernel for Logic {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        self.legacy.align(inputs)?;
        Ok(smallvec![binary_in_place::<bool>(inputs, self.of)?])
    }
}

#[derive(Debug)]
struct Not;

impl Kernel for Not {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let mut value = inputs.take_value(0);
        for v in writable::<bool>(&mut value)? {
            *v = !*v;
        }
        Ok(smallvec![value])
    }
}
