//! Tables whose unique index decides: INSERT … ON CONFLICT lane by lane, each counted by itself (rule W10).

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use crate::failpoints;
use crate::failpoints::Point;
use crate::ports::SinkError;

use super::connect::Lease;
use super::contract;
use super::dead::dead_letters;
use super::fault;
use super::options::OnConflict;
use super::statement;
use super::statement::Columns;
use super::store::Attempt;
use super::store::Context;
use super::store::Load;
use super::store::bounded;

/// Rows that met one already there are moved from `stored` to `skipped`.
const ADJUST: &str = "UPDATE tidemill.progress SET stored = stored - $3, skipped = skipped + $3
    WHERE source = $1 AND partition = $2";

/// Stores the active moves, or rolls back and says which of them passed the fence.
pub(super) async fn attempt(lease: &Lease, context: &Context, load: &Load<'_>) -> Result<Attempt, SinkError> {
    let doing = "storing with on_conflict";
    let sent = AtomicBool::new(false);
    let failed = |e| fault::sink_error(&e, doing, sent.load(Ordering::Relaxed));
    let open = async {
        let fence = lease.prepare_cached(&statement::fence()).await.map_err(failed)?;
        let wants = load.wants(context);
        let params = wants.params();
        let (begin, moved) = tokio::join!(biased; lease.batch_execute("BEGIN"), lease.query(&fence, &params));
        begin.map_err(failed)?;
        Ok(context.passed(&moved.map_err(failed)?))
    };
    let passed = bounded(context.call, doing, &sent, open).await?;
    if passed.len() < load.active.len() {
        let end = async { lease.batch_execute("ROLLBACK").await.map_err(failed) };
        bounded(context.call, doing, &sent, end).await?;
        return Ok(Attempt::Fenced(passed));
    }
    let mut moved = load.moved(passed);
    if load.dead.count > 0 {
        load.reach(Point::BeforeDeadLetters).await;
        let work = async {
            let insert = lease.prepare_cached(&dead_letters(1, "")).await.map_err(failed)?;
            lease.execute(&insert, &load.dead.params()).await.map_err(failed)
        };
        let count = bounded(context.call, doing, &sent, work).await?;
        if count != load.dead.count as u64 {
            return Err(contract::letters(count, load.dead.count));
        }
        load.reach(Point::AfterDeadLetters).await;
    }
    for lane in &load.active {
        let rows = bounded(context.call, doing, &sent, insert(lease, context, load, *lane)).await?;
        if let Some(m) = moved.iter_mut().find(|m| m.lane == load.group.moves[*lane].lane) {
            m.rows = rows;
        }
    }
    failpoints::reach(Point::AfterPgRows).await;
    failpoints::reach(Point::BeforePgCommit).await;
    let commit = async {
        sent.store(true, Ordering::Relaxed);
        lease.batch_execute("COMMIT").await.map_err(failed)
    };
    bounded(context.call, doing, &sent, commit).await?;
    Ok(Attempt::Stored(moved))
}

/// Stores the rows of one lane and says how many records have their row in the table.
async fn insert(lease: &Lease, context: &Context, load: &Load<'_>, lane: usize) -> Result<u64, SinkError> {
    let table = &context.table;
    let failed = |e| fault::sink_error(&e, "storing with on_conflict", false);
    let update = table.on_conflict == OnConflict::Update;
    let rows: Vec<_> = load.rows.iter().filter(|r| r.lane == lane).copied().collect();
    if rows.is_empty() {
        return Ok(0);
    }
    let sql = statement::insert(table, 1, "", &statement::on_conflict(table, update));
    let prepared = lease.prepare_cached(&sql).await.map_err(failed)?;
    let columns = Columns::new(table, rows.iter());
    let count = lease.execute(&prepared, &columns.params()).await.map_err(failed)?;
    let given = rows.len() as u64;
    if update {
        // Records of one key share a row: each of them counts as stored, the last one is what one sees.
        let plausible = (1..=given).contains(&count);
        return if plausible { Ok(given) } else { Err(contract::rows(table, count, given)) };
    }
    if count > given {
        return Err(contract::rows(table, count, given));
    }
    if count < given {
        let place = load.group.moves[lane].lane;
        let source = context.registered.sources[usize::from(place.topic)].id;
        let more = (given - count) as i64;
        let adjusted = lease.execute(ADJUST, &[&source, &place.partition, &more]).await.map_err(failed)?;
        debug_assert_eq!(adjusted, 1, "the fence moved this row in the same transaction");
    }
    Ok(count)
}
