//! Attention operators: the specification's own and those that Microsoft's tools write.

pub mod core;
pub mod mask;
pub mod microsoft;
pub mod onnx;
mod padding;
pub mod quantized;
