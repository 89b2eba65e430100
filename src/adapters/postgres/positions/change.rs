//! One partition's mark is set: compared, changed under a new epoch and put on record in one transaction (rules C5, J2).

use crate::adapters::postgres::connect::Database;
use crate::adapters::postgres::connect::Lease;
use crate::adapters::postgres::fault;
use crate::ports::SinkError;

use super::Author;
use super::rows;
use super::rows::Found;
use super::rows::Place;
use super::rows::Range;
use super::transaction;

/// What the plan was made for. Anything else makes the change void.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// The mark is exactly this, or there is none.
    Exactly(Option<i64>),
    /// The mark is this or lower: a pipeline that runs may move it until the lock is ours.
    AtMost(i64),
}

/// A new mark for one partition.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    pub author: &'a Author,
    pub source: i16,
    pub topic: &'a str,
    pub partition: i32,
    pub seen: Seen,
    pub to: i64,
    /// Going back: delete what the records from `to` on have become.
    pub delete: Option<&'a Place>,
    pub dry_run: bool,
}

/// How it went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Changed {
    Done {
        from: Option<i64>,
        deleted: Found,
    },
    /// The mark is another than the plan was made for; nothing was changed.
    Moved(Option<i64>),
}

const LOCK: &str = "SELECT next_offset FROM tidemill.progress WHERE source = $1 AND partition = $2 FOR UPDATE";
/// No owner: whoever holds the partition is fenced, and claims it again at the new mark. The fingerprint is of another place.
const SET: &str = "UPDATE tidemill.progress SET next_offset = $3, epoch = epoch + 1, owner = NULL, fingerprint = NULL,
      stored = stored - $4, dead_lettered = dead_lettered - $5 WHERE source = $1 AND partition = $2";
/// Above every epoch that a zombie may hold.
const MAKE: &str = "INSERT INTO tidemill.progress (source, partition, next_offset, epoch)
    SELECT $1, $2, $3, 1 + coalesce(max(epoch), 0) FROM tidemill.progress WHERE source = $1
    ON CONFLICT (source, partition) DO NOTHING";
const RECORD: &str = "INSERT INTO tidemill.operation
      (client, command, reason, pipeline, source, partition, from_offset, to_offset, records, detail)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id";
/// Records at the mark and above will be read: they are in no hole any more.
const REOPEN: &str = "DELETE FROM tidemill.hole WHERE source = $1 AND partition = $2 AND from_offset >= $3";
const SHORTEN: &str = "UPDATE tidemill.hole SET to_offset = $3 WHERE source = $1 AND partition = $2 AND to_offset > $3";
const HOLE: &str = "INSERT INTO tidemill.hole (source, partition, from_offset, to_offset, operation)
    VALUES ($1, $2, $3, $4, $5)";

/// Carries it out, unless the mark has moved.
///
/// # Errors
/// When the database refuses or does not answer; after a lost answer to COMMIT the outcome is open.
pub async fn change(database: &Database, change: &Change<'_>) -> Result<Changed, SinkError> {
    transaction(database, "setting a position", async |lease| {
        let changed = within(lease, change).await?;
        Ok((changed, matches!(changed, Changed::Done { .. }) && !change.dry_run))
    })
    .await
}

async fn within(lease: &Lease, c: &Change<'_>) -> Result<Changed, SinkError> {
    let failed = |e| fault::sink_error(&e, "setting a position", false);
    let row = lease.query_opt(LOCK, &[&c.source, &c.partition]).await.map_err(failed)?;
    let from: Option<i64> = row.map(|r| r.get(0));
    let as_planned = match c.seen {
        Seen::Exactly(seen) => from == seen,
        Seen::AtMost(most) => from.is_some_and(|mark| mark <= most),
    };
    if !as_planned {
        return Ok(Changed::Moved(from));
    }
    let mut deleted = Found::default();
    if let (Some(place), Some(mark)) = (c.delete, from.filter(|mark| *mark > c.to)) {
        let range = Range { source: c.source, topic: c.topic, partition: c.partition, from: c.to, to: mark };
        deleted = rows::delete(lease, place, range).await?;
    }
    let touched = match from {
        Some(_) => {
            let totals = (&deleted.rows, &deleted.dead_letters);
            lease.execute(SET, &[&c.source, &c.partition, &c.to, totals.0, totals.1]).await
        }
        None => lease.execute(MAKE, &[&c.source, &c.partition, &c.to]).await,
    };
    if touched.map_err(failed)? != 1 {
        return Ok(Changed::Moved(from));
    }
    let operation = record(lease, c, from, deleted).await?;
    lease.execute(REOPEN, &[&c.source, &c.partition, &c.to]).await.map_err(failed)?;
    lease.execute(SHORTEN, &[&c.source, &c.partition, &c.to]).await.map_err(failed)?;
    if let Some(mark) = from.filter(|mark| *mark < c.to) {
        lease.execute(HOLE, &[&c.source, &c.partition, &mark, &c.to, &operation]).await.map_err(failed)?;
    }
    Ok(Changed::Done { from, deleted })
}

async fn record(lease: &Lease, c: &Change<'_>, from: Option<i64>, deleted: Found) -> Result<i64, SinkError> {
    let a = c.author;
    let records = c.delete.map(|_| deleted.rows + deleted.dead_letters);
    let detail = match c.delete {
        Some(_) => format!("deleted {} rows and {} dead letters", deleted.rows, deleted.dead_letters),
        None if from.is_some_and(|mark| mark > c.to) => "went back and kept the rows that were there".to_owned(),
        None => String::new(),
    };
    let row = lease
        .query_one(
            RECORD,
            &[&a.client, &a.command, &a.reason, &a.pipeline, &c.source, &c.partition, &from, &c.to, &records, &detail],
        )
        .await;
    row.map(|r| r.get(0)).map_err(|e| fault::sink_error(&e, "recording a change in tidemill.operation", false))
}
