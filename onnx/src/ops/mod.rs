//! Kernels, one operator or close family a file; each file lists its operators for the registry.

pub mod layout;
pub mod ml;
pub mod plain;
pub mod shape;

use crate::registry::Operator;

/// Every family. One line each, in alphabetical order.
pub const FAMILIES: &[&[Operator]] = &[
    plain::OPERATORS,
    shape::arg::OPERATORS,
    shape::cast::OPERATORS,
    shape::concat::OPERATORS,
    shape::cumulate::OPERATORS,
    shape::fill::OPERATORS,
    shape::gather::OPERATORS,
    shape::pad::OPERATORS,
    shape::repeat::OPERATORS,
    shape::reshape::OPERATORS,
    shape::reverse::OPERATORS,
    shape::scatter::OPERATORS,
    shape::select::OPERATORS,
    shape::slice::OPERATORS,
    shape::topk::OPERATORS,
    shape::transpose::OPERATORS,
    shape::unique::OPERATORS,
];
