//! `tidemill check`: all that is wrong at once, an exit code that tells wrong from away, and nothing written.

use std::fs;
use std::time::Duration;
use std::time::Instant;

use crate::world::Bundle;
use crate::world::NOWHERE;
use crate::world::World;
use crate::world::run_on;

const UNREACHABLE: &str = "unreachable, a run would wait";

#[test]
fn when_everything_is_fine_it_says_so_and_writes_nothing() {
    let world = World::migrated();
    let ran = world.run(&["check"]);
    ran.says(0, &["payments (4 partitions)", "mill threads; memory at most", "everything is fine"]);
    assert_eq!(ran.err, "", "stderr is for a configuration that cannot be used");
    let all = [
        "configuration",
        "model",
        "graph",
        "golden",
        "event",
        "kafka",
        "topics",
        "plan",
        "postgres",
        "table",
        "positions",
    ];
    for what in all {
        assert!(ran.line(what).starts_with("ok "), "{ran}");
    }
    assert!(ran.line("model").contains("fraud gbt-1"), "{ran}");
    assert_eq!(world.written(), "0\n0\n0\n0\n0");
}

#[test]
fn a_missing_bundle_hides_nothing_else() {
    let world = World::migrated();
    let ran = world.run(&["check", "--sample", "10", "--set", "model.bundle=/nonexistent/bundle"]);
    ran.says(2, &["a run would not start"]);
    assert!(ran.line("model").starts_with("FAIL") && ran.line("model").contains("/nonexistent/bundle"), "{ran}");
    for what in ["golden", "table", "sample"] {
        assert!(ran.line(what).starts_with("- ") && ran.line(what).contains("not checked"), "{ran}");
    }
    for what in ["kafka", "topics", "postgres"] {
        assert!(ran.line(what).starts_with("ok "), "{ran}");
    }
}

#[test]
fn golden_records_that_differ_are_named_by_line_and_output() {
    let world = World::migrated();
    let bundle = Bundle::copy("mlp");
    bundle.spoil_golden(3, "score", "0.125");
    bundle.spoil_golden(5, "is_fraud", "7");
    let ran = world.run(&["check", "--set", &bundle.argument]);
    ran.says(2, &[]);
    let line = ran.line("golden");
    assert!(line.starts_with("FAIL") && line.contains("2 outputs differ"), "{ran}");
    assert!(
        line.contains("line 3: score expected 0.125, got 0.") && line.contains("line 5: is_fraud expected 7"),
        "{ran}"
    );
    for what in ["model", "kafka", "table"] {
        assert!(ran.line(what).starts_with("ok "), "{ran}");
    }
    fs::remove_file(bundle.path().join("golden.jsonl")).expect("it is there");
    let ran = world.run(&["check", "--set", &bundle.argument]);
    assert!(ran.code == 2 && ran.line("golden").contains("golden.jsonl"), "{ran}");
}

#[test]
fn everything_that_is_wrong_with_the_table_is_named_at_once() {
    let world = World::migrated();
    let user = format!("reader_{}", world.database);
    world.sql(&format!(
        "DROP VIEW fraud_scores_readable; ALTER TABLE fraud_scores DROP COLUMN score;
         ALTER TABLE fraud_scores ALTER COLUMN is_fraud TYPE date USING NULL; ALTER TABLE fraud_scores ADD COLUMN extra int NOT NULL;
         CREATE ROLE {user} LOGIN; GRANT USAGE ON SCHEMA tidemill TO {user};
         GRANT SELECT, INSERT, UPDATE ON tidemill.source, tidemill.model, tidemill.progress TO {user}"
    ));
    let ran = world.run_as(&world.pg.url_as(&user, &world.database), &["check"]);
    ran.says(2, &["column score does not exist", "column is_fraud is date", "column extra (integer) is NOT NULL"]);
    ran.says(2, &[&format!("{user} may not INSERT on public.fraud_scores")]);
    ran.says(2, &[&format!("{user} may not INSERT on tidemill.dead_letter")]);
    assert!(ran.line("table").starts_with("FAIL"), "{ran}");
    assert!(ran.line("postgres").starts_with("ok "), "{ran}");
    assert!(ran.line("kafka").starts_with("ok "), "{ran}");
}

