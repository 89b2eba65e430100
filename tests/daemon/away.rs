//! Services that are away: at the start, later, or in a way that only a person can mend (promise P5).

use std::thread;
use std::time::Duration;

use crate::site::LONG;
use crate::site::Site;
use crate::site::poll;
use crate::site::quick_postgres;
use crate::site::reason;
use crate::site::reasons;
use crate::support::daemon::Daemon;
use crate::support::kafka::Kafka;
use crate::support::proxy::Proxy;
use crate::support::signal::Signal;

fn live(daemon: &Daemon) {
    let (status, body) = daemon.get("/livez").expect("it answers");
    assert_eq!(status, 200, "{body}");
}

#[test]
fn p5_services_that_are_away_at_start_are_waited_for() {
    let mut site = Site::shared("p5-start", 2);
    let sent = site.produce(200);
    let kafka = Proxy::tcp(site.kafka.bootstrap().parse().unwrap());
    let (postgres, through) = site.proxy();
    // Only the first question goes through the proxy: the answer names the broker itself.
    site.brokers = kafka.address().to_string();
    kafka.down();
    postgres.down();
    let mut daemon = site.daemon("only", &[&through]);
    reason(&mut daemon, "kafka: ");
    live(&daemon);
    assert_eq!(daemon.get("/startupz").unwrap().0, 503);
    kafka.accept();
    let told = reason(&mut daemon, "postgres: ");
    assert!(told.contains("cannot connect to postgres"), "{told}");
    assert_eq!(reasons(&daemon).len(), 1, "kafka is there now");
    live(&daemon);
    postgres.accept();
    daemon.wait_until_ready(LONG);
    site.settle();
    site.expect_exact(&sent);
}

#[test]
fn p5_a_stopped_broker_is_waited_for_under_load() {
    let kafka = Kafka::start(1);
    let postgres = quick_postgres();
    let site = Site::on(&kafka, &postgres, "p5-kafka", 4);
    site.migrate();
    let mut daemon = site.ready("only", &[]);
    let stream = site.stream();
    poll("records to flow", LONG, || (daemon.metric("tidemill_intake_stored_records_total")? > 500.0).then_some(()));
    kafka.stop_node(1);
    reason(&mut daemon, "kafka: ");
    live(&daemon);
    thread::sleep(Duration::from_secs(3));
    kafka.start_node(1);
    thread::sleep(Duration::from_secs(1));
    let sent = stream.stop();
    site.settle();
    site.expect_exact(&sent);
    daemon.wait_until_ready(LONG);
    assert_eq!(daemon.metric("tidemill_intake_unaccounted_records"), Some(0.0));
}

/// It ends by itself, as something that waiting does not mend, and says so.
fn refused(daemon: &mut Daemon, words: &[&str]) {
    assert_eq!(daemon.wait(LONG).code(), Some(2));
    let log = daemon.log();
    for word in words {
        assert!(log.contains(word), "the log does not say `{word}`");
    }
}

#[test]
fn p8_what_a_person_must_mend_ends_the_start() {
    let site = Site::shared_bare("p8-start", 1);
    refused(&mut site.daemon("no-tables", &[]), &["tidemill migrate", "tidemill.progress", "public.scores"]);

    site.migrate();
    let mut daemon = site.ready("first", &[]);
    let sent = site.produce(50);
    site.settle();
    daemon.signal(Signal::Term);
    assert_eq!(daemon.wait(LONG).code(), Some(0));
    refused(&mut site.daemon("group", &["kafka.group=another"]), &["two groups would share one position", &site.topic]);
    site.kafka.delete_topic(&site.topic);
    site.kafka.create_topic(&site.topic, 1, 1);
    site.produce(20);
    let words = ["was deleted and made anew", "tidemill offsets adopt --topic"];
    refused(&mut site.daemon("recreated", &[]), &words);
    site.expect_exact(&sent);
}
