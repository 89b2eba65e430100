//! Every metric of Tidemill, as data: names have the form `tidemill_<area>_<thing>_<unit>[_total]`.
//!
//! To add one: an entry here, its handle in [`super::metrics`] (or its line in [`super::scrape`] when it belongs to the
//! published state), and `TIDEMILL_UPDATE=1 cargo test --test generated` for the table in the documentation.

/// What a metric does over time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One metric family.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
    /// Upper bounds; empty unless it is a histogram.
    pub buckets: &'static [f64],
}

/// Last word of a name, before `_total`.
pub const UNITS: [&str; 19] = [
    "transactions",
    "records",
    "bytes",
    "batches",
    "rows",
    "seconds",
    "ratio",
    "lanes",
    "events",
    "commits",
    "claims",
    "retries",
    "pieces",
    "misses",
    "runs",
    "connections",
    "threads",
    "breakers",
    "info",
];

const SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// From a record's timestamp to its commit: milliseconds when all is well, hours after an outage.
const AGE: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0,
];
const ROWS: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0];
const RATIO: &[f64] = &[0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help, buckets: &[] }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help, buckets: &[] }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    buckets: &'static [f64],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram, labels, help, buckets }
}

/// The list. Families of the published state come first: they are read from one snapshot at each scrape.
pub const METRICS: &[Metric] = &[
    counter("tidemill_intake_taken_records_total", &["topic"], "Records that entered our care."),
    counter("tidemill_intake_taken_bytes_total", &["topic"], "Bytes of key, payload and headers of the records taken."),
    counter("tidemill_intake_stored_records_total", &["topic"], "Records that are a durable result row."),
    counter(
        "tidemill_intake_dead_lettered_records_total",
        &["topic", "stage", "reason"],
        "Records that are a durable dead letter, by the step and the reason of the rejection.",
    ),
    counter(
        "tidemill_intake_skipped_records_total",
        &["topic", "rule"],
        "Records left out on purpose, by rule; `table.on_conflict`: a row that met one already there.",
    ),
    counter(
        "tidemill_intake_handed_back_records_total",
        &["topic"],
        "Records taken and given up unsettled (revoke, fence, drain budget); their next owner reads them again.",
    ),
    counter(
        "tidemill_intake_stale_records_total",
        &["topic"],
        "Records below the position, dropped after a restart of a partition before they were taken.",
    ),
    counter("tidemill_guard_stopped_events_total", &["topic"], "Times that the flood guard stopped a topic."),
    gauge("tidemill_intake_in_flight_records", &["topic"], "Records taken and not yet settled."),
    gauge("tidemill_intake_in_flight_bytes", &[], "Bytes taken and not yet settled."),
    gauge("tidemill_intake_in_flight_batches", &[], "Micro-batches that are not yet settled."),
    gauge("tidemill_intake_in_flight_limit_records", &[], "Most records that may be in flight."),
    gauge("tidemill_intake_in_flight_limit_bytes", &[], "Most bytes that may be in flight."),
    gauge(
        "tidemill_intake_unaccounted_records",
        &[],
        "Taken minus stored, dead-lettered, skipped, handed back and in flight. Anything but 0 is a bug.",
    ),
    gauge("tidemill_intake_partitions_lanes", &["state"], "Partitions of this process by state."),
    gauge(
        "tidemill_intake_lag_records",
        &["topic", "partition"],
        "Records between the partition's end and what is durable, by the client's statistics.",
    ),
    gauge(
        "tidemill_intake_lost_records",
        &["topic", "partition"],
        "Offsets between the mark of a parked partition and the first that its log still has.",
    ),
    gauge("tidemill_pipeline_phase_info", &["phase"], "1 for the phase that the process is in."),
    gauge("tidemill_pipeline_not_ready_info", &["reason"], "1 for each reason why the process is not ready."),
    counter("tidemill_intake_rebalance_events_total", &["kind"], "Answers to the group: given, revoked, lost."),
    counter("tidemill_intake_kafka_commits_total", &["outcome"], "Commits to Kafka, which only serve lag tools."),
    counter("tidemill_intake_closed_batches_total", &["reason"], "Micro-batches by why they closed."),
    histogram("tidemill_intake_batch_rows", &[], ROWS, "Records of a micro-batch."),
    histogram("tidemill_intake_batch_fill_ratio", &[], RATIO, "Records of a micro-batch divided by rows_max."),
    gauge("tidemill_mill_threads", &[], "Threads that decode and infer."),
    histogram(
        "tidemill_mill_step_seconds",
        &["step"],
        SECONDS,
        "Time of a step for one micro-batch; its sum's rate over the threads is how busy the mill is.",
    ),
    counter("tidemill_mill_panic_events_total", &[], "Panics caught in a step."),
    counter("tidemill_mill_bisection_runs_total", &[], "Model runs made to find the record that fails."),
    histogram("tidemill_writer_group_rows", &[], ROWS, "Rows and dead letters of one transaction."),
    histogram("tidemill_writer_group_seconds", &["path"], SECONDS, "Time of one transaction, by how it is sent."),
    histogram(
        "tidemill_writer_fence_seconds",
        &[],
        SECONDS,
        "Part of it that the server took to move the marks; grows while an old snapshot keeps vacuum from their dead versions.",
    ),
    counter("tidemill_writer_repeated_retries_total", &["fault"], "Transactions tried again, by fault."),
    counter("tidemill_writer_fenced_pieces_total", &[], "Pieces dropped because another process owns the partition."),
    counter("tidemill_writer_mark_misses_total", &["verdict"], "Marks that did not move, by what their row said."),
    gauge(
        "tidemill_breaker_current_breakers",
        &["dependency", "state"],
        "Circuit breakers by state; each writer has one for Postgres. One that is not closed stops intake.",
    ),
    counter("tidemill_breaker_opened_events_total", &["dependency"], "Times that a circuit breaker opened."),
    counter(
        "tidemill_breaker_unbudgeted_retries_total",
        &["dependency"],
        "Retries that found their budget used up and waited for half of the longest delay at least.",
    ),
    gauge("tidemill_writer_open_connections", &[], "Writers that have a working connection."),
    gauge("tidemill_writer_backlog_pieces", &[], "Pieces that wait to be written."),
    histogram(
        "tidemill_writer_record_age_seconds",
        &[],
        AGE,
        "Commit time minus record timestamp of the oldest record of a group; clamped at 0.",
    ),
    gauge(
        "tidemill_dead_letter_open_records",
        &[],
        "Dead letters of this pipeline that nobody has dealt with, up to 100,000; counted every `dead_letter.count_interval`.",
    ),
    gauge(
        "tidemill_postgres_oldest_snapshot_transactions",
        &["holder"],
        "Transactions since a snapshot that keeps vacuum from the marks' dead versions, from 1,000 on; asked every `postgres.horizon_interval`. The log has the pid from 50,000 on.",
    ),
    gauge("tidemill_dead_letter_oldest_seconds", &[], "Age of the oldest of them; 0 without any."),
    histogram("tidemill_claim_wait_seconds", &[], SECONDS, "Time of one claim of a partition."),
    counter("tidemill_claim_answered_claims_total", &["outcome"], "Claims of partitions, by outcome."),
    histogram(
        "tidemill_runtime_loop_lag_seconds",
        &[],
        SECONDS,
        "How late the async runtime wakes a sleeping task; above 50 ms somebody blocks a worker.",
    ),
    counter("tidemill_shutdown_started_events_total", &[], "Drains begun."),
    counter(
        "tidemill_shutdown_completed_events_total",
        &["outcome"],
        "Drains ended; a start without an end was killed.",
    ),
    counter("tidemill_log_dropped_events_total", &[], "Log lines that found no room: nobody reads stderr."),
    gauge("tidemill_build_info", &["version"], "1; which build this is."),
    gauge("tidemill_model_info", &["name", "version", "sha256"], "1; which model scores."),
    gauge("tidemill_config_info", &["sha256"], "1; hash of the effective configuration without secrets."),
];

