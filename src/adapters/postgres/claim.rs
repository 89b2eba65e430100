//! The SQL half of claims: who owns a lane, from where on (rules C3, C5, W7). First offsets are found by the caller (C4).

use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::domain::guard::Accepted;
use crate::domain::lane::Epoch;
use crate::domain::lane::Lane;
use crate::domain::lane::Owner;
use crate::domain::miss::Mark;
use crate::ports::Claimed;
use crate::ports::SinkError;

use super::acceptance;
use super::attempt;
use super::connect::Database;
use super::fault;
use super::marks::mark;
use super::query::query;
use super::register::Registered;
use super::wire::Uuid;

const PEEK: &str = "SELECT next_offset, epoch, owner FROM tidemill.progress WHERE source = $1 AND partition = $2";
/// Waits for whoever has the row locked, so it sees the end of a zombie's last transaction.
/// It also says who had it, and what is known of unclean ends.
const CLAIM: &str = "WITH old AS MATERIALIZED
      (SELECT source, partition, owner, epoch FROM tidemill.progress WHERE source = $1 AND partition = $2 FOR UPDATE)
    UPDATE tidemill.progress p SET epoch = greatest(p.epoch, $3::int8) + 1, owner = $4, claimed_at = now()
      FROM old LEFT JOIN tidemill.attempt a ON a.source = old.source AND a.partition = old.partition
     WHERE p.source = old.source AND p.partition = old.partition
    RETURNING p.next_offset, p.epoch, old.owner, old.epoch, ";
/// Ends sessions whose client stands still inside COPY with a mark locked. The server's own `statement_timeout` does not:
/// it is only looked at when the next data come (seen on PostgreSQL 15), so such a client would hold its lanes for as long
/// as it stands. Only sessions of our own role are met, and only past the limit that should have ended them.
const END_STALLED: &str = "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a
    WHERE a.datname = current_database() AND a.usename = current_user AND a.state = 'active' AND a.wait_event = 'ClientRead'
      AND current_setting('statement_timeout') <> '0'
      AND a.query_start < clock_timestamp() - current_setting('statement_timeout')::interval
      AND EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND l.granted AND l.mode = 'RowExclusiveLock'
                    AND l.relation = 'tidemill.progress'::regclass)";
/// `lock_timeout`, or `statement_timeout` where that is not longer.
const WAITED_IN_VAIN: [&str; 2] = ["55P03", "57014"];
/// A row that somebody else made first keeps its offset.
const FIRST: &str = "INSERT INTO tidemill.progress AS p (source, partition, epoch, owner, next_offset)
    VALUES ($1, $2, $3::int8 + 1, $4, $5)
    ON CONFLICT (source, partition) DO UPDATE
      SET epoch = greatest(p.epoch, $3::int8) + 1, owner = EXCLUDED.owner, claimed_at = now()
    RETURNING next_offset, epoch";
const FINGERPRINT: &str =
    "SELECT fingerprint FROM tidemill.progress WHERE source = $1 AND partition = $2 AND epoch = $3 AND owner = $4";
const RELEASE: &str =
    "UPDATE tidemill.progress SET owner = NULL WHERE source = $1 AND partition = $2 AND epoch = $3 AND owner = $4";
const OWNED: &str = "SELECT source, partition, next_offset, epoch, owner FROM tidemill.progress
    WHERE owner = $1 AND source = ANY ($2) ORDER BY source, partition";
const SETTLED: &str = "SELECT source, partition, stored, dead_lettered, skipped FROM tidemill.progress
    WHERE source = ANY ($1) ORDER BY source, partition";

/// Progress rows as claims use them. Calls may run at the same time, each on a connection of its own.
#[derive(Clone)]
pub struct Progress {
    database: Database,
    registered: Arc<Registered>,
    owner: Owner,
}

/// Running totals of a lane since it was first claimed, over all processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Totals {
    pub lane: Lane,
    pub stored: i64,
    pub dead_lettered: i64,
    pub skipped: i64,
}

impl Progress {
    /// `owner` is the random id of this process start.
    pub fn new(database: Database, registered: Arc<Registered>, owner: Owner) -> Progress {
        Progress { database, registered, owner }
    }

    /// The row as it is, without a lock; `None` before the first claim.
    pub async fn peek(&self, lane: Lane) -> Result<Option<Mark>, SinkError> {
        let rows = self.query("reading a mark", PEEK, &[&self.source(lane), &lane.partition]).await?;
        Ok(rows.first().map(|r| mark(r, 0)))
    }

