//! One scrape: handles, process numbers and the published state, as the text that Prometheus reads.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use metrics_process::Collector;

use super::log_queue;
use super::metrics::Metrics;
use super::recorder::Recorder;
use super::snapshot::LaneState;
use super::snapshot::Phase;
use super::snapshot::Published;
use super::snapshot::Snapshot;

/// What is known once, at start, and shown as `*_info`.
#[derive(Clone, Debug, Default)]
pub struct Info {
    pub model_name: String,
    pub model_version: String,
    pub model_sha256: String,
    pub config_sha256: String,
}

/// Everything that a scrape reads.
pub struct Scrape {
    recorder: Recorder,
    process: Collector,
    published: Arc<Published>,
}

impl Scrape {
    /// Makes the recorder and all handles. Call once a process; spawn [`super::recorder::upkeep`] with [`Scrape::handle`].
    pub fn new(published: Arc<Published>) -> (Scrape, Metrics) {
        let recorder = Recorder::new();
        let metrics = Metrics::new(&recorder);
        recorder.gauge("tidemill_build_info", &[env!("CARGO_PKG_VERSION")]).set(1.0);
        let process = Collector::default();
        recorder.within(|| process.describe());
        (Scrape { recorder, process, published }, metrics)
    }

    /// Names what runs; call when configuration and model are loaded.
    pub fn identify(&self, info: &Info) {
        let model = [info.model_name.as_str(), &info.model_version, &info.model_sha256];
        self.recorder.gauge("tidemill_model_info", &model).set(1.0);
        self.recorder.gauge("tidemill_config_info", &[&info.config_sha256]).set(1.0);
    }

    pub fn handle(&self) -> PrometheusHandle {
        self.recorder.handle()
    }

    /// The whole page. The published state is read once, so its counters add up.
    pub fn render(&self) -> String {
        let snapshot = self.published.read();
        self.recorder.within(|| self.process.collect());
        let mut text = self.recorder.handle().render();
        text.push_str(&state(&snapshot));
        text
    }
}

/// The published state's families. A recorder that lives for one scrape forgets the partitions that are no longer ours.
fn state(snapshot: &Snapshot) -> String {
    let r = Recorder::new();
    let gauge = |name, value: u64| r.gauge(name, &[]).set(value as f64);
    gauge("tidemill_intake_in_flight_bytes", snapshot.in_flight_bytes);
    gauge("tidemill_intake_in_flight_batches", snapshot.in_flight_batches);
    gauge("tidemill_intake_in_flight_limit_records", snapshot.limit_records);
    gauge("tidemill_intake_in_flight_limit_bytes", snapshot.limit_bytes);
    r.counter("tidemill_log_dropped_events_total", &[]).absolute(log_queue::dropped());
    r.gauge("tidemill_intake_unaccounted_records", &[]).set(snapshot.unaccounted() as f64);
    for phase in Phase::ALL {
        r.gauge("tidemill_pipeline_phase_info", &[phase.name()]).set(f64::from(u8::from(phase == snapshot.phase)));
    }
    for reason in &snapshot.not_ready {
        r.gauge("tidemill_pipeline_not_ready_info", &[reason.code]).set(1.0);
    }
    for state in LaneState::ALL {
        let count = snapshot.lanes.iter().filter(|l| l.state == state).count();
        r.gauge("tidemill_intake_partitions_lanes", &[state.name()]).set(count as f64);
    }
    topics(snapshot, &r);
    lanes(snapshot, &r);
    r.handle().render()
}

fn topics(snapshot: &Snapshot, r: &Recorder) {
    for t in &snapshot.topics {
        let count = |name, value: u64| r.counter(name, &[&t.topic]).absolute(value);
        count("tidemill_intake_taken_records_total", t.taken);
        count("tidemill_intake_taken_bytes_total", t.taken_bytes);
        count("tidemill_intake_stored_records_total", t.stored);
        count("tidemill_intake_handed_back_records_total", t.handed_back);
        count("tidemill_intake_stale_records_total", t.stale);
        count("tidemill_guard_stopped_events_total", t.floods);
        r.gauge("tidemill_intake_in_flight_records", &[&t.topic]).set(t.in_flight as f64);
        for (stage, reason, n) in &t.dead {
            let labels = [&*t.topic, stage.name(), reason];
            r.counter("tidemill_intake_dead_lettered_records_total", &labels).absolute(*n);
        }
        for (rule, n) in &t.skipped {
            r.counter("tidemill_intake_skipped_records_total", &[&t.topic, rule]).absolute(*n);
        }
    }
}

fn lanes(snapshot: &Snapshot, r: &Recorder) {
    for lane in &snapshot.lanes {
        let Some(topic) = snapshot.topics.get(usize::from(lane.topic)) else { continue };
        let partition = lane.partition.to_string();
        if let Some(lag) = lane.lag {
            r.gauge("tidemill_intake_lag_records", &[&topic.topic, &partition]).set(lag as f64);
        }
        if let Some(lost) = lane.lost {
            r.gauge("tidemill_intake_lost_records", &[&topic.topic, &partition]).set(lost as f64);
        }
    }
}

#[cfg(test)]
mod tests;
