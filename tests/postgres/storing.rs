//! W2, W3, W10: what is stored, counted and fenced, in both forms.

use std::sync::Arc;
use std::time::Instant;

use tidemill::adapters::postgres::contract::check;
use tidemill::adapters::postgres::horizon::oldest;
use tidemill::adapters::postgres::migrate::migrate;
use tidemill::adapters::postgres::options::OnConflict;
use tidemill::adapters::postgres::options::PostgresOptions;
use tidemill::adapters::postgres::options::TableOptions;
use tidemill::adapters::postgres::options::Url;
use tidemill::domain::lane::Epoch;
use tidemill::domain::lane::Lane;
use tidemill::domain::scored::Group;
use tidemill::ports::Moved;
use tidemill::ports::Sink;
use tidemill::ports::SinkFault;
use tokio_postgres::NoTls;

use crate::fixture::Blank;
use crate::fixture::Run;
use crate::fixture::blank;
use crate::fixture::counts;
use crate::fixture::lane;
use crate::fixture::outputs;
use crate::fixture::ready;
use crate::fixture::rec;
use crate::fixture::run;
use crate::support::Postgres;

/// By one statement, and by COPY.
const FORMS: [usize; 2] = [1000, 0];

fn lanes(moved: &[Moved]) -> Vec<Lane> {
    moved.iter().map(|m| m.lane).collect()
}

#[tokio::test]
async fn w3_rows_dead_letters_and_marks_move_together() {
    for form in FORMS {
        let f = ready().await;
        let (a, b) = (lane(0), Lane { topic: 1, partition: 4 });
        let (ea, eb) = (f.claim(a).await, f.claim(b).await);
        let mut sink = f.sink(form);
        let mut runs = vec![run(a, ea, 0, 5), run(b, eb, 0, 3), Run { expected: 5, ..run(a, ea, 9, 12) }];
        runs[0].records[1].dead = true;
        runs[1].records[2].skip = true;
        runs[2].end = 20;
        let group = f.group(&runs);
        assert_eq!(counts(&group).total(), 11);
        let moved = sink.store(&group).await.unwrap();
        assert_eq!(
            moved,
            vec![Moved { lane: a, rows: 7, dead: 1 }, Moved { lane: b, rows: 2, dead: 0 }],
            "form {form}"
        );
        let progress = "SELECT topic, partition, next_offset, stored, dead_lettered, skipped, fingerprint IS NOT NULL \
                        FROM tidemill.progress JOIN tidemill.source s ON s.id = source ORDER BY 1";
        assert_eq!(f.sql(progress), "payments|0|20|7|1|0|t\nrefunds|4|3|2|0|1|t");
        let rows = "SELECT topic_name, partition, string_agg(\"offset\"::text, ',' ORDER BY \"offset\") \
                    FROM scores_readable GROUP BY 1, 2 ORDER BY 1";
        assert_eq!(f.sql(rows), "payments|0|0,2,3,4,9,10,11\nrefunds|4|0,1");
        let one = "SELECT \"offset\", convert_from(key, 'UTF8'), score, label, probs, model_name, model_version, \
                   extract(epoch FROM event_time), extract(epoch FROM processed_at) FROM scores_readable \
                   WHERE \"offset\" = 10 AND partition = 0";
        assert_eq!(f.sql(one), "10|k10|2.5|ok|{0.5,-1.5,10}|fraud|1|1600000000.010000|1700000000.000000");
    }
}

#[tokio::test]
async fn w9_the_server_says_what_the_marks_took() {
    for form in FORMS {
        let f = ready().await;
        let epoch = f.claim(lane(0)).await;
        let mut sink = f.sink(form);
        assert!(sink.fence_time().is_zero());
        let begun = Instant::now();
        sink.store(&f.group(&[run(lane(0), epoch, 0, 5)])).await.unwrap();
        let fence = sink.fence_time();
        assert!(!fence.is_zero() && fence < begun.elapsed(), "form {form}: {fence:?}");
    }
}

