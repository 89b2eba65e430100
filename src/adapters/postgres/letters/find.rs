//! Reads dead letters. Every question is one statement under the session's `statement_timeout`.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::adapters::postgres::connect::Database;
use crate::adapters::postgres::query::query;
use crate::ports::SinkError;

/// Which dead letters of a pipeline; `None` and empty mean any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub pipeline: String,
    pub ids: Option<Vec<i64>>,
    pub state: Option<String>,
    pub stage: Option<String>,
    pub reason: Option<String>,
    /// Milliseconds since 1970: failed then or later.
    pub since: Option<i64>,
    /// Failed before.
    pub until: Option<i64>,
    pub topic: Option<String>,
    pub partition: Option<i32>,
    /// Replayed in vain fewer times than this.
    pub attempts_below: Option<i32>,
}

/// The conditions, with parameters `$1` to `$10`.
pub(super) const CONDITIONS: &str = "d.source IN (SELECT id FROM tidemill.source s
      WHERE s.pipeline = $1 AND ($8::text IS NULL OR s.topic = $8))
    AND ($2::int8[] IS NULL OR d.id = ANY ($2)) AND ($3::text IS NULL OR d.state = $3)
    AND ($4::text IS NULL OR d.stage = $4) AND ($5::text IS NULL OR d.reason = $5)
    AND ($6::int8 IS NULL OR d.failed_at >= to_timestamp($6::int8 / 1000.0))
    AND ($7::int8 IS NULL OR d.failed_at < to_timestamp($7::int8 / 1000.0))
    AND ($9::int4 IS NULL OR d.partition = $9) AND ($10::int4 IS NULL OR d.attempts < $10)";

impl Filter {
    pub(super) fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.pipeline,
            &self.ids,
            &self.state,
            &self.stage,
            &self.reason,
            &self.since,
            &self.until,
            &self.topic,
            &self.partition,
            &self.attempts_below,
        ]
    }
}

/// A dead letter without its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    pub id: i64,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// RFC 3339, as are all times here.
    pub failed_at: String,
    pub state: String,
    pub stage: String,
    pub reason: String,
    pub detail: String,
    pub attempts: i32,
    /// Of the original payload; `None` for a tombstone.
    pub payload_length: Option<i64>,
}

/// A whole dead letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Letter {
    pub summary: Summary,
    /// Of the record, in milliseconds since 1970.
    pub timestamp: Option<i64>,
    pub model: Option<String>,
    pub attempted_at: Option<String>,
    pub closed_at: Option<String>,
    pub purged_at: Option<String>,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub key_length: Option<i64>,
    /// Key, payload and headers: whether what is kept is only the beginning.
    pub cut: [bool; 3],
}

/// Dead letters with one cause.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Cause {
    pub stage: String,
    pub reason: String,
    pub state: String,
    pub count: i64,
    pub oldest: String,
    pub newest: String,
}

/// A time as text, in SQL.
fn time(column: &str) -> String {
    format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
}

fn summary_columns() -> String {
    format!(
        "d.id, t.topic, d.partition, d.\"offset\", {}, d.state, d.stage, d.reason, d.detail, d.attempts, d.payload_length",
        time("d.failed_at")
    )
}

fn summary(row: &Row) -> Summary {
    Summary {
        id: row.get(0),
        topic: row.get(1),
        partition: row.get(2),
        offset: row.get(3),
        failed_at: row.get(4),
        state: row.get(5),
        stage: row.get(6),
        reason: row.get(7),
        detail: row.get(8),
        attempts: row.get(9),
        payload_length: row.get(10),
    }
}

