//! The log: is the cluster there, who is it, and does it have the topics?

use std::sync::Arc;
use std::time::Duration;

use crate::adapters::kafka::options::Options;
use crate::adapters::kafka::scout::Scout;
use crate::adapters::kafka::scout::ScoutError;
use crate::adapters::kafka::scout::TopicFacts;
use crate::app::check::report::Report;
use crate::app::connect::Cluster;
use crate::app::connect::Trouble;
use crate::domain::fault::Fault;

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Longest wait for all answers together.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was seen of the log.
pub struct Seen {
    pub report: Report,
    /// The cluster with those topics that exist.
    pub cluster: Option<Cluster>,
    /// Asks about just these topics, in this order. Not to be dropped: that may block.
    pub scout: Option<Arc<Scout>>,
}

type Answers = (Result<String, ScoutError>, Option<Result<Vec<TopicFacts>, ScoutError>>);

/// A cluster that does not say who it is cannot be used, and asking it more would only double the wait.
fn ask(scout: &Scout) -> Answers {
    match scout.cluster_id() {
        Ok(id) => (Ok(id), Some(scout.topics())),
        Err(error) => (Err(error), None),
    }
}

pub async fn look(options: &Options) -> Seen {
    let mut seen = Seen { report: Report::default(), cluster: None, scout: None };
    let scout = match Scout::open(options, ANSWER) {
        Ok(scout) => Arc::new(scout),
        Err(error) => {
            seen.report.wrong("kafka", error.to_string());
            return seen;
        }
    };
    let asked = scout.clone();
    let answers = tokio::task::spawn_blocking(move || ask(&asked));
    let Ok(Ok((id, topics))) = tokio::time::timeout(PATIENCE, answers).await else {
        seen.report.refused("kafka", Fault::Retry, &format!("no answer within {} s", PATIENCE.as_secs()));
        seen.report.open("topics", "kafka did not answer");
        std::mem::forget(scout);
        return seen;
    };
    let id = match id {
        Ok(id) => {
            seen.report.fine("kafka", format!("cluster {id} at {}", options.brokers.join(",")));
            Some(id)
        }
        Err(error) => {
            let trouble = Trouble::kafka(error);
            seen.report.refused("kafka", trouble.fault, &trouble.message);
            None
        }
    };
    let (topics, scout) = match topics {
        Some(Ok(topics)) => {
            seen.report.fine("topics", named(&topics));
            (topics, scout)
        }
        Some(Err(ScoutError::NoTopics(missing))) => {
            let (found, scout) = without(options, &missing, scout).await;
            let mut problems: Vec<String> = missing.iter().map(|t| format!("{t} does not exist")).collect();
            if !found.is_empty() {
                problems.push(format!("there: {}", named(&found)));
            }
            seen.report.wrong_with("topics", "create what is missing, or correct kafka.topics", problems);
            (found, scout)
        }
        Some(Err(error)) => {
            let trouble = Trouble::kafka(error);
            seen.report.refused("topics", trouble.fault, &trouble.message);
            (vec![], scout)
        }
        None => {
            seen.report.open("topics", "kafka did not answer");
            (vec![], scout)
        }
    };
    seen.cluster = id.filter(|_| !topics.is_empty()).map(|id| Cluster { id, topics });
    seen.scout = Some(scout);
    seen
}

/// Those of the topics that exist, and a client that knows no others.
async fn without(options: &Options, missing: &[String], scout: Arc<Scout>) -> (Vec<TopicFacts>, Arc<Scout>) {
    let mut fewer = options.clone();
    fewer.topics.retain(|t| !missing.contains(t));
    let Ok(rest) = Scout::open(&fewer, ANSWER) else { return (vec![], scout) };
    std::mem::forget(scout);
    let rest = Arc::new(rest);
    let asked = rest.clone();
    let found = tokio::time::timeout(ANSWER, tokio::task::spawn_blocking(move || asked.topics())).await;
    let found = found.ok().and_then(Result::ok).and_then(Result::ok).unwrap_or_default();
    (found, rest)
}

fn named(topics: &[TopicFacts]) -> String {
    let each = topics.iter().map(|t| match t.partitions {
        1 => format!("{} (1 partition)", t.name),
        n => format!("{} ({n} partitions)", t.name),
    });
    each.collect::<Vec<_>>().join(", ")
}
