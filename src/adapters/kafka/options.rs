//! `[kafka]`: what to read, as whom, and how the client behaves.

use std::collections::BTreeSet;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::adapters::kafka::properties::Properties;
use crate::adapters::kafka::start_from::StartFrom;
use crate::domain::secret::Secret;
use crate::domain::units::Millis;

/// The log to read and the client that reads it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Brokers to ask first, as `host:port`; the others are found from there.
    pub brokers: Vec<String>,
    /// Topics to score. All must exist.
    pub topics: Vec<String>,
    /// Consumer group. Processes of one group share the partitions; another group is another source.
    pub group: String,
    /// Where the first claim of a source starts: `"earliest"`, `"latest"`, or a time (RFC 3339, or milliseconds since 1970).
    /// Without effect afterwards: the position lives in Postgres, and partitions added later start at their beginning.
    pub start_from: StartFrom,
    /// Name that brokers show in their logs and quotas.
    pub client_id: String,
    /// The group gives our partitions away after this long without a heartbeat. Lower it for quicker failover.
    pub session_timeout: Millis,
    /// Pace of heartbeats: a third of `session_timeout` at most.
    pub heartbeat_interval: Millis,
    /// The client counts as stuck when intake has not turned for this long.
    pub max_poll_interval: Millis,
    /// Whether records of open and aborted transactions are read.
    pub isolation: Isolation,
    /// `classic`, or `consumer` (KIP-848, Kafka 4.0 or later), which rebalances faster but is younger in the client library.
    pub group_protocol: GroupProtocol,
    /// Static membership: a stable name of this process (a StatefulSet's pod name). A restart within `session_timeout` then moves no partition.
    pub group_instance_id: Option<String>,
    /// How long a broker may hold a fetch that finds nothing. New records answer it at once; lower it only if freshly
    /// claimed partitions must start faster.
    pub fetch_wait: Millis,
    /// How often the cluster is asked whether the topics are there and still the same. A topic that was deleted and made
    /// anew is noticed after this long at the latest, and at every claim.
    pub topic_check_interval: Millis,
    /// How often positions are told to the group. For lag tools only: the truth is in Postgres.
    pub commit_interval: Millis,
    /// Encryption.
    pub tls: Tls,
    /// Authentication.
    pub sasl: Sasl,
    /// Any other librdkafka property. Those that would break a promise or have a key of their own are refused.
    pub options: Properties,
}

/// Encryption of the connections to the brokers.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Connect by TLS.
    pub enabled: bool,
    /// PEM file of the authorities to trust; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our certificate, when brokers ask for one.
    pub cert_file: Option<PathBuf>,
    /// PEM file of its private key.
    pub key_file: Option<PathBuf>,
    /// Password of that key.
    pub key_password: Option<Secret>,
    /// Set to `false` only when brokers are reached by other names than their certificates hold; default `true`.
    pub verify_hostname: Option<bool>,
}

/// Authentication against the brokers.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sasl {
    /// No authentication by password when absent.
    pub mechanism: Option<Mechanism>,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Secret>,
}

/// How a password is shown to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mechanism {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Mechanism {
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Which records of transactions are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    ReadCommitted,
    ReadUncommitted,
}

/// How the group agrees on who reads what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupProtocol {
    Classic,
    Consumer,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            brokers: vec![],
            topics: vec![],
            group: String::new(),
            start_from: StartFrom::Earliest,
            client_id: "tidemill".into(),
            session_timeout: Millis::secs(45),
            heartbeat_interval: Millis::secs(3),
            max_poll_interval: Millis::secs(300),
            isolation: Isolation::ReadCommitted,
            group_protocol: GroupProtocol::Classic,
            group_instance_id: None,
            fetch_wait: Millis(100),
            topic_check_interval: Millis::secs(10),
            commit_interval: Millis::secs(5),
            tls: Tls::default(),
            sasl: Sasl::default(),
            options: Properties::default(),
        }
    }
}

