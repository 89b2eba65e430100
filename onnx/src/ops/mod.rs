//! Kernels, one operator or close family a file; each file lists its operators for the registry.

pub mod ml;
pub mod plain;

use crate::registry::Operator;

/// Every family. One line each, in alphabetical order.
pub const FAMILIES: &[&[Operator]] = &[
    ml::tree_ensemble::OPERATORS,
    ml::tree_ensemble_classifier::OPERATORS,
    ml::tree_ensemble_regressor::OPERATORS,
    plain::OPERATORS,
];
