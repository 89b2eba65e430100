//! Makes librdkafka's configuration from ours.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::adapters::kafka::memory::MemoryPlan;
use crate::adapters::kafka::options::GroupProtocol;
use crate::adapters::kafka::options::Isolation;
use crate::adapters::kafka::options::Options;
use crate::domain::mutants;

/// Lag, ends of partitions and recoveries are seen at this pace, in milliseconds.
const STATISTICS_MS: u64 = 1000;

/// What a client that reads stretches of the log may fetch ahead of a partition.
const WALK_AHEAD_KIB: &str = "16384";

/// librdkafka's default for the largest message, in bytes.
const MESSAGE_MAX: u64 = 1_000_000;

/// For the client that reads: joins the group, never commits or resets by itself.
pub fn reader(options: &Options, plan: &MemoryPlan) -> ClientConfig {
    let mut config = common(options);
    options.options.apply(&mut config);
    if options.group_protocol == GroupProtocol::Consumer {
        config.set("group.protocol", "consumer");
    } else {
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", options.session_timeout.0.to_string())
            .set("heartbeat.interval.ms", options.heartbeat_interval.0.to_string());
    }
    if let Some(instance) = &options.group_instance_id {
        config.set("group.instance.id", instance);
    }
    config
        .set("max.poll.interval.ms", options.max_poll_interval.0.to_string())
        .set("fetch.wait.max.ms", options.fetch_wait.0.to_string())
        .set("queued.max.messages.kbytes", plan.queued_kib.to_string())
        .set("queued.min.messages", plan.queued_records.to_string())
        .set("max.partition.fetch.bytes", plan.partition_fetch.to_string())
        .set("fetch.max.bytes", plan.response.to_string())
        // Nothing is produced, but the client is only made when this is not above the line before.
        .set("message.max.bytes", plan.response.min(MESSAGE_MAX).to_string())
        .set("statistics.interval.ms", STATISTICS_MS.to_string());
    config
}

/// For the client that only asks: the same group id, but never a member.
pub fn asker(options: &Options) -> ClientConfig {
    let mut config = common(options);
    options.options.apply(&mut config);
    // One record is wanted, or the newest few: a broker should neither send more than that nor wait for more.
    config
        .set("enable.partition.eof", "true")
        .set("queued.max.messages.kbytes", "4096")
        .set("max.partition.fetch.bytes", "65536")
        .set("fetch.wait.max.ms", "50");
    config
}

/// For the client that reads stretches of the log: never a member, and with room to fetch ahead.
pub fn walker(options: &Options) -> ClientConfig {
    let mut config = common(options);
    options.options.apply(&mut config);
    config
        .set("enable.partition.eof", "true")
        .set("queued.max.messages.kbytes", WALK_AHEAD_KIB)
        .set("max.partition.fetch.bytes", "4194304")
        .set("fetch.wait.max.ms", options.fetch_wait.0.to_string());
    config
}

/// For questions of administration.
pub fn admin(options: &Options) -> ClientConfig {
    let mut config = ClientConfig::new();
    options.options.apply(&mut config);
    config.set("bootstrap.servers", options.brokers.join(",")).set("client.id", &options.client_id);
    secure(options, &mut config);
    config
}

fn common(options: &Options) -> ClientConfig {
    let mut config = ClientConfig::new();
    let isolation = match options.isolation {
        Isolation::ReadCommitted => "read_committed",
        Isolation::ReadUncommitted => "read_uncommitted",
    };
    config
        .set("bootstrap.servers", options.brokers.join(","))
        .set("client.id", &options.client_id)
        .set("group.id", &options.group)
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", if mutants::on("reset_latest") { "latest" } else { "error" })
        .set("allow.auto.create.topics", "false")
        // Off by default in librdkafka, which then hands damaged batches out as data.
        .set("check.crcs", "true")
        // The default of 1000 stalls a partition for a second each time that its queue was full.
        .set("fetch.queue.backoff.ms", "10")
        .set("queued.min.messages", "10000")
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.max.ms", "5000");
    secure(options, &mut config);
    config.set_log_level(if tracing::enabled!(target: "kafka", tracing::Level::DEBUG) {
        RDKafkaLogLevel::Debug
    } else {
        RDKafkaLogLevel::Info
    });
    config
}

fn secure(options: &Options, config: &mut ClientConfig) {
    let (tls, sasl) = (&options.tls, &options.sasl);
    let protocol = match (tls.enabled, sasl.mechanism.is_some()) {
        (false, false) => "plaintext",
        (true, false) => "ssl",
        (false, true) => "sasl_plaintext",
        (true, true) => "sasl_ssl",
    };
    config.set("security.protocol", protocol);
    let files = [
        ("ssl.ca.location", &tls.ca_file),
        ("ssl.certificate.location", &tls.cert_file),
        ("ssl.key.location", &tls.key_file),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            config.set(name, file.to_string_lossy());
        }
    }
    if let Some(password) = &tls.key_password {
        config.set("ssl.key.password", password.expose());
    }
    if tls.enabled {
        let verify = tls.verify_hostname.unwrap_or(true);
        config.set("ssl.endpoint.identification.algorithm", if verify { "https" } else { "none" });
    }
    if let Some(mechanism) = sasl.mechanism {
        config
            .set("sasl.mechanism", mechanism.name())
            .set("sasl.username", sasl.username.as_deref().unwrap_or(""))
            .set("sasl.password", sasl.password.as_ref().map_or("", |p| p.expose()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::kafka::options::Mechanism;
    use crate::domain::secret::Secret;
    use crate::domain::units::ByteSize;

    #[test]
    fn librdkafka_takes_what_we_set() {
        let mut options = Options { brokers: vec!["b:1".into()], group: "g".into(), ..Options::default() };
        options.tls.enabled = true;
        options.sasl.mechanism = Some(Mechanism::ScramSha512);
        options.sasl.username = Some("u".into());
        options.sasl.password = Some(Secret::new("p"));
        options.options.0.insert("fetch.queue.backoff.ms".into(), "20".into());
        let plan = MemoryPlan::new(Some(ByteSize::mib(64)), 12).unwrap();
        for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
            options.group_protocol = protocol;
            let config = reader(&options, &plan);
            let native = config.create_native_config().unwrap();
            for (name, want) in [
                ("auto.offset.reset", "error"),
                ("enable.auto.commit", "false"),
                ("security.protocol", "sasl_ssl"),
                ("fetch.queue.backoff.ms", "20"),
                ("queued.max.messages.kbytes", "765"),
            ] {
                assert_eq!(native.get(name).unwrap(), want, "{name}");
            }
            assert_eq!(config.get("session.timeout.ms").is_some(), protocol == GroupProtocol::Classic);
        }
        asker(&options).create_native_config().unwrap();
        walker(&options).create_native_config().unwrap();
    }

    #[test]
    fn a_client_is_made_with_the_least_memory_that_is_accepted() {
        let options = Options { brokers: vec!["b:1".into()], group: "g".into(), ..Options::default() };
        let plan = MemoryPlan::new(Some(ByteSize(192 << 10)), 1).unwrap();
        let made: Result<rdkafka::consumer::BaseConsumer, _> = reader(&options, &plan).create();
        made.map(drop).unwrap();
    }
}
