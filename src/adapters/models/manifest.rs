//! `model.toml`: which field becomes which feature, and which output becomes which column.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde::Serialize;

/// A model bundle: features in the order of the tensor, outputs as columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name of the model; every stored row refers to it.
    pub name: String,
    /// Version of the model, any text; change it with every change of the files.
    pub version: String,
    /// What the graph is fed with.
    #[serde(default)]
    pub input: Input,
    /// One for each column of the input tensor, in its order.
    #[serde(rename = "feature")]
    pub features: Vec<Feature>,
    /// Columns that the model fills.
    #[serde(rename = "output")]
    pub outputs: Vec<Output>,
}

/// The input tensor.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Input {
    /// Name of the graph's input; left out, the graph's only one.
    pub tensor: Option<String>,
}

/// One column of the input tensor: either `field` and `type`, or `equal`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Path of the field in the event.
    pub field: Option<String>,
    /// Two paths: the feature is 1 if both are the same text, else 0.
    pub equal: Option<[String; 2]>,
    /// What the field is.
    #[serde(rename = "type")]
    pub kind: Option<FeatureType>,
    /// Texts of a category; the feature is the index in this list, -1 for a text outside it.
    #[serde(default)]
    pub values: Vec<String>,
    /// What a numeric timestamp counts since 1970.
    pub unit: Option<Unit>,
    /// When the field is absent or null.
    #[serde(default)]
    pub missing: Fill,
    /// When the field has another type.
    #[serde(default)]
    pub wrong: Fill,
}

/// Type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FeatureType {
    Number,
    Integer,
    Boolean,
    Category,
    /// Seconds since 1970 in the tensor.
    Timestamp,
}

/// Unit of a numeric timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
}

/// What a feature is when there is no usable value: `"reject"`, `"nan"` or a number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected \"reject\", \"nan\" or a number")]
pub enum Fill {
    Word(FillWord),
    Number(f64),
}

/// See [`Fill`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FillWord {
    /// The record is rejected.
    Reject,
    /// The feature is NaN.
    Nan,
}

impl Default for Fill {
    fn default() -> Fill {
        Fill::Word(FillWord::Reject)
    }
}

/// One column that the model fills.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Name of the column.
    pub name: String,
    /// Name of the graph's output.
    pub tensor: String,
    /// Column of that output, from 0; needed if it has more than one.
    pub index: Option<usize>,
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
    /// All columns of the tensor as an array.
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

/// JSON Schema of `model.toml`, in the draft that editors of TOML understand.
pub fn schema() -> schemars::Schema {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<Manifest>()
}

/// Longest name that Postgres keeps whole.
const NAME_MAX: usize = 63;

impl Manifest {
    /// Everything that is wrong and can be told without the graph.
    pub fn problems(&self) -> Vec<String> {
        let mut out = vec![];
        for (key, text) in [("name", &self.name), ("version", &self.version)] {
            if text.trim().is_empty() || text.contains('\0') || text.len() > 200 {
                out.push(format!("`{key}` must be a text of 1 to 200 bytes"));
            }
        }
        if self.features.is_empty() {
            out.push("there is no [[feature]]".into());
        }
        if self.outputs.is_empty() {
            out.push("there is no [[output]]".into());
        }
        for (i, feature) in self.features.iter().enumerate() {
            feature.problems(&format!("feature {} ({})", i + 1, feature.title()), &mut out);
        }
        let mut names = BTreeSet::new();
        for output in &self.outputs {
            output.problems(&mut out);
            if !names.insert(&output.name) {
                out.push(format!("two outputs have the name `{}`", output.name));
            }
        }
        out
    }
}

impl Feature {
    /// The path, or both paths, for messages.
    pub fn title(&self) -> String {
        match (&self.field, &self.equal) {
            (Some(field), _) => field.clone(),
            (None, Some([a, b])) => format!("{a} = {b}"),
            (None, None) => "?".into(),
        }
    }

    fn problems(&self, at: &str, out: &mut Vec<String>) {
        match (&self.field, &self.equal) {
            (Some(_), Some(_)) | (None, None) => {
                out.push(format!("{at}: exactly one of `field` and `equal` is needed"))
            }
            (Some(_), None) if self.kind.is_none() => out.push(format!("{at}: `type` is missing")),
            (None, Some(_)) if self.kind.is_some() => {
                out.push(format!("{at}: `equal` takes no `type`, it compares texts"))
            }
            _ => {}
        }
        if self.equal.is_some() && self.wrong != Fill::default() && self.wrong != self.missing {
            out.push(format!("{at}: `wrong` must be \"reject\" or the same as `missing`"));
        }
        let category = self.kind == Some(FeatureType::Category);
        if category == self.values.is_empty() {
            out.push(format!("{at}: `values` belongs to type \"category\" and must not be empty there"));
        }
        let distinct: BTreeSet<_> = self.values.iter().collect();
        if distinct.len() != self.values.len() {
            out.push(format!("{at}: `values` names a text twice"));
        }
        if self.unit.is_some() && self.kind != Some(FeatureType::Timestamp) {
            out.push(format!("{at}: `unit` belongs to type \"timestamp\""));
        }
        let whole = matches!(self.kind, Some(FeatureType::Integer | FeatureType::Boolean | FeatureType::Category));
        for (key, fill) in [("missing", self.missing), ("wrong", self.wrong)] {
            if let Fill::Number(n) = fill {
                if !n.is_finite() {
                    out.push(format!("{at}: `{key}` must be finite; write \"nan\" for NaN"));
                } else if whole && n.fract() != 0.0 {
                    out.push(format!("{at}: `{key}` must be a whole number for this type"));
                }
            }
        }
    }
}

impl Output {
    fn problems(&self, out: &mut Vec<String>) {
        let at = format!("output `{}`", self.name);
        if self.name.is_empty() || self.name.len() > NAME_MAX || self.name.contains('\0') {
            out.push(format!("{at}: `name` must be 1 to {NAME_MAX} bytes"));
        }
        if !self.labels.is_empty() && self.kind != OutputType::Label {
            out.push(format!("{at}: `labels` belongs to kind \"label\""));
        }
        for class in self.labels.keys().filter(|k| k.parse::<i64>().is_err()) {
            out.push(format!("{at}: `labels` has the class `{class}`, which is no whole number"));
        }
        if self.index.is_some() && self.kind == OutputType::Reals {
            out.push(format!("{at}: kind \"reals\" takes all columns, no `index`"));
        }
    }
}
