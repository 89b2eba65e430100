//! Dead letters as operators see and treat them (rule J6, promises P1 and P6).

use crate::command::run;
use crate::command::start;
use crate::site::LONG;
use crate::site::Site;
use crate::site::poll;
use crate::support::produce::Load;
use crate::support::produce::Sent;
use crate::support::produce::payments;

/// A site where so many payments were processed, 5 % of them poisoned, and nothing runs any more.
fn processed(name: &str, partitions: i32, records: u64) -> (Site<'static>, Vec<Sent>) {
    let site = Site::shared(name, partitions);
    let load = Load { records, seed: 7, poisoned: 0.05 };
    let sent = payments(site.kafka.bootstrap(), &site.topic, load);
    let _daemon = site.ready("only", &[]);
    site.settle();
    (site, sent)
}

#[test]
fn p6_dead_letters_are_found_counted_and_shown() {
    let (site, sent) = processed("list", 2, 600);
    let dead = sent.iter().filter(|s| s.poison.is_some()).count() as u64;
    assert!(dead >= 6);

    let list = run(&site, &["dead-letters", "list", "--json", "--limit", "1000"]).json();
    let letters = list["dead_letters"].as_array().expect("a list");
    let causes = list["causes"].as_array().expect("a list");
    assert_eq!(letters.len() as u64, dead);
    assert_eq!(causes.iter().map(|c| c["count"].as_u64().unwrap()).sum::<u64>(), dead);
    let text = run(&site, &["dead-letters", "list", "--limit", "2"]);
    text.says(0, &["failed at", &site.topic, "count", &format!("{} more match", dead - 2)]);

    let first = &letters[0];
    let (reason, partition) = (first["reason"].as_str().unwrap(), first["partition"].as_i64().unwrap());
    let place = format!("{}:{partition}", site.topic);
    let few =
        run(&site, &["dead-letters", "list", "--json", "--limit", "1000", "--reason", reason, "--partition", &place])
            .json();
    let want = site.sql(&format!(
        "SELECT count(*) FROM tidemill.dead_letter WHERE reason = '{reason}' AND partition = {partition}"
    ));
    assert_eq!(few["dead_letters"].as_array().unwrap().len().to_string(), want);
    for nothing in [&["--until", "1h"][..], &["--state", "replayed"], &["--topic", "other"], &["--id", "999999"]] {
        run(&site, &[&["dead-letters", "list"], nothing].concat()).says(0, &["no dead letters match"]);
    }

    let id = first["id"].to_string();
    let shown = run(&site, &["dead-letters", "show", &id]);
    shown.says(0, &[reason, &format!("{place}@{}", first["offset"]), "payload", "header        kind"]);
    assert!(shown.out.chars().all(|c| c == '\n' || !c.is_control()), "{shown}");
    // Any bytes come out as they went in: a payload with a control sequence, and one that is not text.
    site.sql(&format!("UPDATE tidemill.dead_letter SET payload = '\\x1b5b324aff0a' WHERE id = {id}"));
    run(&site, &["dead-letters", "show", &id]).says(0, &["payload       \\u{1b}[2J\\xff\\n\n"]);
    let json = run(&site, &["dead-letters", "show", &id, "--json"]).json();
    assert_eq!(json["payload"]["hex"], "1b5b324aff0a");
    let raw = start(&site, &["dead-letters", "show", &id, "--raw"]);
    assert_eq!(raw.child.wait_with_output().expect("it ends").stdout, b"\x1b[2J\xff\n");
    run(&site, &["dead-letters", "show", "999999"]).says(2, &["no dead letter 999999"]);
}

/// A site all of whose records were rejected for what the configuration said then.
fn rejected(name: &str, records: u64, sets: &[&str]) -> Site<'static> {
    let site = Site::shared(name, 2);
    payments(site.kafka.bootstrap(), &site.topic, Load { records, seed: 8, poisoned: 0.0 });
    let _daemon = site.ready("strict", &[&["event.bytes_max=10B", "guard.share=100"], sets].concat());
    site.settle();
    site
}

