//! Rebalances under load and processes that stand still: whoever holds a partition, every record ends once (rules C1 to C5).

use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::load::Load;
use crate::load::accounted;
use crate::load::rebalances;
use crate::load::site;
use crate::load::stored;
use crate::site::LONG;
use crate::site::Site;
use crate::site::lanes;
use crate::site::poll;
use crate::support::daemon::Daemon;
use crate::support::proxy::Fault;
use crate::support::relay::Way;
use crate::support::signal::Signal;

fn leave(daemon: &mut Daemon) {
    daemon.signal(Signal::Term);
    assert_eq!(daemon.wait(LONG).code(), Some(0));
}

/// Processes come and go, by request and by force, for so long.
fn storm(name: &str, sets: &[&str], time: Duration) {
    let site = site(name, 6);
    let load = Load::on(&site, sets);
    let begun = Instant::now();
    let (mut others, mut number) = (vec![], 0);
    while begun.elapsed() < time || number < 5 {
        number += 1;
        let guest = site.daemon(&format!("guest-{number}"), sets);
        let assigned = || guest.metric_with("tidemill_intake_partitions_lanes", &["state=\"assigned\""]);
        poll("the guest to get something", LONG, || (assigned()? > 0.0).then_some(()));
        others.push(guest);
        if others.len() > 2 {
            let mut first = others.remove(0);
            let signal = if number % 3 == 0 { Signal::Kill } else { Signal::Term };
            first.signal(signal);
            let code = first.wait(LONG).code();
            assert_eq!(code, (number % 3 != 0).then_some(0));
        }
    }
    others.iter_mut().for_each(leave);
    lanes(&load.daemon, "assigned", 6);
    load.more();
    let seen = rebalances(&load.daemon, "given") + rebalances(&load.daemon, "revoked");
    eprintln!("{name}: {number} guests, {seen} changes");
    assert!(seen >= 4.0, "{seen} rebalances are no storm");
    load.settled();
}

const CONSUMER: [&str; 3] =
    ["kafka.group_protocol=consumer", "kafka.session_timeout=45s", "kafka.heartbeat_interval=3s"];

#[test]
fn b1_b2_a_storm_of_rebalances_loses_and_doubles_nothing() {
    storm("b2", &[], Duration::from_secs(9));
}

#[test]
#[ignore = "a minute; make faults"]
fn b2_a_minute_of_rebalances_loses_and_doubles_nothing() {
    storm("b2-minute", &[], Duration::from_secs(60));
}

#[test]
#[ignore = "slow; make faults"]
fn b1_b2_a_storm_with_the_consumer_protocol_loses_and_doubles_nothing() {
    storm("b2-consumer", &CONSUMER, Duration::from_secs(9));
}

#[test]
fn b3_a_revoke_that_cannot_be_drained_is_handed_over_and_its_late_work_is_fenced() {
    let site = site("b3", 2);
    let (proxy, through) = site.proxy();
    let sets = ["shutdown.revoke=1s", "kafka.session_timeout=6s", &through];
    let first = site.ready("first", &sets);
    lanes(&first, "assigned", 2);
    let mut sent = site.produce(100);
    site.settle();
    // A statement on its way that arrives when somebody else has the partition.
    proxy.on_statement("with fence", 0, Fault::Hold);
    sent.extend(site.produce(200));
    poll("a group on its way", LONG, || (proxy.fired() == 1).then_some(()));
    let second = site.ready("second", &[]);
    lanes(&second, "assigned", 1);
    proxy.thaw();
    sent.extend(site.produce(200));
    site.settle();
    site.expect_exact(&sent);
    assert!(rebalances(&first, "revoked") >= 1.0);
    [&first, &second].into_iter().for_each(accounted);
}