    /// Claims a lane that has a row; `None` if it has none. `floor` is the highest epoch that this process has seen of it.
    pub async fn claim(&self, lane: Lane, floor: Epoch) -> Result<Option<Claimed>, SinkError> {
        let owner = Uuid(self.owner.0);
        let params: [&(dyn ToSql + Sync); 4] = [&self.source(lane), &lane.partition, &floor.0, &owner];
        let sql = format!("{CLAIM}{}", attempt::COLUMNS);
        let mut rows = self.query("claiming", &sql, &params).await;
        let waited = |e: &SinkError| e.sqlstate.as_deref().is_some_and(|code| WAITED_IN_VAIN.contains(&code));
        if rows.as_ref().is_err_and(waited) && self.end_stalled().await? {
            rows = self.query("claiming", &sql, &params).await;
        }
        let rows = rows?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (before, mut claimed): (Option<Uuid>, Claimed) = (row.get(2), claimed(row));
        claimed.attempt = match before {
            // It was neither released nor ours: whoever had it ended unclean, or is believed to have.
            Some(other) if other.0 != self.owner.0 => {
                self.after_exit(lane, claimed.next_offset, Epoch(row.get(3))).await?
            }
            _ => attempt::read(row, 4),
        };
        Ok(Some(claimed))
    }

    /// Hash of the last record that is settled below the mark of a lane that is ours under this epoch, if it is known.
    pub async fn fingerprint(&self, lane: Lane, epoch: Epoch) -> Result<Option<i64>, SinkError> {
        let owner = Uuid(self.owner.0);
        let params: [&(dyn ToSql + Sync); 4] = [&self.source(lane), &lane.partition, &epoch.0, &owner];
        let rows = self.query("reading a fingerprint", FINGERPRINT, &params).await?;
        Ok(rows.first().and_then(|r| r.get(0)))
    }

    /// Whether there was a session to end.
    async fn end_stalled(&self) -> Result<bool, SinkError> {
        let ended = self.query("ending sessions that stand inside COPY", END_STALLED, &[]).await?.len();
        if ended > 0 {
            tracing::warn!(
                ended,
                "ended sessions that held a partition and stood inside COPY past postgres.statement_timeout"
            );
        }
        Ok(ended > 0)
    }

    /// Claims a lane that has no row yet, to begin at `offset`. If somebody made the row meanwhile, theirs counts.
    pub async fn first(&self, lane: Lane, offset: i64, floor: Epoch) -> Result<Claimed, SinkError> {
        let owner = Uuid(self.owner.0);
        let params: [&(dyn ToSql + Sync); 5] = [&self.source(lane), &lane.partition, &floor.0, &owner, &offset];
        let rows = self.query("claiming for the first time", FIRST, &params).await?;
        rows.first()
            .map(claimed)
            .ok_or_else(|| fault::contract("a claim answered no row: look for rules on tidemill.progress".into()))
    }

    /// Gives a lane up, if it is still ours under this epoch; says whether it was.
    pub async fn release(&self, lane: Lane, epoch: Epoch) -> Result<bool, SinkError> {
        let owner = Uuid(self.owner.0);
        let params: [&(dyn ToSql + Sync); 4] = [&self.source(lane), &lane.partition, &epoch.0, &owner];
        let released = !self.query("releasing", &format!("{RELEASE} RETURNING partition"), &params).await?.is_empty();
        if !released {
            // Whoever claimed it meanwhile took us for dead.
            self.alive(lane, epoch).await?;
        }
        Ok(released)
    }

    /// Every row of this pipeline that is ours (rule W7).
    pub async fn owned(&self) -> Result<Vec<(Lane, Mark)>, SinkError> {
        let owner = Uuid(self.owner.0);
        let rows = self.query("reading our marks", OWNED, &[&owner, &self.sources()]).await?;
        Ok(rows.iter().filter_map(|r| Some((self.lane(r)?, mark(r, 2)))).collect())
    }

    /// Totals of every partition of this pipeline that was ever claimed: the first level of an audit.
    pub async fn totals(&self) -> Result<Vec<Totals>, SinkError> {
        let rows = self.query("reading totals", SETTLED, &[&self.sources()]).await?;
        let totals = |r: &Row| {
            Some(Totals { lane: self.lane(r)?, stored: r.get(2), dead_lettered: r.get(3), skipped: r.get(4) })
        };
        Ok(rows.iter().filter_map(totals).collect())
    }

    /// Causes of rejection that a person has accepted (rule J1).
    pub async fn accepted(&self) -> Result<Vec<Accepted>, SinkError> {
        let open = acceptance::open(&self.database, &self.sources()).await?;
        let topic = |source| self.registered.sources.iter().position(|s| s.id == source);
        let of = |(source, cause, left)| Some(Accepted { topic: topic(source)? as u16, cause, left });
        Ok(open.into_iter().filter_map(of).collect())
    }

    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    pub(super) fn source(&self, lane: Lane) -> i16 {
        self.registered.sources[usize::from(lane.topic)].id
    }

    fn sources(&self) -> Vec<i16> {
        self.registered.sources.iter().map(|s| s.id).collect()
    }

    fn lane(&self, row: &Row) -> Option<Lane> {
        let source: i16 = row.get(0);
        let topic = self.registered.sources.iter().position(|s| s.id == source)?;
        Some(Lane { topic: topic as u16, partition: row.get(1) })
    }

    pub(super) async fn query(
        &self,
        doing: &str,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, SinkError> {
        query(&self.database, doing, sql, params).await
    }
}

fn claimed(row: &Row) -> Claimed {
    Claimed { next_offset: row.get(0), epoch: Epoch(row.get(1)), attempt: None }
}
