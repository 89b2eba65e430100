//! Records that are not what the contract says, in mass or deadly (rules J1, J5).

#[cfg(feature = "failpoints")]
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use crate::site::LONG;
use crate::site::Site;
use crate::site::logged;
use crate::site::poll;
use crate::site::reason;
use crate::support::produce::Load;
use crate::support::produce::payloads;
use crate::support::produce::payments;
use crate::support::signal::Signal;

fn dead(site: &Site<'_>) -> u64 {
    site.sql("SELECT count(*) FROM tidemill.dead_letter").trim().parse().expect("a number")
}

#[test]
fn j1_a_flood_stops_the_topic_and_an_accepted_cause_lets_it_go_on() {
    let site = Site::shared("j1-flood", 2);
    let mut daemon = site.ready("only", &["guard.retry=500ms", "guard.poll=200ms"]);
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = vec![];
    (0..400u32).for_each(|i| records.push((i.to_string().into_bytes(), b"{ not json".to_vec())));
    payloads(site.kafka.bootstrap(), &site.topic, records.into_iter());
    let told = reason(&mut daemon, "guard: ");
    assert!(told.contains("decode/bad_json") && told.contains(&site.topic), "{told}");
    // Several tries later it is the same: nothing of the flood got through.
    thread::sleep(Duration::from_secs(2));
    let before = dead(&site);
    assert!(before < 50, "{before} dead letters");
    assert_eq!(daemon.metric("tidemill_intake_unaccounted_records"), Some(0.0));
    let stopped = daemon.metric_with("tidemill_guard_stopped_events_total", &[]).expect("it answers");
    assert!(stopped >= 1.0, "{stopped}");
    let other = site.tool(&["dead-letters", "accept", "--cause", "infer/model_error", "--for", "1h"]);
    assert!(other.contains("on 1 topics"), "{other}");
    thread::sleep(Duration::from_secs(1));
    assert_eq!(dead(&site), before, "another cause was accepted");
    site.tool(&["dead-letters", "accept", "--cause", "decode/bad_json", "--for", "90m", "--topic", &site.topic]);
    site.settle();
    assert_eq!(dead(&site), 400);
    daemon.wait_until_ready(LONG);
    let list = site.tool(&["dead-letters", "accept", "--list"]);
    assert!(list.lines().count() == 2 && list.contains("open") && list.contains("decode/bad_json"), "{list}");
    site.tool(&["dead-letters", "accept", "--cause", "decode/bad_json", "--end"]);
    // The guard still holds the word for 90 minutes: only asking again tells it that it was ended.
    thread::sleep(Duration::from_secs(1));
    payloads(
        site.kafka.bootstrap(),
        &site.topic,
        (0..400u32).map(|i| (i.to_string().into_bytes(), b"{ still".to_vec())),
    );
    let told = reason(&mut daemon, "guard: ");
    assert!(told.contains("decode/bad_json"), "{told}");
    let after = dead(&site);
    assert!(after < 450, "{after} dead letters, 400 of them accepted");
    let audit =
        site.sql("SELECT cause, role, ended_at IS NULL, until - accepted_at FROM tidemill.acceptance ORDER BY id");
    assert_eq!(audit.trim(), "infer/model_error|postgres|t|01:00:00\ndecode/bad_json|postgres|f|01:30:00");
}

#[test]
fn j1_a_cause_that_is_mended_lets_the_topic_go_on_by_itself() {
    let site = Site::shared("j1-mended", 1);
    site.sql("ALTER TABLE public.scores ADD CONSTRAINT closed CHECK (payment_id = '')");
    let mut daemon = site.ready("only", &["guard.retry=500ms"]);
    let sent = site.produce(300);
    let told = reason(&mut daemon, "guard: ");
    assert!(told.contains("write/check_violation"), "{told}");
    // The load has poison of its own, which is none of this.
    let refused = || -> u64 {
        let count = site.sql("SELECT count(*) FROM tidemill.dead_letter WHERE reason = 'check_violation'");
        count.trim().parse().expect("a number")
    };
    site.sql("ALTER TABLE public.scores DROP CONSTRAINT closed");
    site.settle();
    daemon.wait_until_ready(LONG);
    let rows = site.sql("SELECT count(*) FROM public.scores").trim().parse::<usize>().expect("a number");
    assert_eq!(rows + dead(&site) as usize, sent.len());
    let refused = refused();
    assert!(refused < 50, "{refused} dead letters: what came after the mending is stored");
}

