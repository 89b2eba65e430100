//! What can be wrong with the configuration of the decoders.

use std::path::PathBuf;

/// A mistake in `[event]`, in a `[[skip]]` rule, in a wanted field or in the bincode schema.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option or a skip rule; `key` is its place in the configuration, such as `event.depth_max` or `skip[2].in`.
    #[error("{key}: {problem}")]
    Option { key: String, problem: String },
    /// A field that the model, the table or a skip rule wants.
    #[error("field `{path}`: {problem}")]
    Field { path: String, problem: String },
    /// A path that cannot be read; `at` counts characters from 1.
    #[error("path `{text}`: {problem} at character {at}")]
    Path { text: String, at: usize, problem: &'static str },
    #[error("cannot read the schema {}: {source}", .file.display())]
    SchemaFile { file: PathBuf, source: std::io::Error },
    /// The schema file is not TOML, or has unknown keys. The text has line and column.
    #[error("the schema {} is not valid: {problem}", .file.display())]
    SchemaText { file: PathBuf, problem: String },
    /// A type in the schema that cannot be read; `field` is its dotted name.
    #[error("schema field `{field}`: {problem}")]
    SchemaField { field: String, problem: String },
}

impl Error {
    pub(super) fn option(key: impl Into<String>, problem: impl Into<String>) -> Error {
        Error::Option { key: key.into(), problem: problem.into() }
    }

    pub(super) fn field(path: &[crate::domain::fields::Step], problem: impl Into<String>) -> Error {
        Error::Field { path: super::path::show(path), problem: problem.into() }
    }
}
