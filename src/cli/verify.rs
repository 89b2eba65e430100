//! Arguments of `tidemill verify`.

use std::time::Duration;

use clap::Args;

use super::args::ConfigArgs;
use super::args::Moment;
use super::args::duration;
use super::args::moment;

#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Only this topic.
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Only this partition (of every topic that is looked at).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<i32>,
    /// Only from this offset on.
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    pub from: Option<i64>,
    /// Only below this offset.
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    pub to: Option<i64>,
    /// Only records of this time or later: 2026-01-31T08:00:00Z, or an age such as 2h or 7d.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Moment>,
    /// Only the newest N windows of 10,000 offsets of each partition.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub windows: Option<u32>,
    /// Longest time for everything; the database keeps a snapshot open for as long as it takes.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration)]
    pub timeout: Duration,
}

impl VerifyArgs {
    /// Whether only a part of what could be looked at is looked at: then totals cannot be compared.
    pub fn is_narrowed(&self) -> bool {
        self.from.is_some() || self.to.is_some() || self.since.is_some() || self.windows.is_some()
    }
}
