//! Processes that stand still or lose answers while they hold something (rules C5, W4, W8).

use std::time::Duration;
use std::time::Instant;

use crate::site::LONG;
use crate::site::Site;
use crate::site::lanes;
use crate::site::poll;
use crate::support::daemon::Daemon;
use crate::support::proxy::Fault;
use crate::support::signal::Signal;
use crate::support::wait::until;

fn rebalances(daemon: &Daemon, kind: &str) -> Option<f64> {
    daemon.metric_with("tidemill_intake_rebalance_events_total", &[&format!("kind=\"{kind}\"")])
}

#[test]
fn c5_a_claim_that_lands_late_does_not_silence_the_owner() {
    let site = Site::shared("c5", 1);
    let mut first = site.ready("first", &[]);
    let mut sent = site.produce(100);
    site.settle();

    let (proxy, through) = site.proxy();
    let mut stale = site.ready("stale", &[&through]);
    proxy.on_statement("epoch = greatest(p.epoch", 0, Fault::Hold);
    first.signal(Signal::Term);
    assert_eq!(first.wait(LONG).code(), Some(0));
    until("the claim to be on its way", LONG, || (proxy.fired() == 1).then_some(()));
    stale.signal(Signal::Stop);

    // Its session runs out, and the partition goes to another.
    let heir = site.ready("heir", &[]);
    lanes(&heir, "assigned", 1);
    sent.extend(site.produce(100));
    site.settle();
    let epoch = || site.sql("SELECT epoch FROM tidemill.progress").parse::<i64>().unwrap();
    let before = epoch();
    proxy.thaw();
    poll("the late claim to land", LONG, || (epoch() > before).then_some(()));

    // Nobody rebalances now: the stale process still stands, and for the group all is well.
    sent.extend(site.produce(100));
    site.settle_within(Duration::from_secs(15));
    stale.signal(Signal::Continue);
    sent.extend(site.produce(100));
    site.settle();
    site.expect_exact(&sent);
    let seen = ["given", "revoked", "lost"].map(|kind| rebalances(&heir, kind));
    assert_eq!(seen, [Some(1.0), Some(0.0), Some(0.0)], "the owner was not asked to give anything up");
    stale.signal(Signal::Term);
    assert_eq!(stale.wait(LONG).code(), Some(0));
}

#[test]
fn w8_a_process_stopped_inside_copy_is_replaced_within_15_s() {
    let site = Site::shared("w8", 2);
    let (proxy, through) = site.proxy();
    let sets = ["postgres.statement_rows=1", "postgres.statement_timeout=5s"];
    let stopped = site.ready("stopped", &[sets[0], sets[1], &through]);
    let other = site.ready("other", &sets);
    lanes(&stopped, "assigned", 1);
    lanes(&other, "assigned", 1);
    let mut sent = site.produce(200);
    site.settle();

    proxy.on_statement("from stdin", 0, Fault::HoldBehind);
    sent.extend(site.produce(1000));
    until("the COPY to begin", LONG, || (proxy.fired() == 1).then_some(()));
    stopped.signal(Signal::Stop);
    let inside = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
        AND query LIKE 'COPY%' AND wait_event = 'ClientRead'";
    poll("the server to wait inside COPY", LONG, || (site.sql(inside) == "1").then_some(()));
    let begun = Instant::now();
    site.settle_within(Duration::from_secs(15));
    assert!(begun.elapsed() > Duration::from_secs(1), "nothing was held: the test shows nothing");

    stopped.signal(Signal::Continue);
    proxy.thaw();
    sent.extend(site.produce(500));
    site.settle();
    site.expect_exact(&sent);
}

/// Under load the answer of a commit is lost in three ways, one after the other.
fn lost_commits(name: &str, rows: &str, wanted: Option<&str>) {
    let site = Site::shared(name, 4);
    let (proxy, through) = site.proxy();
    let limits = ["postgres.statement_timeout=1s", "postgres.lock_timeout=1s"];
    let daemon = site.ready("only", &[rows, limits[0], limits[1], &through]);
    let stream = site.stream();
    for (count, fault) in (1..).zip([Fault::CutBefore, Fault::CutAfter, Fault::Silence]) {
        let stored = || daemon.metric("tidemill_intake_stored_records_total");
        let before = stored().unwrap_or(0.0);
        poll("rows to be stored", LONG, || (stored()? > before).then_some(()));
        match wanted {
            Some(text) => proxy.on_statement(text, 0, fault),
            None => proxy.on_commit(0, fault),
        }
        until("the fault to happen", LONG, || (proxy.fired() == count).then_some(()));
    }
    let sent = stream.stop();
    site.settle();
    site.expect_exact(&sent);
    let ambiguous = daemon.metric_with("tidemill_writer_repeated_retries_total", &["fault=\"ambiguous\""]);
    assert_eq!(ambiguous, Some(3.0), "each was an open outcome");
    let found = daemon.metric_with("tidemill_writer_mark_misses_total", &["verdict=\"stored\""]).unwrap();
    assert!(found >= 2.0, "two of them had happened, for one partition at least");
    assert_eq!(daemon.metric("tidemill_intake_unaccounted_records"), Some(0.0));
}

#[test]
fn w4_the_lost_answer_of_one_statement_is_cleared_up() {
    lost_commits("w4-statement", "postgres.statement_rows=100000", Some("with fence"));
}

#[test]
fn w4_the_lost_answer_of_a_commit_behind_copy_is_cleared_up() {
    lost_commits("w4-copy", "postgres.statement_rows=0", None);
}
