//! Stopping at bad moments (promise P7); the plain ways to stop are in `tests/daemon/stop.rs`.

use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::load::Load;
use crate::load::SOON;
use crate::load::accounted;
use crate::load::detoured;
use crate::load::rebalances;
use crate::load::site;
use crate::load::stored;
use crate::site::LONG;
use crate::site::lanes;
use crate::site::logged;
use crate::site::poll;
use crate::site::reason;
use crate::support::detour::Api;
use crate::support::detour::Trouble;
use crate::support::proxy::Proxy;
use crate::support::relay::Way;
use crate::support::signal::Signal;

const BUDGET: [&str; 2] = ["shutdown.budget=6s", "shutdown.leave=1s"];

#[test]
fn p7_without_any_broker_the_end_comes_within_the_budget() {
    let (site, way) = detoured("a7", 4);
    let mut gone = Load::on(&site, &BUDGET);
    way.each(|node| node.down());
    reason(&mut gone.daemon, "kafka: ");
    gone.daemon.signal(Signal::Term);
    let begun = Instant::now();
    assert_eq!(gone.daemon.wait(LONG).code(), Some(0), "what was taken is durable, only the group was not told");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(logged(&gone.daemon, "counts", "taken") > Some(200));
    let (_, mut sent) = gone.quit();

    // A broker that is there and does not answer: leaving the group takes its whole time.
    way.each(|node| node.accept());
    let mut silent = site.ready("silent", &BUDGET);
    lanes(&silent, "assigned", 4);
    sent.extend(site.produce(50));
    site.settle();
    site.expect_exact(&sent);
    way.each(|node| node.freeze(Way::ToClient));
    silent.signal(Signal::Term);
    let begun = Instant::now();
    assert_eq!(silent.wait(LONG).code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    way.each(|node| node.thaw());
}

#[test]
fn p7_in_the_middle_of_a_rebalance_the_others_get_everything_soon() {
    let site = site("a8", 6);
    let sets = ["kafka.session_timeout=30s"];
    let (mut first, second) = (site.ready("first", &sets), site.ready("second", &sets));
    lanes(&first, "assigned", 3);
    lanes(&second, "assigned", 3);
    let stream = site.stream();
    poll("records to flow", LONG, || (stored(&second) > 200.0).then_some(()));
    let third = site.daemon("third", &sets);
    let before = rebalances(&first, "revoked");
    poll("the rebalance to begin", LONG, || (rebalances(&first, "revoked") > before).then_some(()));
    first.signal(Signal::Term);
    let begun = Instant::now();
    assert_eq!(first.wait(LONG).code(), Some(0));
    lanes(&second, "assigned", 3);
    lanes(&third, "assigned", 3);
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}: the group waited for the session to run out",
        begun.elapsed()
    );
    let sent = stream.stop();
    site.settle();
    site.expect_exact(&sent);
    [&second, &third].into_iter().for_each(accounted);
}

#[test]
fn p7_a_signal_at_any_moment_of_the_start_ends_it() {
    let (site, way) = detoured("a9", 2);
    // Before it listens to signals nothing is taken, and the signal itself is the end.
    for wait in [0, 50, 150, 400, 900] {
        let mut daemon = site.daemon("early", &[]);
        thread::sleep(Duration::from_millis(wait));
        daemon.signal(Signal::Term);
        let begun = Instant::now();
        let code = daemon.wait(LONG).code();
        assert!(matches!(code, Some(0) | None), "{code:?} after {wait} ms");
        assert!(begun.elapsed() < SOON, "{:?} after {wait} ms", begun.elapsed());
    }
    let postgres = Proxy::postgres(site.server());
    postgres.down();
    let away = format!("postgres.url=postgres://postgres@{}/{}", postgres.address(), site.database);
    let mut waiting = site.daemon("waiting", &[&away]);
    reason(&mut waiting, "postgres: ");
    let joins = way.seen(Api::JOIN_GROUP);
    way.on(Api::JOIN_GROUP, 0, 1, Trouble::DelayRequest(Duration::from_secs(4)));
    let mut joining = site.daemon("joining", &[]);
    poll("the group to be asked", LONG, || (way.seen(Api::JOIN_GROUP) > joins).then_some(()));
    for daemon in [&mut waiting, &mut joining] {
        daemon.signal(Signal::Term);
        let begun = Instant::now();
        assert_eq!(daemon.wait(LONG).code(), Some(0));
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
}

#[test]
fn p7_members_that_are_lost_while_others_drain_leave_nothing_behind() {
    let site = site("drain-loss", 6);
    let (proxy, through) = site.proxy();
    let slow = ["shutdown.budget=8s", &through];
    let (mut drains, mut dies) = (site.ready("drains", &slow), site.ready("dies", &[]));
    lanes(&drains, "assigned", 3);
    lanes(&dies, "assigned", 3);
    let stream = site.stream();
    poll("records to flow", LONG, || (stored(&drains) > 100.0 && stored(&dies) > 100.0).then_some(()));
    // The drain is held by its database; meanwhile the other one dies, and then the drain goes on.
    proxy.freeze(Way::ToServer);
    drains.signal(Signal::Term);
    reason(&mut drains, "draining: ");
    dies.signal(Signal::Kill);
    dies.wait(LONG);
    thread::sleep(Duration::from_secs(1));
    proxy.thaw();
    let code = drains.wait(LONG).code();
    assert!(matches!(code, Some(0 | 3)), "{code:?}");
    let heir = site.ready("heir", &[]);
    lanes(&heir, "assigned", 6);
    let sent = stream.stop();
    site.settle();
    site.expect_exact(&sent);
    accounted(&heir);
}
