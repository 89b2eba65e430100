//! Arguments that commands share, and those of the commands without a file of their own.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use crate::adapters::kafka::start_from::StartFrom;
use crate::domain::units::Millis;

/// Where the configuration comes from.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// The configuration file: TOML, or JSON when its name ends in .json.
    #[arg(short, long, value_name = "FILE", default_value = "tidemill.toml")]
    pub config: PathBuf,
    /// Set one key, over the file: --set log.level=debug. May be given several times; the last wins.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Also read the newest N records, without joining a group, and say what would become of them and why.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sample: Option<u32>,
}

#[derive(Clone, Debug, Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print the statements instead of running them.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Payments a second that the generator makes.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// Stop by itself after this time, such as 20s; without it the demo runs until Ctrl-C.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Use this database instead of a throwaway cluster, such as postgres://user@localhost/demo.
    #[arg(long, value_name = "URL")]
    pub postgres_url: Option<String>,
}

/// Reads a time such as 20s or 500ms.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Result<Millis, serde::de::value::Error> =
        serde::Deserialize::deserialize(serde::de::value::StrDeserializer::new(text));
    parsed.map(Millis::duration).map_err(|e| e.to_string())
}

/// A partition of a topic: `payments:3`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub topic: String,
    pub partition: i32,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let (topic, partition) = text.rsplit_once(':').unwrap_or(("", ""));
        match partition.parse::<i32>() {
            Ok(partition) if partition >= 0 && !topic.is_empty() => Ok(Place { topic: topic.to_owned(), partition }),
            _ => Err(format!("`{text}` is not a topic and a partition, such as payments:3")),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.topic, self.partition)
    }
}

/// A point in time as people write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Milliseconds since 1970.
    At(i64),
    /// So long before the command.
    Ago(Duration),
}

impl Moment {
    /// Milliseconds since 1970, when it is `now_micros` microseconds since 1970.
    pub fn millis(self, now_micros: i64) -> i64 {
        match self {
            Moment::At(millis) => millis,
            Moment::Ago(age) => now_micros / 1000 - i64::try_from(age.as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// Reads a time such as 2026-01-31T08:00:00Z, or an age such as 2h or 30d.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(age) = age(text) {
        return Ok(Moment::Ago(age));
    }
    match text.parse() {
        Ok(StartFrom::Time(millis)) => Ok(Moment::At(millis)),
        _ => Err(format!("`{text}` is neither a time such as 2026-01-31T08:00:00Z nor an age such as 2h or 30d")),
    }
}

/// Reads an age such as 2h or 30d.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('d').map(str::parse::<u32>) {
        Some(Ok(days)) => Ok(Duration::from_secs(u64::from(days) * 86_400)),
        _ => duration(text),
    }
}
