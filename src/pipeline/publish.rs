//! From intake's picture to the published snapshot that scrapes and probes read (promise P9).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::guard::Flood;
use crate::domain::lane::Lane;
use crate::domain::verdict::CONFLICT_RULE;
use crate::pipeline::intake::{LaneStatus, Status, TopicTotals};
use crate::telemetry::snapshot::{LaneMark, Phase, Reason, Snapshot, TopicCounts};

/// Names that the picture only knows by number.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub topics: Vec<Arc<str>>,
    /// Skip rules in order, the tombstone policy last.
    pub rules: Vec<Arc<str>>,
}

impl Names {
    fn topic(&self, topic: u16) -> Arc<str> {
        self.topics.get(usize::from(topic)).cloned().unwrap_or_else(|| topic.to_string().into())
    }

    fn rule(&self, rule: u16) -> Arc<str> {
        if rule == CONFLICT_RULE {
            return "table.on_conflict".into();
        }
        self.rules.get(usize::from(rule)).cloned().unwrap_or_else(|| rule.to_string().into())
    }

    /// `payments[3]`, as people and Kafka's tools write it.
    pub fn lane(&self, lane: Lane) -> String {
        format!("{}[{}]", self.topic(lane.topic), lane.partition)
    }
}

/// The snapshot of a status. Every configured topic is in it, in the order of the configuration.
pub fn snapshot(status: &Status, lags: &BTreeMap<Lane, i64>, names: &Names) -> Snapshot {
    let none = TopicTotals::default();
    let topics = (0..names.topics.len() as u16)
        .map(|topic| topic_counts(names, topic, status.totals.topics.get(&topic).unwrap_or(&none)))
        .collect();
    let lanes = status.lanes.iter().map(|l| LaneMark {
        topic: l.lane.topic,
        partition: l.lane.partition,
        state: l.state,
        mark: l.mark.unwrap_or(0),
        position: l.position.unwrap_or(0),
        lag: lags.get(&l.lane).map(|lag| lag.unsigned_abs()),
        lost: l.lost,
    });
    let mut not_ready: Vec<Reason> =
        status.reasons.iter().map(|(code, d)| Reason { code, detail: d.clone() }).collect();
    not_ready.extend(unclaimed(&status.lanes, names));
    for lane in &status.lanes {
        if let (Some(cause), None) = (&lane.cause, lane.refused) {
            not_ready.push(Reason { code: "partition", detail: format!("{}: {cause}", names.lane(lane.lane)) });
        }
    }
    for (topic, flood) in &status.floods {
        not_ready.push(Reason { code: "guard", detail: flood_text(&names.topic(*topic), flood) });
    }
    Snapshot {
        phase: if status.draining { Phase::Draining } else { Phase::Running },
        not_ready,
        topics,
        lanes: lanes.collect(),
        in_flight_bytes: status.bytes_in_flight,
        in_flight_batches: status.batches_in_flight,
        limit_records: status.limit_records,
        limit_bytes: status.limit_bytes,
    }
}

/// What the database said to claims: once for each code, since an outage meets all lanes alike.
fn unclaimed(lanes: &[LaneStatus], names: &Names) -> Vec<Reason> {
    let mut seen = BTreeMap::<&'static str, (usize, String)>::new();
    for lane in lanes {
        if let (Some(cause), Some(fault)) = (&lane.cause, lane.refused) {
            let first = || (0, format!("{}: {cause}", names.lane(lane.lane)));
            seen.entry(fault.code()).or_insert_with(first).0 += 1;
        }
    }
    let told = |(code, (lanes, first))| Reason {
        code,
        detail: format!("partitions that could not be claimed: {lanes}; the first is {first}"),
    };
    seen.into_iter().map(told).collect()
}

fn flood_text(topic: &str, flood: &Flood) -> String {
    let Flood { cause, rejected, of } = flood;
    format!(
        "topic {topic}: {rejected} of the last {of} records are rejected for {cause}; nothing is lost and nothing more is \
         taken but a record now and then: mend the producer, the configuration or the table, or accept the dead letters: \
         `tidemill dead-letters accept --cause {cause} --for 1h`"
    )
}

fn topic_counts(names: &Names, topic: u16, totals: &TopicTotals) -> TopicCounts {
    TopicCounts {
        topic: names.topic(topic),
        taken: totals.taken,
        taken_bytes: totals.taken_bytes,
        stored: totals.settled.stored,
        dead: totals.dead.iter().map(|((stage, reason), n)| (*stage, *reason, *n)).collect(),
        skipped: totals.skipped.iter().map(|(rule, n)| (names.rule(*rule), *n)).collect(),
        handed_back: totals.handed_back,
        stale: totals.stale,
        floods: totals.floods,
        in_flight: totals.in_flight(),
    }
}
