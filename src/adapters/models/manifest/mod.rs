//! `model.toml`: which field becomes which feature, and which output becomes which column.

pub mod feature;
pub mod output;
mod problems;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde::Serialize;
use tidemill_onnx::engine::EngineName;

use crate::adapters::models::manifest::feature::Feature;
use crate::adapters::models::manifest::output::Output;

/// A model bundle: features in the order of the tensors, outputs as columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name of the model; every stored row refers to it.
    pub name: String,
    /// Version of the model, any text; change it with every change of the files.
    pub version: String,
    /// What runs the graph.
    #[serde(default)]
    pub engine: Engine,
    /// The graph's input, where it has only one.
    #[serde(default)]
    pub input: Input,
    /// Where the golden records come from.
    #[serde(default)]
    pub golden: Golden,
    /// What the inputs are made of: features of one input in the order of its columns.
    #[serde(rename = "feature")]
    pub features: Vec<Feature>,
    /// Columns that the model fills.
    #[serde(rename = "output")]
    pub outputs: Vec<Output>,
}

/// What runs the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Tidemill's own kernels and tract.
    #[default]
    Tract,
    /// The onnxruntime library; needs a program that was built with it.
    Onnxruntime,
}

impl From<Engine> for EngineName {
    fn from(engine: Engine) -> EngineName {
        match engine {
            Engine::Tract => EngineName::Tract,
            Engine::Onnxruntime => EngineName::Onnxruntime,
        }
    }
}

/// The graph's input, where it has only one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Input {
    /// Name of the input that features without `input` belong to; left out, the graph's only one.
    pub tensor: Option<String>,
}

/// Where the golden records come from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Golden {
    /// Who computed the outputs.
    pub source: GoldenSource,
}

/// Who computed the golden records' outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GoldenSource {
    /// A reference runtime: the records vouch for the model.
    #[default]
    Onnxruntime,
    /// Tidemill itself: the records only show that nothing has changed since. Every start warns of it.
    SelfMade,
}

/// JSON Schema of `model.toml`, in the draft that editors of TOML understand.
pub fn schema() -> schemars::Schema {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<Manifest>()
}
