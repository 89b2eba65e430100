//! The table of SQLSTATEs against the server's own list of codes, and what follows from it on a real server.

use std::fs;
use std::sync::Arc;

use tidemill::adapters::postgres::connect::Database;
use tidemill::adapters::postgres::contract;
use tidemill::adapters::postgres::options::PostgresOptions;
use tidemill::adapters::postgres::options::Url;
use tidemill::adapters::postgres::sqlstate;
use tidemill::ports::Sink;
use tidemill::ports::SinkFault;

use crate::fixture::Fixture;
use crate::fixture::ME;
use crate::fixture::blank;
use crate::fixture::lane;
use crate::fixture::outputs;
use crate::fixture::ready;
use crate::fixture::run;

#[tokio::test]
async fn every_code_of_the_server_has_a_fault_and_only_data_classes_make_dead_letters() {
    let share = blank().sql("SELECT setting FROM pg_config WHERE name = 'SHAREDIR'");
    let text = fs::read_to_string(format!("{}/errcodes.txt", share.trim())).expect("the server brings its list");
    let codes: Vec<&str> = text
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .filter(|code| code.len() == 5 && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()))
        .collect();
    assert!(codes.len() > 240, "{} codes", codes.len());
    let unknown: Vec<_> = codes.iter().filter(|c| sqlstate::find(c).is_none()).collect();
    assert!(unknown.is_empty(), "no line for {unknown:?}");
    let data = |c: &&&str| sqlstate::judge(c, "").fault == SinkFault::Data;
    for code in codes.iter().filter(data) {
        assert!(["22", "23", "44", "54", "P0"].contains(&&code[..2]), "{code} would make dead letters");
    }
    for line in sqlstate::TABLE.iter().filter(|e| e.code.len() == 5 && e.code != "25P04") {
        assert!(codes.contains(&line.code), "{} is no code of the server", line.code);
    }
}

#[tokio::test]
async fn d14_a_column_that_went_away_is_written_to_again_once_it_is_back() {
    for form in [1000, 0] {
        let f = ready().await;
        let epoch = f.claim(lane(0)).await;
        let mut sink = f.sink(form);
        sink.store(&f.group(&[run(lane(0), epoch, 0, 5)])).await.unwrap();
        f.sql("DROP VIEW scores_readable; ALTER TABLE scores DROP COLUMN score");
        let next = f.group(&[run(lane(0), epoch, 5, 9)]);
        let first = sink.store(&next).await.unwrap_err();
        assert_eq!(first.fault, SinkFault::Contract, "form {form}: {first}");
        let told = sink.store(&next).await.unwrap_err();
        assert!(told.fault == SinkFault::Contract && told.message.contains("score"), "form {form}: {told}");
        f.sql("ALTER TABLE scores ADD COLUMN score real");
        let wrong = sink.store(&next).await.unwrap_err();
        assert!(
            wrong.fault == SinkFault::Contract && wrong.message.contains("changed its type"),
            "form {form}: {wrong}"
        );
        // At the end now, and it may be null: both do not matter.
        f.sql("ALTER TABLE scores DROP COLUMN score, ADD COLUMN score double precision");
        assert_eq!(sink.store(&next).await.unwrap().len(), 1, "form {form}: without a new sink");
        assert_eq!(f.sql("SELECT count(*), max(score) FROM scores"), "9|2");
    }
}

#[tokio::test]
async fn d24_a_row_without_a_partition_is_told_apart_from_one_that_a_check_refuses() {
    let f = ready().await;
    f.sql(
        "DROP VIEW scores_readable; ALTER TABLE scores RENAME TO old;
         CREATE TABLE scores (LIKE old INCLUDING ALL) PARTITION BY RANGE (\"offset\");
         CREATE TABLE scores_0 PARTITION OF scores FOR VALUES FROM (0) TO (7)",
    );
    let epoch = f.claim(lane(0)).await;
    let table = contract::check(&f.database, &f.table_options, &outputs()).await.unwrap_or_else(|e| panic!("{e}"));
    let f = Fixture { table: Arc::new(table), ..f };
    let group = f.group(&[run(lane(0), epoch, 0, 9)]);
    let mut sink = f.sink(0);
    assert_eq!(sink.store(&group).await.unwrap_err().fault, SinkFault::Data);
    let guilty = sink.isolate(&group).await.unwrap();
    let found: Vec<_> = guilty.iter().map(|g| (g.record, g.why.reason)).collect();
    assert_eq!(found, [(7, "no_partition"), (8, "no_partition")]);
}

#[tokio::test]
async fn d18_a_revoked_grant_needs_a_person_and_names_the_way_out() {
    let f = ready().await;
    let epoch = f.claim(lane(0)).await;
    f.sql(
        "DROP ROLE IF EXISTS less; CREATE ROLE less LOGIN; GRANT USAGE ON SCHEMA tidemill, public TO less;
         GRANT SELECT, UPDATE ON tidemill.progress TO less",
    );
    let url = f.pg.url_as("less", &f.name);
    let options = PostgresOptions { url: Url::new(url), ..f.options.clone() };
    let database = Database::new(&options, 2).unwrap();
    for form in [1000, 0] {
        let mut sink = f.sink_of(ME, form, &database);
        let e = sink.store(&f.group(&[run(lane(0), epoch, 0, 5)])).await.unwrap_err();
        assert_eq!((e.fault, e.sqlstate.as_deref()), (SinkFault::Operator, Some("42501")), "form {form}: {e}");
        assert!(e.message.contains("scores") && e.message.contains("grant"), "{e}");
    }
}