#[test]
#[ignore = "slow; make faults"]
fn b4_a_partition_that_goes_and_comes_back_at_once_is_read_again() {
    let site = site("b4", 4);
    let (proxy, through) = site.proxy();
    let sets = ["shutdown.revoke=500ms", &through];
    let first = site.ready("first", &sets);
    lanes(&first, "assigned", 4);
    let mut sent = site.produce(200);
    site.settle();
    for round in 0..3 {
        // The old work answers late, when its partition has gone and come back.
        proxy.on_statement("with fence", 0, Fault::Delay(Duration::from_secs(2)));
        sent.extend(site.produce(200));
        let mut guest = site.daemon(&format!("guest-{round}"), &[]);
        lanes(&first, "assigned", 2);
        guest.signal(Signal::Term);
        guest.wait(LONG);
        lanes(&first, "assigned", 4);
        sent.extend(site.produce(200));
        site.settle();
    }
    site.expect_exact(&sent);
    assert!(rebalances(&first, "revoked") >= 3.0 && proxy.fired() == 3);
    accounted(&first);
}

#[test]
fn a10_a_short_standstill_moves_nothing() {
    let site = site("a10", 2);
    let other = Load::on(&site, &["kafka.session_timeout=6s"]);
    let still = site.ready("still", &["kafka.session_timeout=6s"]);
    lanes(&still, "assigned", 1);
    lanes(&other.daemon, "assigned", 1);
    let before = ["given", "revoked", "lost"].map(|kind| rebalances(&other.daemon, kind));
    still.signal(Signal::Stop);
    thread::sleep(Duration::from_secs(2));
    still.signal(Signal::Continue);
    let stored_so_far = stored(&still);
    poll("it to go on", LONG, || (stored(&still) > stored_so_far).then_some(()));
    assert_eq!(["given", "revoked", "lost"].map(|kind| rebalances(&other.daemon, kind)), before);
    other.settled();
    accounted(&still);
}

/// A process stands still with work on its way to the database, longer than its session lasts.
fn zombie(name: &str, sets: &[&str]) {
    let site = site(name, 2);
    let (proxy, through) = site.proxy();
    let sets: Vec<&str> = sets.iter().copied().chain([&through[..]]).collect();
    let mut still = site.ready("still", &sets);
    lanes(&still, "assigned", 2);
    let mut sent = site.produce(100);
    site.settle();
    proxy.on_statement("with fence", 0, Fault::Hold);
    sent.extend(site.produce(300));
    poll("a group on its way", LONG, || (proxy.fired() == 1).then_some(()));
    still.signal(Signal::Stop);
    let heir = site.ready("heir", &sets[..sets.len() - 1]);
    lanes(&heir, "assigned", 2);
    sent.extend(site.produce(300));
    site.settle();
    proxy.thaw();
    still.signal(Signal::Continue);
    sent.extend(site.produce(300));
    site.settle();
    // Both are members again, and what the zombie had under way counts for nothing.
    lanes(&still, "assigned", 1);
    lanes(&heir, "assigned", 1);
    sent.extend(site.produce(300));
    site.settle();
    site.expect_exact(&sent);
    [&still, &heir].into_iter().for_each(accounted);
    leave(&mut still);
}

#[test]
fn a11_i4_a_process_that_stood_still_past_its_session_is_fenced_and_comes_back() {
    zombie("a11", &[]);
}

#[test]
fn a11_c1_a_zombie_of_the_consumer_protocol_is_fenced_and_comes_back() {
    zombie("a11-consumer", &CONSUMER);
}

#[test]
fn c1_cut_off_from_kafka_alone_it_is_replaced_and_comes_back() {
    let (site, way): (Site<'_>, _) = crate::load::detoured("c1-cut", 2);
    let mut load = Load::on(&site, &["kafka.session_timeout=6s"]);
    let direct = Site { brokers: site.kafka.bootstrap().to_owned(), topic: site.topic.clone(), ..site_copy(&site) };
    way.each(|node| node.freeze(Way::ToServer));
    let heir = direct.ready("heir", &[]);
    lanes(&heir, "assigned", 2);
    way.each(|node| node.thaw());
    lanes(&load.daemon, "assigned", 1);
    lanes(&heir, "assigned", 1);
    load.daemon.wait_until_ready(LONG);
    load.settled();
    accounted(&heir);
}

fn site_copy(site: &Site<'static>) -> Site<'static> {
    Site {
        kafka: site.kafka,
        postgres: site.postgres,
        topic: site.topic.clone(),
        database: site.database.clone(),
        brokers: site.brokers.clone(),
        url: site.url.clone(),
    }
}
