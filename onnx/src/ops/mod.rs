//! Kernels, one operator or close family a file; each file lists its operators for the registry.

pub mod layout;
pub mod math;
pub mod ml;
pub mod plain;

use crate::registry::Operator;

/// Every family. One line each, in alphabetical order.
pub const FAMILIES: &[&[Operator]] = &[
    math::arithmetic::OPERATORS,
    math::compare::OPERATORS,
    math::logic::OPERATORS,
    math::reduce::OPERATORS,
    math::softmax::OPERATORS,
    math::unary::OPERATORS,
    plain::OPERATORS,
];
