//! Models: a bundle on disk becomes a session that scores batches, after its golden records have passed.

pub mod bundle;
pub mod features;
pub mod golden;
pub mod manifest;
pub mod readout;
pub mod scorer;
pub mod summary;

#[cfg(test)]
mod tests;

/// `[model]`
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Folder of the bundle: `model.onnx`, `model.toml` and `golden.jsonl`.
    pub bundle: std::path::PathBuf,
}
