//! Decision-tree ensembles of `ai.onnx.ml`: read from attributes, checked, and walked many rows at a time.

pub mod attributes;
pub mod flat;
pub mod forest;
pub mod naive;
pub mod transform;
