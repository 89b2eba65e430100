//! Arithmetic, comparisons, element-wise functions, reductions and normalisations.

pub mod activations;
pub mod arithmetic;
pub mod bits;
pub mod broadcast;
pub mod channel_norm;
pub mod clip;
pub mod compare;
pub mod det;
pub mod functions;
pub mod fused;
pub mod layer_norm;
pub mod legacy;
pub mod logic;
pub mod lp_norm;
pub mod number;
pub mod power;
pub mod reduce;
pub mod softmax;
pub mod unary;
pub mod variadic;
pub mod widen;
