//! What the machine denies to the process: a reader of its log, file descriptors, a terminal, small records.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tidemill::demo::payments::Payments;

use crate::load::Load;
use crate::load::kafka;
use crate::load::site;
use crate::load::stored;
use crate::site::LONG;
use crate::site::poll;
use crate::support::daemon::Daemon;
use crate::support::daemon::Start;
use crate::support::produce::payloads;
use crate::support::psql::end_sessions;
use crate::support::signal::Signal;

#[test]
fn a13_a_hangup_changes_nothing() {
    let site = site("a13", 2);
    let load = Load::on(&site, &[]);
    load.daemon.signal(Signal::Hangup);
    poll("a word about it", LONG, || load.daemon.log().contains("SIGHUP").then_some(()));
    load.more();
    load.settled();
}

#[test]
fn a16_a_log_that_nobody_reads_holds_nothing_up() {
    let site = site("a16", 2);
    let mut daemon =
        site.unread("only", &["log.level=debug", "log.buffer=64KiB", "kafka.options.debug=fetch,protocol,msg"]);
    daemon.wait_until_ready(LONG);
    let lost = || daemon.metric("tidemill_log_dropped_events_total").unwrap_or(0.0);
    let mut sent = vec![];
    poll("lines to be dropped", LONG, || {
        sent.extend(site.produce(100));
        (lost() > 100.0).then_some(())
    });
    sent.extend(site.produce(500));
    site.settle();
    site.expect_exact(&sent);
    daemon.signal(Signal::Term);
    assert_eq!(daemon.wait(LONG).code(), Some(0));
}

/// Seconds of CPU that a process has used.
fn cpu(daemon: &Daemon) -> f64 {
    let text = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).expect("it runs");
    let numbers = text.rsplit(") ").next().expect("the kernel's form");
    let ticks: Vec<f64> = numbers.split(' ').filter_map(|n| n.parse().ok()).collect();
    // State is not a number: user and system time are the 11th and 12th behind it.
    (ticks[10] + ticks[11]) / 100.0
}

#[test]
#[ignore = "slow; make faults"]
fn c11_without_file_descriptors_it_waits_and_goes_on() {
    let site = site("c11", 2);
    let load = Load::on(&site, &["writer.retry.cap=500ms"]);
    let limit = |n: &str| {
        let mut prlimit = Command::new("prlimit");
        prlimit.args(["--pid", &load.daemon.pid().to_string(), &format!("--nofile={n}:")]);
        assert!(prlimit.status().expect("prlimit runs").success());
    };
    limit("8");
    end_sessions(site.postgres, &site.database);
    poll("the cause in the log", LONG, || load.daemon.log().contains("Too many open files").then_some(()));
    let before = cpu(&load.daemon);
    thread::sleep(Duration::from_secs(3));
    let used = cpu(&load.daemon) - before;
    assert!(used < 1.5, "{used} s of CPU in 3 s: something spins");
    limit("1024");
    load.more();
    load.settled();
}

#[test]
fn an_empty_file_is_refused_with_what_is_missing() {
    let ops = SocketAddr::from(([127, 0, 0, 1], 1));
    let start = Start { name: "empty", config: "", ops, arguments: &["run"], environment: &[] };
    let mut daemon = Daemon::start(&start);
    assert_eq!(daemon.wait(LONG).code(), Some(2));
    let log = daemon.log();
    assert!(["name", "kafka", "model", "postgres"].iter().any(|key| log.contains(key)), "{log}");
}

#[test]
fn b28_a_record_larger_than_the_fetch_limits_passes() {
    let site = site("b28", 1);
    let mut events = Payments::new(11);
    let mut event = |extra: usize| {
        let mut payload = events.make().payload.to_vec();
        payload.pop();
        payload.extend(format!(",\"extra\":\"{}\"}}", "y".repeat(extra)).as_bytes());
        (b"k".to_vec(), payload)
    };
    let all = [10, 900_000, 10, 700_000, 800_000, 10].map(&mut event);
    payloads(kafka().bootstrap(), &site.topic, all.into_iter());
    // What is fetched at once for a partition is a fraction of a record here.
    let daemon = site.ready("only", &["intake.memory=256KiB", "intake.in_flight_bytes=1MiB", "batch.bytes_max=512KiB"]);
    site.settle();
    assert_eq!(site.sql("SELECT count(*) FROM public.scores"), "6");
    // The daemon counts a record after its row can be seen.
    poll("six records to be counted", LONG, || (stored(&daemon) == 6.0).then_some(()));
}
