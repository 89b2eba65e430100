//! Random numbers: refused, since a batch that is done again after a failure must give the same rows.

use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Kernel;
use crate::registry::Operator;
use crate::unsupported;

const NOTE: &str = "refused: a row that is scored again must get the same result";

pub const OPERATORS: &[Operator] = &[
    Operator::own("Bernoulli", refuse).note(NOTE),
    Operator::own("Multinomial", refuse).note(NOTE),
    Operator::own("RandomNormal", refuse).note(NOTE),
    Operator::own("RandomNormalLike", refuse).note(NOTE),
    Operator::own("RandomUniform", refuse).note(NOTE),
    Operator::own("RandomUniformLike", refuse).note(NOTE),
];

fn refuse(_: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    unsupported!("random numbers differ from run to run, and a row that is scored again must get the same result")
}
