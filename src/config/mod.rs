//! Layer 4: the sum of every part's `Options`, loaded from one file. Each section is one line below; its keys, defaults
//! and documentation belong to the part that uses them.

mod de;
mod de_error;
pub mod error;
mod json_tree;
pub mod load;
pub mod place;
pub mod schema;
mod sets;
pub mod show;
mod toml_tree;
mod tree;
mod vars;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::admin;
use crate::telemetry::logging;

/// Everything that a configuration file may hold.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is logged and how.
    pub log: logging::Options,
    /// The HTTP listener for health and metrics.
    pub admin: admin::Options,
}
