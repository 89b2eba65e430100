//! Migrations, the contract with the user's table, and every type through it (W8, W10).

use tidemill::adapters::postgres::connect::Database;
use tidemill::adapters::postgres::connect::verify_session;
use tidemill::adapters::postgres::contract::check;
use tidemill::adapters::postgres::fault::StartError;
use tidemill::adapters::postgres::migrate::migrate;
use tidemill::adapters::postgres::options::FieldType;
use tidemill::adapters::postgres::options::MappedField;
use tidemill::adapters::postgres::options::Missing;
use tidemill::adapters::postgres::options::OnConflict;
use tidemill::adapters::postgres::options::PostgresOptions;
use tidemill::adapters::postgres::options::TableOptions;
use tidemill::adapters::postgres::options::Target;
use tidemill::adapters::postgres::options::Tls;
use tidemill::adapters::postgres::options::Url;
use tidemill::domain::fault::Fault;
use tidemill::domain::outputs::OutputKind;
use tidemill::domain::outputs::OutputSpec;

use crate::fixture::blank;
use crate::fixture::outputs;

#[tokio::test]
async fn migrating_twice_does_nothing_and_a_dry_run_changes_nothing() {
    let b = blank();
    let database = b.database();
    let o = TableOptions { unique_index: true, ..TableOptions::default() };
    let dry = migrate(&database, &o, &outputs(), true).await.unwrap();
    let migrations = dry.iter().filter(|d| d.starts_with("apply migration")).count();
    assert!(migrations >= 2 && dry.len() == migrations + 4, "{dry:?}");
    assert_eq!(b.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'tidemill'"), "0");
    assert_eq!(migrate(&database, &o, &outputs(), false).await.unwrap(), dry);
    assert!(migrate(&database, &o, &outputs(), false).await.unwrap().is_empty());
    let columns = "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'scores'::regclass AND attnum > 0";
    assert_eq!(b.sql(columns), "offset,event_time,processed_at,score,partition,source,model,key,label,probs");
    assert_eq!(b.sql("SELECT count(*) FROM pg_indexes WHERE tablename = 'scores'"), "2");

    let mut more = outputs();
    more.push(OutputSpec { name: "risk".into(), kind: OutputKind::Integer, nan_allowed: false });
    let added = migrate(&database, &o, &more, false).await.unwrap();
    assert_eq!(added[0], "add column \"risk\" bigint to public.scores");
    assert_eq!(added.len(), 2, "the view follows: {added:?}");
    assert_eq!(b.sql("SELECT count(risk) FROM scores_readable"), "0");
    // An older bundle again: nothing is dropped.
    assert!(migrate(&database, &o, &outputs(), false).await.unwrap().is_empty());
}

#[tokio::test]
async fn migrating_at_once_applies_once_and_drift_is_refused() {
    let b = blank();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let database = b.database();
        tasks
            .spawn(async move { migrate(&database, &TableOptions::default(), &outputs(), false).await.unwrap().len() });
    }
    let mut done = tasks.join_all().await;
    done.sort();
    assert!(done[..4] == [0; 4] && done[4] > 4, "{done:?}");
    b.sql("UPDATE tidemill.migration SET sha256 = 'x'");
    let e = migrate(&b.database(), &TableOptions::default(), &outputs(), false).await.unwrap_err();
    assert!(e.to_string().contains("another content"), "{e}");
    b.sql("UPDATE tidemill.migration SET version = 999 WHERE version = 1");
    let e = migrate(&b.database(), &TableOptions::default(), &outputs(), false).await.unwrap_err();
    assert!(matches!(&e, StartError::Refused(t) if t.contains("newer")), "{e}");
}

