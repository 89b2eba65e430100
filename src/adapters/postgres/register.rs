//! Finds or makes the rows that stand for this pipeline's topics and model (rule C4, tables).

use tokio_postgres::Client;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::domain::mutants;

use super::connect::Database;
use super::fault;
use super::fault::StartError;
use super::wire::Uuid;

/// Who reads what: the identity that positions are kept under.
#[derive(Clone, Debug)]
pub struct Identity {
    pub pipeline: String,
    /// As the broker says; never derived from the bootstrap list.
    pub cluster_id: String,
    pub group_id: String,
    /// In the order of the configuration: [`crate::domain::lane::Lane::topic`] indexes it.
    pub topics: Vec<Topic>,
    pub model: Model,
}

#[derive(Clone, Debug)]
pub struct Topic {
    pub name: String,
    /// `None` when the broker does not tell.
    pub id: Option<u128>,
    /// Partitions that the topic has now.
    pub partitions: i32,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub name: String,
    pub version: String,
    pub digest: String,
}

/// The rows that were found or made.
#[derive(Clone, Debug)]
pub struct Registered {
    /// In the order of [`Identity::topics`].
    pub sources: Vec<Source>,
    pub model: i16,
    /// `name@version`, for a model column that is text.
    pub model_name: String,
}

#[derive(Clone, Debug)]
pub struct Source {
    pub id: i16,
    /// Random; goes into the metadata of our Kafka commits.
    pub uid: u128,
    pub topic: String,
    /// Partitions when the source was first seen: `start_from` holds for those below.
    pub partitions: i32,
}

/// Registers topics and model. Safe to run from many processes at once.
///
/// # Errors
/// [`StartError::Refused`] when a topic is known under another group, or was deleted and made anew.
pub async fn register(database: &Database, identity: &Identity) -> Result<Registered, StartError> {
    let lease = database.lease().await?;
    let mut sources = vec![];
    for topic in &identity.topics {
        sources.push(source(&lease, identity, topic).await?);
    }
    let model = model(&lease, &identity.model).await?;
    lease.give_back();
    let model_name = format!("{}@{}", identity.model.name, identity.model.version);
    Ok(Registered { sources, model, model_name })
}

/// Whether the topics could be registered, without writing anything. Says how many of them are known.
///
/// # Errors
/// [`StartError::Contract`] with everything that [`register`] would refuse.
pub async fn look(database: &Database, identity: &Identity) -> Result<usize, StartError> {
    let lease = database.lease().await?;
    let (mut known, mut problems) = (0, vec![]);
    for topic in &identity.topics {
        let key: &[&(dyn ToSql + Sync)] = &[&identity.pipeline, &identity.cluster_id, &topic.name];
        let found = lease.query_opt(FIND, key).await;
        if let Some(row) = found.map_err(|e| fault::sink_error(&e, "looking for a topic", false))? {
            known += 1;
            problems.extend(refusals(&row, &identity.pipeline, &identity.group_id, topic));
        }
    }
    lease.give_back();
    if problems.is_empty() { Ok(known) } else { Err(StartError::Contract(problems)) }
}

/// Every source that a pipeline ever read, retired ones too, for work on what they left. The model is registered as by a
/// start, or, if nothing may be written, looked for.
///
/// # Errors
/// When the database cannot be asked.
pub async fn known(database: &Database, pipeline: &str, of: &Model, write: bool) -> Result<Registered, StartError> {
    const SOURCES: &str = "SELECT id, uid, topic, partitions FROM tidemill.source WHERE pipeline = $1 ORDER BY id";
    let lease = database.lease().await?;
    let failed = |e| fault::sink_error(&e, "reading the pipeline's sources", false);
    let rows = lease.query(SOURCES, &[&pipeline]).await.map_err(failed)?;
    let source = |r: &Row| Source { id: r.get(0), uid: r.get::<_, Uuid>(1).0, topic: r.get(2), partitions: r.get(3) };
    let number = if write { model(&lease, of).await? } else { look_up(&lease, of).await?.unwrap_or(0) };
    let sources = rows.iter().map(source).collect();
    lease.give_back();
    Ok(Registered { sources, model: number, model_name: format!("{}@{}", of.name, of.version) })
}

