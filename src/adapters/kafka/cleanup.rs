//! Asks how a topic is cleaned up: in a compacted one, records go away though what became of them stays.

use std::time::Duration;

use rdkafka::admin::AdminClient;
use rdkafka::admin::AdminOptions;
use rdkafka::admin::ResourceSpecifier;
use rdkafka::client::DefaultClientContext;

use crate::adapters::kafka::client;
use crate::adapters::kafka::options::Options;

/// For each topic whether its cleanup policy compacts; `None` when the brokers do not say (DescribeConfigs must be granted).
pub async fn compacts(options: &Options, topics: &[String], timeout: Duration) -> Vec<Option<bool>> {
    let nobody_knows = vec![None; topics.len()];
    let Ok(admin) = client::admin(options).create::<AdminClient<DefaultClientContext>>() else { return nobody_knows };
    let asked: Vec<_> = topics.iter().map(|t| ResourceSpecifier::Topic(t)).collect();
    let limits = AdminOptions::new().request_timeout(Some(timeout));
    let Ok(answers) = admin.describe_configs(&asked, &limits).await else { return nobody_knows };
    let policy = |answer: rdkafka::admin::ConfigResourceResult| {
        let found = answer.ok()?;
        Some(found.get("cleanup.policy")?.value.as_deref()?.contains("compact"))
    };
    answers.into_iter().map(policy).collect()
}
