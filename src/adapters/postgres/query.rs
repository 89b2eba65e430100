//! One question on a connection of the pool, within the time of a call.

use std::sync::atomic::AtomicBool;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::ports::SinkError;

use super::connect::Database;
use super::fault;
use super::store::bounded;

/// Asks and gives the connection back; after an error or a timeout it is thrown away.
pub(super) async fn query(
    database: &Database,
    doing: &str,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, SinkError> {
    let lease = database.lease().await?;
    let work = async {
        let failed = |e| fault::sink_error(&e, doing, false);
        let prepared = lease.prepare_cached(sql).await.map_err(failed)?;
        lease.query(&prepared, params).await.map_err(failed)
    };
    let rows = bounded(database.call_timeout(), doing, &AtomicBool::new(false), work).await?;
    lease.give_back();
    Ok(rows)
}
