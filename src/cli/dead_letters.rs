//! Arguments of `tidemill dead-letters`.

use std::time::Duration;

use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;

use super::accept::AcceptArgs;
use super::args::ConfigArgs;
use super::args::Moment;
use super::args::Place;
use super::args::age;
use super::args::moment;

#[derive(Clone, Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// List dead letters, newest first, and count them by cause.
    List(DeadLettersListArgs),
    /// Show one with its cause, headers, key and payload.
    Show(DeadLettersShowArgs),
    /// Send open ones through decoder, model and table again, as they are configured now. Exits with 1 if some failed again.
    Replay(DeadLettersReplayArgs),
    /// Drop keys, payloads and headers for good; coordinates and causes stay, so that every record is accounted for.
    Purge(DeadLettersPurgeArgs),
    /// Accept that records rejected for one cause become dead letters, though they are a flood.
    Accept(AcceptArgs),
}

/// Which dead letters; all conditions must hold.
#[derive(Clone, Debug, Default, Args)]
pub struct DeadLetterFilter {
    /// Only these ids.
    #[arg(long = "id", value_name = "ID", value_delimiter = ',')]
    pub ids: Vec<i64>,
    /// Only of this reason, such as bad_json.
    #[arg(long, value_name = "REASON")]
    pub reason: Option<String>,
    /// Only of this step.
    #[arg(long, value_name = "STAGE", value_parser = ["decode", "infer", "write", "process"])]
    pub stage: Option<String>,
    /// Only those that failed at this time or later: 2026-01-31T08:00:00Z, or an age such as 2h.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Moment>,
    /// Only those that failed before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Moment>,
    /// Only of this topic.
    #[arg(long, value_name = "TOPIC", conflicts_with = "partition")]
    pub topic: Option<String>,
    /// Only of this partition.
    #[arg(long, value_name = "TOPIC:N")]
    pub partition: Option<Place>,
}

/// What became of a dead letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum DeadLetterState {
    /// Nothing yet.
    Open,
    /// It became a row.
    Replayed,
    /// A skip rule left it out in a replay.
    Skipped,
    /// It was purged while it was open.
    Discarded,
    All,
}

impl DeadLetterState {
    /// As the table has it; `None` for all.
    pub fn stored(self) -> Option<&'static str> {
        match self {
            DeadLetterState::Open => Some("open"),
            DeadLetterState::Replayed => Some("replayed"),
            DeadLetterState::Skipped => Some("skipped"),
            DeadLetterState::Discarded => Some("discarded"),
            DeadLetterState::All => None,
        }
    }
}

#[derive(Clone, Debug, Args)]
pub struct DeadLettersListArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub filter: DeadLetterFilter,
    /// Only in this state.
    #[arg(long, value_name = "STATE", value_enum, default_value_t = DeadLetterState::Open)]
    pub state: DeadLetterState,
    /// Most dead letters listed; the counts are of all.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub struct DeadLettersShowArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Its id, from `list`.
    #[arg(value_name = "ID")]
    pub id: i64,
    /// Write the payload's bytes as they are, and nothing else.
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
    /// Print JSON; bytes that are not UTF-8 as hexadecimal.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub struct DeadLettersReplayArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub filter: DeadLetterFilter,
    /// Leave alone what failed this often in a replay.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(i32).range(1..))]
    pub attempts_max: i32,
    /// Try those again too that failed too often.
    #[arg(long)]
    pub force: bool,
    /// At most so many a second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// Do it all, table included, and take it back.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Clone, Debug, Args)]
pub struct DeadLettersPurgeArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub filter: DeadLetterFilter,
    /// Only in this state. Open ones become discarded.
    #[arg(long, value_name = "STATE", value_enum, default_value_t = DeadLetterState::All)]
    pub state: DeadLetterState,
    /// Only those that failed longer ago than this, such as 30d.
    #[arg(long, value_name = "AGE", value_parser = age, conflicts_with = "until")]
    pub older_than: Option<Duration>,
    /// Purge without any condition.
    #[arg(long)]
    pub all: bool,
    /// Why; kept in tidemill.operation with who and when.
    #[arg(long, value_name = "TEXT")]
    pub because: String,
    /// Only say what would be dropped.
    #[arg(long)]
    pub dry_run: bool,
}
