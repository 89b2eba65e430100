//! The one JSON Schema: for editors, `check` and the chart. Draft 7, which every Helm understands.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

/// The schema of `T` as text with a line break at its end.
pub fn of<T: JsonSchema>() -> String {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>();
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}
