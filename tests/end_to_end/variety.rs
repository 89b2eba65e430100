//! Other shapes of a pipeline: several topics, neighbours in one database, bincode events, no model.

use std::path::PathBuf;

use serde_json::Value;
use tidemill::adapters::formats::options::Format;
use tidemill::adapters::formats::options::Options;
use tidemill::demo::payments::Payments;

use crate::audit;
use crate::fleet::Fleet;
use crate::fleet::PATIENCE;
use crate::fleet::Process;
use crate::score;
use crate::services;
use crate::sql::Sql;
use crate::support::kafka::Kafka;
use crate::support::kafka::Record;
use crate::support::produce;
use crate::support::produce::Load;
use crate::support::signal::Signal;
use crate::support::wait::until;

const STORED: &str = "SELECT coalesce(sum(next_offset), 0)::bigint FROM tidemill.progress p
    JOIN tidemill.source s ON s.id = p.source WHERE s.pipeline = $1";
const SOURCE: &str = "SELECT id FROM tidemill.source WHERE pipeline = $1 AND topic = $2";

fn wait_until_stored(sql: &Sql, pipeline: &str, records: usize) {
    until(&format!("{pipeline} to store {records} records"), PATIENCE, || {
        (sql.one::<i64>(STORED, &[&pipeline]) == records as i64).then_some(())
    });
}

/// SIGTERM to all; each exits with 0.
fn stop(mut processes: Vec<Process>) {
    processes.iter().for_each(|p| p.daemon.signal(Signal::Term));
    for process in &mut processes {
        let status = process.daemon.wait(PATIENCE);
        assert_eq!(status.code(), Some(0), "{}: {}", process.name, process.daemon.log());
    }
}

#[test]
fn two_pipelines_over_two_topics_in_one_database_do_not_meet() {
    let _alone = services::alone();
    let (kafka, postgres) = services::start();
    let database = postgres.url(&postgres.create_database());
    let topics = [Kafka::unique("shop"), Kafka::unique("travel")];
    for (topic, seed) in topics.iter().zip([5, 6]) {
        kafka.create_topic(topic, 4, 1);
        produce::payments(kafka.bootstrap(), topic, Load { records: 4_000, seed, poisoned: 0.02 });
    }
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let fleets = ["left", "right"].map(|name| Fleet::new(name, kafka.bootstrap(), &database, &names));
    fleets.iter().for_each(Fleet::migrate);
    let processes = vec![fleets[0].start("left-1"), fleets[0].start("left-2"), fleets[1].start("right-1")];
    let sql = Sql::connect(&database);
    ["left", "right"].into_iter().for_each(|pipeline| wait_until_stored(&sql, pipeline, 8_000));
    stop(processes);
    for topic in &topics {
        let log = kafka.read_all(topic);
        let scores = score::all(&Options::default(), &log);
        for pipeline in ["left", "right"] {
            let source: i16 = sql.one(SOURCE, &[&pipeline, topic]);
            audit::expect(&sql, source, &log, audit::json, &scores);
            let audit =
                audit::audit(&sql, source, &format!("public.{pipeline}"), true).unwrap_or_else(|e| panic!("{e}"));
            println!("{pipeline} {topic}: {audit:?}");
            assert_eq!(audit.rows + audit.dead, 4_000);
        }
    }
    assert_eq!(
        sql.one::<i64>("SELECT count(*) FROM public.left", &[]),
        sql.one::<i64>("SELECT count(*) FROM public.right", &[])
    );
}

/// A JSON payment in the layout of `schemas/payment.toml`, written by bincode itself.
fn bincoded(event: &Value, at_ms: i64) -> Vec<u8> {
    let (card, merchant, device, stats) = (&event["card"], &event["merchant"], &event["device"], &event["stats"]);
    let text = |v: &Value| v.as_str().expect("a text").to_owned();
    let number = |v: &Value| v.as_f64().expect("a number");
    let count = |v: &Value| u32::try_from(v.as_u64().expect("a count")).expect("a small one");
    let flag = |v: &Value| v.as_bool().expect("a boolean");
    let head = (text(&event["id"]), at_ms, number(&event["amount"]), text(&event["currency"]));
    let card = (count(&card["bin"]), count(&card["age_days"]), text(&card["country"]), flag(&card["prepaid"]));
    let risk = Some(number(&merchant["risk"]));
    let merchant = (text(&merchant["id"]), text(&merchant["category"]), text(&merchant["country"]), risk);
    let device = (text(&device["kind"]), text(&device["ip_country"]), flag(&device["new"]));
    let first = (count(&stats["n_1h"]), count(&stats["n_24h"]), number(&stats["sum_24h"]), number(&stats["avg_30d"]));
    let last = (number(&stats["std_30d"]), count(&stats["declines_24h"]), number(&stats["distance_km"]) as f32);
    bincode::encode_to_vec((head, card, merchant, device, (first, last)), bincode::config::standard())
        .expect("it encodes")
}

