//! Claims as a whole: the row in Postgres, and for a lane without one its first offset from Kafka (rules C3, C4).

use std::sync::Arc;

use crate::adapters::kafka::scout::FirstOffset;
use crate::adapters::kafka::scout::Scout;
use crate::adapters::kafka::start_from::StartFrom;
use crate::adapters::postgres::claim::Progress;
use crate::adapters::postgres::register::Registered;
use crate::domain::guard::Accepted;
use crate::domain::lane::Epoch;
use crate::domain::lane::Lane;
use crate::domain::miss::Mark;
use crate::ports::BoxFuture;
use crate::ports::ClaimError;
use crate::ports::Claimed;
use crate::ports::Claims;

pub struct LaneClaims {
    pub progress: Progress,
    pub scout: Arc<Scout>,
    pub registered: Arc<Registered>,
    pub start_from: StartFrom,
}

/// A source's uid as our Kafka commits carry it.
pub fn uid_text(uid: u128) -> String {
    format!("{uid:032x}")
}

fn retry(error: impl std::fmt::Display) -> ClaimError {
    ClaimError::Retry(error.to_string())
}

impl LaneClaims {
    async fn claim_row(&self, lane: Lane, floor: Epoch) -> Result<Claimed, ClaimError> {
        if let Some(claimed) = self.progress.claim(lane, floor).await.map_err(retry)? {
            return Ok(claimed);
        }
        let source = &self.registered.sources[usize::from(lane.topic)];
        let (uid, first) = (uid_text(source.uid), lane.partition < source.partitions);
        let (scout, start_from) = (self.scout.clone(), self.start_from);
        // The client's calls block; each has a timeout of its own.
        let asked = tokio::task::spawn_blocking(move || scout.first_offset(lane, &uid, start_from, first)).await;
        match asked.map_err(retry)?.map_err(retry)? {
            FirstOffset::Park(why) => Err(ClaimError::Park(why)),
            FirstOffset::Adopted(offset) => {
                tracing::info!(%lane, offset, "an earlier consumer of this group got here; going on behind it");
                self.progress.first(lane, offset, floor).await.map_err(retry)
            }
            FirstOffset::Found(offset) => self.progress.first(lane, offset, floor).await.map_err(retry),
        }
    }
}

impl Claims for LaneClaims {
    fn claim(&self, lane: Lane, floor: Epoch) -> BoxFuture<'_, Result<Claimed, ClaimError>> {
        Box::pin(self.claim_row(lane, floor))
    }

    fn peek(&self, lane: Lane) -> BoxFuture<'_, Result<Option<Mark>, ClaimError>> {
        Box::pin(async move { self.progress.peek(lane).await.map_err(retry) })
    }

    fn accepted(&self) -> BoxFuture<'_, Result<Vec<Accepted>, ClaimError>> {
        Box::pin(async move { self.progress.accepted().await.map_err(retry) })
    }

    fn release(&self, lane: Lane, epoch: Epoch) -> BoxFuture<'_, Result<(), ClaimError>> {
        Box::pin(async move { self.progress.release(lane, epoch).await.map(drop).map_err(retry) })
    }
}
