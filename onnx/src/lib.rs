//! Runs exported ONNX models on tensors: graphs are read, checked and planned here; who calls decides what the rows mean.
#![deny(unsafe_code)]

pub mod cpu;
pub mod dense;
pub mod engine;
#[cfg(feature = "onnxruntime")]
pub mod engine_ort;
pub mod error;
pub mod graph;
pub mod inspect;
pub mod json;
pub mod kernel;
pub mod limits;
pub mod ops;
pub mod program;
pub mod proto;
pub mod registry;
pub mod segment;
pub mod session;
pub mod tensor;
pub mod trees;
pub mod value;