/// The newest that match, at most `limit`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn list(database: &Database, filter: &Filter, limit: u32) -> Result<Vec<Summary>, SinkError> {
    let sql = format!(
        "SELECT {} FROM tidemill.dead_letter d JOIN tidemill.source t ON t.id = d.source WHERE {CONDITIONS}
         ORDER BY d.failed_at DESC, d.id DESC LIMIT $11",
        summary_columns()
    );
    let limit = i64::from(limit);
    let mut params = filter.params();
    params.push(&limit);
    Ok(query(database, "listing dead letters", &sql, &params).await?.iter().map(summary).collect())
}

/// Counts of all that match, by cause; the largest first.
///
/// # Errors
/// When the database cannot be asked.
pub async fn causes(database: &Database, filter: &Filter) -> Result<Vec<Cause>, SinkError> {
    let sql = format!(
        "SELECT d.stage, d.reason, d.state, count(*), {}, {} FROM tidemill.dead_letter d WHERE {CONDITIONS}
         GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3",
        time("min(d.failed_at)"),
        time("max(d.failed_at)")
    );
    let rows = query(database, "counting dead letters", &sql, &filter.params()).await?;
    let cause = |r: &Row| Cause {
        stage: r.get(0),
        reason: r.get(1),
        state: r.get(2),
        count: r.get(3),
        oldest: r.get(4),
        newest: r.get(5),
    };
    Ok(rows.iter().map(cause).collect())
}

/// One of this pipeline, whole.
///
/// # Errors
/// When the database cannot be asked.
pub async fn one(database: &Database, pipeline: &str, id: i64) -> Result<Option<Letter>, SinkError> {
    let sql = format!(
        "SELECT {}, d.timestamp_ms, m.name || ' ' || m.version, {}, {}, {}, d.key, d.payload, d.header_names,
           d.header_values, d.key_length, d.key_sha256 IS NOT NULL, d.payload_sha256 IS NOT NULL, d.headers_sha256 IS NOT NULL
         FROM tidemill.dead_letter d JOIN tidemill.source t ON t.id = d.source LEFT JOIN tidemill.model m ON m.id = d.model
         WHERE t.pipeline = $1 AND d.id = $2",
        summary_columns(),
        time("d.attempted_at"),
        time("d.closed_at"),
        time("d.purged_at")
    );
    let rows = query(database, "reading a dead letter", &sql, &[&pipeline, &id]).await?;
    let letter = |r: &Row| {
        let (names, values): (Vec<Vec<u8>>, Vec<Option<Vec<u8>>>) = (r.get(18), r.get(19));
        Letter {
            summary: summary(r),
            timestamp: r.get(11),
            model: r.get(12),
            attempted_at: r.get(13),
            closed_at: r.get(14),
            purged_at: r.get(15),
            key: r.get(16),
            payload: r.get(17),
            headers: names.into_iter().zip(values).collect(),
            key_length: r.get(20),
            cut: [r.get(21), r.get(22), r.get(23)],
        }
    };
    Ok(rows.first().map(letter))
}

/// Dead letters that nobody has dealt with.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Waiting {
    /// At most [`COUNTED_MAX`].
    pub open: i64,
    pub oldest_seconds: f64,
}

/// Counting goes no further: past it the number says enough, and the question stays cheap.
const COUNTED_MAX: i64 = 100_000;

/// Counts what waits, over a part of the index of open dead letters.
///
/// # Errors
/// When the database cannot be asked.
pub async fn waiting(database: &Database, pipeline: &str) -> Result<Waiting, SinkError> {
    const SQL: &str = "SELECT count(*), coalesce(extract(epoch FROM now() - min(failed_at)), 0)::float8 FROM (
        SELECT failed_at FROM tidemill.dead_letter WHERE state = 'open'
          AND source IN (SELECT id FROM tidemill.source WHERE pipeline = $1) ORDER BY failed_at LIMIT $2) d";
    let rows = query(database, "counting open dead letters", SQL, &[&pipeline, &COUNTED_MAX]).await?;
    Ok(rows.first().map_or_else(Waiting::default, |r| Waiting { open: r.get(0), oldest_seconds: r.get(1) }))
}