#[tokio::test]
async fn w10_every_problem_of_a_table_is_named_at_once() {
    let b = blank();
    let o = TableOptions { name: "app.results".into(), create: false, ..TableOptions::default() };
    let o = TableOptions { on_conflict: OnConflict::Update, ..o };
    let e = check(&b.database(), &o, &outputs()).await.unwrap_err().to_string();
    for part in ["tidemill.progress does not exist", "app.results does not exist"] {
        assert!(e.contains(part), "{e}");
    }
    migrate(&b.database(), &o, &outputs(), false).await.unwrap();
    let role = format!("r_{}", b.name);
    b.sql(&format!("CREATE ROLE {role} LOGIN; CREATE SCHEMA app"));
    b.sql(
        "CREATE TABLE app.results (source int, partition point, \"offset\" bigint GENERATED ALWAYS AS IDENTITY,
           key bytea, event_time time, processed_at timestamptz, score bool, label text, probs real[][],
           needed text NOT NULL, filled text NOT NULL DEFAULT 'x');
         CREATE FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER swallow BEFORE INSERT ON app.results FOR EACH ROW EXECUTE FUNCTION app.f();
         CREATE TRIGGER after AFTER INSERT ON app.results FOR EACH ROW EXECUTE FUNCTION app.f();
         CREATE RULE r AS ON INSERT TO app.results DO ALSO NOTHING",
    );
    let options = PostgresOptions { url: Url::new(b.pg.url_as(&role, &b.name)), ..b.options.clone() };
    let e = check(&Database::new(&options, 2).unwrap(), &o, &outputs()).await.unwrap_err();
    assert_eq!(e.fault(), Fault::Stop);
    let StartError::Contract(problems) = e else { panic!("{e}") };
    let all = problems.join("\n");
    for part in [
        "may not INSERT on tidemill.dead_letter",
        "may not UPDATE on tidemill.progress",
        "may not INSERT on app.results",
        "may not UPDATE on app.results",
        "no USAGE on the schema of app.results",
        "trigger swallow",
        "rule r",
        "column partition is point",
        "column offset makes its own values",
        "column event_time is time without time zone",
        "column score is boolean, and a float",
        "column model does not exist",
        "column needed (text) is NOT NULL",
        "no plain unique index on exactly (source, partition, offset)",
    ] {
        assert!(all.contains(part), "{part} is missing in:\n{all}");
    }
    assert!(!all.contains("trigger after") && !all.contains("column filled") && !all.contains("column probs"), "{all}");
    b.sql("DROP TABLE app.results; CREATE UNLOGGED TABLE app.results (x int)");
    let e = check(&b.database(), &o, &outputs()).await.unwrap_err().to_string();
    assert!(e.contains("unlogged"), "{e}");
    b.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[tokio::test]
