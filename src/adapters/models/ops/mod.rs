//! Operators of `ai.onnx.ml` that tract lacks or gets wrong, registered under their ONNX names.

pub mod scaler;
pub mod tree_classifier;
pub mod tree_regressor;
pub mod trees;

use tract_onnx::Onnx;

/// Operators that are ours; they are looked up by name alone, so their domain is checked when a graph is read.
pub const OURS: [&str; 3] = ["Scaler", "TreeEnsembleClassifier", "TreeEnsembleRegressor"];

/// Adds our operators to a reader of ONNX files, in place of tract's own where it has one.
pub fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("Scaler", scaler::build);
    onnx.op_register.insert("TreeEnsembleClassifier", tree_classifier::build);
    onnx.op_register.insert("TreeEnsembleRegressor", tree_regressor::build);
}