#[tokio::test]
async fn w9_who_holds_an_old_snapshot_is_named() {
    let pg = Arc::new(Postgres::start());
    let name = pg.create_database();
    let options = PostgresOptions { url: Url::new(pg.url(&name)), ..PostgresOptions::default() };
    let f = Blank { pg: pg.clone(), name, options }.ready(TableOptions::default()).await;
    assert_eq!(oldest(&f.database).await.unwrap(), None);
    let (client, connection) = tokio_postgres::connect(&pg.url(&f.name), NoTls).await.unwrap();
    tokio::spawn(connection);
    let hold = "SET application_name = 'report'; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tidemill.progress";
    client.batch_execute(hold).await.unwrap();
    f.sql("DO $$ BEGIN FOR i IN 1..1200 LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$");
    let holder = oldest(&f.database).await.unwrap().expect("it is held");
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    assert_eq!(holder.name, format!("backend {pid} of postgres (report)"));
    assert_eq!(holder.kind, "backend of postgres (report)", "a metric has no series for each pid");
    assert!(holder.age >= 1200, "{holder:?}");
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(oldest(&f.database).await.unwrap(), None);
}

#[tokio::test]
async fn w3_a_fenced_lane_stays_out_and_the_others_are_stored_once() {
    for form in FORMS {
        let f = ready().await;
        let mut runs = vec![];
        for p in 0..4 {
            let epoch = f.claim(lane(p)).await;
            // Lane 2 is an old epoch's, lane 3 expects a mark that is not there.
            let epoch = if p == 2 { Epoch(epoch.0 - 1) } else { epoch };
            let expected = i64::from(p == 3);
            let mut one = Run { expected, ..run(lane(p), epoch, 0, 6) };
            one.records[3].dead = true;
            runs.push(one);
        }
        let moved = f.sink(form).store(&f.group(&runs)).await.unwrap();
        assert_eq!(lanes(&moved), vec![lane(0), lane(1)]);
        assert!(moved.iter().all(|m| (m.rows, m.dead) == (5, 1)));
        let sql = "SELECT partition, count(*), count(DISTINCT \"offset\") FROM scores GROUP BY 1 ORDER BY 1";
        assert_eq!(f.sql(sql), "0|5|5\n1|5|5");
        let sql = "SELECT partition, count(*) FROM tidemill.dead_letter GROUP BY 1 ORDER BY 1";
        assert_eq!(f.sql(sql), "0|1\n1|1");
        let sql = "SELECT string_agg(next_offset::text, ',' ORDER BY partition) FROM tidemill.progress";
        assert_eq!(f.sql(sql), "6,6,0,0");
    }
}

#[tokio::test]
async fn w2_only_the_exact_mark_of_the_owner_moves() {
    for form in FORMS {
        let f = ready().await;
        let epoch = f.claim(lane(0)).await;
        let mut sink = f.sink(form);
        let group = f.group(&[run(lane(0), epoch, 0, 10)]);
        assert_eq!(sink.store(&group).await.unwrap().len(), 1);
        assert!(sink.store(&group).await.unwrap().is_empty(), "a repetition is fenced");
        let behind = f.group(&[Run { expected: 9, ..run(lane(0), epoch, 10, 12) }]);
        assert!(sink.store(&behind).await.unwrap().is_empty(), "never <=");
        let ahead = f.group(&[Run { expected: 11, ..run(lane(0), epoch, 11, 12) }]);
        assert!(sink.store(&ahead).await.unwrap().is_empty(), "nothing is skipped");
        let next = f.group(&[run(lane(0), epoch, 10, 12)]);
        let mut other = f.sink_of(tidemill::domain::lane::Owner(8), form, &f.database);
        assert!(other.store(&next).await.unwrap().is_empty(), "another owner");
        assert_eq!(sink.store(&next).await.unwrap().len(), 1);
        assert_eq!(f.sql("SELECT count(*), count(DISTINCT \"offset\") FROM scores"), "12|12");
    }
}

#[tokio::test]
async fn w2_a_group_without_rows_moves_the_mark() {
    let f = ready().await;
    let epoch = f.claim(lane(0)).await;
    let mut sink = f.sink(1000);
    let mut skipped = run(lane(0), epoch, 0, 2);
    skipped.records.iter_mut().for_each(|r| r.skip = true);
    assert_eq!(sink.store(&f.group(&[skipped])).await.unwrap()[0].rows, 0);
    let idle = Run { lane: lane(0), epoch, expected: 2, end: 50, records: vec![] };
    assert_eq!(sink.store(&f.group(&[idle])).await.unwrap().len(), 1);
    assert_eq!(sink.store(&Group::default()).await.unwrap(), vec![]);
    assert_eq!(
        f.sql("SELECT next_offset, stored, skipped, fingerprint IS NOT NULL FROM tidemill.progress"),
        "50|0|2|t"
    );
}