/// Something wrong in `[kafka]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("kafka.{key}: {message}")]
pub struct Problem {
    /// Path of the key below `[kafka]`, such as `tls.key_file`.
    pub key: String,
    pub message: String,
}

/// Collects problems by key.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { key: key.into(), message: message.into() });
    }

    fn unless(&mut self, good: bool, key: &str, message: impl Into<String>) {
        if !good {
            self.add(key, message);
        }
    }
}

impl Options {
    /// Everything that is wrong, at once; empty when the client can be made.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Problems::default();
        self.check_names(&mut found);
        self.check_times(&mut found);
        self.check_tls(&mut found);
        self.check_sasl(&mut found);
        for (name, message) in self.options.problems() {
            found.add(format!("options.\"{name}\""), message);
        }
        found.0
    }

    fn check_names(&self, found: &mut Problems) {
        found.unless(!self.brokers.is_empty(), "brokers", "name at least one broker, as host:port");
        for broker in &self.brokers {
            let plain = !broker.trim().is_empty() && !broker.contains([',', ' ']);
            found.unless(plain, "brokers", format!("`{broker}` is not host:port"));
        }
        found.unless(!self.topics.is_empty(), "topics", "name at least one topic");
        found.unless(self.topics.len() <= usize::from(u16::MAX), "topics", "too many topics");
        let mut seen = BTreeSet::new();
        for topic in &self.topics {
            found.unless(seen.insert(topic), "topics", format!("`{topic}` is named twice"));
            found.unless(
                is_topic(topic),
                "topics",
                format!("`{topic}` is not a topic name (patterns are not supported)"),
            );
        }
        found.unless(!self.group.trim().is_empty(), "group", "name the consumer group");
        let instance = self.group_instance_id.as_deref();
        found.unless(instance != Some(""), "group_instance_id", "leave it out or name the process");
    }

    fn check_times(&self, found: &mut Problems) {
        let usual = Options::default();
        if self.group_protocol == GroupProtocol::Consumer {
            let message = "the brokers set it when group_protocol = \"consumer\": remove it";
            found.unless(self.session_timeout == usual.session_timeout, "session_timeout", message);
            found.unless(self.heartbeat_interval == usual.heartbeat_interval, "heartbeat_interval", message);
        } else {
            let (session, beat) = (self.session_timeout, self.heartbeat_interval);
            found.unless((1..=3_600_000).contains(&session.0), "session_timeout", "must lie between 1ms and 1h");
            let thrice = beat.0.checked_mul(3).is_some_and(|t| beat.0 > 0 && t <= session.0);
            found.unless(
                thrice,
                "heartbeat_interval",
                format!("must be above 0 and at most a third of session_timeout = {session}"),
            );
        }
        let poll = self.max_poll_interval.0;
        found.unless((1..=86_400_000).contains(&poll), "max_poll_interval", "must lie between 1ms and 24h");
        if self.group_protocol == GroupProtocol::Classic {
            let longer = poll >= self.session_timeout.0;
            found.unless(
                longer,
                "max_poll_interval",
                format!("must not be below session_timeout = {}", self.session_timeout),
            );
        }
        found.unless(self.fetch_wait.0 <= 30_000, "fetch_wait", "must be 30s at most");
        found.unless(self.commit_interval.0 >= 100, "commit_interval", "must be 100ms at least");
    }

    fn check_tls(&self, found: &mut Problems) {
        let tls = &self.tls;
        for (key, file) in
            [("tls.ca_file", &tls.ca_file), ("tls.cert_file", &tls.cert_file), ("tls.key_file", &tls.key_file)]
        {
            let Some(file) = file else { continue };
            found.unless(tls.enabled, key, "has no effect without tls.enabled = true");
            if let Err(e) = std::fs::File::open(file) {
                found.add(key, format!("cannot read `{}`: {e}", file.display()));
            }
        }
        let pair = tls.cert_file.is_some() == tls.key_file.is_some();
        found.unless(
            pair,
            "tls.cert_file",
            "a certificate needs its key and a key its certificate: set both cert_file and key_file",
        );
        let keyed = tls.key_password.is_none() || tls.key_file.is_some();
        found.unless(keyed, "tls.key_password", "has no effect without tls.key_file");
        found.unless(
            tls.enabled || tls.verify_hostname.is_none(),
            "tls.verify_hostname",
            "has no effect without tls.enabled = true",
        );
    }

    fn check_sasl(&self, found: &mut Problems) {
        let sasl = &self.sasl;
        let given = |secret: &Option<Secret>| secret.as_ref().is_some_and(|s| !s.is_empty());
        if sasl.mechanism.is_some() {
            found.unless(
                sasl.username.as_deref().is_some_and(|u| !u.is_empty()),
                "sasl.username",
                "is needed by sasl.mechanism",
            );
            found.unless(given(&sasl.password), "sasl.password", "is needed by sasl.mechanism");
        } else {
            found.unless(sasl.username.is_none(), "sasl.username", "has no effect without sasl.mechanism");
            found.unless(sasl.password.is_none(), "sasl.password", "has no effect without sasl.mechanism");
        }
    }
}