/// Rows that a unique index keeps out are skipped records, for the process as for the database.
#[test]
fn w10_p9_rows_that_met_one_already_there_count_as_skipped() {
    let site = Site::shared_bare("w10-skip", 2);
    let sets = ["table.on_conflict=skip", "table.unique_index=true"];
    site.migrate_with(&sets);
    payments(site.kafka.bootstrap(), &site.topic, Load { records: 300, seed: 77, poisoned: 0.0 });
    let mut first = site.ready("first", &sets);
    site.settle();
    first.signal(Signal::Term);
    assert_eq!(first.wait(LONG).code(), Some(0));
    let totals = || site.sql("SELECT sum(stored), sum(skipped), sum(next_offset) FROM tidemill.progress");
    assert_eq!(totals(), "300|0|300");
    site.sql("UPDATE tidemill.progress SET next_offset = 0, fingerprint = NULL WHERE partition = 0");
    let again = site.sql("SELECT count(*) FROM public.scores WHERE partition = 0");
    let mut second = site.ready("second", &sets);
    let more = payments(site.kafka.bootstrap(), &site.topic, Load { records: 100, seed: 78, poisoned: 0.0 }).len();
    site.settle();
    assert_eq!(totals(), format!("400|{again}|400"));
    let read = |name: &str, labels: &[&str]| second.metric_with(name, labels);
    poll("the counts", LONG, || (read("tidemill_intake_stored_records_total", &[]) == Some(more as f64)).then_some(()));
    let skipped = read("tidemill_intake_skipped_records_total", &["rule=\"table.on_conflict\""]);
    assert_eq!(skipped.map(|n| n.to_string()), Some(again.clone()));
    assert_eq!(read("tidemill_intake_unaccounted_records", &[]), Some(0.0));
    second.signal(Signal::Term);
    assert_eq!(second.wait(LONG).code(), Some(0));
    assert_eq!(logged(&second, "counts", "skipped").map(|n| n.to_string()), Some(again));
}

/// A table that lost a column under a running process: nothing is consumed, nothing is a dead letter, and once it is mended the
/// process goes on by itself.
#[test]
fn d14_a_table_that_is_mended_is_written_to_without_a_restart() {
    let site = Site::shared("d14-column", 2);
    let mut daemon = site.ready("only", &["postgres.statement_rows=1"]);
    let mut sent = site.produce(200);
    site.settle();
    site.sql("DROP VIEW public.scores_readable; ALTER TABLE public.scores DROP COLUMN payment_id");
    sent.extend(site.produce(200));
    let told = reason(&mut daemon, "postgres_contract: ");
    assert!(told.contains("payment_id"), "{told}");
    thread::sleep(Duration::from_secs(1));
    site.sql("ALTER TABLE public.scores ADD COLUMN payment_id text");
    site.settle();
    site.expect_exact(&sent);
    daemon.wait_until_ready(LONG);
    let breaker =
        |state: &str| daemon.metric_with("tidemill_breaker_current_breakers", &[&format!("state=\"{state}\"")]);
    poll("the breaker to close", LONG, || {
        (breaker("closed") == Some(1.0) && breaker("open") == Some(0.0)).then_some(())
    });
}

/// A payload that aborts whoever scores it; a supervisor that starts a new process each time, as an orchestrator does.
#[cfg(feature = "failpoints")]
#[test]
fn j5_a_record_that_aborts_the_process_is_a_dead_letter_and_its_neighbours_are_rows() {
    let site = Site::shared("j5-abort", 3);
    let mut sent = site.produce(600);
    let deadly = br#"{"id": "CRASHME", "ts": "2026-01-01T00:00:00Z"}"#;
    payloads(site.kafka.bootstrap(), &site.topic, std::iter::once((b"deadly".to_vec(), deadly.to_vec())));
    sent.extend(site.produce(600));
    // A static member gets its partitions back at once.
    let sets = ["kafka.group_instance_id=only"];
    let environment = [("TIDEMILL_FAILPOINTS", "after_decode=abort,match=CRASHME")];
    let ends: BTreeMap<i32, i64> = site.kafka.end_offsets(&site.topic);
    let mut exits = 0;
    let mut daemon = site.daemon_in("0", &sets, &environment);
    poll("the log to be read to its end", 3 * LONG, || {
        if let Some(status) = daemon.exit() {
            exits += 1;
            assert_eq!(status.code(), None, "it aborted: {status}");
            assert!(exits <= 5, "it knocks out one process after another");
            daemon = site.daemon_in(&exits.to_string(), &sets, &environment);
        }
        (site.marks() == ends).then_some(())
    });
    assert!((3..=5).contains(&exits), "{exits} unclean ends");
    let row = "SELECT count(*), min(stage || '/' || reason) FROM tidemill.dead_letter WHERE key = 'deadly'";
    assert_eq!(site.sql(row).trim(), "1|process/crashed_process");
    site.sql("DELETE FROM tidemill.dead_letter WHERE key = 'deadly'");
    site.expect_exact(&sent);
    poll("care to end", LONG, || (site.sql("SELECT count(*) FROM tidemill.attempt").trim() == "0").then_some(()));
}
