//! Arithmetic, comparisons, element-wise functions, reductions and normalisations.

pub mod arithmetic;
pub mod broadcast;
pub mod compare;
pub mod functions;
pub mod legacy;
pub mod logic;
pub mod number;
pub mod reduce;
pub mod softmax;
pub mod unary;
