//! What the scout tells about the cluster without joining the group.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use tidemill::adapters::kafka::scout::Scout;
use tidemill::adapters::kafka::scout::ScoutError;
use tidemill::domain::lane::Lane;

use super::rig::LONG;
use super::rig::Rig;
use super::rig::lane;

pub fn the_scout_names_what_is_missing(rig: &Rig) {
    let mut options = rig.options.clone();
    options.topics.extend(["no_such".into(), "nor_this".into()]);
    let error = Scout::open(&options, LONG).unwrap().topics().unwrap_err();
    assert!(matches!(&error, ScoutError::NoTopics(names) if names == &["no_such", "nor_this"]), "{error}");
    let scout = rig.scout();
    let (topics, start) = (scout.topics().unwrap(), Instant::now());
    assert!(topics[0].id.is_some(), "{topics:?}");
    assert_eq!(scout.topics().unwrap(), topics);
    assert!(start.elapsed() < Duration::from_secs(2), "no question waits for its timeout");
    assert_eq!((topics[0].name.as_str(), topics[0].partitions), (rig.topic.as_str(), 4));
    assert!(!scout.cluster_id().unwrap().is_empty());
}

pub fn a_sample_is_the_newest_records_and_joins_no_group(rig: &Rig) {
    (0..3).for_each(|p| rig.fill(p, 50));
    let scout = rig.scout();
    let batch = scout.sample(20, LONG).unwrap();
    let by_lane: BTreeMap<Lane, (i64, i64, u32)> =
        batch.pieces.iter().map(|p| (p.lane, (p.expected, p.end, p.count))).collect();
    assert_eq!(by_lane.into_values().collect::<Vec<_>>(), [(45, 50, 5); 3]);
    for piece in &batch.pieces {
        for record in piece.records() {
            let want = format!("{}:{}", piece.lane.partition, batch.records[record].offset);
            assert_eq!(batch.payload(record), Some(want.as_bytes()));
        }
    }
    assert_eq!(scout.committed(lane(0)).unwrap(), None);
    let mut reader = rig.joined(4);
    reader.turn(Duration::from_millis(50));
}