async fn w8_limits_hold_on_the_server_and_errors_name_the_way_out() {
    let b = blank();
    let database = b.database();
    verify_session(&database).await.unwrap();
    let lease = database.lease().await.unwrap();
    for (name, want) in [
        ("statement_timeout", "10s"),
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("tcp_keepalives_idle", "10"),
        ("application_name", "tidemill"),
        ("transaction_isolation", "read committed"),
    ] {
        assert_eq!(lease.query_one(&format!("SHOW {name}"), &[]).await.unwrap().get::<_, String>(0), want, "{name}");
    }
    // A setting that something in between changed is found.
    b.sql(&format!("ALTER DATABASE {} SET jit = on", b.name));
    verify_session(&b.database()).await.expect("start-up parameters win over those of the database");

    let wrong = |url: String| PostgresOptions { url: Url::new(url), ..b.options.clone() };
    let e = verify_session(&Database::new(&wrong(b.pg.url("nowhere")), 1).unwrap()).await.unwrap_err();
    assert!(e.sqlstate.as_deref() == Some("3D000") && StartError::from(e).fault() == Fault::Stop);
    let e = verify_session(&Database::new(&wrong("postgres://u@127.0.0.1:1/x".into()), 1).unwrap()).await.unwrap_err();
    assert_eq!(StartError::from(e).fault(), Fault::Retry);
    let e = Database::new(&wrong("postgres://u@h:x/db".into()), 1).err().unwrap();
    assert!(e.to_string().contains("postgres://user@host"), "{e}");
    // The server speaks no TLS: it is not used in plain text.
    let e = verify_session(
        &Database::new(&PostgresOptions { tls: Some(Tls::Require), ca_file: None, ..b.options.clone() }, 1).unwrap(),
    )
    .await;
    assert!(e.unwrap_err().message.contains("TLS"));
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() {
    let b = blank();
    let url = format!("host={} port={} user=postgres dbname={}", b.pg.dir().display(), b.pg.port(), b.name);
    let options = PostgresOptions { url: Url::new(url), ..b.options.clone() };
    verify_session(&Database::new(&options, 1).unwrap()).await.unwrap();
}

#[tokio::test]
async fn w10_a_table_of_the_users_with_other_names_and_types() {
    let b = blank();
    b.sql("CREATE SCHEMA app; CREATE TYPE app.verdict AS ENUM ('ok', 'bad'); CREATE DOMAIN app.part AS int CHECK (VALUE < 50);
           CREATE DOMAIN app.short AS varchar(4);
           CREATE TABLE app.out (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, t varchar(40), p app.part NOT NULL,
             o numeric(20,0), k app.short, at timestamp, day date, s numeric(8,3), l app.verdict, v numeric[], m text)
           PARTITION BY RANGE (id);
           CREATE TABLE app.out1 PARTITION OF app.out DEFAULT");
    let mut o = TableOptions {
        name: "app.out".into(),
        create: false,
        key_as: tidemill::adapters::postgres::options::KeyAs::Text,
        ..TableOptions::default()
    };
    for (value, column) in [
        ("source", "t"),
        ("partition", "p"),
        ("offset", "o"),
        ("key", "k"),
        ("event_time", "at"),
        ("processed_at", "day"),
        ("score", "s"),
        ("label", "l"),
        ("probs", "v"),
        ("model", "m"),
    ] {
        o.columns.insert(value.into(), Target::Column(column.into()));
    }
    let f = b.ready(o).await;
    use tidemill::ports::Sink;
    let want = "0|payments|1|0|k0|2020-09-13 12:26:40|2023-11-14|0.000|ok|{0.5,-1.5,0}|fraud@1\n\
                1|payments|1|1|k1|2020-09-13 12:26:40.001|2023-11-14|0.250|ok|{0.5,-1.5,1}|fraud@1";
    let lane = crate::fixture::lane(1);
    let epoch = f.claim(lane).await;
    for (form, from) in [(1000, 0), (0, 4)] {
        f.sql("TRUNCATE app.out RESTART IDENTITY");
        let mut run = crate::fixture::run(lane, epoch, from, from + 4);
        for (i, r) in run.records.iter_mut().enumerate() {
            r.key = Some(format!("k{i}").into_bytes());
        }
        run.records[2].key = Some(b"longer".to_vec());
        run.records[3].score = 123_456.0;
        let scored = f.scored(&[run]);
        let details: Vec<_> = scored.verdicts.rejected.iter().map(|r| r.detail.as_str()).collect();
        assert_eq!(
            details,
            ["column k cannot hold a text of this length", "column s cannot hold a number of this size"]
        );
        assert!(scored.verdicts.rejected.iter().all(|r| r.reason == "does_not_fit"));
        let moved = f.sink(form).store(&crate::fixture::group_of(scored.into())).await.unwrap();
        assert_eq!((moved[0].rows, moved[0].dead), (2, 2));
        let sql = format!(
            "SELECT o - {from}, t, p, o - {from}, k, at - {from} * interval '1 ms', day, s - {from} * 0.25, l, \
                           array[v[1], v[2], v[3] - {from}], m FROM app.out ORDER BY o"
        );
        assert_eq!(f.sql(&sql), want, "form {form}");
    }
}

#[tokio::test]
async fn mapped_fields_make_columns() {
    let b = blank();
    let field =
        |column: &str, kind| MappedField { column: column.into(), field: column.into(), kind, missing: Missing::Null };
    let kinds = [FieldType::Number, FieldType::Integer, FieldType::Boolean, FieldType::Text, FieldType::Timestamp];
    let fields = kinds.iter().zip(["n", "i", "b", "t", "at"]).map(|(k, c)| field(c, *k)).collect();
    let o = TableOptions { fields, ..TableOptions::default() };
    migrate(&b.database(), &o, &outputs(), false).await.unwrap();
    check(&b.database(), &o, &outputs()).await.unwrap();
    let sql = "SELECT string_agg(format_type(atttypid, atttypmod), ',' ORDER BY attname) FROM pg_attribute
               WHERE attrelid = 'scores'::regclass AND attname IN ('n', 'i', 'b', 't', 'at')";
    assert_eq!(b.sql(sql), "timestamp with time zone,boolean,bigint,double precision,text");
}

/// Every accepted type once more, through the encoder's own functions and COPY BINARY, with the values that break encoders.
#[tokio::test]
async fn w10_edge_values_arrive_exactly() {
    use tidemill::domain::lane::Epoch;
    use tidemill::ports::Sink;
    let b = blank();
    let o = TableOptions::default();
    migrate(&b.database(), &o, &outputs(), false).await.unwrap();
    b.sql(
        "CREATE TABLE edge (LIKE scores); DROP VIEW scores_readable; DROP TABLE scores;
           CREATE TABLE scores (source int2, partition int4, \"offset\" int8, key bytea, event_time timestamptz,
             processed_at timestamp, model int8, score float8, label jsonb, probs float8[])",
    );
    let f = b.ready(TableOptions { view: false, ..o }).await;
    let lane = crate::fixture::lane(0);
    let epoch: Epoch = f.claim(lane).await;
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 5e-324, f64::MAX, 0.1];
    for (form, from) in [(1000, 0_i64), (0, 7)] {
        f.sql("TRUNCATE scores");
        let mut run = crate::fixture::run(lane, epoch, from, from + 7);
        for (r, v) in run.records.iter_mut().zip(values) {
            r.score = v;
            r.label = "é\"\\\n\u{1}".into();
        }
        f.sink(form).store(&f.group(&[run])).await.unwrap();
        assert_eq!(
            f.sql("SELECT string_agg(score::text, ' ' ORDER BY \"offset\") FROM scores"),
            "NaN Infinity -Infinity -0 5e-324 1.7976931348623157e+308 0.1"
        );
        assert_eq!(
            f.sql("SELECT DISTINCT label #>> '{}' = U&'\\00e9\"\\\\\\000a\\0001' FROM scores"),
            "t",
            "form {form}"
        );
        assert_eq!(
            f.sql("SELECT count(*) FROM scores WHERE probs[1:2] = '{0.5,-1.5}' AND array_ndims(probs) = 1"),
            "7"
        );
    }
}

#[tokio::test]
async fn tables_of_the_first_migration_with_data_in_them_are_brought_up_to_date() {
    let b = blank();
    let first = include_str!("../../schemas/postgres/0001_control.sql");
    let digest: String =
        sha2::Digest::finalize(sha2::Digest::chain_update(<sha2::Sha256 as sha2::Digest>::new(), first))
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
    b.sql(&format!(
        "CREATE SCHEMA tidemill; CREATE TABLE tidemill.migration (version integer PRIMARY KEY, name text NOT NULL,
           sha256 bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());
         {first};
         INSERT INTO tidemill.migration (version, name, sha256) VALUES (1, 'control', '\\x{digest}');
         INSERT INTO tidemill.source (pipeline, cluster_id, topic, topic_id, group_id, partitions)
           VALUES ('p', 'c1', 'payments', '00000000-0000-0000-0000-000000000063', 'g1', 12);
         INSERT INTO tidemill.progress (source, partition, next_offset, epoch, stored) VALUES (1, 3, 500, 7, 490);
         INSERT INTO tidemill.dead_letter (\"offset\", partition, source, model, stage, reason, detail, payload,
           header_names, header_values, headers_length)
           SELECT n, 3, 1, 1, 'decode', 'bad_json', 'x', 'p', '{{}}', '{{}}', 0 FROM generate_series(1, 10) n"
    ));
    let f = b.ready(TableOptions::default()).await;
    assert_eq!(f.registered.sources[0].id, 1, "the source is the one that was there");
    let left = "SELECT (SELECT count(*) FROM tidemill.dead_letter WHERE state = 'open' AND attempts = 0 AND purged_at IS NULL),
        (SELECT next_offset || ' ' || epoch || ' ' || stored FROM tidemill.progress), (SELECT count(*) FROM tidemill.hole)";
    assert_eq!(f.pg.psql(&f.name, left), "10|500 7 490|0");
}