/// Rows, rows by distinct records, and letters that are open, replayed, skipped and discarded.
fn counts(site: &Site<'_>) -> [i64; 6] {
    let state = |s: &str| format!("(SELECT count(*) FROM tidemill.dead_letter WHERE state = '{s}')");
    let text = site.sql(&format!(
        "SELECT (SELECT count(*) FROM public.scores),
           (SELECT count(*) FROM (SELECT DISTINCT source, partition, \"offset\" FROM public.scores) d), {}, {}, {}, {}",
        state("open"),
        state("replayed"),
        state("skipped"),
        state("discarded")
    ));
    let numbers: Vec<i64> = text.split('|').map(|n| n.parse().expect("a number")).collect();
    numbers.try_into().expect("six of them")
}

#[test]
fn j6_a_replay_stores_each_record_once_though_it_is_killed_and_started_twice() {
    let site = rejected("replay", 3_000, &[]);
    assert_eq!(counts(&site), [0, 0, 3_000, 0, 0, 0]);
    run(&site, &["dead-letters", "replay", "--dry-run"]).says(0, &["dry run", "3000 became rows, 0 failed again"]);
    assert_eq!(counts(&site), [0, 0, 3_000, 0, 0, 0], "nothing was changed");

    let mut killed = start(&site, &["dead-letters", "replay", "--rate", "600"]);
    poll("some rows", LONG, || (counts(&site)[0] > 0).then_some(()));
    killed.child.kill().expect("it still runs");
    assert_eq!(killed.wait().code, None, "a signal ended it");
    // A statement that was under way may still end.
    let [rows, distinct, open, replayed, ..] =
        poll("the last statement to end", LONG, || Some(counts(&site)).filter(|c| c[0] == counts(&site)[0]));
    assert!(rows > 0 && open > 0, "it was killed in the middle: {rows} of 3000");
    assert_eq!([distinct, replayed, open + replayed], [rows, rows, 3_000]);

    let two = ["a", "b"].map(|_| start(&site, &["dead-letters", "replay"])).map(|s| s.wait());
    assert_eq!(two.each_ref().map(|r| r.code), [Some(0), Some(0)], "{}\n{}", two[0], two[1]);
    assert_eq!(counts(&site), [3_000, 3_000, 0, 3_000, 0, 0]);
    run(&site, &["dead-letters", "replay"]).says(0, &["0 tried"]);
    // Coordinates, key and model are those of the record, not of the replay.
    let strange =
        "SELECT count(*) FROM public.scores s JOIN tidemill.dead_letter d USING (source, partition, \"offset\")
        WHERE convert_from(d.key, 'UTF8') IS DISTINCT FROM s.key OR s.payment_id IS NULL OR s.score IS NULL";
    assert_eq!(site.sql(strange), "0");
    run(&site, &["verify"]).says(0, &[]);
}

#[test]
fn j6_what_fails_again_stays_open_counts_its_attempts_and_is_left_alone_in_the_end() {
    let site = rejected("again", 40, &[]);
    let strict = ["dead-letters", "replay", "--set", "event.bytes_max=10B", "--attempts-max", "2"];
    for attempt in ["1", "2"] {
        run(&site, &strict).says(1, &["40 tried: 0 became rows, 40 failed again (decode too_large 40)"]);
        let noted = "SELECT DISTINCT attempts || state || (attempted_at > failed_at) FROM tidemill.dead_letter";
        assert_eq!(site.sql(noted), format!("{attempt}opentrue"));
    }
    run(&site, &strict).says(0, &["0 tried", "40 were left alone after 2 attempts"]);
    run(&site, &[&strict[..], &["--force", "--id", "1"]].concat()).says(1, &["1 tried"]);

    // One that the table refuses, one that is cut, one that a rule leaves out; the others become rows.
    site.sql("ALTER TABLE public.scores ADD CONSTRAINT odd CHECK (partition <> 0 OR \"offset\" <> 3)");
    site.sql("UPDATE tidemill.dead_letter SET payload_sha256 = 'x' WHERE partition = 1 AND \"offset\" = 2");
    site.sql("UPDATE tidemill.dead_letter SET payload = NULL WHERE partition = 1 AND \"offset\" = 3");
    let mixed = run(&site, &["dead-letters", "replay", "--set", "event.tombstones=skip"]);
    mixed.says(
        1,
        &[
            "37 became rows, 1 failed again (write check_violation 1)",
            "1 are left out by a skip rule",
            "1 cannot be tried",
        ],
    );
    assert_eq!(counts(&site), [37, 37, 2, 37, 1, 0]);
    let why =
        site.sql("SELECT stage, reason, attempts FROM tidemill.dead_letter WHERE partition = 0 AND \"offset\" = 3");
    assert_eq!(why, "write|check_violation|3");
    run(&site, &["verify"]).says(0, &[]);
}

#[test]
fn p1_a_purge_drops_bytes_and_keeps_the_account() {
    let site = rejected("purge", 30, &[]);
    site.sql("UPDATE tidemill.dead_letter SET failed_at = now() - interval '40 days' WHERE \"offset\" < 5");
    let purge = |more: &[&str]| run(&site, &[&["dead-letters", "purge", "--because", "too old"], more].concat());
    purge(&[]).says(2, &["--all"]);
    purge(&["--older-than", "50d"]).says(0, &["dropped 0 bytes of 0 dead letters"]);
    purge(&["--older-than", "30d", "--dry-run"]).says(0, &["would drop", "of 10 dead letters"]);
    assert_eq!(counts(&site), [0, 0, 30, 0, 0, 0]);
    purge(&["--older-than", "30d"]).says(0, &["of 10 dead letters"]);
    assert_eq!(counts(&site), [0, 0, 20, 0, 0, 10]);
    let left =
        "SELECT count(*), count(payload), count(key), sum(cardinality(header_names)), count(purged_at), min(reason)
        FROM tidemill.dead_letter WHERE state = 'discarded'";
    assert_eq!(site.sql(left), "10|0|0|0|10|too_large");
    let record =
        "SELECT command, reason, partition, from_offset, to_offset, records FROM tidemill.operation ORDER BY partition";
    assert_eq!(site.sql(record), "purge|too old|0|0|5|5\npurge|too old|1|0|5|5");
    let id = site.sql("SELECT min(id) FROM tidemill.dead_letter WHERE state = 'discarded'");
    run(&site, &["dead-letters", "show", &id]).says(0, &["none: it was purged"]);
    run(&site, &["dead-letters", "replay"]).says(0, &["20 tried: 20 became rows"]);
    purge(&["--all"]).says(0, &["of 20 dead letters"]);
    assert_eq!(counts(&site), [20, 20, 0, 20, 0, 10], "what became a row stays replayed");
}
