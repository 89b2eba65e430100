//! A topic that was made anew becomes a source of its own; the old one is retired with its rows (promise P8).

use std::sync::atomic::AtomicBool;

use crate::adapters::postgres::connect::Database;
use crate::adapters::postgres::fault;
use crate::adapters::postgres::store::bounded;
use crate::adapters::postgres::wire::Uuid;
use crate::ports::SinkError;

use super::Author;
use super::SourceRow;
use super::transaction;

/// What is adopted.
#[derive(Clone, Debug)]
pub struct Adoption<'a> {
    pub author: &'a Author,
    pub old: &'a SourceRow,
    /// The new topic's id.
    pub topic_id: u128,
    /// First offset of each partition, by its number.
    pub starts: Vec<i64>,
    pub dry_run: bool,
}

const RETIRE: &str =
    "UPDATE tidemill.source SET retired_at = now() WHERE id = $1 AND retired_at IS NULL AND topic_id = $2";
const MAKE: &str = "INSERT INTO tidemill.source (pipeline, cluster_id, topic, topic_id, group_id, partitions)
    VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";
const START: &str = "INSERT INTO tidemill.progress (source, partition, next_offset, epoch)
    SELECT $1, n - 1, start, 1 FROM unnest($2::int8[]) WITH ORDINALITY u(start, n)";
/// Fences the processes that still hold the old source.
const FENCE: &str = "UPDATE tidemill.progress SET epoch = epoch + 1, owner = NULL WHERE source = $1";
const RECORD: &str = "INSERT INTO tidemill.operation (client, command, reason, pipeline, source, detail)
    VALUES ($1, $2, $3, $4, $5, $6)";

/// Carries it out; `None` when somebody else did meanwhile. The number of the new source.
///
/// # Errors
/// When the database refuses or does not answer.
pub async fn adopt(database: &Database, a: &Adoption<'_>) -> Result<Option<i16>, SinkError> {
    let doing = "adopting a topic";
    transaction(database, doing, async |lease| {
        let failed = |e| fault::sink_error(&e, doing, false);
        let (old, by) = (a.old, a.author);
        let old_id = old.topic_id.map(Uuid);
        if lease.execute(RETIRE, &[&old.id, &old_id]).await.map_err(failed)? != 1 {
            return Ok((None, false));
        }
        let count = i32::try_from(a.starts.len()).unwrap_or(i32::MAX);
        let made = lease
            .query_one(MAKE, &[&by.pipeline, &old.cluster_id, &old.topic, &Uuid(a.topic_id), &old.group_id, &count])
            .await
            .map_err(failed)?;
        let source: i16 = made.get(0);
        lease.execute(START, &[&source, &a.starts]).await.map_err(failed)?;
        lease.execute(FENCE, &[&old.id]).await.map_err(failed)?;
        let detail = format!(
            "topic {} of id {:032x} stands for the one of id {:032x}, which was source {}",
            old.topic,
            a.topic_id,
            old.topic_id.unwrap_or(0),
            old.id
        );
        let (client, command, reason) = (&by.client, &by.command, &by.reason);
        lease.execute(RECORD, &[client, command, reason, &by.pipeline, &source, &detail]).await.map_err(failed)?;
        Ok((Some(source), !a.dry_run))
    })
    .await
}

/// Whether an operator has put another source in this one's place.
///
/// # Errors
/// When the database cannot be asked.
pub async fn is_retired(database: &Database, source: i16) -> Result<bool, SinkError> {
    let doing = "asking whether a source is retired";
    let lease = database.lease().await?;
    let work = async {
        let row = lease.query_opt("SELECT retired_at IS NOT NULL FROM tidemill.source WHERE id = $1", &[&source]).await;
        row.map_err(|e| fault::sink_error(&e, doing, false))
    };
    let row = bounded(database.call_timeout(), doing, &AtomicBool::new(false), work).await?;
    lease.give_back();
    Ok(row.is_some_and(|r| r.get(0)))
}
