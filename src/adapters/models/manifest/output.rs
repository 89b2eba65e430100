//! `[[output]]`: a column and the part of the graph's outputs that fills it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

/// One column that the model fills.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Name of the column.
    pub name: String,
    /// Name of the graph's output.
    pub tensor: String,
    /// Column of that output, from 0; needed if it has more than one. An output of more axes is counted row by row.
    pub index: Option<usize>,
    /// Class whose value is taken, for an output that ZipMap made (probabilities by class).
    pub class: Option<String>,
    /// Kind of the column.
    pub kind: OutputType,
    /// Texts for the classes of a label column whose tensor holds integers; a class outside it is stored as its number.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What to do with a record whose output is NaN or infinite.
    #[serde(default)]
    pub nan: NanPolicy,
}

/// Kind of an output column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputType {
    Float,
    Integer,
    Boolean,
    Label,
    /// All columns of the tensor as an array of 32-bit floats.
    Reals,
}

/// What to do with a record whose output is NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NanPolicy {
    #[default]
    Reject,
    Store,
}
