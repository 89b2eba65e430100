//! Kernels, one operator or close family a file; each file lists its operators for the registry.

pub mod dense;
pub mod ml;
pub mod nets;
pub mod plain;

use crate::registry::Operator;

/// Every family. One line each, in alphabetical order.
pub const FAMILIES: &[&[Operator]] = &[
    dense::gemm::OPERATORS,
    dense::layer::OPERATORS,
    dense::matmul::OPERATORS,
    nets::attention::microsoft::OPERATORS,
    nets::attention::onnx::OPERATORS,
    nets::conv::OPERATORS,
    nets::conv_integer::OPERATORS,
    nets::conv_transpose::OPERATORS,
    nets::embed::OPERATORS,
    nets::fourier::OPERATORS,
    nets::grid::OPERATORS,
    nets::losses::OPERATORS,
    nets::lrn::OPERATORS,
    nets::pool::OPERATORS,
    nets::pool_global::OPERATORS,
    nets::pool_quantized::OPERATORS,
    nets::recurrent::OPERATORS,
    nets::regions::OPERATORS,
    nets::resize::OPERATORS,
    nets::rotary::OPERATORS,
    nets::signal::OPERATORS,
    nets::suppression::OPERATORS,
    nets::unpool::OPERATORS,
    plain::OPERATORS,
];
