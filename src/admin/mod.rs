//! Layer 3: health and metrics over HTTP, on a thread and a runtime of its own, so that health answers under load.

pub mod pages;
pub mod server;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::domain::units::Millis;

/// `[admin]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Address and port of the listener for `/livez`, `/readyz`, `/startupz`, `/metrics` and `/version`. It is read-only
    /// and has no password: bind it to an address that only your probes and Prometheus reach. Port 0 takes a free one.
    pub listen: String,
    /// `/livez` fails when a stage holds work, waits for no known outage and has not turned for this long. Keep it above
    /// the longest time that one micro-batch can need.
    pub stuck_after: Millis,
}

impl Default for Options {
    fn default() -> Options {
        Options { listen: "0.0.0.0:9464".to_owned(), stuck_after: Millis::secs(60) }
    }
}
