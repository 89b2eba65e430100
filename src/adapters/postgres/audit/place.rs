//! Where the result table keeps the coordinates of its rows, and whether a row stays what it was when it was stored.

use tokio_postgres::Client;

use crate::adapters::postgres::fault;
use crate::adapters::postgres::fault::StartError;
use crate::adapters::postgres::options::OnConflict;
use crate::adapters::postgres::options::TableOptions;
use crate::adapters::postgres::table;
use crate::adapters::postgres::table::quote;

/// Whether a record that was stored or taken can rightly be without a row of its own coordinates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overlap {
    /// Every stored record keeps its row.
    Never,
    /// `on_conflict = "skip"`: a unique index of the table may have kept an older row instead.
    Kept,
    /// `on_conflict = "update"` on columns that do not name the record: a newer row may have taken its place.
    Replaced,
}

/// The columns, quoted.
#[derive(Clone, Debug)]
pub struct Place {
    pub table: String,
    pub overlap: Overlap,
    /// `None` when the table does not say: then all its rows are taken as those of the only topic.
    pub(super) source: Option<Source>,
    pub(super) partition: String,
    pub(super) offset: String,
}

/// How the table says which source a row is of.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub column: String,
    /// The topic's name instead of the source's number.
    pub named: bool,
}

const COLUMN: &str = "SELECT a.attname::text, t.typcategory::text
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE n.nspname = $1 AND c.relname = $2";

impl Place {
    /// Looks the columns up. `topics` is how many the pipeline reads.
    ///
    /// # Errors
    /// When the table is not there, or does not say which record a row is of.
    pub async fn find(client: &Client, options: &TableOptions, topics: usize) -> Result<Place, StartError> {
        let (schema, relation) = table::split_name(&options.name);
        let rows = client.query(COLUMN, &[&schema, &relation]).await;
        let rows = rows.map_err(|e| fault::sink_error(&e, "looking at the table", false))?;
        let name = &options.name;
        let mut problems = vec![];
        if rows.is_empty() {
            problems.push(format!("table {name} does not exist: run `tidemill migrate`, or correct table.name"));
            return Err(StartError::Contract(problems));
        }
        let mut find = |value: &str| {
            let column = table::column_of(options, value)?;
            let found = rows.iter().find(|r| r.get::<_, &str>(0) == column);
            if found.is_none() {
                problems.push(format!("column {column} does not exist in {name}: correct table.columns.{value}"));
            }
            Some((quote(column), found.map_or("", |r| r.get::<_, &str>(1)) == "S"))
        };
        let (source, partition, offset) = (find("source"), find("partition"), find("offset"));
        let (Some((partition, _)), Some((offset, _))) = (partition, offset) else {
            problems.push(format!(
                "{name} keeps no partition or no offset (table.columns), so nobody can tell which record a row is of"
            ));
            return Err(StartError::Contract(problems));
        };
        if source.is_none() && topics > 1 {
            problems.push(format!(
                "{name} keeps no source (table.columns.source), so rows of {topics} topics cannot be told apart"
            ));
        }
        if !problems.is_empty() {
            return Err(StartError::Contract(problems));
        }
        Ok(Place {
            table: table::qualified(name),
            overlap: overlap(options),
            source: source.map(|(column, named)| Source { column, named }),
            partition,
            offset,
        })
    }
}

fn overlap(options: &TableOptions) -> Overlap {
    let names_the_record = options.conflict_columns.is_empty()
        || ["partition", "offset"].iter().all(|value| {
            table::column_of(options, value).is_some_and(|c| options.conflict_columns.iter().any(|n| n == c))
        });
    match options.on_conflict {
        OnConflict::DeadLetter => Overlap::Never,
        OnConflict::Skip => Overlap::Kept,
        OnConflict::Update if names_the_record => Overlap::Never,
        OnConflict::Update => Overlap::Replaced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::postgres::options::Target;

    #[test]
    fn rows_stay_unless_the_conflict_columns_leave_the_record_out() {
        let mut options = TableOptions::default();
        assert_eq!(overlap(&options), Overlap::Never);
        options.on_conflict = OnConflict::Update;
        assert_eq!(overlap(&options), Overlap::Never);
        options.columns.insert("offset".into(), Target::Column("at".into()));
        options.conflict_columns = vec!["partition".into(), "at".into()];
        assert_eq!(overlap(&options), Overlap::Never);
        options.conflict_columns = vec!["key".into()];
        assert_eq!(overlap(&options), Overlap::Replaced);
        options.on_conflict = OnConflict::Skip;
        assert_eq!(overlap(&options), Overlap::Kept);
    }
}
