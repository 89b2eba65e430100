//! Arguments of `tidemill dead-letters accept`.

use std::time::Duration;

use clap::Args;

use super::args::ConfigArgs;
use super::args::duration;

/// A flood of records that are rejected for one cause stops its topic. This lets them become dead letters for a while.
#[derive(Clone, Debug, Args)]
pub struct AcceptArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Stage and reason as `/readyz` names them, such as decode/bad_json.
    #[arg(long, value_name = "STAGE/REASON", value_parser = cause, required_unless_present = "list")]
    pub cause: Option<String>,
    /// For how long from now on, such as 1h.
    #[arg(long = "for", value_name = "TIME", value_parser = duration, required_unless_present_any = ["list", "end"])]
    pub time: Option<Duration>,
    /// Only for this topic of the pipeline.
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// End what was accepted before its time is over.
    #[arg(long, conflicts_with = "time")]
    pub end: bool,
    /// List who accepted what, when and until when, newest first.
    #[arg(long, conflicts_with_all = ["cause", "time", "end"])]
    pub list: bool,
}

fn cause(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some(("decode" | "infer" | "write" | "process", reason)) if !reason.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is not a stage and a reason, such as decode/bad_json")),
    }
}
