//! Operators of `ai.onnx.ml`.

pub mod tree_ensemble;
pub mod tree_ensemble_classifier;
pub mod tree_ensemble_regressor;
pub mod tree_parts;
