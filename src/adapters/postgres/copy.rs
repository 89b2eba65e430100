//! Large groups: fence and COPY in three round trips (rule W3).
//!
//! A request is queued when its future is first polled, so what is joined here travels together. COMMIT does not travel with
//! COPY: the server would carry it out before anybody had counted the rows.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use bytes::BytesMut;
use futures_util::SinkExt;
use tokio_postgres::CopyInSink;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use crate::failpoints;
use crate::failpoints::Point;
use crate::ports::SinkError;

use super::connect::Lease;
use super::contract;
use super::contract::Table;
use super::dead::dead_letters;
use super::fault;
use super::statement;
use super::statement::RowRef;
use super::store::Attempt;
use super::store::Context;
use super::store::Load;
use super::store::bounded;
use super::table::quote;
use super::wire::COPY_HEADER;
use super::wire::COPY_TRAILER;

/// COPY of the table's written columns.
pub(super) fn sql(table: &Table) -> String {
    let names: Vec<String> = table.columns.iter().map(|c| quote(&c.name)).collect();
    format!("COPY {} ({}) FROM STDIN (FORMAT binary)", table.name, names.join(", "))
}

/// The whole stream, made before COPY is opened: the server's clock runs while it waits for data.
pub(super) fn stream<'a>(rows: impl Iterator<Item = &'a RowRef<'a>> + Clone) -> Bytes {
    let size: usize = rows.clone().map(|r| r.bytes.len()).sum();
    let mut out = BytesMut::with_capacity(size + COPY_HEADER.len() + COPY_TRAILER.len());
    out.extend_from_slice(COPY_HEADER);
    rows.for_each(|r| out.extend_from_slice(r.bytes));
    out.extend_from_slice(COPY_TRAILER);
    out.freeze()
}

/// Feeds a stream in pieces that the connection can interleave with reading.
pub(super) async fn feed(mut sink: std::pin::Pin<&mut CopyInSink<Bytes>>, mut data: Bytes) -> Result<(), Error> {
    while !data.is_empty() {
        let piece = data.split_to(data.len().min(64 << 10));
        sink.feed(piece).await?;
    }
    Ok(())
}

/// Stores the active moves, or rolls back and says which of them passed the fence.
pub(super) async fn attempt(lease: &Lease, context: &Context, load: &Load<'_>) -> Result<Attempt, SinkError> {
    let doing = "storing by COPY";
    let table = &context.table;
    let sent = AtomicBool::new(false);
    let failed = |e| fault::sink_error(&e, doing, sent.load(Ordering::Relaxed));
    let data = stream(load.rows.iter());
    let wants = load.wants(context);
    let (wants, dead_params) = (wants.params(), load.dead.params());

    let open = async {
        let fence = lease.prepare_cached(&statement::fence()).await.map_err(failed)?;
        let signature = lease.prepare_cached(contract::SIGNATURE).await.map_err(failed)?;
        let copy = lease.prepare_cached(&sql(table)).await.map_err(failed)?;
        let dead = lease.prepare_cached(&dead_letters(1, "")).await.map_err(failed)?;
        // The lock keeps the table as the signature shows it until COPY has taken its own.
        let begin = format!("BEGIN; LOCK TABLE {} IN ROW EXCLUSIVE MODE", table.name);
        let place: [&(dyn ToSql + Sync); 2] = [&table.schema, &table.relation];
        load.reach(Point::BeforeDeadLetters).await;
        let (begin, found, moved, letters, sink) = tokio::join!(
            biased;
            lease.batch_execute(&begin),
            lease.query_opt(&signature, &place),
            lease.query(&fence, &wants),
            optional(load.dead.count > 0, lease.execute(&dead, &dead_params)),
            lease.copy_in::<_, Bytes>(&copy),
        );
        begin.map_err(failed)?;
        let found: Option<String> = found.map_err(failed)?.map(|r| r.get(0));
        let moved = context.passed(&moved.map_err(failed)?);
        let letters = letters.map_err(failed)?;
        load.reach(Point::AfterDeadLetters).await;
        let sink = sink.map_err(failed)?;
        Ok((found, moved, letters, sink))
    };
    let (found, moved, letters, sink) = bounded(context.call, doing, &sent, open).await?;
    let altered = found.as_deref() != Some(&table.signature);
    let short = letters != load.dead.count as u64;
    if altered || short || moved.len() < load.active.len() {
        // Dropping the sink tells the server that the copy failed; then the transaction is ended.
        drop(sink);
        roll_back(lease, context, doing).await?;
        if altered {
            return Err(contract::changed(table));
        }
        if short {
            return Err(contract::letters(letters, load.dead.count));
        }
        return Ok(Attempt::Fenced(moved));
    }
    let rows = load.rows.len() as u64;
    let close = async {
        let mut sink = pin!(sink);
        feed(sink.as_mut(), data).await.map_err(failed)?;
        let copied = sink.finish().await.map_err(failed)?;
        failpoints::reach(Point::AfterPgRows).await;
        if copied == rows {
            failpoints::reach(Point::BeforePgCommit).await;
            sent.store(true, Ordering::Relaxed);
            lease.batch_execute("COMMIT").await.map_err(failed)?;
        }
        Ok(copied)
    };
    let copied = bounded(context.call, doing, &sent, close).await?;
    if copied != rows {
        roll_back(lease, context, doing).await?;
        return Err(contract::rows(table, copied, rows));
    }
    Ok(Attempt::Stored(load.moved(moved)))
}

async fn roll_back(lease: &Lease, context: &Context, doing: &str) -> Result<(), SinkError> {
    let end = async { lease.batch_execute("ROLLBACK").await.map_err(|e| fault::sink_error(&e, doing, false)) };
    bounded(context.call, doing, &AtomicBool::new(false), end).await
}

async fn optional(wanted: bool, work: impl Future<Output = Result<u64, Error>>) -> Result<u64, Error> {
    if wanted { work.await } else { Ok(0) }
}