#[test]
fn tables_that_were_never_made_are_named_with_the_way_out() {
    let ran = World::new().run(&["check"]);
    ran.says(2, &["control table tidemill.progress does not exist", "fraud_scores does not exist", "tidemill migrate"]);
    assert!(ran.line("positions").starts_with("- "), "{ran}");
}

#[test]
fn services_that_are_away_are_waited_for_by_a_run_so_the_exit_code_is_another() {
    let world = World::migrated();
    let started = Instant::now();
    let ran = run_on(&world.bootstrap, &format!("postgres://postgres@{NOWHERE}/x"), &["check"]);
    ran.says(4, &[]);
    assert!(ran.line("postgres").starts_with("FAIL") && ran.line("postgres").contains(UNREACHABLE), "{ran}");
    assert!(ran.line("topics").starts_with("ok ") && ran.line("table").starts_with("- "), "{ran}");

    let ran = run_on(NOWHERE, &world.url, &["check", "--sample", "5"]);
    ran.says(4, &[]);
    assert!(ran.line("kafka").starts_with("FAIL") && ran.line("kafka").contains(UNREACHABLE), "{ran}");
    assert!(ran.line("table").starts_with("ok ") && ran.line("sample").starts_with("- "), "{ran}");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[test]
fn what_is_wrong_counts_more_than_what_is_away() {
    let bad = [
        "check",
        "--set",
        "table.fields=[{column=\"a\",field=\"a..b\",type=\"text\"},{column=\"offset\",field=\"c\",type=\"text\"}]",
    ];
    let world = World::new();
    let ran = run_on(&world.bootstrap, &format!("postgres://postgres@{NOWHERE}/x"), &bad);
    ran.says(2, &["table.fields[0].field", "two values go to column `offset`"]);
    assert!(ran.line("postgres").contains(UNREACHABLE), "{ran}");
}

#[test]
fn a_database_that_refuses_us_is_not_away() {
    let world = World::new();
    let ran = world.run_as(&world.pg.url("no_such_database"), &["check"]);
    assert!(ran.code == 2 && ran.line("postgres").contains("no_such_database"), "{ran}");
    assert!(!ran.out.contains(UNREACHABLE), "{ran}");
}

#[test]
fn missing_topics_are_named_beside_those_that_are_there() {
    let world = World::migrated();
    let ran = world.run(&["check", "--sample", "5", "--set", "kafka.topics=[\"refunds\",\"payments\",\"fees\"]"]);
    ran.says(2, &["refunds does not exist", "fees does not exist", "there: payments (4 partitions)"]);
    assert!(ran.line("sample").starts_with("ok "), "{ran}");
}

#[test]
fn memory_that_does_not_fit_the_partitions_is_refused() {
    let world = World::new();
    let ran = world.run(&["check", "--set", "intake.memory=256KiB"]);
    assert!(ran.code == 2 && ran.line("plan").contains("does not fit 4 partitions"), "{ran}");
    let ran = world.run(&["check", "--set", "intake.in_flight_bytes=8000000MiB"]);
    assert!(ran.code == 2 && ran.line("plan").contains("lower intake.memory"), "{ran}");
}

#[test]
fn positions_of_another_group_are_refused_before_a_run_is() {
    let world = World::migrated();
    let first = world.run(&["check"]);
    let cluster = first.line("kafka").split_whitespace().nth(3).expect("the cluster's id").to_owned();
    world.sql(&format!(
        "INSERT INTO tidemill.source (pipeline, cluster_id, topic, group_id, partitions) VALUES ('fraud', '{cluster}', 'payments', 'others', 4)"
    ));
    let ran = world.run(&["check"]);
    assert!(ran.code == 2 && ran.line("positions").contains("as group others"), "{ran}");
    let ran = world.run(&["check", "--set", "kafka.group=others"]);
    assert!(ran.code == 0 && ran.line("positions").contains("1 of 1 topics are known"), "{ran}");
}