#[test]
fn bincode_events_are_scored_and_stored() {
    const RECORDS: usize = 3_000;
    let _alone = services::alone();
    let (kafka, postgres) = services::start();
    let database = postgres.url(&postgres.create_database());
    let topic = Kafka::unique("binary");
    kafka.create_topic(&topic, 3, 1);
    let mut payments = Payments::new(9);
    let events: Vec<(Vec<u8>, Value)> = (0..RECORDS)
        .map(|_| {
            let payment = payments.make();
            (payment.key.to_vec(), serde_json::from_slice(payment.payload).expect("a clean payment"))
        })
        .collect();
    // Event `n` of a stream happened `n` milliseconds after 2026-11-01.
    let payloads =
        events.iter().zip(1_793_491_200_000_i64..).map(|((key, event), at)| (key.clone(), bincoded(event, at)));
    produce::payloads(kafka.bootstrap(), &topic, payloads);

    let schema = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/payment.toml"));
    let mut fleet = Fleet::new("binary", kafka.bootstrap(), &database, &[&topic]);
    fleet.set("event.format=bincode");
    fleet.set(&format!("event.schema={}", schema.display()));
    fleet.migrate();
    let process = fleet.start("binary-1");
    let sql = Sql::connect(&database);
    wait_until_stored(&sql, "binary", RECORDS);
    stop(vec![process]);

    let log = kafka.read_all(&topic);
    let options = Options { format: Format::Bincode, schema: Some(schema), ..Options::default() };
    let scores = score::all(&options, &log);
    let event = |record: &Record| events[produce::number(record)].1.clone();
    let source: i16 = sql.one(SOURCE, &[&"binary", &topic]);
    audit::expect(&sql, source, &log, event, &scores);
    let audit = audit::audit(&sql, source, "public.binary", true).unwrap_or_else(|e| panic!("{e}"));
    println!("{audit:?}");
    assert_eq!((audit.rows, audit.dead), (RECORDS as i64, 0));
}

#[test]
fn without_a_model_events_are_stored_unscored() {
    let _alone = services::alone();
    let (kafka, postgres) = services::start();
    let database = postgres.url(&postgres.create_database());
    let topic = Kafka::unique("plain");
    kafka.create_topic(&topic, 3, 1);
    produce::payments(kafka.bootstrap(), &topic, Load { records: 3_000, seed: 3, poisoned: 0.0 });
    let fleet = Fleet::new("plain", kafka.bootstrap(), &database, &[&topic]).without_model();
    fleet.migrate();
    let process = fleet.start("plain-1");
    let sql = Sql::connect(&database);
    wait_until_stored(&sql, "plain", 3_000);
    stop(vec![process]);
    let log = kafka.read_all(&topic);
    let source: i16 = sql.one(SOURCE, &[&"plain", &topic]);
    audit::expect(&sql, source, &log, audit::json, &vec![None; log.len()]);
    let audit = audit::audit(&sql, source, "public.plain", false).unwrap_or_else(|e| panic!("{e}"));
    println!("{audit:?}");
    assert_eq!((audit.rows, audit.dead), (3_000, 0));
    an_audit_finds_what_is_wrong(&sql, source);
}

/// Spoils what was stored, in transactions that are rolled back: an audit that finds nothing proves nothing.
fn an_audit_finds_what_is_wrong(sql: &Sql, source: i16) {
    let dead = "INSERT INTO tidemill.dead_letter (\"offset\", partition, source, model, stage, reason, detail, header_names,
        header_values, headers_length) SELECT \"offset\", partition, source, model, 'decode', 'bad_json', '', '{}', '{}', 0";
    for (spoil, says) in [
        ("DELETE FROM public.plain", "(\"missing\", 1)"),
        ("INSERT INTO public.plain SELECT * FROM public.plain", "(\"doubled rows\", 1)"),
        (&format!("{dead} FROM public.plain"), "(\"in both\", 1)"),
        ("UPDATE public.plain SET \"offset\" = 999999", "(\"foreign\", 1)"),
        ("UPDATE public.plain SET amount = amount + 0.01", "1 rows have other values"),
        ("UPDATE public.plain SET key = NULL", "1 rows have other values"),
        ("UPDATE public.plain SET event_time = event_time + interval '1 ms'", "1 rows have other values"),
        ("UPDATE public.plain SET key = key", "of 1 rows it cannot be told"),
    ] {
        sql.run(&format!("BEGIN; {spoil} WHERE partition = 1 AND \"offset\" = 7"));
        let found = audit::audit(sql, source, "public.plain", false).expect_err(spoil);
        assert!(found.contains(says), "{spoil}: {found}");
        sql.run("ROLLBACK");
    }
}
