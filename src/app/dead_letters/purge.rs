//! `tidemill dead-letters purge`: drops bytes in bounded batches, each on record.

use crate::adapters::postgres::letters;
use crate::adapters::postgres::letters::Purged;
use crate::adapters::postgres::positions::Author;
use crate::app::dead_letters::filter;
use crate::app::oneshot;
use crate::app::oneshot::Refusal;
use crate::cli::DeadLetterState;
use crate::cli::DeadLettersPurgeArgs;
use crate::cli::Exit;
use crate::cli::Moment;
use crate::config::Config;

/// Letters of one transaction.
const BATCH: u32 = 1_000;

pub async fn purge(config: &Config, args: &DeadLettersPurgeArgs) -> Result<Exit, Refusal> {
    let mut conditions = args.filter.clone();
    conditions.until = conditions.until.or(args.older_than.map(Moment::Ago));
    let conditions = filter(config, &conditions, args.state);
    let f = &conditions;
    let narrowed = args.state != DeadLetterState::All
        || f.ids.is_some()
        || f.stage.is_some()
        || f.reason.is_some()
        || f.since.is_some()
        || f.until.is_some()
        || f.topic.is_some();
    if !narrowed && !args.all {
        return Err(Refusal::wrong("this would purge every dead letter of the pipeline: name some, or say --all"));
    }
    let author = Author {
        pipeline: config.name.clone(),
        command: "purge",
        reason: args.because.clone(),
        client: oneshot::client(),
    };
    let database = oneshot::database(config)?;
    let (mut after, mut sum) = (0, Purged::default());
    loop {
        let done = letters::purge(&database, &conditions, &author, (after, BATCH), args.dry_run).await?;
        sum.letters += done.letters;
        sum.bytes += done.bytes;
        after = done.last;
        if done.letters < i64::from(BATCH) {
            break;
        }
    }
    let verb = if args.dry_run { "would drop" } else { "dropped" };
    oneshot::print(&format!("{verb} {} bytes of {} dead letters\n", sum.bytes, sum.letters))?;
    Ok(Exit::Done)
}
