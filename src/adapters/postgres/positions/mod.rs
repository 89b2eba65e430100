//! Positions as operators look at them and change them: every change in one transaction with its entry in `tidemill.operation`.

mod adopt;
mod change;
mod rows;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use tokio_postgres::Row;

use super::connect::Database;
use super::connect::Lease;
use super::fault;
use super::store::bounded;
use super::wire::Uuid;
use crate::ports::SinkError;

pub use self::adopt::Adoption;
pub use self::adopt::adopt;
pub use self::adopt::is_retired;
pub use self::change::Change;
pub use self::change::Changed;
pub use self::change::Seen;
pub use self::change::change;
pub use self::rows::Found;
pub use self::rows::Place;
pub use self::rows::count;
pub use self::rows::namesakes;

/// Who changes what and why, for the record.
#[derive(Clone, Debug)]
pub struct Author {
    pub pipeline: String,
    pub command: &'static str,
    pub reason: String,
    /// User and host, as the command knows them.
    pub client: String,
}

/// A topic as this pipeline reads it now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceRow {
    pub id: i16,
    pub uid: u128,
    pub cluster_id: String,
    pub topic: String,
    pub topic_id: Option<u128>,
    pub group_id: String,
    /// Partitions when it was first seen.
    pub partitions: i32,
    /// By partition.
    pub positions: BTreeMap<i32, Position>,
}

/// The row of one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Position {
    pub next_offset: i64,
    pub epoch: i64,
    pub owner: Option<u128>,
    pub stored: i64,
    pub dead_lettered: i64,
    pub skipped: i64,
    pub fingerprint: Option<i64>,
    /// RFC 3339.
    pub claimed_at: String,
    /// Offsets that operators gave up, over all holes.
    pub given_up: i64,
}

/// The topics of a pipeline that are current, with their positions; of one cluster, if that is known.
///
/// # Errors
/// When the database cannot be asked.
pub async fn sources(
    database: &Database,
    pipeline: &str,
    cluster_id: Option<&str>,
) -> Result<Vec<SourceRow>, SinkError> {
    const SOURCES: &str = "SELECT id, uid, cluster_id, topic, topic_id, group_id, partitions FROM tidemill.source
        WHERE pipeline = $1 AND retired_at IS NULL AND ($2::text IS NULL OR cluster_id = $2) ORDER BY topic, id";
    const POSITIONS: &str =
        "SELECT p.source, p.partition, p.next_offset, p.epoch, p.owner, p.stored, p.dead_lettered, p.skipped,
          p.fingerprint, to_char(p.claimed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
          (SELECT coalesce(sum(h.to_offset - h.from_offset), 0)::int8 FROM tidemill.hole h
            WHERE h.source = p.source AND h.partition = p.partition)
        FROM tidemill.progress p WHERE p.source = ANY ($1)";
    let doing = "reading positions";
    let lease = database.lease().await?;
    let work = async {
        let failed = |e| fault::sink_error(&e, doing, false);
        let rows = lease.query(SOURCES, &[&pipeline, &cluster_id]).await.map_err(failed)?;
        let mut found: Vec<SourceRow> = rows.iter().map(source).collect();
        let ids: Vec<i16> = found.iter().map(|s| s.id).collect();
        for row in lease.query(POSITIONS, &[&ids]).await.map_err(failed)? {
            let id: i16 = row.get(0);
            let source = found.iter_mut().find(|s| s.id == id).expect("only these were asked for");
            source.positions.insert(row.get(1), position(&row));
        }
        Ok(found)
    };
    let found = bounded(database.call_timeout(), doing, &AtomicBool::new(false), work).await?;
    lease.give_back();
    Ok(found)
}

fn source(row: &Row) -> SourceRow {
    SourceRow {
        id: row.get(0),
        uid: row.get::<_, Uuid>(1).0,
        cluster_id: row.get(2),
        topic: row.get(3),
        topic_id: row.get::<_, Option<Uuid>>(4).map(|u| u.0),
        group_id: row.get(5),
        partitions: row.get(6),
        positions: BTreeMap::new(),
    }
}

fn position(row: &Row) -> Position {
    Position {
        next_offset: row.get(2),
        epoch: row.get(3),
        owner: row.get::<_, Option<Uuid>>(4).map(|u| u.0),
        stored: row.get(5),
        dead_lettered: row.get(6),
        skipped: row.get(7),
        fingerprint: row.get(8),
        claimed_at: row.get(9),
        given_up: row.get(10),
    }
}

/// Runs `work` in a transaction of its own: committed when it says so, else rolled back.
async fn transaction<T>(
    database: &Database,
    doing: &str,
    work: impl AsyncFnOnce(&Lease) -> Result<(T, bool), SinkError>,
) -> Result<T, SinkError> {
    let lease = database.lease().await?;
    let sent = AtomicBool::new(false);
    let all = async {
        let failed = |e| fault::sink_error(&e, doing, sent.load(std::sync::atomic::Ordering::Relaxed));
        lease.batch_execute("BEGIN").await.map_err(failed)?;
        let (answer, keep) = work(&lease).await?;
        // Everything in it was answered, so COMMIT cannot hide a failed statement.
        sent.store(keep, std::sync::atomic::Ordering::Relaxed);
        lease.batch_execute(if keep { "COMMIT" } else { "ROLLBACK" }).await.map_err(failed)?;
        Ok(answer)
    };
    // Several statements, each of which the server bounds by itself.
    let answer = bounded(4 * database.call_timeout(), doing, &sent, all).await?;
    lease.give_back();
    Ok(answer)
}
