//! Dead letters that are tried again: read in bounded batches, and closed in the transaction that stores their row (rule J6).

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::adapters::postgres::connect::Database;
use crate::adapters::postgres::connect::Lease;
use crate::adapters::postgres::contract::Table;
use crate::adapters::postgres::fault;
use crate::adapters::postgres::isolate;
use crate::adapters::postgres::options::OnConflict;
use crate::adapters::postgres::query::query;
use crate::adapters::postgres::statement;
use crate::adapters::postgres::statement::Columns;
use crate::adapters::postgres::statement::RowRef;
use crate::adapters::postgres::store::bounded;
use crate::domain::verdict::Rejected;
use crate::ports::SinkError;
use crate::ports::SinkFault;

use super::find::CONDITIONS;
use super::find::Filter;

/// Payload, key and header bytes of one batch; a larger letter comes alone.
const BYTES_MAX: i64 = 16 << 20;
/// Something is only a beginning: what was in the record is not known any more.
const CUT: &str = "(d.payload_sha256 IS NOT NULL OR d.key_sha256 IS NOT NULL OR d.headers_sha256 IS NOT NULL)";

/// A dead letter to be tried again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trial {
    pub id: i64,
    pub source: i16,
    pub partition: i32,
    pub offset: i64,
    /// Of the record, in milliseconds since 1970.
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub attempts: i32,
}

/// How many of those that match can be tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prospect {
    /// Matching and open.
    pub open: i64,
    /// Of these: cut, so that nobody can try them.
    pub cut: i64,
    /// Of these: tried `attempts_max` times, and not cut.
    pub tired: i64,
}

/// Counts before the work.
///
/// # Errors
/// When the database cannot be asked.
pub async fn prospect(database: &Database, filter: &Filter, attempts_max: i32) -> Result<Prospect, SinkError> {
    let sql = format!(
        "SELECT count(*), count(*) FILTER (WHERE {CUT}), count(*) FILTER (WHERE NOT {CUT} AND d.attempts >= $11)
         FROM tidemill.dead_letter d WHERE {CONDITIONS}"
    );
    let mut params = filter.params();
    params.push(&attempts_max);
    let rows = query(database, "counting dead letters", &sql, &params).await?;
    let first = rows.first().expect("an aggregate without groups has one row");
    Ok(Prospect { open: first.get(0), cut: first.get(1), tired: first.get(2) })
}

/// The next of them by id, above `after`: at most `limit`, and not more bytes than one batch may hold.
///
/// # Errors
/// When the database cannot be asked.
pub async fn next(database: &Database, filter: &Filter, after: i64, limit: u32) -> Result<Vec<Trial>, SinkError> {
    let sql = format!(
        "SELECT id, source, partition, \"offset\", timestamp_ms, key, payload, attempts, header_names, header_values FROM (
           SELECT d.*, row_number() OVER (ORDER BY d.id) AS n,
             sum(coalesce(octet_length(d.payload), 0) + coalesce(octet_length(d.key), 0) + d.headers_length)
               OVER (ORDER BY d.id) AS bytes
           FROM (SELECT d.* FROM tidemill.dead_letter d WHERE {CONDITIONS} AND NOT {CUT} AND d.id > $11
                 ORDER BY d.id LIMIT $12) d) x
         WHERE n = 1 OR bytes <= $13::int8 ORDER BY id"
    );
    let limit = i64::from(limit);
    let mut params = filter.params();
    params.extend([&after as &(dyn ToSql + Sync), &limit, &BYTES_MAX]);
    let headers = |r: &Row| {
        let (names, values): (Vec<Vec<u8>>, Vec<Option<Vec<u8>>>) = (r.get(8), r.get(9));
        names.into_iter().zip(values).collect()
    };
    let trial = |r: &Row| Trial {
        id: r.get(0),
        source: r.get(1),
        partition: r.get(2),
        offset: r.get(3),
        timestamp: r.get(4),
        key: r.get(5),
        payload: r.get(6),
        attempts: r.get(7),
        headers: headers(r),
    };
    Ok(query(database, "reading dead letters", &sql, &params).await?.iter().map(trial).collect())
}

/// Why nothing of a batch was stored.
#[derive(Debug)]
pub enum Refused {
    /// The table refuses one of the rows for what it holds.
    Data(Rejected),
    Other(SinkError),
}

impl From<SinkError> for Refused {
    fn from(error: SinkError) -> Refused {
        Refused::Other(error)
    }
}

