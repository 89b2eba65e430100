//! Meeting the services: Kafka first, then Postgres. What is unreachable is waited for, what is wrong ends the start.

use std::sync::Arc;
use std::time::Duration;

use crate::adapters::kafka::scout::Scout;
use crate::adapters::kafka::scout::ScoutError;
use crate::adapters::kafka::scout::TopicFacts;
use crate::adapters::postgres::connect::Database;
use crate::adapters::postgres::connect::verify_session;
use crate::adapters::postgres::contract;
use crate::adapters::postgres::contract::Table;
use crate::adapters::postgres::fault::StartError;
use crate::adapters::postgres::register;
use crate::adapters::postgres::register::Identity;
use crate::adapters::postgres::register::Registered;
use crate::app::prepare::Prepared;
use crate::config::Config;
use crate::domain::fault::Fault;
use crate::domain::lane::Now;
use crate::domain::retry::Backoff;
use crate::pipeline::clock::Dice;
use crate::pipeline::errands::AT_ONCE;

/// Longest wait for one answer of a broker.
pub const KAFKA_TIMEOUT: Duration = Duration::from_secs(5);

/// What the cluster says.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub id: String,
    pub topics: Vec<TopicFacts>,
}

impl Cluster {
    pub fn partitions(&self) -> u32 {
        self.topics.iter().map(|t| t.partitions).sum()
    }
}

/// Why a service cannot be used.
#[derive(Debug)]
pub struct Trouble {
    /// `kafka`, `topic` or `postgres`.
    pub code: &'static str,
    pub fault: Fault,
    pub message: String,
}

impl Trouble {
    pub fn kafka(error: ScoutError) -> Trouble {
        let code = if matches!(error, ScoutError::NoTopics(_)) { "topic" } else { "kafka" };
        Trouble { code, fault: error.fault(), message: error.to_string() }
    }

    pub fn postgres(error: StartError) -> Trouble {
        Trouble { code: "postgres", fault: error.fault(), message: error.to_string() }
    }
}

/// Asks the cluster once.
pub async fn cluster(scout: &Arc<Scout>) -> Result<Cluster, Trouble> {
    let scout = scout.clone();
    let asked = tokio::task::spawn_blocking(move || Ok(Cluster { id: scout.cluster_id()?, topics: scout.topics()? }));
    match asked.await {
        Ok(answer) => answer.map_err(Trouble::kafka),
        Err(error) => Err(Trouble { code: "kafka", fault: Fault::Stop, message: error.to_string() }),
    }
}

/// A database handle with room for all writers and claims.
///
/// # Errors
/// When the options cannot be used.
pub fn database(config: &Config) -> Result<Database, Trouble> {
    let connections = config.writer.writers as usize + AT_ONCE;
    Database::new(&config.postgres, connections).map_err(|e| Trouble {
        code: "postgres",
        fault: Fault::Stop,
        message: e.to_string(),
    })
}

/// Checks session and table once, and registers topics and model.
pub async fn table(
    database: &Database,
    config: &Config,
    prepared: &Prepared,
    cluster: &Cluster,
) -> Result<(Table, Registered), Trouble> {
    verify_session(database).await.map_err(|e| Trouble::postgres(e.into()))?;
    let table = contract::check(database, &config.table, &prepared.outputs).await.map_err(Trouble::postgres)?;
    let registered = register::register(database, &identity(config, prepared, cluster)).await;
    Ok((table, registered.map_err(Trouble::postgres)?))
}

/// Who this pipeline is, in the words of the control tables.
pub fn identity(config: &Config, prepared: &Prepared, cluster: &Cluster) -> Identity {
    let (name, version, digest) = prepared.identity();
    Identity {
        pipeline: config.name.clone(),
        cluster_id: cluster.id.clone(),
        group_id: config.kafka.group.clone(),
        topics: topics(cluster),
        model: register::Model { name, version, digest },
    }
}

/// The cluster's topics in the words of the control tables.
pub fn topics(cluster: &Cluster) -> Vec<register::Topic> {
    let topic = |t: &TopicFacts| register::Topic {
        name: t.name.clone(),
        id: t.id,
        partitions: i32::try_from(t.partitions).unwrap_or(i32::MAX),
    };
    cluster.topics.iter().map(topic).collect()
}

/// Repeats a question until it is answered or refused for good; `told` hears of every trouble that is waited for.
pub async fn until_answered<T, F: Future<Output = Result<T, Trouble>>>(
    config: &Config,
    dice: &mut Dice,
    told: impl Fn(&Trouble),
    mut ask: impl FnMut() -> F,
) -> Result<T, Trouble> {
    let mut backoff = Backoff::new(config.writer.retry);
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(trouble) if trouble.fault == Fault::Retry => {
                if backoff.failures() == 0 {
                    tracing::warn!(service = trouble.code, cause = trouble.message, "waiting");
                }
                told(&trouble);
                let delay = backoff.failed(Now::ZERO, dice.unit());
                tokio::time::sleep(delay).await;
            }
            Err(trouble) => return Err(trouble),
        }
    }
}
