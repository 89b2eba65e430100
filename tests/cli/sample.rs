//! `tidemill check --sample N`: the newest records are judged as a run would judge them, and nobody notices.

use tidemill::demo::poison::Poison;

use crate::support::produce::Load;
use crate::support::produce::kinds;
use crate::support::produce::payments;
use crate::world::NOWHERE;
use crate::world::TOPIC;
use crate::world::World;
use crate::world::run_on;

/// Number in front of a word, such as 12 in `12 skipped`.
fn number(text: &str, before: &str) -> u64 {
    let at = text.find(before).unwrap_or_else(|| panic!("no {before:?} in {text}"));
    let digits = text[..at].trim_end().rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or_else(|e| panic!("{before:?} has no number in {text}: {e}"))
}

/// The number behind `dead-lettered at STAGE, REASON:`.
fn dead(out: &str, reason: &str) -> u64 {
    let lines = out.lines().filter(|l| l.contains("dead-lettered at ") && l.contains(&format!(", {reason}: ")));
    let counts = lines.map(|l| {
        let rest = l.split(": ").nth(1).expect("it was looked for");
        rest.split(' ').next().unwrap_or(rest).parse::<u64>().expect("a count")
    });
    counts.sum()
}

#[test]
fn poisoned_records_are_counted_by_cause_and_nothing_is_left_behind() {
    let world = World::migrated();
    let load = Load { records: 3_000, seed: 5, poisoned: 0.1 };
    let sent = payments(&world.bootstrap, TOPIC, load);
    let kinds = kinds(&sent);
    let of = |kind| kinds.get(&Some(kind)).copied().unwrap_or_default();
    let clean = kinds[&None];
    let ran = world.run(&["check", "--sample", "1000000"]);
    ran.says(0, &["3000 of the newest records"]);
    let line = ran.line("sample");
    assert!(line.starts_with("ok "), "{ran}");
    assert_eq!(number(line, "would be stored"), clean, "{ran}");
    assert_eq!(number(line, "dead-lettered"), 3_000 - clean, "{ran}");
    assert_eq!(number(line, "skipped"), 0, "{ran}");
    assert_eq!(dead(&ran.out, "missing_field"), of(Poison::MissingField), "{ran}");
    assert_eq!(dead(&ran.out, "wrong_type"), of(Poison::WrongType), "{ran}");
    assert_eq!(dead(&ran.out, "bad_utf8"), of(Poison::InvalidUtf8), "{ran}");
    assert_eq!(dead(&ran.out, "too_deep"), of(Poison::TooDeep), "{ran}");
    assert_eq!(dead(&ran.out, "bad_json"), of(Poison::Malformed) + of(Poison::Truncated), "{ran}");

    // The examples are coordinates of records that are of this kind.
    let missing = ran.out.lines().find(|l| l.contains("missing_field")).expect("there are such records");
    let (_, examples) = missing.split_once("such as ").expect("examples are named");
    let examples: Vec<&str> = examples.split("; ").next().unwrap_or_default().split(", ").collect();
    assert_eq!(examples.len(), 3, "{ran}");
    for example in examples {
        let found = sent.iter().find(|s| format!("{TOPIC}[{}]@{}", s.partition, s.offset) == example);
        assert_eq!(found.and_then(|s| s.poison), Some(Poison::MissingField), "{example}");
    }
    assert!(!ran.out.contains("pay-0"), "payloads are never shown: {ran}");
    assert_eq!(world.written(), "0\n0\n0\n0\n0");
}

#[test]
fn skip_rules_count_by_name_and_only_the_newest_are_read() {
    let world = World::migrated();
    payments(&world.bootstrap, TOPIC, Load { records: 2_000, seed: 6, poisoned: 0.0 });
    let rules =
        "skip=[{name=\"shops\",field=\"device.kind\",in=[\"pos\",\"moto\"]},{header=\"kind\",equals=\"clean\"}]";
    let ran = world.run(&["check", "--sample", "400", "--set", rules]);
    let line = ran.line("sample").to_owned();
    let total = number(&line, "of the newest records");
    assert!((300..=400).contains(&total), "{ran}");
    ran.says(0, &["skipped by rule_1: "]);
    assert_eq!(number(&line, "skipped"), total, "{ran}");

    let rules = "skip=[{name=\"shops\",field=\"device.kind\",in=[\"pos\",\"moto\"]}]";
    let ran = world.run(&["check", "--sample", "400", "--set", rules]);
    ran.says(0, &["skipped by shops: "]);
    let line = ran.line("sample");
    let skipped = number(line, "skipped");
    assert!(skipped > total / 5 && skipped < total / 2, "two of five kinds of device: {ran}");
    assert_eq!(number(line, "would be stored") + skipped, total, "{ran}");
}

#[test]
fn without_a_table_the_sample_says_what_it_cannot_see() {
    let world = World::new();
    payments(&world.bootstrap, TOPIC, Load { records: 100, seed: 7, poisoned: 0.0 });
    let url = format!("postgres://postgres@{NOWHERE}/x");
    let ran = run_on(&world.bootstrap, &url, &["check", "--sample", "100"]);
    ran.says(4, &["rows were not encoded, since the table is unknown"]);
    assert!(ran.line("sample").starts_with("ok "), "{ran}");
}

#[test]
fn values_that_the_table_cannot_hold_are_seen() {
    let world = World::migrated();
    world.sql("DROP VIEW fraud_scores_readable; ALTER TABLE fraud_scores ALTER COLUMN merchant TYPE varchar(5)");
    payments(&world.bootstrap, TOPIC, Load { records: 500, seed: 8, poisoned: 0.0 });
    let ran = world.run(&["check", "--sample", "500"]);
    ran.says(0, &["dead-lettered at write, ", "merchant"]);
    let line = ran.line("sample");
    // m0 to m9999 fit: a fifth of all.
    assert!(number(line, "would be stored") < 200 && number(line, "dead-lettered") > 300, "{ran}");
}

#[test]
fn a_model_that_fits_no_record_is_wrong_and_an_empty_topic_is_not() {
    let world = World::migrated();
    world.run(&["check", "--sample", "10"]).says(0, &["the topics are empty"]);
    payments(&world.bootstrap, TOPIC, Load { records: 100, seed: 9, poisoned: 1.0 });
    let ran = world.run(&["check", "--sample", "100"]);
    assert!(ran.code == 2 && ran.line("sample").starts_with("FAIL"), "{ran}");
}
