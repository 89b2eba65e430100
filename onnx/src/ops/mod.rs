//! Kernels, one operator or close family a file; each file lists its operators for the registry.

pub mod layout;
pub mod dense;
pub mod ml;
pub mod nets;
pub mod plain;

use crate::registry::Operator;

/// Every family. One line each, in alphabetical order.
pub const FAMILIES: &[&[Operator]] = &[
    dense::einsum::OPERATORS,
    dense::gemm::OPERATORS,
    dense::integer::OPERATORS,
    dense::matmul::OPERATORS,
    dense::qlinear::OPERATORS,
    dense::quantize::OPERATORS,
    nets::conv::OPERATORS,
    nets::conv_integer::OPERATORS,
    nets::conv_transpose::OPERATORS,
    nets::lrn::OPERATORS,
    nets::pool::OPERATORS,
    nets::pool_global::OPERATORS,
    nets::recurrent::OPERATORS,
    nets::unpool::OPERATORS,
    plain::OPERATORS,
];
