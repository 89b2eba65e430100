//! Drops the bytes of dead letters. Their coordinates stay, so that every record is still accounted for (promise P1).

use std::sync::atomic::AtomicBool;

use tokio_postgres::types::ToSql;

use crate::adapters::postgres::connect::Database;
use crate::adapters::postgres::fault;
use crate::adapters::postgres::positions::Author;
use crate::adapters::postgres::store::bounded;
use crate::ports::SinkError;

use super::find::CONDITIONS;
use super::find::Filter;

/// What one batch came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Purged {
    pub letters: i64,
    /// Kept bytes of keys, payloads and headers.
    pub bytes: i64,
    /// Highest id of the batch: the next one begins above it.
    pub last: i64,
}

/// Purges the next letters above `after`, at most `limit`, and puts them on record by partition. Letters that somebody
/// else works on are left alone. With `dry_run`, the same and nothing stays.
///
/// # Errors
/// When the database does not do it.
pub async fn purge(
    database: &Database,
    filter: &Filter,
    author: &Author,
    (after, limit): (i64, u32),
    dry_run: bool,
) -> Result<Purged, SinkError> {
    let doing = "purging dead letters";
    let sql = format!(
        "WITH chosen AS (
           SELECT d.id, d.source, d.partition, d.\"offset\", coalesce(octet_length(d.key), 0)
             + coalesce(octet_length(d.payload), 0) + d.headers_length AS bytes
           FROM tidemill.dead_letter d WHERE {CONDITIONS} AND d.purged_at IS NULL AND d.id > $11
           ORDER BY d.id LIMIT $12 FOR UPDATE SKIP LOCKED),
         purged AS (
           UPDATE tidemill.dead_letter d SET key = NULL, payload = NULL, header_names = '{{}}', header_values = '{{}}',
             purged_at = now(), closed_at = coalesce(d.closed_at, now()),
             state = CASE d.state WHEN 'open' THEN 'discarded' ELSE d.state END
           FROM chosen c WHERE d.id = c.id),
         recorded AS (
           INSERT INTO tidemill.operation
             (client, command, reason, pipeline, source, partition, from_offset, to_offset, records, detail)
           SELECT $13, $14, $15, $1, c.source, c.partition, min(c.\"offset\"), max(c.\"offset\") + 1, count(*),
             'dropped ' || sum(c.bytes) || ' bytes' FROM chosen c GROUP BY c.source, c.partition)
         SELECT count(*), coalesce(sum(bytes), 0)::int8, coalesce(max(id), 0) FROM chosen"
    );
    let limit = i64::from(limit);
    let mut params = filter.params();
    let more: [&(dyn ToSql + Sync); 5] = [&after, &limit, &author.client, &author.command, &author.reason];
    params.extend(more);
    let lease = database.lease().await?;
    let work = async {
        let failed = |e| fault::sink_error(&e, doing, !dry_run);
        if dry_run {
            lease.batch_execute("BEGIN").await.map_err(failed)?;
        }
        let row = lease.query_one(&sql, &params).await.map_err(failed)?;
        if dry_run {
            lease.batch_execute("ROLLBACK").await.map_err(failed)?;
        }
        Ok(Purged { letters: row.get(0), bytes: row.get(1), last: row.get(2) })
    };
    let purged = bounded(database.call_timeout(), doing, &AtomicBool::new(!dry_run), work).await?;
    lease.give_back();
    Ok(purged)
}
