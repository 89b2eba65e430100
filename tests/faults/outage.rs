//! Services away under load (promise P5): nothing is dead-lettered but poison, memory stays flat, and all catches up by itself.

use std::time::Duration;
use std::time::Instant;

use crate::load::Load;
use crate::load::detoured;
use crate::load::postgres;
use crate::load::resident;
use crate::load::site;
use crate::site::LONG;
use crate::site::Site;
use crate::site::reason;
use crate::support::kafka::Kafka;
use crate::support::small_disk::SmallDisk;

/// Limits low enough to be reached within a second.
const LIMITS: [&str; 2] = ["intake.in_flight_records=3000", "intake.memory=4MiB"];
const IN_FLIGHT: f64 = 3000.0;
/// Time in which the limits are reached.
const FILLING: Duration = Duration::from_secs(3);
/// What allocators and buffers may still move, in megabytes.
const FLAT: f64 = 24.0;
const SHORT: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);

/// Under load `down` happens, lasts so long and is undone; with the reason that readiness must name meanwhile, if any.
fn away(site: &Site<'_>, sets: &[&str], why: Option<&str>, time: Duration, down: impl FnOnce(), up: impl FnOnce()) {
    let sets: Vec<&str> = LIMITS.iter().chain(sets).copied().collect();
    let mut load = Load::on(site, &sets);
    down();
    let begun = Instant::now();
    if let Some(why) = why {
        reason(&mut load.daemon, why);
    }
    let (mut level, mut most) = (None, 0.0_f64);
    while begun.elapsed() < time {
        let (status, body) = load.daemon.get("/livez").expect("it answers");
        assert_eq!(status, 200, "{body}");
        let in_flight = load.daemon.metric("tidemill_intake_in_flight_records").expect("it answers");
        assert!(in_flight <= IN_FLIGHT, "{in_flight} records in flight");
        if begun.elapsed() > FILLING {
            let now = resident(&load.daemon);
            (level, most) = (level.or(Some(now)), most.max(now));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let level = level.expect("it lasted longer than the limits need to fill");
    assert!(most <= level + FLAT, "memory went from {level:.0} to {most:.0} MB");
    up();
    load.daemon.wait_until_ready(LONG);
    load.more();
    let daemon = load.settled();
    eprintln!(
        "{}: {:?} away, {level:.0} MB then, {most:.0} MB at most, {:.0} MB now",
        site.topic,
        time,
        resident(&daemon)
    );
}

fn postgres_away(name: &str, time: Duration) {
    let site = site(name, 4);
    let (proxy, through) = site.proxy();
    away(&site, &[&through], Some("postgres: "), time, || proxy.down(), || proxy.accept());
}

fn kafka_away(name: &str, time: Duration) {
    let (site, way) = detoured(name, 4);
    let (down, up) = (|| way.each(|node| node.down()), || way.each(|node| node.accept()));
    away(&site, &[], Some("kafka: "), time, down, up);
}

fn a_broker_away(time: Duration) {
    let kafka = Kafka::start(3);
    let mut site = Site::on(&kafka, postgres(), "p5-one-of-three", 1);
    site.topic = Kafka::unique("p5-copies");
    kafka.create_topic(&site.topic, 6, 3);
    site.migrate();
    // Whoever leads a partition or the group: two thirds of both are somewhere else.
    away(&site, &[], None, time, || kafka.kill_node(2), || kafka.start_node(2));
}

fn disk_full(name: &str, time: Duration) {
    let (disk, site) = (SmallDisk::new(96), site(name, 4));
    let space = site.database.clone() + "_small";
    site.sql(&format!("CREATE TABLESPACE {space} LOCATION '{}'", disk.folder("space").display()));
    site.sql(&format!("ALTER TABLE public.scores SET TABLESPACE {space}"));
    away(&site, &[], Some("postgres_operator: "), time, || disk.fill(), || disk.free());
    site.sql("DROP TABLE public.scores CASCADE");
    site.sql(&format!("DROP TABLESPACE {space}"));
}

#[test]
fn p5_postgres_away_under_load() {
    postgres_away("p5-postgres", SHORT);
}

#[test]
#[ignore = "a minute; make faults"]
fn p5_postgres_away_for_a_minute_under_load() {
    postgres_away("p5-postgres-minute", MINUTE);
}

#[test]
fn p5_kafka_away_under_load() {
    kafka_away("p5-kafka", SHORT);
}

#[test]
#[ignore = "a minute; make faults"]
fn p5_kafka_away_for_a_minute_under_load() {
    kafka_away("p5-kafka-minute", MINUTE);
}

#[test]
fn p5_one_of_three_brokers_away_under_load() {
    a_broker_away(SHORT);
}

#[test]
#[ignore = "a minute; make faults"]
fn p5_one_of_three_brokers_away_for_a_minute_under_load() {
    a_broker_away(MINUTE);
}

#[test]
fn p5_a_full_disk_that_is_freed_under_load() {
    disk_full("p5-disk", SHORT);
}

#[test]
#[ignore = "a minute; make faults"]
fn p5_a_disk_full_for_a_minute_under_load() {
    disk_full("p5-disk-minute", MINUTE);
}
