//! Rows as JSON lines: an object from input name to that row's value without the batch axis, and the same for outputs.
//!
//! NaN and infinities are the texts `"NaN"`, `"Infinity"` and `"-Infinity"`, where a float is expected.

pub mod parse;
pub mod write;

use thiserror::Error;

/// What is wrong with a row; the text names the input and never repeats the row.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JsonError {
    #[error("not a JSON object: {0}")]
    NotJson(String),
    #[error("input `{0}` is missing")]
    Missing(String),
    #[error("there is no input `{name}`; the model has {known}")]
    Unknown { name: String, known: String },
    #[error("input `{name}`: {what}")]
    Input { name: String, what: String },
}
