//! Optional values: made, asked, opened.

use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::value::Value;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::own("Optional", |_| Ok(Box::new(Optional))),
    Operator::own("OptionalGetElement", |_| Ok(Box::new(OptionalGetElement))),
    Operator::own("OptionalHasElement", |_| Ok(Box::new(OptionalHasElement))),
];

#[derive(Debug)]
struct Optional;

impl Kernel for Optional {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        Ok(smallvec![inputs.take_value(0)])
    }
}

#[derive(Debug)]
struct OptionalHasElement;

impl Kernel for OptionalHasElement {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        Ok(one(Tensor::scalar(!inputs.take_value(0).is_absent())))
    }
}

#[derive(Debug)]
struct OptionalGetElement;

impl Kernel for OptionalGetElement {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        match inputs.take_value(0) {
            Value::Absent => bad!("the optional value is not there"),
            value => Ok(smallvec![value]),
        }
    }
}
