//! What a running pipeline looks at now and then, beside the journey: whether its topics are still the same (promise P8),
//! and how many dead letters wait for a person.

use std::sync::Arc;
use std::time::Duration;

use crate::adapters::kafka::scout::Scout;
use crate::adapters::postgres::connect::Database;
use crate::adapters::postgres::letters;
use crate::adapters::postgres::positions;
use crate::adapters::postgres::register::Registered;
use crate::app::claims::remade;
use crate::pipeline::message::Message;
use crate::pipeline::message::TopicTrouble;
use crate::telemetry::metrics::Letters;

/// Asks the cluster about the topics.
pub struct Watch {
    pub scout: Arc<Scout>,
    pub database: Database,
    pub registered: Arc<Registered>,
    /// As they were at the start, when they were compared with what is stored.
    pub topic_ids: Vec<Option<u128>>,
    pub topics: Vec<String>,
    pub tell: Arc<dyn Fn(Message) + Send + Sync>,
}

impl Watch {
    /// Looks every `pace` for as long as the process lives. A cluster that does not answer changes nothing here: the
    /// client that reads tells of it.
    pub async fn topics(self, pace: Duration) {
        let mut known: Vec<Option<TopicTrouble>> = vec![None; self.topics.len()];
        loop {
            tokio::time::sleep(pace).await;
            let scout = self.scout.clone();
            let Ok(Ok(found)) = tokio::task::spawn_blocking(move || scout.look()).await else { continue };
            for (topic, facts) in found.into_iter().enumerate() {
                let trouble = match facts {
                    None => Some(TopicTrouble::Missing(format!(
                        "topic {} does not exist: it was deleted, or cannot be seen; it is read on when it is back",
                        self.topics[topic]
                    ))),
                    Some(facts) => self.compare(topic, facts.id),
                };
                let is_remade = matches!(trouble, Some(TopicTrouble::Remade(_)));
                if known[topic] != trouble {
                    self.say(topic, trouble.as_ref());
                    (self.tell)(Message::Topic { topic: topic as u16, trouble: trouble.clone() });
                    known[topic] = trouble;
                }
                if is_remade && self.is_adopted(topic).await {
                    let cause =
                        format!("topic {} was adopted as a new one: start again to read it", self.topics[topic]);
                    (self.tell)(Message::Failed(cause));
                    return;
                }
            }
        }
    }

    fn compare(&self, topic: usize, now: Option<u128>) -> Option<TopicTrouble> {
        let other = self.topic_ids[topic].zip(now).is_some_and(|(ours, now)| ours != now);
        other.then(|| TopicTrouble::Remade(remade(&self.topics[topic])))
    }

    fn say(&self, topic: usize, trouble: Option<&TopicTrouble>) {
        let name = &self.topics[topic];
        match trouble {
            None => tracing::info!(topic = name, "the topic is there again"),
            Some(TopicTrouble::Missing(cause)) => tracing::warn!(topic = name, cause, "a topic is missing"),
            Some(TopicTrouble::Remade(cause)) => tracing::error!(topic = name, cause, "a topic was made anew"),
        }
    }

    /// An operator has put a new source in this one's place; ours is of no use any more.
    async fn is_adopted(&self, topic: usize) -> bool {
        let source = self.registered.sources[topic].id;
        positions::is_retired(&self.database, source).await.unwrap_or(false)
    }
}

/// Counts open dead letters.
pub struct Counter {
    pub database: Database,
    pub pipeline: String,
    pub metrics: Letters,
}

impl Counter {
    /// Counts every `pace`. A database that is away, or does not let us, leaves the numbers as they are.
    pub async fn count(self, pace: Duration) {
        let mut told = false;
        loop {
            match letters::waiting(&self.database, &self.pipeline).await {
                Ok(waiting) => {
                    self.metrics.open.set(waiting.open as f64);
                    self.metrics.oldest.set(waiting.oldest_seconds);
                }
                Err(error) if !std::mem::replace(&mut told, true) => {
                    tracing::info!(%error, "open dead letters could not be counted for the metrics");
                }
                Err(_) => {}
            }
            tokio::time::sleep(pace).await;
        }
    }
}
