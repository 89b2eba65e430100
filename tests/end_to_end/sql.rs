//! Plain SQL from a test, without a runtime in the way.

use futures_util::SinkExt;
use tokio::runtime::Runtime;
use tokio_postgres::Client;
use tokio_postgres::NoTls;
use tokio_postgres::Row;
use tokio_postgres::types::FromSqlOwned;
use tokio_postgres::types::ToSql;

/// One session. Its connection only lives while a call waits, which is all that a test needs.
pub struct Sql {
    runtime: Runtime,
    client: Client,
}

impl Sql {
    pub fn connect(url: &str) -> Sql {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (client, connection) = runtime.block_on(tokio_postgres::connect(url, NoTls)).expect("the database answers");
        runtime.spawn(connection);
        Sql { runtime, client }
    }

    pub fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        self.runtime.block_on(self.client.query(sql, params)).unwrap_or_else(|e| panic!("{sql}: {e:?}"))
    }

    /// The only column of the only row.
    pub fn one<T: FromSqlOwned>(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> T {
        let rows = self.query(sql, params);
        assert_eq!(rows.len(), 1, "{sql}");
        rows[0].get(0)
    }

    pub fn run(&self, sql: &str) {
        self.runtime.block_on(self.client.batch_execute(sql)).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    /// Fills a table from lines in COPY's text format.
    pub fn copy(&self, table: &str, lines: String) {
        let work = async {
            let sink = self.client.copy_in(&format!("COPY {table} FROM STDIN")).await?;
            let mut sink = std::pin::pin!(sink);
            sink.send(bytes::Bytes::from(lines)).await?;
            sink.finish().await
        };
        self.runtime.block_on(work).unwrap_or_else(|e: tokio_postgres::Error| panic!("COPY {table}: {e:?}"));
    }
}
