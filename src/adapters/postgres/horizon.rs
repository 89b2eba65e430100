//! Who keeps vacuum from removing dead row versions. The marks are moved in place all the time, and each move looks at the dead versions that
//! are still there: a transaction that is held open for minutes makes every group slower.

use crate::ports::SinkError;

use super::connect::Database;
use super::query::query;

/// What holds the oldest snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Such as `backend 4711 of alice (psql)`: what a person needs to end it.
    pub name: String,
    /// The same without what is new each time, such as `backend of alice (psql)`: for a metric.
    pub kind: String,
    /// Transactions that began since then.
    pub age: i64,
}

/// Younger snapshots are everyday life.
const AGE_MIN: i64 = 1000;

/// Every role may see these columns of other roles' sessions.
const SQL: &str = "SELECT what || ' ' || which || whose, CASE WHEN lasts THEN what || ' ' || which ELSE what END || whose, age FROM (
      SELECT 'backend' AS what, pid::text AS which, false AS lasts,
          coalesce(' of ' || usename, '') || coalesce(' (' || nullif(application_name, '') || ')', '') AS whose,
          age(backend_xmin)::int8 AS age
        FROM pg_catalog.pg_stat_activity WHERE backend_xmin IS NOT NULL AND backend_type IS DISTINCT FROM 'autovacuum worker'
      UNION ALL SELECT 'replication slot', slot_name, true, '', age(xmin)::int8 FROM pg_catalog.pg_replication_slots
        WHERE xmin IS NOT NULL
      UNION ALL SELECT 'prepared transaction', gid, false, coalesce(' of ' || owner, ''), age(transaction)::int8
        FROM pg_catalog.pg_prepared_xacts
    ) holders WHERE age >= $1 ORDER BY age DESC LIMIT 1";

/// The holder of the oldest snapshot, if it is old.
///
/// # Errors
/// When the database cannot be asked.
pub async fn oldest(database: &Database) -> Result<Option<Holder>, SinkError> {
    let rows = query(database, "looking for old snapshots", SQL, &[&AGE_MIN]).await?;
    Ok(rows.first().map(|r| Holder { name: r.get(0), kind: r.get(1), age: r.get(2) }))
}
