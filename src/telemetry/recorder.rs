//! The door to the metrics library: registers by the catalogue only, so that a name outside the list cannot exist.

use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;
use metrics::Gauge;
use metrics::Histogram;
use metrics::Key;
use metrics::Label;
use metrics::Level;
use metrics::Metadata;
use metrics::Recorder as _;
use metrics_exporter_prometheus::Matcher;
use metrics_exporter_prometheus::PrometheusBuilder;
use metrics_exporter_prometheus::PrometheusHandle;
use metrics_exporter_prometheus::PrometheusRecorder;

use super::catalog::Kind;
use super::catalog::METRICS;
use super::catalog::find;

/// How often [`upkeep`] drains histograms: they keep raw samples until then.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(1);

const METADATA: Metadata<'static> = Metadata::new("tidemill", Level::INFO, Some("tidemill"));

/// A recorder of its own; nothing is installed globally, so no part can record what is not in the list.
#[derive(Clone)]
pub struct Recorder(Arc<PrometheusRecorder>);

impl Recorder {
    /// A recorder that knows every histogram's buckets. Without buckets a histogram becomes a summary, which cannot be added up.
    pub fn new() -> Recorder {
        let mut builder = PrometheusBuilder::new();
        for m in METRICS.iter().filter(|m| m.kind == Kind::Histogram) {
            let name = Matcher::Full(m.name.to_owned());
            builder = builder.set_buckets_for_metric(name, m.buckets).expect("a test looks that no list is empty");
        }
        Recorder(Arc::new(builder.build_recorder()))
    }

    pub fn handle(&self) -> PrometheusHandle {
        self.0.handle()
    }

    /// Runs `f` with this recorder behind the macros of the metrics library, for crates that only speak through them.
    pub fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&*self.0, f)
    }

    pub fn counter(&self, name: &'static str, labels: &[&str]) -> Counter {
        let key = self.key(name, Kind::Counter, labels);
        self.0.register_counter(&key, &METADATA)
    }

    pub fn gauge(&self, name: &'static str, labels: &[&str]) -> Gauge {
        let key = self.key(name, Kind::Gauge, labels);
        self.0.register_gauge(&key, &METADATA)
    }

    pub fn histogram(&self, name: &'static str, labels: &[&str]) -> Histogram {
        let key = self.key(name, Kind::Histogram, labels);
        self.0.register_histogram(&key, &METADATA)
    }

    fn key(&self, name: &'static str, kind: Kind, labels: &[&str]) -> Key {
        let metric = find(name).unwrap_or_else(|| panic!("{name} is not in telemetry::catalog"));
        assert_eq!(
            (metric.kind, metric.labels.len()),
            (kind, labels.len()),
            "{name}: not what telemetry::catalog says"
        );
        let name = metric.name;
        match kind {
            Kind::Counter => self.0.describe_counter(name.into(), None, metric.help.into()),
            Kind::Gauge => self.0.describe_gauge(name.into(), None, metric.help.into()),
            Kind::Histogram => self.0.describe_histogram(name.into(), None, metric.help.into()),
        }
        let label = |(k, v): (&&'static str, &&str)| Label::new(*k, (*v).to_owned());
        Key::from_parts(name, metric.labels.iter().zip(labels).map(label).collect::<Vec<_>>())
    }
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder::new()
    }
}

/// Drains histograms for ever. Without it memory grows with every sample between two scrapes.
pub async fn upkeep(handle: PrometheusHandle) {
    let mut tick = tokio::time::interval(UPKEEP_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        handle.run_upkeep();
    }
}
