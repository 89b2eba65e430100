//! `[kafka.options]`: any librdkafka property, but those that would break a promise or that a typed key already says.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// librdkafka properties by name. Values of secret ones are printed as `***`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Properties(pub BTreeMap<String, String>);

const POSITIONS: &str = "positions live in Postgres and Tidemill commits what is durable there";
const DEDUCED: &str = "it follows from intake.memory and the number of partitions";
const TESTS: &str = "it is for tests of librdkafka itself";

/// Property, and why it cannot be set. A reason that begins with a backquote names the typed key to use.
const REFUSED: &[(&str, &str)] = &[
    ("auto.commit.enable", POSITIONS),
    ("enable.auto.commit", POSITIONS),
    ("auto.commit.interval.ms", "`commit_interval`"),
    ("enable.auto.offset.store", POSITIONS),
    ("offset.store.method", POSITIONS),
    ("offset.store.path", POSITIONS),
    ("offset.store.sync.interval.ms", POSITIONS),
    ("auto.offset.reset", "a position outside the log must stop the partition, never reset it; see `start_from`"),
    ("partition.assignment.strategy", "late claims need cooperative-sticky"),
    ("group.remote.assignor", "late claims need the broker's default assignor"),
    ("enable.partition.eof", "an end of partition is no record; idle partitions are seen in the statistics"),
    ("check.crcs", "a damaged batch would be handed out as data"),
    ("message.max.bytes", DEDUCED),
    ("queued.min.messages", DEDUCED),
    ("queued.max.messages.kbytes", DEDUCED),
    ("max.partition.fetch.bytes", DEDUCED),
    ("fetch.message.max.bytes", DEDUCED),
    ("fetch.max.bytes", DEDUCED),
    ("statistics.interval.ms", "lag and outages are read from the statistics"),
    ("log.queue", "logs are taken from the client's queue"),
    ("enabled_events", "the client's events are handled by Tidemill"),
    ("allow.auto.create.topics", "a misspelt topic must be an error, not a new topic"),
    ("plugin.library.paths", "no code is loaded by configuration"),
    ("test.mock.num.brokers", TESTS),
    ("test.mock.broker.rtt", TESTS),
    ("bootstrap.servers", "`brokers`"),
    ("metadata.broker.list", "`brokers`"),
    ("group.id", "`group`"),
    ("group.protocol", "`group_protocol`"),
    ("group.instance.id", "`group_instance_id`"),
    ("client.id", "`client_id`"),
    ("session.timeout.ms", "`session_timeout`"),
    ("heartbeat.interval.ms", "`heartbeat_interval`"),
    ("max.poll.interval.ms", "`max_poll_interval`"),
    ("isolation.level", "`isolation`"),
    ("fetch.wait.max.ms", "`fetch_wait`"),
    ("security.protocol", "`tls.enabled` and `sasl.mechanism`"),
    ("ssl.ca.location", "`tls.ca_file`"),
    ("ssl.certificate.location", "`tls.cert_file`"),
    ("ssl.key.location", "`tls.key_file`"),
    ("ssl.key.password", "`tls.key_password`"),
    ("ssl.endpoint.identification.algorithm", "`tls.verify_hostname`"),
    ("sasl.mechanism", "`sasl.mechanism`"),
    ("sasl.mechanisms", "`sasl.mechanism`"),
    ("sasl.username", "`sasl.username`"),
    ("sasl.password", "`sasl.password`"),
];

fn is_secret(name: &str) -> bool {
    ["password", "secret", "pem", "token", "jaas", "sasl.oauthbearer.config"].iter().any(|s| name.contains(s))
}

impl Properties {
    /// What is wrong, by property name: refused ones, unknown ones, values that librdkafka does not take.
    pub fn problems(&self) -> Vec<(String, String)> {
        self.0.iter().filter_map(|(name, value)| Some((name.clone(), problem(name, value)?))).collect()
    }

    /// Sets all of them; those refused are not expected here.
    pub fn apply(&self, config: &mut ClientConfig) {
        for (name, value) in &self.0 {
            config.set(name, value);
        }
    }
}

fn problem(name: &str, value: &str) -> Option<String> {
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Some(match reason.strip_prefix('`') {
            Some(_) => format!("say it with {reason} of [kafka]"),
            None => format!("cannot be set: {reason}"),
        });
    }
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => None,
        Err(KafkaError::ClientConfig(_, why, _, _)) if !is_secret(name) => Some(why),
        Err(_) => Some("librdkafka does not take this value".into()),
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

impl Properties {
    fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), if is_secret(name) { "***" } else { value.as_str() }))
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.shown() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text, a number or a boolean")]
enum Scalar {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Properties, D::Error> {
        let map = BTreeMap::<String, Scalar>::deserialize(d)?;
        let text = |value| match value {
            Scalar::Text(v) => v,
            Scalar::Integer(v) => v.to_string(),
            Scalar::Float(v) => v.to_string(),
            Scalar::Boolean(v) => v.to_string(),
        };
        Ok(Properties(map.into_iter().map(|(name, value)| (name, text(value))).collect()))
    }
}

impl JsonSchema for Properties {
    fn schema_name() -> Cow<'static, str> {
        "Properties".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Properties {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn all_problems_are_named_with_their_reasons() {
        let options = read(
            r#"{"enable.auto.commit": true, "group.id": "x", "no.such.thing": 1, "socket.timeout.ms": "soon",
                "socket.keepalive.enable": true, "queued.max.messages.kbytes": 9, "debug": "cgrp"}"#,
        );
        let problems: BTreeMap<_, _> = options.problems().into_iter().collect();
        assert_eq!(problems.len(), 5, "{problems:?}");
        assert!(problems["enable.auto.commit"].contains("Postgres"));
        assert_eq!(problems["group.id"], "say it with `group` of [kafka]");
        assert!(problems["no.such.thing"].contains("No such configuration property"), "{problems:?}");
        assert!(problems["socket.timeout.ms"].contains("Invalid value"), "{problems:?}");
        assert!(problems["queued.max.messages.kbytes"].contains("intake.memory"));
    }

    #[test]
    fn refused_names_exist() {
        for (name, _) in REFUSED {
            let error = match ClientConfig::new().set(*name, "1").create_native_config() {
                Err(KafkaError::ClientConfig(_, why, _, _)) => why,
                _ => String::new(),
            };
            assert!(!error.contains("No such configuration property"), "{name}: {error}");
        }
    }

    #[test]
    fn secret_values_are_not_shown() {
        let options = read(r#"{"ssl.keystore.password": "hunter2", "client.rack": "a"}"#);
        let shown = format!("{options:?} {}", serde_json::to_string(&options).unwrap());
        assert!(!shown.contains("hunter2") && shown.contains("\"client.rack\":\"a\""), "{shown}");
    }
}