/// The entry of a name.
pub fn find(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|m| m.name == name)
}

/// The list as a Markdown table, for the documentation.
pub fn markdown() -> String {
    let mut out = String::from("| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n");
    for m in METRICS {
        let labels = m.labels.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", ");
        out.push_str(&format!("| `{}` | {} | {labels} | {} |\n", m.name, m.kind.name(), m.help));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_obey_the_form() {
        for m in METRICS {
            let is_total = m.name.ends_with("_total");
            assert_eq!(is_total, m.kind == Kind::Counter, "{}: counters and only counters end in _total", m.name);
            let words: Vec<_> = m.name.trim_end_matches("_total").split('_').collect();
            assert_eq!(words[0], "tidemill", "{}", m.name);
            assert!(words.len() >= 3, "{}: needs an area", m.name);
            assert!(UNITS.contains(words.last().unwrap()), "{}: its last word is no unit", m.name);
            assert!(m.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", m.name);
            assert!(m.help.ends_with('.') && m.help.len() > 5, "{}: the help is a sentence", m.name);
        }
    }

    #[test]
    fn histograms_have_rising_buckets_and_names_are_unique() {
        let names: BTreeSet<_> = METRICS.iter().map(|m| m.name).collect();
        assert_eq!(names.len(), METRICS.len());
        for m in METRICS {
            assert_eq!(m.buckets.is_empty(), m.kind != Kind::Histogram, "{}", m.name);
            assert!(m.buckets.windows(2).all(|w| w[0] < w[1]), "{}", m.name);
        }
    }
}
