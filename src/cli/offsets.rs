//! Arguments of `tidemill offsets`.

use clap::Args;
use clap::Subcommand;

use super::args::ConfigArgs;
use super::args::Place;
use crate::adapters::kafka::start_from::StartFrom;

#[derive(Clone, Debug, Subcommand)]
pub enum OffsetsCommand {
    /// Show marks, owners, logs, lag and totals of all partitions, and what speaks against reading them.
    Show(OffsetsShowArgs),
    /// Set the mark of a partition: where its owner reads on within seconds, without a restart.
    Set(OffsetsSetArgs),
    /// Give up a range of offsets, lost or unwanted: it becomes a hole that is on record.
    Skip(OffsetsSkipArgs),
    /// Accept a topic that was deleted and made anew: as another source, read from where you say.
    Adopt(OffsetsAdoptArgs),
}

#[derive(Clone, Debug, Args)]
pub struct OffsetsShowArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What every change needs.
#[derive(Clone, Debug, Args)]
pub struct ChangeArgs {
    /// Why; kept in tidemill.operation with who and when.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Do it without having named the mark.
    #[arg(long)]
    pub yes: bool,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
}

/// Which partitions.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Partitions {
    /// One partition, such as payments:3.
    #[arg(long, value_name = "TOPIC:N")]
    pub partition: Option<Place>,
    /// Every partition of every topic.
    #[arg(long)]
    pub all_partitions: bool,
}

/// An offset, or how to find one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    Offset(i64),
    Find(StartFrom),
}

/// Reads an offset, `earliest`, `latest` or a time with its date.
fn target(text: &str) -> Result<Target, String> {
    if let Ok(offset) = text.parse::<i64>() {
        return if offset >= 0 { Ok(Target::Offset(offset)) } else { Err(format!("`{text}` is negative")) };
    }
    let found = text.parse().map(Target::Find);
    found.map_err(|_| {
        format!("`{text}` is neither an offset, `earliest`, `latest` nor a time such as 2026-01-31T08:00:00Z")
    })
}

#[derive(Clone, Debug, Args)]
pub struct OffsetsSetArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub partitions: Partitions,
    /// Where to read on: an offset, earliest, latest, or the first record of a time such as 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "WHERE", value_parser = target)]
    pub to: Target,
    /// Do it only if this is the mark, so that two operators do not undo each other.
    #[arg(long, value_name = "OFFSET", conflicts_with = "all_partitions")]
    pub expect: Option<i64>,
    /// Going back: also delete the rows and dead letters from there on, in the same transaction.
    #[arg(long, conflicts_with = "allow_repeat")]
    pub delete_rows: bool,
    /// Going back: keep the rows that are there. What is read again becomes a second row (or what table.on_conflict says).
    #[arg(long)]
    pub allow_repeat: bool,
    #[command(flatten)]
    pub change: ChangeArgs,
}

#[derive(Clone, Debug, Args)]
pub struct OffsetsSkipArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub partitions: Partitions,
    /// First offset that is given up; it must be the mark.
    #[arg(long, value_name = "OFFSET", conflicts_with = "all_partitions")]
    pub from: Option<i64>,
    /// First offset that is read again.
    #[arg(long, value_name = "OFFSET", conflicts_with = "all_partitions", required_unless_present = "lost")]
    pub to: Option<i64>,
    /// Give up exactly what is no longer in the log.
    #[arg(long, conflicts_with = "to")]
    pub lost: bool,
    #[command(flatten)]
    pub change: ChangeArgs,
}

#[derive(Clone, Debug, Args)]
pub struct OffsetsAdoptArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The topic that was made anew.
    #[arg(long, value_name = "TOPIC")]
    pub topic: String,
    /// Where to read it from: an offset, earliest, latest, or a time.
    #[arg(long, value_name = "WHERE", value_parser = target, default_value = "earliest")]
    pub to: Target,
    #[command(flatten)]
    pub change: ChangeArgs,
}
