//! The failpoints of the real program: each is passed by a real run, and what is armed happens there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use tidemill::failpoints::Point;

use crate::site::LONG;
use crate::site::Site;
use crate::site::lanes;
use crate::site::poll;
use crate::support::folder::Folder;
use crate::support::produce;
use crate::support::signal::Signal;

/// Passes and fires of every failpoint, as a process wrote them into its folder.
fn hits(folder: &Path) -> BTreeMap<String, (u64, u64)> {
    let text = fs::read_to_string(folder.join("hits")).unwrap_or_default();
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |i: usize| words[i].parse().expect("a number");
        (words[0].to_owned(), (number(1), number(2)))
    };
    text.lines().map(line).collect()
}

#[test]
fn every_failpoint_has_a_line_in_the_documentation_and_no_other_has() {
    let page = include_str!("../../docs/chaos.md");
    let table = page.split("| failpoint |").nth(1).expect("the page has a table of failpoints");
    let rows = table.lines().skip(2).take_while(|l| l.starts_with("| `"));
    let written: Vec<&str> = rows.filter_map(|l| l.split('`').nth(1)).collect();
    let compiled: Vec<&str> = Point::ALL.iter().map(|p| p.name()).collect();
    assert_eq!(written, compiled, "docs/chaos.md and src/failpoints/mod.rs differ");
}

#[test]
fn every_failpoint_is_passed_by_a_real_run() {
    let site = Site::shared("failpoints", 4);
    // Some rows are refused by the database alone, so that a group is searched.
    site.sql("ALTER TABLE public.scores ADD CHECK (payment_id NOT LIKE '%7')");
    let folder = Folder::new("failpoints");
    let environment = [("TIDEMILL_FAILPOINTS_DIR", folder.to_str().expect("a path of ours"))];
    let mut first = site.daemon_in("first", &["postgres.statement_rows=1"], &environment);
    first.wait_until_ready(LONG);
    site.produce(400);
    site.settle();
    // A claim of nobody: fenced, and its partitions are read again from their marks.
    site.sql("UPDATE tidemill.progress SET epoch = epoch + 1, owner = gen_random_uuid()");
    site.produce(400);
    site.settle();
    let second = site.ready("second", &[]);
    lanes(&second, "assigned", 2);
    first.signal(Signal::Term);
    assert_eq!(first.wait(LONG).code(), Some(0));
    let hits = hits(&folder);
    let missed: Vec<&str> = Point::ALL
        .iter()
        .map(|p| p.name())
        .filter(|name| hits.get(*name).is_none_or(|(passed, _)| *passed == 0))
        .collect();
    assert!(missed.is_empty(), "nothing passed {missed:?}: {hits:?}");
    assert_eq!(hits.len(), Point::ALL.len());
    assert!(hits.values().all(|(_, fired)| *fired == 0), "nothing was armed");
}

/// One process is killed at a failpoint in the middle of a load; another finishes the work.
fn killed_at(point: Point, sets: &[&str]) {
    let site = Site::shared(point.name(), 4);
    let folder = Folder::new("killed");
    let plan = format!("{}=kill,skip=2", point.name());
    let environment =
        [("TIDEMILL_FAILPOINTS_DIR", folder.to_str().expect("a path of ours")), ("TIDEMILL_FAILPOINTS", &plan)];
    let mut killed = site.daemon_in("killed", sets, &environment);
    let stream = site.stream();
    assert_eq!(killed.wait(LONG).signal(), Some(9), "{}", point.name());
    let at = hits(&folder)[point.name()];
    assert_eq!(at, (3, 1), "the third pass ended it");
    let _heir = site.ready("heir", sets);
    let sent = stream.stop();
    site.settle();
    site.expect_exact(&sent);
}

#[test]
fn p1_a_kill_before_the_commit_loses_and_doubles_nothing() {
    killed_at(Point::BeforePgCommit, &["postgres.statement_rows=1"]);
}

#[test]
fn p1_a_kill_behind_the_commit_loses_and_doubles_nothing() {
    killed_at(Point::AfterPgCommit, &[]);
}

#[test]
fn a_marker_in_a_payload_aborts_the_process_or_condemns_its_record() {
    let site = Site::shared("marker", 1);
    let marked = |n: usize| {
        let mut payment = tidemill::demo::payments::Payments::new(n as u64 + 1);
        let made = payment.make();
        let text = String::from_utf8(made.payload.to_vec()).expect("a clean payment is text");
        let text = if n == 30 { text.replacen('{', "{\"note\":\"boom\",", 1) } else { text };
        (made.key.to_vec(), text.into_bytes())
    };
    produce::payloads(site.kafka.bootstrap(), &site.topic, (0..60).map(marked));
    let mut aborted = site.daemon_in("aborted", &[], &[("TIDEMILL_FAILPOINTS", "after_decode=abort,match=boom")]);
    assert_eq!(aborted.wait(LONG).signal(), Some(6), "SIGABRT");

    // A plan that changes while the process runs: first it stands, then the model panics on the marked record alone.
    let folder = Folder::new("marker");
    let plan = |text: &str| fs::write(folder.join("plan"), text).expect("the test folder takes a file");
    plan("before_pg_begin=pause;in_infer=panic,match=boom");
    let environment = [("TIDEMILL_FAILPOINTS_DIR", folder.to_str().expect("a path of ours"))];
    let _daemon = site.daemon_in("paused", &[], &environment);
    poll("the pause", LONG, || (hits(&folder).get("before_pg_begin")?.1 > 0).then_some(()));
    assert_eq!(site.sql("SELECT count(*) FROM public.scores"), "0");
    plan("in_infer=panic,match=boom");
    site.settle();
    let dead = site.sql("SELECT \"offset\", stage, reason FROM tidemill.dead_letter");
    assert_eq!(dead, "30|infer|model_panic");
    assert_eq!(site.sql("SELECT count(*) FROM public.scores"), "59");
}
