use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::verdict::Stage;
use crate::telemetry::catalog::METRICS;
use crate::telemetry::loop_lag;
use crate::telemetry::recorder;
use crate::telemetry::snapshot::LaneMark;
use crate::telemetry::snapshot::Reason;
use crate::telemetry::snapshot::TopicCounts;

use super::*;

fn full() -> Snapshot {
    let topic = TopicCounts {
        topic: "pay\"ments".into(),
        taken: 100,
        taken_bytes: 41_000,
        stored: 80,
        dead: vec![(Stage::Decode, "bad_json", 5), (Stage::Write, "out_of_range", 1)],
        skipped: vec![("no_card".into(), 4)],
        handed_back: 3,
        stale: 9,
        floods: 2,
        in_flight: 7,
    };
    let lane = |partition, state, lag| LaneMark {
        topic: 0,
        partition,
        state,
        mark: 5,
        position: 6,
        lag,
        lost: lag.map(|n| n + 1),
    };
    Snapshot {
        phase: Phase::Running,
        not_ready: vec![Reason { code: "postgres_down", detail: "no answer".into() }],
        topics: vec![topic],
        lanes: vec![lane(0, LaneState::Assigned, Some(17)), lane(11, LaneState::Claiming, None)],
        in_flight_bytes: 70,
        in_flight_batches: 2,
        limit_records: 1000,
        limit_bytes: 2000,
    }
}

fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find(|l| l.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn holders_of_old_snapshots_leave_the_scrape_bounded() {
    let (scrape, metrics) = Scrape::new(Arc::new(Published::default()));
    (0..10_000).for_each(|n| metrics.snapshots.of(&format!("backend of report (job {n})")).set(f64::from(n)));
    let page = scrape.render();
    let series = page.lines().filter(|l| l.starts_with("tidemill_postgres_oldest_snapshot_transactions{")).count();
    assert!((10..=40).contains(&series), "{series} series");
    let of =
        |holder: &str| value(&page, &format!("tidemill_postgres_oldest_snapshot_transactions{{holder=\"{holder}\"}}"));
    assert_eq!((of("backend of report (job 7)"), of("others")), (Some(7.0), Some(9999.0)));
}

#[test]
fn a_scrape_shows_exactly_the_families_of_the_list() {
    let published = Arc::new(Published::default());
    published.publish(full());
    let (scrape, _metrics) = Scrape::new(published);
    scrape.identify(&Info { model_name: "fraud".into(), ..Info::default() });
    let page = scrape.render();
    let families = |prefix: &str| -> BTreeSet<String> {
        let words = page.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next());
        words.filter(|n| n.starts_with(prefix)).map(str::to_owned).collect()
    };
    let listed: BTreeSet<_> = METRICS.iter().map(|m| m.name.to_owned()).collect();
    assert_eq!(families("tidemill_"), listed);
    assert!(families("process_").contains("process_resident_memory_bytes"), "{page}");
    for m in METRICS {
        assert!(page.contains(&format!("# TYPE {} {}\n", m.name, m.kind.name())), "{}", m.name);
        assert!(page.contains(&format!("# HELP {} {}\n", m.name, m.help)), "{}", m.name);
    }
    assert!(!page.contains("quantile="), "a histogram without buckets became a summary");
}

#[test]
fn p9_the_numbers_of_one_page_are_of_one_snapshot() {
    let published = Arc::new(Published::default());
    let (scrape, _metrics) = Scrape::new(published.clone());
    let mut snapshot = full();
    assert_eq!(snapshot.unaccounted(), 0);
    published.publish(snapshot.clone());
    let page = scrape.render();
    let topic = "topic=\"pay\\\"ments\"";
    let read = |name: &str, more: &str| value(&page, &format!("tidemill_intake_{name}{{{topic}{more}}}"));
    assert_eq!(read("taken_records_total", ""), Some(100.0));
    assert_eq!(read("dead_lettered_records_total", ",stage=\"decode\",reason=\"bad_json\""), Some(5.0));
    assert_eq!(read("skipped_records_total", ",rule=\"no_card\""), Some(4.0));
    assert_eq!(read("in_flight_records", ""), Some(7.0));
    assert_eq!(read("lag_records", ",partition=\"0\""), Some(17.0));
    assert_eq!(value(&page, "tidemill_intake_unaccounted_records"), Some(0.0));
    assert_eq!(value(&page, "tidemill_intake_partitions_lanes{state=\"claiming\"}"), Some(1.0));

    snapshot.topics[0].taken += 2;
    snapshot.lanes.clear();
    published.publish(snapshot);
    let page = scrape.render();
    assert_eq!(value(&page, "tidemill_intake_unaccounted_records"), Some(2.0), "a lost record is loud");
    assert!(!page.contains("tidemill_intake_lag_records{"), "a partition that is gone must not keep its lag");
}

#[test]
fn handles_count_and_fall_into_buckets() {
    let (scrape, metrics) = Scrape::new(Arc::default());
    metrics.mill.infer.record(0.003);
    metrics.intake.closed_rows.clone().increment(3);
    let page = scrape.render();
    assert_eq!(value(&page, "tidemill_mill_step_seconds_bucket{step=\"infer\",le=\"0.0025\"}"), Some(0.0));
    assert_eq!(value(&page, "tidemill_mill_step_seconds_bucket{step=\"infer\",le=\"0.005\"}"), Some(1.0));
    assert_eq!(value(&page, "tidemill_intake_closed_batches_total{reason=\"rows\"}"), Some(3.0));
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn upkeep_keeps_memory_bounded_when_nobody_scrapes() {
    let (scrape, metrics) = Scrape::new(Arc::default());
    let fill = |n: u32| (0..n).for_each(|i| metrics.writer.record_age.record(f64::from(i)));
    fill(1000);
    scrape.handle().run_upkeep();
    let before = resident_bytes();
    // 6.4 million samples of 16 bytes would be 100 MB.
    for _ in 0..100 {
        fill(64_000);
        scrape.handle().run_upkeep();
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 50 << 20, "grew by {grown} bytes");
    assert_eq!(value(&scrape.render(), "tidemill_writer_record_age_seconds_count"), Some(6_401_000.0));
}

#[test]
fn upkeep_and_loop_lag_run_as_tasks() {
    let (scrape, metrics) = Scrape::new(Arc::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        tokio::spawn(recorder::upkeep(scrape.handle()));
        tokio::spawn(loop_lag::measure(metrics.runtime_loop_lag.clone()));
        tokio::time::sleep(Duration::from_millis(20)).await;
        // Blocks the only worker past the end of the first nap: the overshoot must be seen.
        std::thread::sleep(Duration::from_millis(400));
        tokio::time::sleep(Duration::from_millis(20)).await;
    });
    let sum = value(&scrape.render(), "tidemill_runtime_loop_lag_seconds_sum").unwrap();
    assert!(sum >= 0.25, "{sum}");
}
