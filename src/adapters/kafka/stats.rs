//! The few numbers of librdkafka's statistics that decide something.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;

use crate::adapters::kafka::options::Isolation;
use crate::domain::lane::Lane;

/// Statistics of one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LaneStats {
    /// End of the log as this isolation level sees it.
    pub end: i64,
    /// Where the next fetch goes.
    next: i64,
    /// Where the end was last met.
    eof: i64,
    /// Records in our queue.
    queued: i64,
    active: bool,
}

impl LaneStats {
    /// The fetch position, if the end was met there and nothing waits in the queue.
    pub fn idle_end(&self) -> Option<i64> {
        let idle = self.active && self.queued == 0 && self.next >= 0 && self.next == self.eof && self.next >= self.end;
        idle.then_some(self.next)
    }
}

/// One emission of the statistics.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Stats {
    /// Age of the client at the emission.
    pub age: Duration,
    pub any_broker_up: bool,
    pub lanes: HashMap<Lane, LaneStats>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    age: u64,
    #[serde(borrow, default)]
    brokers: HashMap<&'a str, RawBroker<'a>>,
    #[serde(borrow, default)]
    topics: HashMap<&'a str, RawTopic<'a>>,
}

#[derive(Deserialize)]
struct RawBroker<'a> {
    state: &'a str,
}

#[derive(Deserialize)]
struct RawTopic<'a> {
    #[serde(borrow)]
    partitions: HashMap<&'a str, RawPartition<'a>>,
}

#[derive(Deserialize)]
struct RawPartition<'a> {
    partition: i32,
    fetchq_cnt: i64,
    fetch_state: &'a str,
    next_offset: i64,
    eof_offset: i64,
    hi_offset: i64,
    ls_offset: i64,
}

impl Stats {
    /// Reads an emission; topics that are not ours are left out. `None` when librdkafka's format has changed.
    pub fn read(json: &[u8], topics: &[String], isolation: Isolation) -> Option<Stats> {
        let raw: Raw = serde_json::from_slice(json).ok()?;
        let mut lanes = HashMap::new();
        for (topic, name) in topics.iter().enumerate() {
            let Some(found) = raw.topics.get(name.as_str()) else { continue };
            // -1 is librdkafka's place for records without a partition.
            for p in found.partitions.values().filter(|p| p.partition >= 0) {
                let end = match isolation {
                    Isolation::ReadCommitted => p.ls_offset,
                    Isolation::ReadUncommitted => p.hi_offset,
                };
                let stats = LaneStats {
                    end,
                    next: p.next_offset,
                    eof: p.eof_offset,
                    queued: p.fetchq_cnt,
                    active: p.fetch_state == "active",
                };
                lanes.insert(Lane { topic: topic as u16, partition: p.partition }, stats);
            }
        }
        let any_broker_up = raw.brokers.values().any(|b| b.state == "UP");
        Some(Stats { age: Duration::from_micros(raw.age), any_broker_up, lanes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"name":"x","age":2500000,"brokers":{"a:1/1":{"state":"UP","toppars":{}},"b":{"state":"INIT"}},
        "topics":{"t":{"topic":"t","partitions":{
        "0":{"partition":0,"fetchq_cnt":0,"fetch_state":"active","next_offset":7,"eof_offset":7,"hi_offset":9,"ls_offset":7},
        "-1":{"partition":-1,"fetchq_cnt":0,"fetch_state":"none","next_offset":0,"eof_offset":0,"hi_offset":-1001,"ls_offset":-1001}}},
        "other":{"partitions":{}}}}"#;

    #[test]
    fn it_reads_what_decides() {
        let lane = Lane { topic: 1, partition: 0 };
        let topics = ["absent".into(), "t".into()];
        let stats = Stats::read(JSON.as_bytes(), &topics, Isolation::ReadCommitted).unwrap();
        assert_eq!((stats.age, stats.any_broker_up, stats.lanes.len()), (Duration::from_millis(2500), true, 1));
        assert_eq!(stats.lanes[&lane].idle_end(), Some(7));
        let stats = Stats::read(JSON.as_bytes(), &topics, Isolation::ReadUncommitted).unwrap();
        assert_eq!((stats.lanes[&lane].end, stats.lanes[&lane].idle_end()), (9, None));
        assert_eq!(Stats::read(b"{}", &topics, Isolation::ReadCommitted), None);
    }

    #[test]
    fn a_partition_with_something_left_is_not_idle() {
        let idle = LaneStats { end: 7, next: 7, eof: 7, queued: 0, active: true };
        assert_eq!(idle.idle_end(), Some(7));
        for busy in [
            LaneStats { queued: 1, ..idle },
            LaneStats { next: 8, ..idle },
            LaneStats { eof: -1001, ..idle },
            LaneStats { active: false, ..idle },
            LaneStats { end: 8, ..idle },
        ] {
            assert_eq!(busy.idle_end(), None, "{busy:?}");
        }
    }
}