/// A source that is still read, by pipeline, cluster and topic.
pub(super) const FIND: &str = "SELECT id, uid, topic_id, group_id, partitions FROM tidemill.source
    WHERE pipeline = $1 AND cluster_id = $2 AND topic = $3 AND retired_at IS NULL";

async fn source(client: &Client, identity: &Identity, topic: &Topic) -> Result<Source, StartError> {
    // Looked for first: an INSERT that meets a conflict would use up a number of the smallint sequence at every start.
    const MAKE: &str = "INSERT INTO tidemill.source (pipeline, cluster_id, topic, topic_id, group_id, partitions)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (pipeline, cluster_id, topic) WHERE retired_at IS NULL DO NOTHING";
    let failed = |e| fault::sink_error(&e, "registering a topic", false);
    let (pipeline, cluster, name) = (&identity.pipeline, &identity.cluster_id, &topic.name);
    let id = topic.id.map(Uuid);
    let mut found = client.query_opt(FIND, &[pipeline, cluster, name]).await.map_err(failed)?;
    if found.is_none() {
        client
            .execute(MAKE, &[pipeline, cluster, name, &id, &identity.group_id, &topic.partitions])
            .await
            .map_err(failed)?;
        found = client.query_opt(FIND, &[pipeline, cluster, name]).await.map_err(failed)?;
    }
    let Some(row) = found else {
        return Err(StartError::Refused(format!("tidemill.source for topic {name} was deleted while it was made")));
    };
    if let Some(refusal) = refusals(&row, &identity.pipeline, &identity.group_id, topic).into_iter().next() {
        return Err(StartError::Refused(refusal));
    }
    let (source, stored_id): (i16, Option<Uuid>) = (row.get(0), row.get(2));
    if stored_id.is_none() && id.is_some() {
        let sql = "UPDATE tidemill.source SET topic_id = $2 WHERE id = $1 AND topic_id IS NULL";
        client.execute(sql, &[&source, &id]).await.map_err(failed)?;
    }
    Ok(Source { id: source, uid: row.get::<_, Uuid>(1).0, topic: name.clone(), partitions: row.get(4) })
}

/// Why a stored source is not the one that we would read: its positions would be those of something else.
pub(super) fn refusals(row: &Row, pipeline: &str, group_id: &str, topic: &Topic) -> Vec<String> {
    let (stored_id, group): (Option<Uuid>, &str) = (row.get(2), row.get(3));
    let name = &topic.name;
    let mut refusals = vec![];
    if group != group_id {
        refusals.push(format!(
            "pipeline {pipeline} reads topic {name} as group {group}, not {group_id}: two groups would share one position; \
             use group {group}, or give this pipeline a name of its own"
        ));
    }
    if let (Some(old), Some(new)) = (stored_id, topic.id)
        && old.0 != new
        && !mutants::on("no_topic_id")
    {
        refusals.push(format!(
            "topic {name} was deleted and made anew since pipeline {pipeline} first read it (topic id {:032x}, now {new:032x}): \
             the stored offsets mean nothing in it; accept it by `tidemill offsets adopt --topic {name}`, or give the pipeline \
             a new name to start over",
            old.0
        ));
    }
    refusals
}

async fn model(client: &Client, model: &Model) -> Result<i16, StartError> {
    const MAKE: &str = "INSERT INTO tidemill.model (name, version, digest) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    let failed = |e| fault::sink_error(&e, "registering the model", false);
    let Model { name, version, digest } = model;
    for _ in 0..2 {
        if let Some(id) = look_up(client, model).await? {
            return Ok(id);
        }
        client.execute(MAKE, &[name, version, digest]).await.map_err(failed)?;
    }
    let found = look_up(client, model).await?;
    found.ok_or_else(|| StartError::Refused(format!("tidemill.model for {name} was deleted while it was made")))
}

async fn look_up(client: &Client, model: &Model) -> Result<Option<i16>, StartError> {
    const FIND: &str = "SELECT id FROM tidemill.model WHERE name = $1 AND version = $2 AND digest = $3";
    let Model { name, version, digest } = model;
    let row = client.query_opt(FIND, &[name, version, digest]).await;
    Ok(row.map_err(|e| fault::sink_error(&e, "looking for the model", false))?.map(|r| r.get(0)))
}
