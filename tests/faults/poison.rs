//! Every kind of poison in one topic (promise P6): each ends as documented, with its bytes kept, and its neighbours are stored.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use rdkafka::message::Header;
use rdkafka::message::Headers;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::BaseProducer;
use rdkafka::producer::BaseRecord;
use rdkafka::producer::Producer;
use tidemill::demo::payments::Payments;

use crate::load::accounted;
use crate::load::kafka;
use crate::load::postgres;
use crate::load::site;
use crate::model;
use crate::site::Site;
use crate::support::folder::Folder;
use crate::support::kafka::client;
use crate::support::produce::payloads;

/// One record and what must become of it: a reason, or a row, or nothing.
struct Case {
    name: &'static str,
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    headers: OwnedHeaders,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    Row,
    Skipped,
    Dead(&'static str),
}

use End::Dead;
use End::Row;

const GOOD: &str = r#"{"id":"good","a":1.0,"b":1,"n":7,"at":"2026-01-31T08:00:00Z"}"#;
/// Above this a payload is not read, and a dead letter keeps no more of it.
const BYTES_MAX: usize = 64 << 10;

/// The good event with one field as written here.
fn with(field: &str, value: &str) -> Vec<u8> {
    let mut out = String::from("{");
    for (name, good) in [("id", r#""x""#), ("a", "1.0"), ("b", "1"), ("n", "7"), ("at", r#""2026-01-31T08:00:00Z""#)] {
        let value = if name == field { value } else { good };
        let _ = write!(out, "{}\"{name}\":{value}", if out.len() > 1 { "," } else { "" });
    }
    if !["id", "a", "b", "n", "at"].contains(&field) {
        let _ = write!(out, ",\"{field}\":{value}");
    }
    (out + "}").into_bytes()
}

fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

fn spoiled() -> Vec<(&'static str, Vec<u8>, End)> {
    let deep = with("extra", &nested(100_000));
    let long_list = with("extra", &format!("[{}1]", "1,".repeat(20_000)));
    let mut tail = GOOD.as_bytes().to_vec();
    tail.extend(b" {}");
    let mut bom = b"\xef\xbb\xbf".to_vec();
    bom.extend(GOOD.as_bytes());
    let mut cut = GOOD.as_bytes().to_vec();
    cut.truncate(20);
    let bad_utf8 = [&b"{\"id\":\"\xff\xc0\","[..], &GOOD.as_bytes()[13..]].concat();
    let mut oversize = with("extra", &format!("\"{}\"", "y".repeat(2 * BYTES_MAX)));
    oversize.push(b'\n');
    vec![
        ("malformed", b"{\"id\":,}".to_vec(), Dead("bad_json")),
        ("empty", vec![], Dead("bad_json")),
        ("cut", cut, Dead("bad_json")),
        ("trailing", tail, Dead("bad_json")),
        ("array at the top", b"[1,2]".to_vec(), Dead("bad_json")),
        ("byte order mark", bom, Dead("bad_json")),
        ("lone surrogate", with("id", r#""\ud800""#), Dead("bad_json")),
        ("invalid UTF-8", bad_utf8, Dead("bad_utf8")),
        ("65 deep", with("extra", &nested(64)), Dead("too_deep")),
        ("100,000 deep", deep, Dead("too_large")),
        ("63 deep", with("extra", &nested(63)), Row),
        ("oversize", oversize, Dead("too_large")),
        ("20,000 elements", long_list, Row),
        ("wrong type", with("a", "\"1.0\""), Dead("wrong_type")),
        ("object for a number", with("a", "{}"), Dead("wrong_type")),
        ("missing feature", with("a", "null"), Dead("missing_field")),
        ("missing column", with("id", "null"), Dead("missing_field")),
        ("NaN", with("a", "NaN"), Dead("bad_json")),
        ("infinity", with("a", "Infinity"), Dead("bad_json")),
        ("1e999999", with("a", "1e999999"), Dead("bad_json")),
        ("10,000 digits", with("a", &"1".repeat(10_000)), Dead("bad_json")),
        ("10,000 places", with("a", &format!("0.{}", "1".repeat(10_000))), Row),
        ("integer beyond 64 bits", with("n", "99999999999999999999"), Row),
        ("NUL in a text", with("id", r#""a\u0000b""#), Dead("does_not_fit")),
        ("time beyond 64 bits of microseconds", with("at", "9404726400000000"), Row),
        ("time before Postgres begins", with("at", "-300000000000000"), Row),
        ("time as a text of another kind", with("at", "\"yesterday\""), Row),
        ("time below zero", with("at", "-1"), Row),
        ("the same key twice", with("a\":-1.0,\"a", "1.0"), Row),
        ("logarithm of a negative number", with("a", "-1.0"), Dead("not_finite")),
        ("logarithm of zero", with("a", "0.0"), Dead("not_finite")),
        ("look-up out of bounds", with("b", "7"), Dead("model_error")),
        ("controls and SQL in a text", with("id", r#""\u001b[31m\n'; DROP TABLE scores; --__proto__""#), Row),
    ]
}

fn cases() -> Vec<Case> {
    let good = || Some(GOOD.as_bytes().to_vec());
    let plain =
        |name, payload, end| Case { name, key: Some(b"k".to_vec()), payload, headers: OwnedHeaders::new(), end };
    let mut all = vec![];
    for (name, payload, end) in spoiled() {
        all.push(plain("good", good(), Row));
        all.push(plain(name, Some(payload), end));
    }
    all.push(plain("tombstone", None, End::Skipped));
    all.push(Case { key: None, ..plain("no key", good(), Row) });
    all.push(Case { key: Some(vec![0xff, 0, 1]), ..plain("key that is no text", good(), Dead("does_not_fit")) });
    let mut many = OwnedHeaders::new();
    for i in 0..10_000 {
        many = many.insert(Header { key: &format!("h{i}"), value: Some("v") });
    }
    all.push(Case { headers: many.clone(), ..plain("10,000 headers", good(), Row) });
    all.push(Case { headers: many, ..plain("10,000 headers on poison", Some(b"{".to_vec()), Dead("bad_json")) });
    let large = OwnedHeaders::new().insert(Header { key: "large", value: Some(&vec![7_u8; 800_000]) });
    all.push(Case { headers: large, ..plain("a large header on poison", Some(b"{".to_vec()), Dead("bad_json")) });
    all.push(plain("good", good(), Row));
    all
}

/// All in one partition, in this order, so that offsets are places in the list.
fn produce(topic: &str, cases: &[Case]) {
    let mut config = client(kafka().bootstrap());
    config.set("message.max.bytes", "1000000").set("linger.ms", "50");
    let producer: BaseProducer = config.create().expect("these settings are right");
    for case in cases {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(0).headers(case.headers.clone());
        if let Some(key) = &case.key {
            record = record.key(&key[..]);
        }
        if let Some(payload) = &case.payload {
            record = record.payload(&payload[..]);
        }
        producer.send(record).map_err(|(e, _)| e).expect("the queue is long enough");
    }
    producer.flush(Duration::from_secs(60)).expect("kafka takes them");
}

#[test]
fn p6_every_kind_of_poison_in_one_topic_ends_as_documented() {
    let folder = Folder::new("trouble");
    let bundle = model::bundle(&folder);
    let site = Site::on(kafka(), postgres(), "poison", 1);
    let fields = r#"table.fields=[{column="payment_id",field="id",type="text",missing="reject"},
        {column="n",field="n",type="integer"},{column="at",field="at",type="timestamp"}]"#;
    let sets = [
        &format!("model.bundle={}", bundle.display())[..],
        &fields.replace('\n', " "),
        &format!("event.bytes_max={BYTES_MAX}"),
        &format!("dead_letter.bytes_max={BYTES_MAX}"),
        "table.event_time=at",
    ];
    site.migrate_with(&sets);
    let cases = cases();
    produce(&site.topic, &cases);
    let mut daemon = site.ready("only", &sets);
    site.settle();

    let mut found: BTreeMap<usize, Vec<End>> = (0..cases.len()).map(|i| (i, vec![])).collect();
    for line in site.sql("SELECT \"offset\" FROM public.scores").lines() {
        found.get_mut(&line.parse().unwrap()).expect("an offset of ours").push(Row);
    }
    let names: Vec<&str> = cases.iter().filter_map(|c| if let Dead(r) = c.end { Some(r) } else { None }).collect();
    for line in site.sql("SELECT \"offset\", reason FROM tidemill.dead_letter").lines() {
        let (offset, reason) = line.split_once('|').unwrap();
        let known = names.iter().find(|n| **n == reason).copied().unwrap_or("another reason");
        found.get_mut(&offset.parse().unwrap()).expect("an offset of ours").push(Dead(known));
        if known == "another reason" {
            eprintln!("{}: {reason}", cases[offset.parse::<usize>().unwrap()].name);
        }
    }
    let wrong: Vec<_> = cases
        .iter()
        .enumerate()
        .filter(|(i, case)| found[i] != if case.end == End::Skipped { vec![] } else { vec![case.end] })
        .map(|(i, case)| format!("{}: {:?}, not {:?}", case.name, found[&i], case.end))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    bytes_are_kept(&site, &cases);

    let score = site.sql("SELECT DISTINCT score, picked FROM public.scores WHERE payment_id = 'good'");
    assert_eq!(score, format!("0|{}", model::picked(1)), "neighbours have their own scores");
    let earliest = site.sql("SELECT count(*) FROM public.scores WHERE at = '4714-11-24 00:00:00+00 BC'");
    assert_eq!(earliest, "1", "a time that the column cannot hold is its nearest");
    let text = site.sql("SELECT count(*) FROM public.scores WHERE payment_id LIKE E'\\x1b[31m\\n''; DROP%__proto__'");
    assert_eq!(text, "1", "stored as it was");
    assert!(!daemon.log().contains('\u{1b}'), "and never in a log");
    accounted(&daemon);
    assert!(daemon.exit().is_none());
}

#[test]
fn two_records_of_one_event_are_two_rows() {
    let site = site("twice", 1);
    let event = Payments::new(3).make().payload.to_vec();
    payloads(kafka().bootstrap(), &site.topic, (0..2).map(|_| (b"k".to_vec(), event.clone())));
    let _daemon = site.ready("only", &[]);
    site.settle();
    assert_eq!(site.sql("SELECT count(*), count(DISTINCT payment_id) FROM public.scores"), "2|1");
}

/// Key, payload and headers of every dead letter are those of the record, cut at the limit with length and hash kept.
fn bytes_are_kept(site: &Site<'_>, cases: &[Case]) {
    let hex = |bytes: &[u8]| bytes.iter().fold(String::from("\\x"), |text, b| text + &format!("{b:02x}"));
    let sql = "SELECT \"offset\", key, payload, payload_length, payload_sha256 IS NOT NULL, cardinality(header_names),
        headers_sha256 IS NOT NULL FROM tidemill.dead_letter ORDER BY 1";
    for line in site.sql(sql).lines() {
        let columns: Vec<&str> = line.split('|').collect();
        let case = &cases[columns[0].parse::<usize>().unwrap()];
        let payload = case.payload.as_deref().unwrap_or_default();
        let kept = &payload[..payload.len().min(BYTES_MAX)];
        assert_eq!(columns[1], hex(case.key.as_deref().unwrap_or_default()), "{}", case.name);
        assert!(columns[2] == hex(kept), "{}: the payload is another", case.name);
        assert_eq!(columns[3], payload.len().to_string(), "{}", case.name);
        assert_eq!(columns[4] == "t", payload.len() > BYTES_MAX, "{}", case.name);
        let (whole, count) = (columns[6] == "f", case.headers.count());
        let kept = columns[5].parse::<usize>().unwrap();
        assert!(if whole { kept == count } else { kept < count || count == 1 }, "{}: {kept} headers", case.name);
        assert_eq!(whole, case.name != "a large header on poison", "{}", case.name);
    }
}
