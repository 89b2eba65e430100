//! SQL from outside the pipeline, past every proxy; a server that is away or locked is an answer here, not a panic.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::Client;
use tokio_postgres::NoTls;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// One session. Its connection only lives while a call waits.
pub struct Db {
    runtime: Runtime,
    client: Client,
    limit: Duration,
}

impl Db {
    /// `limit` is the longest that one call may take.
    pub fn connect(url: &str, limit: Duration) -> Result<Db, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        let work = async { tokio::time::timeout(limit, tokio_postgres::connect(url, NoTls)).await };
        let (client, connection) = runtime.block_on(work).map_err(|_| "no connection in time")?.map_err(text)?;
        runtime.spawn(connection);
        Ok(Db { runtime, client, limit })
    }

    pub fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, String> {
        let work = async { tokio::time::timeout(self.limit, self.client.query(sql, params)).await };
        self.runtime.block_on(work).map_err(|_| format!("no answer in {:?}", self.limit))?.map_err(text)
    }

    pub fn run(&self, sql: &str) -> Result<(), String> {
        let work = async { tokio::time::timeout(self.limit, self.client.batch_execute(sql)).await };
        self.runtime.block_on(work).map_err(|_| format!("no answer in {:?}", self.limit))?.map_err(text)
    }

    /// The only column of the first row.
    pub fn number(&self, sql: &str) -> Result<i64, String> {
        let rows = self.query(sql, &[])?;
        rows.first().and_then(|r| r.try_get(0).ok()).ok_or_else(|| format!("no number: {sql}"))
    }
}

fn text(error: tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |db| format!("{} {}", db.code().code(), db.message()))
}
