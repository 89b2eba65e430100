//! Kernels, one operator or close family a file; each file lists its operators for the registry.

pub mod layout;
pub mod math;
pub mod ml;
pub mod plain;

use crate::registry::Operator;

/// Every family. One line each, in alphabetical order.
pub const FAMILIES: &[&[Operator]] = &[
    math::activations::OPERATORS,
    math::arithmetic::OPERATORS,
    math::bits::OPERATORS,
    math::channel_norm::OPERATORS,
    math::clip::OPERATORS,
    math::compare::OPERATORS,
    math::det::OPERATORS,
    math::fused::OPERATORS,
    math::layer_norm::OPERATORS,
    math::logic::OPERATORS,
    math::lp_norm::OPERATORS,
    math::power::OPERATORS,
    math::random::OPERATORS,
    math::reduce::OPERATORS,
    math::softmax::OPERATORS,
    math::unary::OPERATORS,
    math::variadic::OPERATORS,
    plain::OPERATORS,
];