#[tokio::test]
async fn w3_eight_thousand_rows_of_twelve_lanes_go_by_copy() {
    let f = ready().await;
    let mut runs = vec![];
    for p in 0..12 {
        runs.push(run(lane(p), f.claim(lane(p)).await, 0, 700));
    }
    let moved = f.sink(1000).store(&f.group(&runs)).await.unwrap();
    assert_eq!(moved.len(), 12);
    assert_eq!(
        f.sql("SELECT count(*), count(DISTINCT (partition, \"offset\")), sum(score) FROM scores"),
        "8400|8400|733950"
    );
}

#[tokio::test]
async fn w3_swallowed_rows_undo_the_statement() {
    let f = ready().await;
    let epoch = f.claim(lane(0)).await;
    f.sql("CREATE FUNCTION drop_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    f.sql("CREATE TRIGGER t BEFORE INSERT ON scores FOR EACH ROW EXECUTE FUNCTION drop_it()");
    for form in FORMS {
        let e = f.sink(form).store(&f.group(&[run(lane(0), epoch, 0, 3)])).await.unwrap_err();
        assert_eq!(e.fault, SinkFault::Contract, "{e}");
        assert_eq!(f.sql("SELECT next_offset FROM tidemill.progress"), "0", "form {form}");
    }
}

/// What returns null from a trigger that fires before each row.
const SWALLOW: &str = "CREATE FUNCTION drop_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'";

#[tokio::test]
async fn w3_rows_that_a_partition_made_later_swallows_undo_the_statement() {
    for form in FORMS {
        let b = blank();
        migrate(&b.database(), &TableOptions::default(), &outputs(), false).await.unwrap();
        b.sql(
            "DROP VIEW scores_readable; ALTER TABLE scores RENAME TO plain;
             CREATE TABLE scores (LIKE plain INCLUDING ALL) PARTITION BY LIST (partition); DROP TABLE plain",
        );
        let f = b.ready(TableOptions::default()).await;
        let epoch = f.claim(lane(0)).await;
        f.sql(SWALLOW);
        f.sql(
            "CREATE TABLE leaf PARTITION OF scores DEFAULT;
             CREATE TRIGGER t BEFORE INSERT ON leaf FOR EACH ROW WHEN (NEW.\"offset\" = 1) EXECUTE FUNCTION drop_it()",
        );
        let group = f.group(&[run(lane(0), epoch, 0, 3)]);
        let mut sink = f.sink(form);
        for _ in 0..2 {
            let e = sink.store(&group).await.unwrap_err();
            assert_eq!(e.fault, SinkFault::Contract, "form {form}: {e}");
        }
        assert_eq!(f.sql("SELECT next_offset, stored FROM tidemill.progress"), "0|0", "form {form}");
        f.sql("DROP TRIGGER t ON leaf");
        assert_eq!(sink.store(&group).await.unwrap().len(), 1, "it goes on by itself");
        assert_eq!(f.sql("SELECT count(*) FROM scores"), "3");
    }
}

#[tokio::test]
async fn w3_swallowed_dead_letters_undo_the_statement() {
    for (sql, undo) in [
        ("CREATE TRIGGER t BEFORE INSERT ON tidemill.dead_letter FOR EACH ROW EXECUTE FUNCTION drop_it()", "TRIGGER t"),
        ("CREATE RULE t AS ON INSERT TO tidemill.dead_letter DO INSTEAD NOTHING", "RULE t"),
    ] {
        for form in FORMS {
            let f = ready().await;
            let epoch = f.claim(lane(0)).await;
            let mut sink = f.sink(form);
            let mut one = run(lane(0), epoch, 0, 3);
            one.records[1].dead = true;
            let group = f.group(&[one]);
            f.sql(SWALLOW);
            f.sql(sql);
            for _ in 0..2 {
                let e = sink.store(&group).await.unwrap_err();
                assert_eq!(e.fault, SinkFault::Contract, "form {form}: {e}");
            }
            let counts =
                "SELECT next_offset, stored, dead_lettered, (SELECT count(*) FROM scores) FROM tidemill.progress";
            assert_eq!(f.sql(counts), "0|0|0|0", "form {form}");
            let e =
                check(&f.database, &f.table_options, &outputs()).await.expect_err("it is named at start").to_string();
            assert!(e.contains(&format!("{} of tidemill.dead_letter", undo.to_lowercase())), "{e}");
            f.sql(&format!("DROP {undo} ON tidemill.dead_letter"));
            assert_eq!(sink.store(&group).await.unwrap()[0].dead, 1);
        }
    }
}

#[tokio::test]
async fn w3_dead_letters_keep_any_bytes() {
    let f = ready().await;
    let epoch = f.claim(lane(0)).await;
    let mut records: Vec<_> = (0..3).map(rec).collect();
    records[0].key = Some(b"\0\xff".to_vec());
    records[0].payload = Some(vec![0xc3, 0x28, 0, b'\'', b'"']);
    records[0].headers =
        vec![(b"a\0\"\\".to_vec(), Some(b"\xff{,}".to_vec())), (vec![], None), (b"e".to_vec(), Some(vec![]))];
    records[1].key = None;
    records[1].payload = None;
    records[2].payload = Some(vec![7; 150]);
    records[2].headers = vec![(b"h".to_vec(), Some(vec![9; 200]))];
    records.iter_mut().for_each(|r| r.dead = true);
    let one = Run { lane: lane(0), epoch, expected: 0, end: 3, records };
    let moved = f.sink(1000).store(&f.group(&[one])).await.unwrap();
    assert_eq!(moved[0].dead, 3);
    let sql = |what: &str, n: i32| f.sql(&format!("SELECT {what} FROM tidemill.dead_letter WHERE \"offset\" = {n}"));
    assert_eq!(
        sql("key, payload, state, stage, reason, detail", 0),
        "\\x00ff|\\xc328002722|open|decode|bad_json|expected a value"
    );
    assert_eq!(
        sql("header_names[1], header_values[1], header_names[2], header_values[2], header_values[3]", 0),
        "\\x6100225c|\\xff7b2c7d|\\x||\\x"
    );
    assert_eq!(sql("key IS NULL, payload IS NULL, payload_length IS NULL, timestamp_ms", 1), "t|t|t|1600000000001");
    assert_eq!(
        sql("length(payload), payload_length, payload_sha256 = sha256(decode(repeat('07', 150), 'hex'))", 2),
        "100|150|t"
    );
    assert_eq!(sql("length(header_values[1]), headers_length, length(headers_sha256)", 2), "99|209|32");
}

#[tokio::test]
async fn w10_a_conflict_is_skipped_or_overwritten_as_configured() {
    for (on_conflict, want, totals) in [
        (OnConflict::Skip, "0|0.00\n1|77.00\n2|0.50\n3|0.75", "3|1"),
        (OnConflict::Update, "0|9.00\n1|0.25\n2|0.50\n3|0.75", "5|0"),
    ] {
        let mut o = TableOptions { on_conflict, unique_index: true, ..TableOptions::default() };
        let b = blank();
        if on_conflict == OnConflict::Update {
            o.conflict_columns = vec!["key".into()];
            o.unique_index = false;
            let first = TableOptions { on_conflict: OnConflict::DeadLetter, ..o.clone() };
            migrate(&b.database(), &first, &outputs(), false).await.unwrap();
            b.sql("CREATE UNIQUE INDEX ON scores (key)");
        }
        let f = b.ready(o).await;
        let epoch = f.claim(lane(0)).await;
        f.sql("INSERT INTO scores (\"offset\", partition, source, model, processed_at, key, score) VALUES (1, 0, 1, 1, now(), 'k1', 77)");
        let mut one = run(lane(0), epoch, 0, 4);
        if on_conflict == OnConflict::Update {
            let mut again = rec(4);
            again.key = Some(b"k0".to_vec());
            again.score = 9.0;
            one.records.push(again);
            one.end = 5;
        }
        let group = f.group(&[one]);
        let moved = f.sink(1000).store(&group).await.unwrap();
        let rows = f.sql("SELECT right(convert_from(key, 'UTF8'), 1), score::numeric(9,2) FROM scores ORDER BY 1");
        assert_eq!(rows, want, "{on_conflict:?}");
        assert_eq!(f.sql("SELECT stored, skipped FROM tidemill.progress"), totals);
        assert_eq!(moved[0].rows.to_string(), totals[..1]);
        let sink_of_nobody = f.sink_of(tidemill::domain::lane::Owner(5), 1000, &f.database).store(&group).await;
        assert!(sink_of_nobody.unwrap().is_empty(), "fenced before anything is inserted");
        assert_eq!(f.sql("SELECT count(*) FROM tidemill.progress WHERE owner IS NOT NULL"), "1");
    }
}
