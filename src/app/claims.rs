//! Claims as a whole: the row in Postgres, for a lane without one its first offset from Kafka, and whether the log is still
//! the one that the row is about (rules C3, C4, promise P8).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use crate::adapters::kafka::first_offset::owner_of;
use crate::adapters::kafka::scout::FirstOffset;
use crate::adapters::kafka::scout::Scout;
use crate::adapters::kafka::scout::ScoutError;
use crate::adapters::kafka::start_from::StartFrom;
use crate::adapters::postgres::claim::Progress;
use crate::adapters::postgres::register::Registered;
use crate::adapters::postgres::register::Source;
use crate::domain::guard::Accepted;
use crate::domain::lane::Epoch;
use crate::domain::lane::Lane;
use crate::domain::miss::Mark;
use crate::ports::BoxFuture;
use crate::ports::ClaimError;
use crate::ports::Claimed;
use crate::ports::Claims;

/// An answer about a topic is good for this long: at a start, many lanes of it are claimed at once.
const FRESH: Duration = Duration::from_secs(1);

pub struct LaneClaims {
    pub progress: Progress,
    pub scout: Arc<Scout>,
    pub registered: Arc<Registered>,
    pub start_from: StartFrom,
    /// Ids of the topics that the sources stand for; `None` where the broker does not tell.
    pub topic_ids: Vec<Option<u128>>,
    pub asked: Asked,
}

/// The last answer about each topic.
#[derive(Default)]
pub struct Asked(Mutex<BTreeMap<u16, (Instant, Option<u128>)>>);

impl Asked {
    fn fresh(&self, topic: u16) -> Option<Option<u128>> {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(&topic).filter(|(at, _)| at.elapsed() < FRESH).map(|(_, id)| *id)
    }

    fn note(&self, topic: u16, id: Option<u128>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(topic, (Instant::now(), id));
    }
}

/// What is said of a topic that was made anew.
pub fn remade(topic: &str) -> String {
    format!(
        "topic {topic} was deleted and made anew: the stored positions mean nothing in it; \
         see `tidemill offsets adopt --topic {topic}`"
    )
}

/// A source's uid as our Kafka commits carry it.
pub fn uid_text(uid: u128) -> String {
    format!("{uid:032x}")
}

fn broker(error: impl std::fmt::Display) -> ClaimError {
    ClaimError::Broker(error.to_string())
}

impl LaneClaims {
    async fn claim_row(&self, lane: Lane, floor: Epoch) -> Result<Claimed, ClaimError> {
        self.same_topic(lane).await?;
        if let Some(claimed) = self.progress.claim(lane, floor).await.map_err(ClaimError::Database)? {
            if let Err(error) = self.same_log(lane, claimed).await {
                // It names us and is not read: the next owner's claim does not need the release, a person's eyes do.
                let _ = self.progress.release(lane, claimed.epoch).await;
                return Err(error);
            }
            return Ok(claimed);
        }
        let source = self.source(lane);
        let (uid, first) = (uid_text(source.uid), lane.partition < source.partitions);
        let start_from = self.start_from;
        match self.ask(move |scout| scout.first_offset(lane, &uid, start_from, first)).await? {
            FirstOffset::Park(why) => Err(ClaimError::Park(why)),
            FirstOffset::Adopted(offset) => {
                tracing::info!(%lane, offset, "an earlier consumer of this group got here; going on behind it");
                self.progress.first(lane, offset, floor).await.map_err(ClaimError::Database)
            }
            FirstOffset::Found(offset) => self.progress.first(lane, offset, floor).await.map_err(ClaimError::Database),
        }
    }
}

