//! Single requests and answers between the process and Kafka get lost, late, wrong or damaged.

use std::thread;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;

use crate::load::Load;
use crate::load::accounted;
use crate::load::detoured;
use crate::site::LONG;
use crate::site::lanes;
use crate::site::logged;
use crate::site::poll;
use crate::support::detour::Api;
use crate::support::detour::Detour;
use crate::support::detour::Trouble;
use crate::support::relay::Way;
use crate::support::signal::Signal;

const EVER: u32 = u32::MAX;

fn until_fired(way: &Detour, count: u64) {
    poll("the fault to happen", LONG, || (way.fired() >= count).then_some(()));
}

#[test]
fn b16_b31_commits_and_questions_for_them_that_are_lost_move_nothing() {
    let (site, way) = detoured("b16", 2);
    let sets = ["kafka.commit_interval=100ms"];
    way.on(Api::OFFSET_FETCH, 0, 1, Trouble::LoseAnswer);
    way.on(Api::OFFSET_COMMIT, 0, 1, Trouble::LoseRequest);
    way.on(Api::OFFSET_COMMIT, 0, 1, Trouble::LoseAnswer);
    way.on(Api::OFFSET_COMMIT, 0, 1, Trouble::CutAfter);
    // Lost answers are waited for, so the client must not wait for them longer than the test does.
    let sets = [sets[0], "kafka.options.\"socket.timeout.ms\"=2000"];
    let mut load = Load::on(&site, &sets);
    until_fired(&way, 2);
    load.more();
    load.daemon.signal(Signal::Kill);
    load.daemon.wait(LONG);
    // Nothing of what the group was told matters: the next one goes on where Postgres is.
    way.disarm();
    way.on(Api::OFFSET_COMMIT, 0, EVER, Trouble::LoseRequest);
    load.daemon = site.ready("next", &sets);
    load.more();
    way.disarm();
    load.settled();
}

#[test]
fn b8_errors_of_the_group_are_joined_again_after() {
    let (site, way) = detoured("b8", 2);
    let load = Load::on(&site, &[]);
    let codes = [
        RDKafkaErrorCode::NotCoordinator,
        RDKafkaErrorCode::CoordinatorNotAvailable,
        RDKafkaErrorCode::RebalanceInProgress,
        RDKafkaErrorCode::IllegalGeneration,
        RDKafkaErrorCode::UnknownMemberId,
    ];
    for (count, code) in (1..).zip(codes) {
        way.on(Api::HEARTBEAT, 0, 1, Trouble::Error(code as i16));
        until_fired(&way, count);
        lanes(&load.daemon, "assigned", 2);
        load.more();
    }
    let told = ["given", "lost"].map(|kind| crate::load::rebalances(&load.daemon, kind));
    assert!(told[0] >= 2.0 && told[1] >= 1.0, "{told:?}");
    load.settled();
}

#[test]
fn b26_a_batch_that_is_damaged_on_its_way_is_fetched_again() {
    let (site, way) = detoured("b26", 1);
    let daemon = site.ready("only", &["intake.reclaim_after=200ms", "intake.reclaim_cap=1s"]);
    lanes(&daemon, "assigned", 1);
    let mut sent = site.produce(100);
    site.settle();
    for before_end in [40, 700, 5_000] {
        let fired = way.fired();
        way.on(Api::FETCH, 0, EVER, Trouble::Flip(before_end));
        sent.extend(site.produce(400));
        until_fired(&way, fired + 2);
        poll("the damage to be seen", LONG, || daemon.log().contains("read error").then_some(()));
        way.disarm();
        site.settle();
        site.expect_exact(&sent);
    }
    assert_eq!(daemon.get("/readyz").unwrap().0, 200);
    // The client leaves errors of the old assignment in its queue.
    assert!(!daemon.log().contains("outside of the log"), "an old error was taken for a new one");
    accounted(&daemon);
}

#[test]
fn c5_c7_c8_c9_slow_silent_cut_and_flapping_connections_cost_time_alone() {
    let (site, way) = detoured("c5", 2);
    let (proxy, through) = site.proxy();
    let sets = ["postgres.statement_timeout=2s", "postgres.lock_timeout=1s", &through];
    let load = Load::on(&site, &sets);
    way.each(|node| node.set_delay(Duration::from_millis(100)));
    proxy.set_delay(Duration::from_millis(100));
    load.more();
    way.each(|node| node.set_delay(Duration::ZERO));
    proxy.set_delay(Duration::ZERO);
    for _ in 0..4 {
        way.each(|node| node.cut());
        proxy.down();
        thread::sleep(Duration::from_millis(300));
        proxy.accept();
        thread::sleep(Duration::from_millis(300));
    }
    load.more();
    // Both silent, then healed in this order.
    proxy.freeze(Way::ToClient);
    way.each(|node| node.freeze(Way::ToClient));
    thread::sleep(Duration::from_secs(3));
    proxy.thaw();
    thread::sleep(Duration::from_secs(1));
    way.each(|node| node.thaw());
    load.more();
    load.settled();
}

#[test]
fn c1_a_commit_is_refused_to_a_member_that_the_group_has_forgotten() {
    let (site, way) = detoured("c1-commit", 2);
    let mut load = Load::on(&site, &["kafka.commit_interval=100ms"]);
    // The group counts it as gone, since its heartbeats are lost; it goes on until somebody tells it.
    way.on(Api::HEARTBEAT, 0, 12, Trouble::LoseRequest);
    until_fired(&way, 3);
    load.more();
    way.disarm();
    lanes(&load.daemon, "assigned", 2);
    load.daemon.wait_until_ready(LONG);
    load.more();
    let (mut daemon, sent) = load.quit();
    site.settle();
    site.expect_exact(&sent);
    daemon.signal(Signal::Term);
    assert_eq!(daemon.wait(LONG).code(), Some(0));
    assert!(logged(&daemon, "counts", "taken") >= Some(sent.len() as u64));
}
