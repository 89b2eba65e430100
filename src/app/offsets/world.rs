//! Both sides of every position: the row in Postgres and the log in Kafka, as one command sees them.

use std::sync::Arc;

use crate::adapters::kafka::first_offset::Commit;
use crate::adapters::kafka::scout::Scout;
use crate::adapters::kafka::scout::ScoutError;
use crate::adapters::kafka::scout::TopicFacts;
use crate::adapters::postgres::connect::Database;
use crate::adapters::postgres::positions;
use crate::adapters::postgres::positions::Position;
use crate::adapters::postgres::positions::SourceRow;
use crate::app::connect::KAFKA_TIMEOUT;
use crate::app::connect::Trouble;
use crate::app::oneshot;
use crate::app::oneshot::Refusal;
use crate::config::Config;
use crate::domain::lane::Lane;

/// What a command works on.
pub struct World {
    pub database: Database,
    pub cluster_id: String,
    pub topics: Vec<Topic>,
    scout: Arc<Scout>,
}

/// One configured topic.
pub struct Topic {
    pub name: String,
    /// `None` when it does not exist.
    pub facts: Option<TopicFacts>,
    /// `None` before a run has registered it.
    pub source: Option<SourceRow>,
}

/// The log's side of a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// First offset that is there.
    pub start: i64,
    /// Offset that the next record will get.
    pub end: i64,
    /// What the group has committed.
    pub commit: Option<Commit>,
    /// The record before the mark is there, and is not the one that was stored.
    pub refilled: bool,
}

impl Topic {
    /// Whether the topic that is there now is another than the one of the stored positions.
    pub fn is_remade(&self) -> bool {
        let stored = self.source.as_ref().and_then(|s| s.topic_id);
        let now = self.facts.as_ref().and_then(|f| f.id);
        stored.zip(now).is_some_and(|(stored, now)| stored != now)
    }

    /// Every partition that is known to either side.
    pub fn partitions(&self) -> Vec<i32> {
        let rows = self.source.iter().flat_map(|s| s.positions.keys().copied());
        let there = self.facts.as_ref().map_or(0, |f| f.partitions as i32);
        let mut all: Vec<i32> = (0..there).chain(rows).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    pub fn position(&self, partition: i32) -> Option<&Position> {
        self.source.as_ref().and_then(|s| s.positions.get(&partition))
    }
}

impl World {
    /// Asks both services about the topics of this configuration.
    pub async fn look(config: &Config) -> Result<World, Refusal> {
        let database = oneshot::database(config)?;
        // The database first: without it nothing can be said, and Kafka's answers may take long.
        positions::sources(&database, &config.name, None).await?;
        let scout = Scout::open(&config.kafka, KAFKA_TIMEOUT).map_err(|e| Refusal::wrong(e.to_string()))?;
        let scout = Arc::new(scout);
        // Never joined a group, so its end is of no interest to anybody; dropping it may block.
        std::mem::forget(scout.clone());
        let (cluster_id, found) = ask(&scout, |s| Ok((s.cluster_id()?, s.look()?))).await?;
        let mut sources = positions::sources(&database, &config.name, Some(&cluster_id)).await?;
        let topics = config.kafka.topics.iter().zip(found).map(|(name, facts)| {
            let at = sources.iter().position(|s| &s.topic == name);
            Topic { name: name.clone(), facts, source: at.map(|at| sources.swap_remove(at)) }
        });
        let topics = topics.collect();
        Ok(World { database, cluster_id, topics, scout })
    }

    /// The log's side of a partition; `None` when it is not there.
    pub async fn log(&self, lane: Lane) -> Result<Option<Log>, Refusal> {
        let topic = &self.topics[usize::from(lane.topic)];
        if topic.facts.as_ref().is_none_or(|f| lane.partition >= f.partitions as i32) {
            return Ok(None);
        }
        let last = topic.position(lane.partition).and_then(|p| Some((p.next_offset - 1, p.fingerprint?)));
        let log = move |s: &Scout| {
            let (start, end) = s.watermarks(lane)?;
            let last = last.filter(|(offset, _)| (start..end).contains(offset));
            let found = last.map(|(offset, _)| s.fingerprint_at(lane, offset)).transpose()?.flatten();
            let refilled = found.zip(last).is_some_and(|(found, (_, stored))| found != stored);
            Ok(Log { start, end, commit: s.committed(lane)?, refilled })
        };
        ask(&self.scout, log).await.map(Some)
    }

    /// Any other question about the cluster.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Scout) -> Result<T, ScoutError> + Send + 'static,
    ) -> Result<T, Refusal> {
        ask(&self.scout, question).await
    }

    /// Every partition of every topic.
    pub fn lanes(&self) -> Vec<Lane> {
        let of = |(topic, t): (u16, &Topic)| {
            t.partitions().into_iter().map(move |partition| Lane { topic, partition }).collect::<Vec<_>>()
        };
        (0..).zip(&self.topics).flat_map(of).collect()
    }
}

async fn ask<T: Send + 'static>(
    scout: &Arc<Scout>,
    question: impl FnOnce(&Scout) -> Result<T, ScoutError> + Send + 'static,
) -> Result<T, Refusal> {
    let scout = scout.clone();
    match tokio::task::spawn_blocking(move || question(&scout)).await {
        Ok(answer) => answer.map_err(|e| Trouble::kafka(e).into()),
        Err(error) => Err(Refusal::away(error.to_string())),
    }
}
