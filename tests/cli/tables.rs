//! `tidemill migrate` from nothing to done, and a `run` that must not begin.

use crate::world::Bundle;
use crate::world::NOWHERE;
use crate::world::World;
use crate::world::run_on;

#[test]
fn migrate_shows_then_does_then_has_nothing_to_do() {
    let world = World::new();
    let dry = world.run(&["migrate", "--dry-run"]);
    dry.says(0, &["apply migration 1 (control)", "create table public.fraud_scores", "\"score\" double precision"]);
    assert_eq!(world.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'tidemill'"), "0", "only shown");
    let real = world.run(&["migrate"]);
    assert_eq!((real.code, &real.out), (0, &dry.out), "what is shown is what is done");
    assert_eq!(world.written(), "0\n0\n0\n0\n0");
    let again = world.run(&["migrate"]);
    assert_eq!((again.code, again.out.as_str()), (0, "nothing to do: the tables are as they should be\n"));
    assert!(again.err.is_empty(), "{again}");
}

#[test]
fn migrate_tells_away_from_wrong() {
    let ran = run_on(NOWHERE, &format!("postgres://postgres@{NOWHERE}/x"), &["migrate"]);
    assert!(ran.code == 4 && ran.err.contains("cannot connect to postgres"), "{ran}");
    let world = World::new();
    let ran = world.run_as(&world.pg.url("no_such_database"), &["migrate"]);
    assert!(ran.code == 2 && ran.err.contains("no_such_database"), "{ran}");
}

#[test]
fn a_run_on_a_wrong_table_ends_at_once_and_says_why() {
    let world = World::migrated();
    world.sql("DROP VIEW fraud_scores_readable; ALTER TABLE fraud_scores DROP COLUMN score, DROP COLUMN amount");
    let ran = world.run(&["run", "--set", "admin.listen=127.0.0.1:0"]);
    assert_eq!(ran.code, 2, "{ran}");
    let log = format!("{}{}", ran.out, ran.err);
    assert!(log.contains("column score does not exist") && log.contains("column amount does not exist"), "{ran}");
    assert_eq!(world.sql("SELECT count(*) FROM tidemill.source"), "0", "a run that does not begin registers nothing");
}

#[test]
fn a_run_with_golden_records_that_differ_does_not_begin() {
    let world = World::migrated();
    let bundle = Bundle::copy("gbt");
    bundle.spoil_golden(2, "score", "0.5");
    let ran = world.run(&["run", "--set", &bundle.argument, "--set", "admin.listen=127.0.0.1:0"]);
    assert_eq!(ran.code, 2, "{ran}");
    let log = format!("{}{}", ran.out, ran.err);
    assert!(log.contains("golden.jsonl") && log.contains("line 2: score expected 0.5, got 0.7514"), "{ran}");
}
