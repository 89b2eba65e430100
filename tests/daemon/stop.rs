//! Stopping: timed, and without reading anything twice (promises P4 and P7).

use std::time::Duration;
use std::time::Instant;

use crate::site::LONG;
use crate::site::Site;
use crate::site::logged;
use crate::site::poll;
use crate::site::reason;
use crate::support::daemon::Daemon;
use crate::support::proxy::Proxy;
use crate::support::proxy::Way;
use crate::support::signal::Signal;

const SOON: Duration = Duration::from_secs(3);

fn stored(daemon: &Daemon) -> f64 {
    daemon.metric("tidemill_intake_stored_records_total").unwrap_or(0.0)
}

#[test]
fn p4_a_clean_stop_re_reads_nothing() {
    let site = Site::shared("p4", 4);
    let mut first = site.ready("first", &[]);
    let stream = site.stream();
    poll("records to flow", LONG, || (stored(&first) > 500.0).then_some(()));
    first.signal(Signal::Term);
    assert_eq!(first.wait(LONG).code(), Some(0), "drained in the middle of the load");
    let taken = logged(&first, "counts", "taken").unwrap();
    assert!(taken > 500);
    assert_eq!(logged(&first, "counts", "handed_back"), Some(0));
    assert_eq!(site.marks().values().sum::<i64>(), taken as i64, "what was taken is what is durable");
    let told: i64 = site.kafka.committed(&site.topic, &site.topic).values().map(|c| c.offset).sum();
    assert_eq!(told, taken as i64, "and what the group was told");

    let mut second = site.ready("second", &[]);
    let sent = stream.stop();
    site.settle();
    second.signal(Signal::Term);
    assert_eq!(second.wait(SOON).code(), Some(0));
    let again = logged(&second, "counts", "taken").unwrap();
    assert_eq!(taken + again, sent.len() as u64, "taken == new records only");
    site.expect_exact(&sent);
}

#[test]
fn p7_a_drain_without_postgres_ends_in_its_budget_and_names_what_is_read_again() {
    let site = Site::shared("p7-budget", 4);
    let (proxy, through) = site.proxy();
    let limits = ["postgres.statement_timeout=1s", "postgres.lock_timeout=1s"];
    let sets = ["shutdown.budget=4s", "shutdown.leave=1s", limits[0], limits[1], &through];
    let mut daemon = site.ready("first", &sets);
    let stream = site.stream();
    poll("records to flow", LONG, || (stored(&daemon) > 500.0).then_some(()));
    // The server is there and does not answer: worse than one that is gone, since every wait lasts to its limit.
    proxy.freeze(Way::ToServer);
    reason(&mut daemon, "postgres: ");
    poll("records in flight", LONG, || (daemon.metric("tidemill_intake_in_flight_records")? > 0.0).then_some(()));
    let begun = Instant::now();
    daemon.signal(Signal::Term);
    let sent = stream.stop();
    assert_eq!(daemon.wait(LONG).code(), Some(3));
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(4500), "a budget of 4 s took {took:?}");

    let log = daemon.log();
    let marks = site.marks();
    let named: Vec<&str> = log.lines().filter(|l| l.contains("will be read again") && l.contains("\"from\"")).collect();
    assert!(!named.is_empty());
    for (partition, mark) in marks {
        let name = format!("{}[{partition}]", site.topic);
        let Some(line) = named.iter().find(|l| l.contains(&name)) else { continue };
        assert!(line.contains(&format!("\"from\":{mark}")), "{name} is durable up to {mark}, said was {line}");
    }
    let in_flight = logged(&daemon, "counts", "taken").unwrap() - logged(&daemon, "counts", "stored").unwrap();
    assert!(in_flight > 0);

    proxy.thaw();
    let _again = site.ready("second", &sets);
    site.settle();
    site.expect_exact(&sent);
}

#[test]
fn p7_a_second_signal_leaves_at_once() {
    let site = Site::shared("p7-second", 4);
    let (proxy, through) = site.proxy();
    let mut daemons = ["term-int", "int-term"].map(|name| site.ready(name, &[&through]));
    let stream = site.stream();
    let all = daemons.iter().collect::<Vec<_>>();
    poll("records to flow", LONG, || all.iter().all(|d| stored(d) > 100.0).then_some(()));
    proxy.down();
    daemons.iter_mut().for_each(|daemon| drop(reason(daemon, "postgres: ")));
    stream.stop();
    let plans = [([Signal::Term, Signal::Interrupt], 130), ([Signal::Interrupt, Signal::Term], 143)];
    for (daemon, (signals, code)) in daemons.iter_mut().zip(plans) {
        daemon.signal(signals[0]);
        reason(daemon, "draining: ");
        let begun = Instant::now();
        daemon.signal(signals[1]);
        assert_eq!(daemon.wait(LONG).code(), Some(code));
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}

#[test]
fn p7_with_nothing_to_drain_the_end_comes_soon() {
    let mut site = Site::shared("p7-idle", 4);
    let mut idle = site.ready("idle", &[]);
    let sent = site.produce(100);
    site.settle();
    idle.signal(Signal::Term);
    assert_eq!(idle.wait(SOON).code(), Some(0));
    site.expect_exact(&sent);

    // Without Kafka it never gets to the point of taking anything.
    let kafka = Proxy::tcp(site.kafka.bootstrap().parse().unwrap());
    kafka.down();
    site.brokers = kafka.address().to_string();
    let mut waiting = site.daemon("waiting", &[]);
    reason(&mut waiting, "kafka: ");
    waiting.signal(Signal::Interrupt);
    assert_eq!(waiting.wait(SOON).code(), Some(0));
}
