//! What records have become, by their coordinates: rows of the result table and dead letters.

use std::sync::atomic::AtomicBool;

use crate::adapters::postgres::connect::Database;
use crate::adapters::postgres::connect::Lease;
use crate::adapters::postgres::fault;
use crate::adapters::postgres::namesakes::others;
use crate::adapters::postgres::options::TableOptions;
use crate::adapters::postgres::query::query;
use crate::adapters::postgres::store::bounded;
use crate::adapters::postgres::table;
use crate::adapters::postgres::table::column_of;
use crate::adapters::postgres::table::quote;
use crate::ports::SinkError;

/// How the result table says which record a row is of.
#[derive(Clone, Debug)]
pub struct Place {
    table: String,
    source: Option<Source>,
    partition: String,
    offset: String,
}

#[derive(Clone, Debug)]
struct Source {
    column: String,
    /// It holds the topic's name instead of the source's number.
    named: bool,
}

/// Rows and dead letters of a range of offsets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Found {
    pub rows: i64,
    pub dead_letters: i64,
}

/// A range of one partition's offsets, without `to`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range<'a> {
    pub source: i16,
    pub topic: &'a str,
    pub partition: i32,
    pub from: i64,
    pub to: i64,
}

const IS_TEXT: &str =
    "SELECT t.typcategory = 'S' FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attname = $2 AND NOT a.attisdropped";

impl Place {
    /// Looks at the table; `None` when it does not keep partition and offset.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn find(database: &Database, options: &TableOptions) -> Result<Option<Place>, SinkError> {
        let column = |value| column_of(options, value).map(quote);
        let table = table::qualified(&options.name);
        let source = match column_of(options, "source") {
            None => None,
            Some(name) => {
                let rows = query(database, "looking at the table", IS_TEXT, &[&table, &name]).await?;
                Some(Source { column: quote(name), named: rows.first().is_some_and(|r| r.get(0)) })
            }
        };
        let (Some(partition), Some(offset)) = (column("partition"), column("offset")) else { return Ok(None) };
        Ok(Some(Place { table, source, partition, offset }))
    }

    /// Whether rows of other topics can be told apart from those of ours.
    pub fn names_source(&self) -> bool {
        self.source.is_some()
    }

    /// The rows of a range, with parameters `$1` to `$5`. Without a column for the source, those of all sources.
    fn condition(&self) -> String {
        let source = match &self.source {
            None => "true".to_owned(),
            Some(Source { column, named: true }) => format!("{column}::text = $2::text"),
            Some(Source { column, named: false }) => format!("{column}::text = $1::text"),
        };
        format!(
            "($1::text, $2::text) IS NOT NULL AND {source} AND {} = $3::int4 AND {} >= $4::int8 AND {} < $5::int8",
            self.partition, self.offset, self.offset
        )
    }
}

/// Sources whose rows this place cannot tell from those of a source of the topic.
///
/// # Errors
/// When the database cannot be asked.
pub async fn namesakes(database: &Database, place: &Place, topic: &str, source: i16) -> Result<Vec<String>, SinkError> {
    if !place.source.as_ref().is_some_and(|s| s.named) {
        return Ok(vec![]);
    }
    let doing = "looking for other sources of the topic";
    let lease = database.lease().await?;
    let work = async { others(&lease, topic, source).await.map_err(|e| fault::sink_error(&e, doing, false)) };
    let found = bounded(database.call_timeout(), doing, &AtomicBool::new(false), work).await?;
    lease.give_back();
    Ok(found)
}

/// Counts what offsets of a partition have become, from `from` up to, without, `to`.
///
/// # Errors
/// When the database cannot be asked, or does not answer within `statement_timeout`.
pub async fn count(
    database: &Database,
    place: &Place,
    (source, topic, partition): (i16, &str, i32),
    (from, to): (i64, i64),
) -> Result<Found, SinkError> {
    let doing = "looking for rows of these offsets";
    let lease = database.lease().await?;
    let sql = format!(
        "SELECT (SELECT count(*) FROM {} WHERE {}), (SELECT count(*) FROM tidemill.dead_letter
           WHERE source::text = $1 AND partition = $3 AND \"offset\" >= $4 AND \"offset\" < $5)",
        place.table,
        place.condition()
    );
    let id = source.to_string();
    let work = async {
        let row = lease.query_one(&sql, &[&id, &topic, &partition, &from, &to]).await;
        row.map_err(|e| fault::sink_error(&e, doing, false))
    };
    let row = bounded(database.call_timeout(), doing, &AtomicBool::new(false), work).await?;
    lease.give_back();
    Ok(Found { rows: row.get(0), dead_letters: row.get(1) })
}

/// Deletes them, inside the caller's transaction.
pub(super) async fn delete(lease: &Lease, place: &Place, range: Range<'_>) -> Result<Found, SinkError> {
    let failed = |e| fault::sink_error(&e, "deleting rows that will be made again", false);
    let (id, Range { topic, partition, from, to, .. }) = (range.source.to_string(), range);
    let sql = format!("DELETE FROM {} WHERE {}", place.table, place.condition());
    let rows = lease.execute(&sql, &[&id, &topic, &partition, &from, &to]).await.map_err(failed)?;
    let sql = "DELETE FROM tidemill.dead_letter WHERE source = $1 AND partition = $2 AND \"offset\" >= $3 AND \"offset\" < $4";
    let dead = lease.execute(sql, &[&range.source, &partition, &from, &to]).await.map_err(failed)?;
    Ok(Found { rows: rows as i64, dead_letters: dead as i64 })
}
