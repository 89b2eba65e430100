//! Causes of rejection that a person has accepted for a while (rule J1): asked by the daemon, given and ended by a command.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::ports::SinkError;

use super::connect::Database;
use super::query::query;

/// One acceptance as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acceptance {
    pub id: i64,
    pub topic: String,
    pub cause: String,
    /// Times in UTC, as people read them.
    pub accepted_at: String,
    pub until: String,
    pub ended_at: Option<String>,
    /// Role of the database and who the command was run by.
    pub by: String,
    /// Neither over nor ended.
    pub is_open: bool,
}

/// Where acceptances of one pipeline are given. `topic` narrows it to one.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    pub pipeline: &'a str,
    pub topic: Option<&'a str>,
}

const OPEN: &str = "SELECT source, cause, extract(epoch FROM until - now())::float8 FROM tidemill.acceptance
    WHERE source = ANY ($1) AND ended_at IS NULL AND until > now()";
const GIVE: &str = "INSERT INTO tidemill.acceptance (source, cause, until, client)
    SELECT s.id, $3, now() + make_interval(secs => $4::float8), $5 FROM tidemill.source s
     WHERE s.pipeline = $1 AND ($2::text IS NULL OR s.topic = $2) RETURNING id";
const END: &str =
    "UPDATE tidemill.acceptance a SET ended_at = now(), ended_by = session_user || ' ' || $4 FROM tidemill.source s
    WHERE s.id = a.source AND s.pipeline = $1 AND ($2::text IS NULL OR s.topic = $2) AND a.cause = $3
      AND a.ended_at IS NULL AND a.until > now() RETURNING a.id";
const LIST: &str =
    "SELECT a.id, s.topic, a.cause, to_char(a.accepted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
      to_char(a.until AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
      to_char(a.ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
      a.role || ' ' || a.client, a.ended_at IS NULL AND a.until > now()
    FROM tidemill.acceptance a JOIN tidemill.source s ON s.id = a.source
    WHERE s.pipeline = $1 AND ($2::text IS NULL OR s.topic = $2) ORDER BY a.id DESC LIMIT 1000";

/// What is accepted now of these sources: source, cause, time left.
pub(super) async fn open(database: &Database, sources: &[i16]) -> Result<Vec<(i16, String, Duration)>, SinkError> {
    let rows = query(database, "asking what is accepted", OPEN, &[&sources]).await?;
    let left = |r: &Row| Duration::try_from_secs_f64(r.get(2)).unwrap_or_default();
    Ok(rows.iter().map(|r| (r.get(0), r.get(1), left(r))).collect())
}

/// Accepts a cause for a while; says for how many topics. `client` names who runs the command.
pub async fn accept(
    database: &Database,
    scope: Scope<'_>,
    cause: &str,
    time: Duration,
    client: &str,
) -> Result<usize, SinkError> {
    let seconds = time.as_secs_f64();
    let params: [&(dyn ToSql + Sync); 5] = [&scope.pipeline, &scope.topic, &cause, &seconds, &client];
    Ok(query(database, "accepting a cause", GIVE, &params).await?.len())
}

/// Ends what is open of a cause; says how many acceptances there were.
pub async fn end(database: &Database, scope: Scope<'_>, cause: &str, client: &str) -> Result<usize, SinkError> {
    let params: [&(dyn ToSql + Sync); 4] = [&scope.pipeline, &scope.topic, &cause, &client];
    Ok(query(database, "ending an acceptance", END, &params).await?.len())
}

/// The latest acceptances, newest first.
pub async fn list(database: &Database, scope: Scope<'_>) -> Result<Vec<Acceptance>, SinkError> {
    let rows = query(database, "listing acceptances", LIST, &[&scope.pipeline, &scope.topic]).await?;
    let of = |r: &Row| Acceptance {
        id: r.get(0),
        topic: r.get(1),
        cause: r.get(2),
        accepted_at: r.get(3),
        until: r.get(4),
        ended_at: r.get(5),
        by: r.get(6),
        is_open: r.get(7),
    };
    Ok(rows.iter().map(of).collect())
}