/// Stores rows and closes their letters in one statement: a letter that somebody else has closed meanwhile keeps its
/// fate, and its row is not stored. Returns how many were stored. With `dry_run`, the same and nothing stays.
///
/// # Errors
/// Nothing was stored, or (a lost answer) nobody knows; the call can be repeated either way.
pub async fn store(database: &Database, table: &Table, rows: &[(i64, &[u8])], dry_run: bool) -> Result<u64, Refused> {
    let doing = "storing the row of a dead letter";
    let conflict = match table.on_conflict {
        OnConflict::DeadLetter => String::new(),
        OnConflict::Skip => statement::on_conflict(table, false),
        OnConflict::Update => statement::on_conflict(table, true),
    };
    // The number of a letter in this batch takes the place of a lane's: a row is stored if its letter was closed.
    let insert = statement::insert(table, 3, " JOIN closed f ON f.lane = u.lane", &conflict);
    let counted = match table.on_conflict {
        OnConflict::DeadLetter => "(SELECT count(*) FROM stored) = (SELECT count(*) FROM closed)",
        OnConflict::Skip | OnConflict::Update => "true",
    };
    let sql = format!(
        "WITH closed AS (UPDATE tidemill.dead_letter d SET state = 'replayed', closed_at = now()
           FROM unnest($1::int4[], $2::int8[]) w(lane, id) WHERE d.id = w.id AND d.state = 'open' RETURNING w.lane),
         stored AS ({insert} RETURNING 1)
         SELECT CASE WHEN {counted} THEN f.lane ELSE length(pg_catalog.lo_get(0)) END FROM closed f"
    );
    let numbers: Vec<i32> = (0..).take(rows.len()).collect();
    let ids: Vec<i64> = rows.iter().map(|r| r.0).collect();
    let refs: Vec<RowRef<'_>> =
        rows.iter().enumerate().map(|(lane, r)| RowRef { lane, piece: 0, record: 0, bytes: r.1 }).collect();
    let columns = Columns::new(table, refs.iter());
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![&numbers, &ids];
    params.extend(columns.params());
    let sent = AtomicBool::new(false);
    let lease = database.lease().await?;
    let work = async {
        let failed = |e: &tokio_postgres::Error| fault::sink_error(e, doing, sent.load(Ordering::Relaxed));
        let prepared = lease.prepare_cached(&sql).await.map_err(|e| failed(&e))?;
        if dry_run {
            lease.batch_execute("BEGIN").await.map_err(|e| failed(&e))?;
        }
        // Without a transaction around it the statement commits by itself.
        sent.store(!dry_run, Ordering::Relaxed);
        let answer = lease.query(&prepared, &params).await;
        if dry_run {
            lease.batch_execute("ROLLBACK").await.map_err(|e| failed(&e))?;
        }
        Ok(answer.map_err(|e| (failed(&e), isolate::reason(&e))).map(|rows| rows.len() as u64))
    };
    let answer = bounded(database.call_timeout(), doing, &sent, work).await?;
    match answer {
        Ok(count) => {
            lease.give_back();
            Ok(count)
        }
        Err((error, why)) if error.fault == SinkFault::Data => {
            lease.give_back();
            Err(Refused::Data(why))
        }
        Err((error, _)) => Err(Refused::Other(error)),
    }
}

/// Closes letters that a skip rule leaves out by now; says how many were still open.
///
/// # Errors
/// When the database does not do it.
pub async fn skip(database: &Database, ids: &[i64]) -> Result<u64, SinkError> {
    const SQL: &str = "UPDATE tidemill.dead_letter SET state = 'skipped', closed_at = now()
        WHERE id = ANY ($1) AND state = 'open'";
    execute(database, "closing dead letters", SQL, &[&ids]).await
}

/// A letter that failed again, and how often it had failed before.
#[derive(Clone, Debug)]
pub struct Failure {
    pub id: i64,
    pub attempts: i32,
    pub why: Rejected,
}

/// Notes failures; of two processes that fail on the same letter at the same time, one counts.
///
/// # Errors
/// When the database does not do it.
pub async fn fail(database: &Database, failures: &[Failure], model: i16) -> Result<u64, SinkError> {
    const SQL: &str = "UPDATE tidemill.dead_letter d SET attempts = d.attempts + 1, attempted_at = now(), model = $6,
          stage = w.stage, reason = w.reason, detail = w.detail
        FROM unnest($1::int8[], $2::int4[], $3::text[], $4::text[], $5::text[]) w(id, attempts, stage, reason, detail)
        WHERE d.id = w.id AND d.state = 'open' AND d.attempts = w.attempts";
    let ids: Vec<i64> = failures.iter().map(|f| f.id).collect();
    let attempts: Vec<i32> = failures.iter().map(|f| f.attempts).collect();
    let text = |of: &dyn Fn(&Rejected) -> String| failures.iter().map(|f| of(&f.why)).collect::<Vec<String>>();
    let (stages, reasons, details) =
        (text(&|w| w.stage.name().into()), text(&|w| w.reason.into()), text(&|w| w.detail.clone()));
    execute(
        database,
        "noting that dead letters failed again",
        SQL,
        &[&ids, &attempts, &stages, &reasons, &details, &model],
    )
    .await
}

async fn execute(
    database: &Database,
    doing: &str,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<u64, SinkError> {
    let lease: Lease = database.lease().await?;
    let sent = AtomicBool::new(true);
    let work = async { lease.execute(sql, params).await.map_err(|e| fault::sink_error(&e, doing, true)) };
    let count = bounded(database.call_timeout(), doing, &sent, work).await?;
    lease.give_back();
    Ok(count)
}
