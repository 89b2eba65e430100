//! Rules that look at several keys or sections. All findings are said at once, each at the key that can mend it.

use super::Config;
use super::error::ConfigErrors;
use super::error::Finding;
use super::load::Origins;
use super::place::Step;
use crate::adapters::formats;
use crate::domain::units::Millis;

/// Everything that is wrong with a configuration that could be read.
///
/// # Errors
/// All findings together.
pub fn validate(config: &Config, origins: &Origins) -> Result<(), ConfigErrors> {
    let mut problems: Vec<(String, String)> = vec![];
    for problem in config.kafka.problems() {
        problems.push((format!("kafka.{}", problem.key), problem.message));
    }
    for error in formats::options::validate(&config.event, &config.skip) {
        problems.push((String::new(), error.to_string()));
    }
    if let Err(error) = config.log.validate() {
        problems.push(("log.level".into(), error.to_string()));
    }
    sizes(config, &mut problems);
    times(config, &mut problems);
    if problems.is_empty() {
        return Ok(());
    }
    let finding = |(key, message): &(String, String)| -> Finding { origins.finding(&steps(key), message) };
    Err(ConfigErrors::new(problems.iter().map(finding).collect()))
}

fn steps(key: &str) -> Vec<Step> {
    key.split('.').filter(|k| !k.is_empty()).map(|k| Step::Key(k.to_owned())).collect()
}

fn sizes(config: &Config, problems: &mut Vec<(String, String)>) {
    let mut must = |key: &str, ok: bool, message: String| {
        if !ok {
            problems.push((key.to_owned(), message));
        }
    };
    must("name", !config.name.trim().is_empty(), "a pipeline needs a name: positions are kept under it".into());
    let (rows, records) = (config.batch.rows_max, config.intake.in_flight_records);
    must("batch.rows_max", rows > 0, "a batch holds one record at least".into());
    let text = format!("a batch of {rows} rows does not fit intake.in_flight_records = {records}");
    must("batch.rows_max", rows <= records, text);
    let (bytes, flight) = (config.batch.bytes_max, config.intake.in_flight_bytes);
    let text = format!("a batch of {bytes} does not fit intake.in_flight_bytes = {flight}");
    must("batch.bytes_max", bytes.0 > 0 && bytes.0 <= flight.0, text);
    // Positions inside a batch's buffer are 32-bit numbers.
    let limit = u64::from(u32::MAX / 2);
    let largest = config.batch.bytes_max.0.saturating_add(config.event.bytes_max.0);
    let text = format!("batch.bytes_max and event.bytes_max together must stay below {limit} bytes");
    must("batch.bytes_max", largest < limit, text);
    let tries = config.intake.crash_tries;
    let text = format!("{tries}: use 2 or more; the first time the blame may be another record's");
    must("intake.crash_tries", tries >= 2, text);
    let guard = &config.guard;
    must("guard.share", (1..=100).contains(&guard.share), format!("{} percent: use 1 to 100", guard.share));
    let text = format!("guard.least = {} records never are in a window of {}", guard.least, guard.window);
    must("guard.window", guard.window >= guard.least && guard.least > 0, text);
    let pace = config.postgres.horizon_interval;
    must("postgres.horizon_interval", pace >= Millis::secs(1), format!("{pace}: use 1s or more"));
    let writers = config.writer.writers;
    must("writer.writers", (1..=64).contains(&writers), format!("{writers} writers: use 1 to 64"));
    let share = config.writer.fence_share;
    must("writer.fence_share", (1..=100).contains(&share), format!("{share} percent: use 1 to 100"));
    must("writer.group_rows", config.writer.group_rows > 0, "a group holds one row at least".into());
    let threads = config.mill.threads.unwrap_or(1);
    must("mill.threads", (1..=1024).contains(&threads), format!("{threads} threads: use 1 to 1024, or leave it out"));
}

fn times(config: &Config, problems: &mut Vec<(String, String)>) {
    let (shutdown, kafka) = (&config.shutdown, &config.kafka);
    if shutdown.leave >= shutdown.budget {
        problems.push((
            "shutdown.leave".into(),
            format!("{} of shutdown.budget = {} leave no time to drain", shutdown.leave, shutdown.budget),
        ));
    }
    if shutdown.revoke >= kafka.session_timeout {
        problems.push((
            "shutdown.revoke".into(),
            format!("{} must stay below kafka.session_timeout = {}", shutdown.revoke, kafka.session_timeout),
        ));
    }
    if config.writer.retry.first > config.writer.retry.cap {
        problems.push(("writer.retry.first".into(), "must not be above writer.retry.cap".into()));
    }
}
