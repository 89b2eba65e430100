//! Who is a member, and by which rules: static names, more members than partitions, partitions added, another protocol.

use std::thread;
use std::time::Duration;

use crate::load::Load;
use crate::load::SOON;
use crate::load::accounted;
use crate::load::rebalances;
use crate::load::site;
use crate::load::stored;
use crate::site::LONG;
use crate::site::lanes;
use crate::site::logged;
use crate::site::poll;
use crate::support::signal::Signal;

#[test]
fn b6_a_member_without_a_partition_is_ready_and_takes_over() {
    let site = site("b6", 1);
    let mut first = site.ready("first", &[]);
    lanes(&first, "assigned", 1);
    let second = site.ready("second", &[]);
    let mut sent = site.produce(100);
    site.settle();
    assert_eq!((stored(&second), second.get("/readyz").unwrap().0), (0.0, 200));
    first.signal(Signal::Term);
    assert_eq!(first.wait(LONG).code(), Some(0));
    lanes(&second, "assigned", 1);
    sent.extend(site.produce(100));
    site.settle();
    site.expect_exact(&sent);
    accounted(&second);
}

#[test]
fn b5_partitions_added_under_load_are_read_from_their_beginning() {
    let site = site("b5", 2);
    let load = Load::on(&site, &[]);
    let other = site.ready("other", &[]);
    site.kafka.grow_topic(&site.topic, 5);
    let assigned = |d: &crate::support::daemon::Daemon| {
        d.metric_with("tidemill_intake_partitions_lanes", &["state=\"assigned\""]).unwrap_or(0.0)
    };
    poll("five partitions", LONG, || (assigned(&load.daemon) + assigned(&other) == 5.0).then_some(()));
    load.more();
    load.settled();
    assert_eq!(site.marks().len(), 5);
    accounted(&other);
}

#[test]
fn b15_without_the_groups_commits_it_goes_on_where_postgres_is() {
    let site = site("b15", 2);
    let mut sent = site.produce(200);
    let mut daemon = site.ready("first", &[]);
    site.settle();
    daemon.signal(Signal::Term);
    assert_eq!(daemon.wait(LONG).code(), Some(0));
    site.kafka.delete_group(&site.topic);
    assert!(site.kafka.committed(&site.topic, &site.topic).is_empty());
    sent.extend(site.produce(100));
    let mut daemon = site.ready("second", &["kafka.start_from=latest"]);
    site.settle();
    site.expect_exact(&sent);
    daemon.signal(Signal::Term);
    assert_eq!(daemon.wait(LONG).code(), Some(0));
    assert_eq!(logged(&daemon, "counts", "taken"), Some(100), "nothing is read again and nothing is left out");
}

#[test]
#[ignore = "slow; make faults"]
fn b17_work_that_takes_longer_than_the_poll_interval_keeps_its_partitions() {
    let site = site("b17", 2);
    let (proxy, through) = site.proxy();
    let sets = ["kafka.max_poll_interval=3s", "intake.in_flight_records=2000", &through];
    let mut load = Load::on(&site, &sets);
    let before = ["given", "revoked", "lost"].map(|kind| rebalances(&load.daemon, kind));
    proxy.down();
    load.told("cannot connect");
    thread::sleep(Duration::from_secs(6));
    assert_eq!(["given", "revoked", "lost"].map(|kind| rebalances(&load.daemon, kind)), before);
    proxy.accept();
    load.more();
    load.settled();
}

#[test]
fn b20_a_static_member_restarts_in_place_and_its_double_is_told() {
    let site = site("b20", 4);
    let name = |n: u32| format!("kafka.group_instance_id={}-{n}", site.topic);
    let sets = |n: u32| vec!["kafka.session_timeout=20s".to_owned(), name(n)];
    let start = |called: &str, n: u32| {
        let sets = sets(n);
        site.ready(called, &sets.iter().map(|s| &s[..]).collect::<Vec<_>>())
    };
    let (mut first, second) = (start("first", 1), start("second", 2));
    lanes(&first, "assigned", 2);
    lanes(&second, "assigned", 2);
    let stream = site.stream();
    poll("records to flow", LONG, || (stored(&first) > 100.0).then_some(()));

    for (signal, code) in [(Signal::Term, Some(0)), (Signal::Kill, None)] {
        let before = ["given", "revoked", "lost"].map(|kind| rebalances(&second, kind));
        first.signal(signal);
        assert_eq!(first.wait(LONG).code(), code);
        first = start("again", 1);
        lanes(&first, "assigned", 2);
        let after = ["given", "revoked", "lost"].map(|kind| rebalances(&second, kind));
        assert_eq!(after, before, "the other kept what it had");
    }

    // Somebody starts a second process of the same name: the older one is put out and says so.
    let double = start("double", 1);
    assert_eq!(first.wait(LONG).code(), Some(4));
    assert!(first.log().contains("fenced"), "the cause is named");
    lanes(&double, "assigned", 2);
    let sent = stream.stop();
    site.settle();
    site.expect_exact(&sent);
    [&second, &double].into_iter().for_each(accounted);
}

#[test]
#[ignore = "slow; make faults"]
fn b21_a_group_changes_its_protocol_once_the_last_member_of_the_old_one_is_gone() {
    let site = site("b21", 2);
    let consumer = ["kafka.group_protocol=consumer", "kafka.session_timeout=45s", "kafka.heartbeat_interval=3s"];
    let mut sent = vec![];
    for sets in [&[][..], &consumer, &[]] {
        let mut daemon = site.ready("turn", sets);
        lanes(&daemon, "assigned", 2);
        sent.extend(site.produce(100));
        site.settle();
        daemon.signal(Signal::Term);
        assert_eq!(daemon.wait(SOON).code(), Some(0));
        thread::sleep(Duration::from_millis(200));
    }
    site.expect_exact(&sent);
}
