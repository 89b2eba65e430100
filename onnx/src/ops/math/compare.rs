//! Equal, Less, LessOrEqual, Greater, GreaterOrEqual.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::math::broadcast::binary;
use crate::ops::math::legacy::Legacy;
use crate::ops::math::number::Number;
use crate::ops::math::number::number_type;
use crate::ops::math::widen::widened_one;
use crate::registry::Operator;
use crate::tensor::ElementType;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[
    Operator::own("Equal", build),
    Operator::own("Greater", build),
    Operator::own("GreaterOrEqual", build),
    Operator::own("Less", build),
    Operator::own("LessOrEqual", build),
];

#[derive(Clone, Copy, Debug)]
enum Relation {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Debug)]
struct Compare {
    relation: Relation,
    legacy: Legacy,
}

fn build(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let relation = match build.node.op_type.as_str() {
        "Equal" => Relation::Equal,
        "Greater" => Relation::Greater,
        "GreaterOrEqual" => Relation::GreaterOrEqual,
        "Less" => Relation::Less,
        _ => Relation::LessOrEqual,
    };
    Ok(Box::new(Compare { relation, legacy: Legacy::read(build)? }))
}

impl Kernel for Compare {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        self.legacy.align(inputs)?;
        widened_one(inputs, |inputs| match (inputs.tensor(0)?.element_type(), self.relation) {
            (ElementType::Text, Relation::Equal) => binary::<String, bool>(inputs, |a, b| a == b),
            (ElementType::Bool, Relation::Equal) => binary::<bool, bool>(inputs, |a, b| a == b),
            (element_type, relation) => number_type!(element_type, T => compare::<T>(relation, inputs), {
                bad!("{element_type} has no order")
            }),
        })
    }
}

fn compare<T: Number>(relation: Relation, inputs: &Inputs<'_>) -> Result<Value, OpError> {
    match relation {
        Relation::Equal => binary::<T, bool>(inputs, |a, b| a == b),
        Relation::Greater => binary::<T, bool>(inputs, |a, b| a > b),
        Relation::GreaterOrEqual => binary::<T, bool>(inputs, |a, b| a >= b),
        Relation::Less => binary::<T, bool>(inputs, |a, b| a < b),
        Relation::LessOrEqual => binary::<T, bool>(inputs, |a, b| a <= b),
    }
}
