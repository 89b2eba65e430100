//! Makes the control tables and, if wanted, the result table. Adds, never drops or retypes; one transaction, one at a time.

use sha2::Digest;
use sha2::Sha256;
use tokio_postgres::Client;

use crate::domain::outputs::OutputSpec;

use super::connect::Database;
use super::fault;
use super::fault::StartError;
use super::options::TableOptions;
use super::table;
use super::table::Mapped;
use super::table::Value;

/// One file of `schemas/postgres`. Applied files are never edited; a change is a new file.
struct Migration {
    version: i32,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "control", sql: include_str!("../../../schemas/postgres/0001_control.sql") },
    Migration { version: 2, name: "operator", sql: include_str!("../../../schemas/postgres/0002_operator.sql") },
    Migration { version: 3, name: "judging", sql: include_str!("../../../schemas/postgres/0003_judging.sql") },
    Migration { version: 4, name: "care", sql: include_str!("../../../schemas/postgres/0004_care.sql") },
];

/// Any constant will do, as long as every version uses the same.
const LOCK: i64 = 0x7469_6465_6d69_6c6c;

/// Brings the database up to date and says what it did; with `dry_run`, what it would do (everything is rolled back).
///
/// # Errors
/// [`StartError::Refused`] when an applied migration differs from ours or the database is newer than this program.
pub async fn migrate(
    database: &Database,
    options: &TableOptions,
    outputs: &[OutputSpec],
    dry_run: bool,
) -> Result<Vec<String>, StartError> {
    let mapped = table::mapping(options, outputs).map_err(StartError::Contract)?;
    let lease = database.lease().await?;
    let failed = |e| fault::sink_error(&e, "migrating", false);
    // Waits for another `migrate` as long as that may take; DDL on big tables may take longer than a row does. Nobody waits
    // for this one in the meantime, so it may stand still longer than a writer, on a machine whose disk is busy.
    const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = '120s'; \
                         SET LOCAL idle_in_transaction_session_timeout = '60s'";
    lease.batch_execute(BEGIN).await.map_err(failed)?;
    lease.execute("SELECT pg_catalog.pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(failed)?;
    let mut done = control(&lease).await?;
    if options.create {
        done.extend(result_table(&lease, options, &mapped).await?);
    }
    if options.view {
        done.extend(view(&lease, options, &mapped).await?);
    }
    lease.batch_execute(if dry_run { "ROLLBACK" } else { "COMMIT" }).await.map_err(failed)?;
    lease.give_back();
    Ok(done)
}

async fn run(client: &Client, doing: &str, sql: &str) -> Result<(), StartError> {
    Ok(client.batch_execute(sql).await.map_err(|e| fault::sink_error(&e, doing, false))?)
}

async fn control(client: &Client) -> Result<Vec<String>, StartError> {
    let failed = |e| fault::sink_error(&e, "reading tidemill.migration", false);
    // Asked first: CREATE SCHEMA IF NOT EXISTS needs a privilege on the database even when the schema is there.
    let found = client
        .query_one("SELECT pg_catalog.to_regclass('tidemill.migration') IS NOT NULL", &[])
        .await
        .map_err(failed)?;
    if !found.get::<_, bool>(0) {
        let sql = "CREATE SCHEMA IF NOT EXISTS tidemill; CREATE TABLE tidemill.migration (version integer PRIMARY KEY, \
                   name text NOT NULL, sha256 bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";
        run(client, "making schema tidemill", sql).await?;
    }
    let applied = client.query("SELECT version, name, sha256 FROM tidemill.migration", &[]).await.map_err(failed)?;
    let newest = MIGRATIONS.last().map_or(0, |m| m.version);
    if let Some(row) = applied.iter().find(|r| r.get::<_, i32>(0) > newest) {
        let (version, name): (i32, &str) = (row.get(0), row.get(1));
        return Err(StartError::Refused(format!(
            "schema tidemill is at migration {version} ({name}), newer than this program knows ({newest}): use a newer tidemill"
        )));
    }
    let mut done = vec![];
    for m in MIGRATIONS {
        let hash = Sha256::digest(m.sql).to_vec();
        if let Some(row) = applied.iter().find(|r| r.get::<_, i32>(0) == m.version) {
            if row.get::<_, &[u8]>(2) != hash {
                return Err(StartError::Refused(format!(
                    "migration {} ({}) was applied with another content than this program's: the control tables are not what \
                     they are taken for; use the tidemill that made them, or another database",
                    m.version, m.name
                )));
            }
            continue;
        }
        run(client, &format!("applying migration {} ({})", m.version, m.name), m.sql).await?;
        let sql = "INSERT INTO tidemill.migration (version, name, sha256) VALUES ($1, $2, $3)";
        client.execute(sql, &[&m.version, &m.name, &hash]).await.map_err(failed)?;
        done.push(format!("apply migration {} ({}): control tables in schema tidemill", m.version, m.name));
    }
    Ok(done)
}

/// Names of the columns that the relation has; `None` without the relation.
async fn columns_of(client: &Client, schema: &str, name: &str) -> Result<Option<Vec<String>>, StartError> {
    const SQL: &str = "SELECT (SELECT pg_catalog.array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2";
    let failed = |e| fault::sink_error(&e, "looking at the table", false);
    let row = client.query_opt(SQL, &[&schema, &name]).await.map_err(failed)?;
    Ok(row.map(|r| r.get::<_, Option<Vec<String>>>(0).unwrap_or_default()))
}

async fn result_table(client: &Client, o: &TableOptions, mapped: &[Mapped]) -> Result<Vec<String>, StartError> {
    let (schema, name) = table::split_name(&o.name);
    let full = table::qualified(&o.name);
    let mut done = vec![];
    if let Some(found) = columns_of(client, schema, name).await? {
        for m in mapped.iter().filter(|m| !found.contains(&m.column)) {
            // Rows that are there have no value for it, so it is nullable whatever the value is.
            let definition = Mapped { nullable: true, ..m.clone() }.definition();
            run(client, "adding a column", &format!("ALTER TABLE {full} ADD COLUMN {definition}")).await?;
            done.push(format!("add column {definition} to {}", o.name));
        }
    } else {
        let mut sorted: Vec<&Mapped> = mapped.iter().collect();
        sorted.sort_by_key(|m| m.rank());
        let columns: Vec<String> = sorted.iter().map(|m| m.definition()).collect();
        let sql = format!("CREATE TABLE {full} (\n  {}\n)", columns.join(",\n  "));
        run(client, "creating the result table", &sql).await?;
        done.push(format!("create table {} with columns {}", o.name, columns.join(", ")));
        if let Some(time) = mapped.iter().find(|m| m.value == Value::EventTime) {
            let sql = format!("CREATE INDEX ON {full} USING brin ({})", table::quote(&time.column));
            run(client, "indexing the result table", &sql).await?;
            done.push(format!("create BRIN index on {} ({})", o.name, time.column));
        }
    }
    if o.unique_index {
        done.extend(unique_index(client, o, mapped).await?);
    }
    Ok(done)
}

async fn unique_index(client: &Client, o: &TableOptions, mapped: &[Mapped]) -> Result<Option<String>, StartError> {
    let (schema, table) = table::split_name(&o.name);
    let mut columns = vec![];
    for value in [Value::Source, Value::Partition, Value::Offset] {
        let Some(m) = mapped.iter().find(|m| m.value == value) else {
            return Err(StartError::Refused(
                "table.unique_index needs the columns source, partition and offset".into(),
            ));
        };
        columns.push(table::quote(&m.column));
    }
    // A name longer than 63 bytes would be cut by the server, and then not be found again.
    let end = (0..=table.len().min(50)).rev().find(|i| table.is_char_boundary(*i)).unwrap_or(0);
    let index = format!("{}_place", &table[..end]);
    if columns_of(client, schema, &index).await?.is_some() {
        return Ok(None);
    }
    let columns = columns.join(", ");
    let sql = format!("CREATE UNIQUE INDEX {} ON {} ({columns})", table::quote(&index), table::qualified(&o.name));
    run(client, "indexing the result table", &sql).await?;
    Ok(Some(format!("create unique index {index} on {} ({columns})", o.name)))
}

/// A view for readers: the table with the names that its ids stand for in front.
async fn view(client: &Client, o: &TableOptions, mapped: &[Mapped]) -> Result<Option<String>, StartError> {
    let (schema, table) = table::split_name(&o.name);
    let Some(columns) = columns_of(client, schema, table).await? else { return Ok(None) };
    let column = |value| mapped.iter().find(|m| m.value == value).map(|m| table::quote(&m.column));
    let name = format!("{table}_readable");
    let mut heads = vec![];
    let mut joins = String::new();
    if let Some(source) = column(Value::Source) {
        heads.extend([("topic_name", "s.topic"), ("pipeline_name", "s.pipeline")]);
        // Compared as text: the user's column may be of any integer type, or hold the topic's name itself.
        joins.push_str(&format!(" LEFT JOIN tidemill.source s ON s.id::text = t.{source}::text"));
    }
    if let Some(model) = column(Value::Model) {
        heads.extend([("model_name", "m.name"), ("model_version", "m.version")]);
        joins.push_str(&format!(" LEFT JOIN tidemill.model m ON m.id::text = t.{model}::text"));
    }
    // The names come first, so that a column added later is at the end, where CREATE OR REPLACE VIEW accepts it.
    let heads: Vec<_> = heads.iter().filter(|(n, _)| !columns.iter().any(|c| c == n)).collect();
    let found = columns_of(client, schema, &name).await?;
    let wanted = heads.iter().map(|h| h.0.to_owned()).chain(columns.iter().cloned());
    if found.is_some_and(|f| f == wanted.collect::<Vec<_>>()) {
        return Ok(None);
    }
    let list: Vec<String> = heads.iter().map(|(n, e)| format!("{e} AS {n}")).chain([String::from("t.*")]).collect();
    let sql = format!(
        "CREATE OR REPLACE VIEW {}.{} AS SELECT {} FROM {} t{joins}",
        table::quote(schema),
        table::quote(&name),
        list.join(", "),
        table::qualified(&o.name)
    );
    run(client, "creating the view", &sql).await?;
    Ok(Some(format!("create view {schema}.{name} with the names of topic and model")))
}