impl LaneClaims {
    /// A question to the client blocks; each has a timeout of its own.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Scout) -> Result<T, ScoutError> + Send + 'static,
    ) -> Result<T, ClaimError> {
        let scout = self.scout.clone();
        tokio::task::spawn_blocking(move || question(&scout)).await.map_err(broker)?.map_err(broker)
    }

    /// The topic is still the one that the positions are about.
    async fn same_topic(&self, lane: Lane) -> Result<(), ClaimError> {
        let topic = lane.topic;
        let Some(ours) = self.topic_ids.get(usize::from(topic)).copied().flatten() else { return Ok(()) };
        let now = match self.asked.fresh(topic) {
            Some(id) => id,
            None => {
                let id = self.ask(move |s| s.topic_id(topic)).await?;
                self.asked.note(topic, id);
                id
            }
        };
        match now {
            Some(id) if id != ours => Err(ClaimError::Park(remade(&self.source(lane).topic))),
            _ => Ok(()),
        }
    }

    /// The record before the mark, where it is still there, is the one that was stored; otherwise the log was cut and
    /// filled again, or made anew, while nobody looked.
    async fn same_log(&self, lane: Lane, claimed: Claimed) -> Result<(), ClaimError> {
        let mark = claimed.next_offset;
        let stored = self.progress.fingerprint(lane, claimed.epoch).await.map_err(ClaimError::Database)?;
        if let (Some(stored), true) = (stored, mark > 0) {
            let found = self.ask(move |s| s.fingerprint_at(lane, mark - 1)).await?;
            if found.is_some_and(|found| found != stored) {
                return Err(ClaimError::Park(format!(
                    "the log was cut and filled again: its record {} is not the one that was stored before the mark {mark}; \
                     see `tidemill offsets show`",
                    mark - 1
                )));
            }
        }
        let uid = uid_text(self.source(lane).uid);
        // For the log alone, so an answer that does not come changes nothing.
        if let Ok(Some(commit)) = self.ask(move |s| s.committed(lane)).await {
            match owner_of(&commit.metadata) {
                Some(owner) if owner == uid && commit.offset <= mark => {}
                Some(owner) if owner == uid => tracing::warn!(
                    %lane, mark, committed = commit.offset,
                    "kafka was told more than the database holds: it went back, and the records from the mark on are read again"
                ),
                None if commit.offset == mark => {}
                _ => tracing::warn!(
                    %lane, mark, committed = commit.offset,
                    "the group's offset in kafka was set by somebody else and moves nothing: the mark in postgres counts; \
                     use `tidemill offsets set`"
                ),
            }
        }
        Ok(())
    }

    fn source(&self, lane: Lane) -> &Source {
        &self.registered.sources[usize::from(lane.topic)]
    }
}

impl Claims for LaneClaims {
    fn claim(&self, lane: Lane, floor: Epoch) -> BoxFuture<'_, Result<Claimed, ClaimError>> {
        Box::pin(self.claim_row(lane, floor))
    }

    fn peek(&self, lane: Lane) -> BoxFuture<'_, Result<Option<Mark>, ClaimError>> {
        Box::pin(async move { self.progress.peek(lane).await.map_err(ClaimError::Database) })
    }

    fn note(&self, lane: Lane, epoch: Epoch, offset: Option<i64>) -> BoxFuture<'_, Result<(), ClaimError>> {
        Box::pin(async move { self.progress.note(lane, epoch, offset).await.map_err(ClaimError::Database) })
    }

    fn calm(&self, lane: Lane, epoch: Epoch) -> BoxFuture<'_, Result<(), ClaimError>> {
        Box::pin(async move { self.progress.calm(lane, epoch).await.map_err(ClaimError::Database) })
    }

    fn accepted(&self) -> BoxFuture<'_, Result<Vec<Accepted>, ClaimError>> {
        Box::pin(async move { self.progress.accepted().await.map_err(ClaimError::Database) })
    }

    fn bounds(&self, lane: Lane) -> BoxFuture<'_, Option<(i64, i64)>> {
        Box::pin(async move { self.ask(move |s| s.watermarks(lane)).await.ok() })
    }

    fn release(&self, lane: Lane, epoch: Epoch) -> BoxFuture<'_, Result<(), ClaimError>> {
        Box::pin(async move { self.progress.release(lane, epoch).await.map(drop).map_err(ClaimError::Database) })
    }
}
