//! Reads progress rows under their locks (rules W4, W5).

use std::sync::atomic::AtomicBool;

use tokio_postgres::Row;

use crate::domain::lane::Epoch;
use crate::domain::lane::Lane;
use crate::domain::lane::Owner;
use crate::domain::miss::Mark;
use crate::ports::SinkError;

use super::connect::Lease;
use super::fault;
use super::store::Context;
use super::store::bounded;
use super::wire::Uuid;

/// Locks in the order of the key, so that two readers cannot wait for each other. The lock waits for an open transaction
/// of a zombie or of our own lost connection: what is read is settled.
const READ: &str = "SELECT p.source, p.partition, p.next_offset, p.epoch, p.owner FROM tidemill.progress p
    WHERE EXISTS (SELECT FROM unnest($1::int2[], $2::int4[]) w(source, partition)
                  WHERE w.source = p.source AND w.partition = p.partition)
    ORDER BY p.source, p.partition FOR UPDATE";

pub(super) async fn read(lease: &Lease, context: &Context, lanes: &[Lane]) -> Result<Vec<Option<Mark>>, SinkError> {
    let doing = "reading marks";
    let source = |lane: &Lane| context.registered.sources[usize::from(lane.topic)].id;
    let sources: Vec<i16> = lanes.iter().map(source).collect();
    let partitions: Vec<i32> = lanes.iter().map(|l| l.partition).collect();
    let work = async {
        let failed = |e| fault::sink_error(&e, doing, false);
        let read = lease.prepare_cached(READ).await.map_err(failed)?;
        let rows = lease.query(&read, &[&sources, &partitions]).await.map_err(failed)?;
        let find = |lane: &Lane| {
            let same = |r: &&Row| r.get::<_, i16>(0) == source(lane) && r.get::<_, i32>(1) == lane.partition;
            rows.iter().find(same).map(|r| mark(r, 2))
        };
        Ok(lanes.iter().map(find).collect())
    };
    bounded(context.call, doing, &AtomicBool::new(false), work).await
}

/// The mark in three columns of a row: next offset, epoch, owner.
pub(super) fn mark(row: &Row, first: usize) -> Mark {
    let owner: Option<Uuid> = row.get(first + 2);
    Mark { next_offset: row.get(first), epoch: Epoch(row.get(first + 1)), owner: owner.map(|u| Owner(u.0)) }
}