fn is_topic(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=249).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Options {
        Options { brokers: vec!["b:9092".into()], topics: vec!["t".into()], group: "g".into(), ..Options::default() }
    }

    fn keys(options: &Options) -> Vec<String> {
        options.problems().into_iter().map(|p| p.key).collect()
    }

    #[test]
    fn the_least_that_must_be_said() {
        assert_eq!(keys(&good()), [""; 0]);
        assert_eq!(keys(&Options::default()), ["brokers", "topics", "group"]);
    }

    #[test]
    fn all_problems_are_named_at_once() {
        let mut options = good();
        options.brokers.push("a,b".into());
        options.topics.extend(["t".into(), "^re".into()]);
        options.heartbeat_interval = Millis::secs(20);
        options.max_poll_interval = Millis::secs(10);
        options.tls.ca_file = Some("/no/such/file".into());
        options.tls.key_password = Some(Secret::new("x"));
        options.sasl.mechanism = Some(Mechanism::ScramSha512);
        options.options.0.insert("enable.auto.commit".into(), "true".into());
        let want = [
            "brokers",
            "topics",
            "topics",
            "heartbeat_interval",
            "max_poll_interval",
            "tls.ca_file",
            "tls.ca_file",
            "tls.key_password",
            "sasl.username",
            "sasl.password",
            "options.\"enable.auto.commit\"",
        ];
        assert_eq!(keys(&options), want);
    }

    #[test]
    fn the_consumer_protocol_takes_no_session_timeout() {
        let mut options = Options { group_protocol: GroupProtocol::Consumer, ..good() };
        assert_eq!(keys(&options), [""; 0]);
        options.session_timeout = Millis::secs(10);
        assert_eq!(keys(&options), ["session_timeout"]);
    }

    #[test]
    fn it_reads_from_toml_and_refuses_unknown_keys() {
        let text = r#"
            brokers = ["b:9092"]
            topics = ["payments"]
            group = "fraud"
            start_from = "2026-01-31T08:00:00Z"
            session_timeout = "10s"
            isolation = "read_uncommitted"
            [sasl]
            mechanism = "SCRAM-SHA-256"
            username = "u"
            password = "hunter2"
            [options]
            "client.rack" = "a"
            "socket.timeout.ms" = 30000
        "#;
        let options: Options = toml::from_str(text).unwrap();
        assert_eq!(keys(&options), [""; 0]);
        assert_eq!(options.options.0["socket.timeout.ms"], "30000");
        assert!(!format!("{options:?}{}", toml::to_string(&options).unwrap()).contains("hunter2"));
        assert!(toml::from_str::<Options>("brokerz = []").is_err());
    }
}
