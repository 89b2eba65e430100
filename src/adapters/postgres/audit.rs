//! Counts of what is stored, for a summary that does not trust the process that stored it; below, what `verify` asks.

pub mod entries;
pub mod place;
pub mod snapshot;

use super::connect::Database;
use super::fault;
use super::table;
use crate::ports::SinkError;

/// What the tables hold of one pipeline.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Audit {
    pub rows: i64,
    /// Without those that became rows in a replay.
    pub dead_letters: i64,
    /// Records that are there more than once, as rows, as dead letters, or as both.
    pub doubled: i64,
    /// Sum of the marks: with logs that begin at 0 and have no holes, the number of disposed records.
    pub marks: i64,
    /// Sum of the running totals `stored`, `dead_lettered` and `skipped`.
    pub totals: i64,
}

/// Reads the counts in one snapshot. The result table must have the columns `source`, `partition` and `offset`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn count(database: &Database, pipeline: &str, result_table: &str) -> Result<Audit, SinkError> {
    let lease = database.lease().await?;
    let sql = format!(
        "WITH mine AS (SELECT id FROM tidemill.source WHERE pipeline = $1),
          r AS (SELECT source, partition, \"offset\" FROM {} WHERE source IN (SELECT id FROM mine)),
          d AS (SELECT source, partition, \"offset\" FROM tidemill.dead_letter
            WHERE state <> 'replayed' AND source IN (SELECT id FROM mine)),
          twice AS (SELECT 1 FROM (SELECT * FROM r UNION ALL SELECT * FROM d) a
                    GROUP BY source, partition, \"offset\" HAVING count(*) > 1),
          p AS (SELECT * FROM tidemill.progress WHERE source IN (SELECT id FROM mine))
         SELECT (SELECT count(*) FROM r), (SELECT count(*) FROM d), (SELECT count(*) FROM twice),
           (SELECT coalesce(sum(next_offset), 0)::bigint FROM p),
           (SELECT coalesce(sum(stored + dead_lettered + skipped), 0)::bigint FROM p)",
        table::qualified(result_table)
    );
    let row = lease.query_one(&sql, &[&pipeline]).await.map_err(|e| fault::sink_error(&e, "counting", false))?;
    lease.give_back();
    let n = |i: usize| row.get::<_, i64>(i);
    Ok(Audit { rows: n(0), dead_letters: n(1), doubled: n(2), marks: n(3), totals: n(4) })
}
