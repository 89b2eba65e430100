//! `tidemill.attempt`: what is known of lanes whose owners ended unclean (rule J5). Nothing is written in quiet times.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::domain::care::Attempt;
use crate::domain::lane::Epoch;
use crate::domain::lane::Lane;
use crate::ports::SinkError;

use super::claim::Progress;
use super::fault;
use super::wire::Uuid;

/// Three columns of [`Attempt`], as another statement reads them.
pub(super) const COLUMNS: &str = "a.exits, a.current, a.tries";

/// As [`Attempt::after_exit`].
const EXIT: &str = "INSERT INTO tidemill.attempt AS a (source, partition, blamed) VALUES ($1, $2, $4)
    ON CONFLICT (source, partition) DO UPDATE SET exits = a.exits + 1, blamed = EXCLUDED.blamed,
      counted = coalesce((a.current >= $3 AND a.noted = $4)::int4, 0),
      tries = CASE WHEN a.current >= $3 THEN a.tries + coalesce((a.noted = $4)::int4, 0) ELSE 0 END, current = CASE WHEN a.current >= $3 THEN a.current END
    RETURNING a.exits, a.current, a.tries";
/// As [`Attempt::noting`], by the owner alone. The row may be gone: an earlier care of ours that ends at the moment of the claim
/// deletes it, and so may a person. Without an offset the note is taken back: the end of this owner is no try.
const NOTE: &str = "INSERT INTO tidemill.attempt AS a (source, partition, current, noted)
    SELECT p.source, p.partition, $3::int8, CASE WHEN $3 IS NOT NULL THEN $4::int8 END FROM tidemill.progress p
     WHERE p.source = $1 AND p.partition = $2 AND p.epoch = $4 AND p.owner = $5
    ON CONFLICT (source, partition) DO UPDATE SET noted = EXCLUDED.noted, current = coalesce(EXCLUDED.current, a.current),
      tries = CASE WHEN a.current = coalesce(EXCLUDED.current, a.current) THEN a.tries ELSE 0 END
    RETURNING 1";
/// As [`Attempt::forgiven`], by the owner that was blamed.
const ALIVE: &str =
    "UPDATE tidemill.attempt SET exits = greatest(exits - 1, 0), tries = greatest(tries - counted, 0), counted = 0, blamed = NULL
    WHERE source = $1 AND partition = $2 AND blamed = $3 RETURNING 1";
const CALM: &str = "DELETE FROM tidemill.attempt a USING tidemill.progress p WHERE a.source = $1 AND a.partition = $2
    AND p.source = a.source AND p.partition = a.partition AND p.epoch = $3 AND p.owner = $4 RETURNING 1";

/// Reads [`COLUMNS`], the first of which stands at `at`; all are null without a row.
pub(super) fn read(row: &Row, at: usize) -> Option<Attempt> {
    let exits: Option<i32> = row.get(at);
    let tries: Option<i32> = row.get(at + 2);
    Some(Attempt { exits: exits? as u32, current: row.get(at + 1), tries: tries.unwrap_or(0) as u32 })
}

impl Progress {
    /// The lane's last owner, of this epoch, never released it.
    pub(super) async fn after_exit(&self, lane: Lane, mark: i64, blamed: Epoch) -> Result<Option<Attempt>, SinkError> {
        let params: [&(dyn ToSql + Sync); 4] = [&self.source(lane), &lane.partition, &mark, &blamed.0];
        let rows = self.query("noting an unclean end", EXIT, &params).await?;
        Ok(rows.first().and_then(|r| read(r, 0)))
    }

    /// The owner of this epoch lives, though another has claimed the lane.
    pub(super) async fn alive(&self, lane: Lane, epoch: Epoch) -> Result<(), SinkError> {
        let params: [&(dyn ToSql + Sync); 3] = [&self.source(lane), &lane.partition, &epoch.0];
        self.query("taking an unclean end back", ALIVE, &params).await.map(drop)
    }

    /// A record of the lane is about to be processed alone; `None`: none is.
    pub async fn note(&self, lane: Lane, epoch: Epoch, offset: Option<i64>) -> Result<(), SinkError> {
        let owner = Uuid(self.owner().0);
        let params: [&(dyn ToSql + Sync); 5] = [&self.source(lane), &lane.partition, &offset, &epoch.0, &owner];
        match self.query("noting a record", NOTE, &params).await?.first() {
            Some(_) => Ok(()),
            None => Err(fault::contract("the partition is not ours any more".into())),
        }
    }

    /// Care with the lane is over.
    pub async fn calm(&self, lane: Lane, epoch: Epoch) -> Result<(), SinkError> {
        let owner = Uuid(self.owner().0);
        let params: [&(dyn ToSql + Sync); 4] = [&self.source(lane), &lane.partition, &epoch.0, &owner];
        self.query("ending care", CALM, &params).await.map(drop)
    }
}
