//! Finds the rows that the database refuses, in a transaction that is rolled back (promise P6).

use std::pin::pin;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use tokio_postgres::Error;

use crate::domain::scored::Group;
use crate::domain::verdict::Rejected;
use crate::domain::verdict::Stage;
use crate::ports::Guilty;
use crate::ports::SinkError;
use crate::ports::SinkFault;

use super::connect::Lease;
use super::copy;
use super::fault;
use super::options::OnConflict;
use super::statement;
use super::statement::Columns;
use super::statement::RowRef;
use super::store::Context;
use super::store::bounded;

/// Guilty records that one call looks for. More of them are found by the next call, after these have stepped aside.
const MOST: usize = 500;

/// Tries ranges of rows, keeps what passes (so that duplicates inside the group are seen) and narrows what does not:
/// by the line that COPY names, or by halves. A row is guilty only when it fails alone; that the rest passes is proved a
/// second time by the transaction that stores its dead letter, since it stores both or nothing.
pub(super) async fn find(lease: &Lease, context: &Context, group: &Group) -> Result<Vec<Guilty>, SinkError> {
    let doing = "isolating a refused row";
    let rows = statement::rows_of(group);
    let mut guilty = vec![];
    // Constraints that wait for COMMIT would never speak here.
    run(lease, context, "BEGIN; SET CONSTRAINTS ALL IMMEDIATE").await?;
    let mut ranges: Vec<std::ops::Range<usize>> = std::iter::once(0..rows.len()).collect();
    while let Some(range) = ranges.pop().filter(|_| guilty.len() < MOST) {
        if range.is_empty() {
            continue;
        }
        run(lease, context, "SAVEPOINT attempt").await?;
        let part = &rows[range.clone()];
        let work = async { Ok(load(lease, context, part).await) };
        let outcome = bounded(context.call, doing, &AtomicBool::new(false), work).await?;
        let Err(error) = outcome else {
            run(lease, context, "RELEASE attempt").await?;
            continue;
        };
        let class = fault::sink_error(&error, doing, false);
        if class.fault != SinkFault::Data {
            return Err(class);
        }
        run(lease, context, "ROLLBACK TO attempt; RELEASE attempt").await?;
        if range.len() == 1 {
            let RowRef { piece, record, .. } = part[0];
            guilty.push(Guilty { piece, record, why: reason(&error) });
            continue;
        }
        // The last range that is pushed is tried first: rows keep their order.
        match named_row(&error, range.len()) {
            Some(at) => {
                let at = range.start + at;
                ranges.extend([at + 1..range.end, at..at + 1, range.start..at]);
            }
            None => {
                let middle = range.start + range.len() / 2;
                ranges.extend([middle..range.end, range.start..middle]);
            }
        }
    }
    run(lease, context, "ROLLBACK").await?;
    guilty.sort_by_key(|g: &Guilty| (g.piece, g.record));
    Ok(guilty)
}

async fn run(lease: &Lease, context: &Context, sql: &str) -> Result<(), SinkError> {
    let doing = "isolating a refused row";
    let work = async { lease.batch_execute(sql).await.map_err(|e| fault::sink_error(&e, doing, false)) };
    bounded(context.call, doing, &AtomicBool::new(false), work).await
}

/// Writes rows as the group would be written.
async fn load(lease: &Lease, context: &Context, rows: &[RowRef<'_>]) -> Result<(), Error> {
    let table = &context.table;
    if table.on_conflict == OnConflict::DeadLetter {
        let prepared = lease.prepare_cached(&copy::sql(table)).await?;
        let mut sink = pin!(lease.copy_in::<_, Bytes>(&prepared).await?);
        copy::feed(sink.as_mut(), copy::stream(rows.iter())).await?;
        sink.finish().await?;
        return Ok(());
    }
    let conflict = statement::on_conflict(table, table.on_conflict == OnConflict::Update);
    let prepared = lease.prepare_cached(&statement::insert(table, 1, "", &conflict)).await?;
    lease.execute(&prepared, &Columns::new(table, rows.iter()).params()).await?;
    Ok(())
}

/// The row that COPY names, counted from 0. Where the server speaks another language, none is found.
fn named_row(error: &Error, rows: usize) -> Option<usize> {
    let (line, _) = fault::copy_place(error.as_db_error()?.where_()?)?;
    (1..=rows).contains(&line).then(|| line - 1)
}

pub(super) fn reason(error: &Error) -> Rejected {
    let Some(db) = error.as_db_error() else { return Rejected::new(Stage::Write, "refused", "") };
    let code = match db.code().code() {
        "23505" => "unique_violation",
        "23502" => "not_null_violation",
        "23503" => "foreign_key_violation",
        // The server has no code of its own for it, but it names no constraint then.
        "23514" if db.constraint().is_none() => "no_partition",
        "23514" => "check_violation",
        "22001" => "too_long",
        "22003" => "out_of_range",
        "22021" => "bad_text",
        "22P02" | "22P05" => "bad_value",
        "54000" | "54001" => "too_large",
        "P0001" | "P0004" => "trigger_exception",
        _ => "refused",
    };
    Rejected::new(Stage::Write, code, fault::named(db))
}
