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
pub mod validate;
mod vars;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::adapters::formats;
use crate::adapters::kafka;
use crate::adapters::models;
use crate::adapters::postgres;
use crate::admin;
use crate::domain::guard;
use crate::pipeline::intake;
use crate::pipeline::mill;
use crate::pipeline::writer;
use crate::telemetry::logging;

/// Everything that a configuration file may hold.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Name of the pipeline. With the cluster and the topic it is the identity that positions are kept under: another
    /// name starts over.
    pub name: String,
    /// The log to read.
    pub kafka: kafka::options::Options,
    /// How events are decoded.
    pub event: formats::options::Options,
    /// Records to leave out on purpose; the first rule that fits counts.
    pub skip: Vec<formats::options::SkipRule>,
    /// The model. Without this section events are decoded and stored unscored.
    pub model: Option<models::Options>,
    /// The result table.
    pub table: postgres::options::TableOptions,
    /// The database.
    pub postgres: postgres::options::PostgresOptions,
    /// What a dead letter keeps.
    pub dead_letter: postgres::options::DeadLetterOptions,
    /// When rejected records stop their topic instead of becoming dead letters.
    pub guard: guard::Options,
    /// How much may be under way.
    pub intake: intake::options::Options,
    /// When a micro-batch closes.
    pub batch: intake::options::BatchOptions,
    /// Threads that decode and score.
    pub mill: mill::Options,
    /// How rows are stored.
    pub writer: writer::options::Options,
    /// How long stopping may take.
    pub shutdown: intake::options::ShutdownOptions,
    /// The HTTP listener for health and metrics.
    pub admin: admin::Options,
    /// What is logged and how.
    pub log: logging::Options,
}
