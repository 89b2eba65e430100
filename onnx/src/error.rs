//! Why a model is refused, and why a run of it fails.

use std::path::PathBuf;

use thiserror::Error;

/// What a kernel says; the caller adds the node. Never holds tensor contents.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpError {
    /// The node or its inputs break the specification.
    #[error("{0}")]
    Bad(String),
    /// Right by the specification, but not done here; the text says what exactly.
    #[error("{0}")]
    Unsupported(String),
    /// More than [`crate::limits`] allows.
    #[error("{0}")]
    TooLarge(String),
}

impl OpError {
    pub fn bad(text: impl Into<String>) -> OpError {
        OpError::Bad(text.into())
    }

    pub fn unsupported(text: impl Into<String>) -> OpError {
        OpError::Unsupported(text.into())
    }

    pub fn too_large(text: impl Into<String>) -> OpError {
        OpError::TooLarge(text.into())
    }
}

/// Ends a function with [`OpError::Bad`]; takes what `format!` takes.
#[macro_export]
macro_rules! bad {
    ($($text:tt)*) => { return Err($crate::error::OpError::Bad(format!($($text)*)).into()) };
}

/// Ends a function with [`OpError::Unsupported`]; takes what `format!` takes.
#[macro_export]
macro_rules! unsupported {
    ($($text:tt)*) => { return Err($crate::error::OpError::Unsupported(format!($($text)*)).into()) };
}

/// Why a file cannot become a model. Every one of them needs a person; messages name the way out.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("not an ONNX file, or truncated: {0}; export the model again")]
    NotOnnx(String),
    #[error("the graph is broken: {0}; export the model again")]
    Broken(String),
    #[error("external data of `{tensor}`: {what}")]
    External { tensor: String, what: String },
    #[error(
        "operator {operator} of node `{node}` is not supported: {why}; use engine = \"onnxruntime\", or export without it"
    )]
    Unsupported { operator: String, node: String, why: String },
    #[error("operator {operator} of node `{node}`: {source}")]
    Node { operator: String, node: String, source: OpError },
    #[error("the graph has no {what} `{name}`; it has {known}")]
    Unknown { what: &'static str, name: String, known: String },
    #[error("{0}")]
    Refused(String),
}

/// Why a run failed. The text names the node and never holds tensor contents.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RunError {
    #[error("input `{name}`: {what}")]
    Input { name: String, what: String },
    #[error("operator {operator} of node `{node}`: {source}")]
    Node { operator: String, node: String, source: OpError },
    #[error("{0}")]
    Failed(String),
}
