use std::path::Path;

use super::options::Framing;
use super::options::Literal;
use super::options::Tombstones;
use super::samples::Rng;
use super::*;
use crate::domain::batch::Batch;
use crate::domain::batch::Span;
use crate::domain::fields::FieldKind;
use crate::domain::fields::Fields;
use crate::domain::fields::Otherwise;
use crate::domain::units::ByteSize;
use crate::domain::verdict::Verdict;
use crate::domain::verdict::Verdicts;

fn spec(path: &str, kind: FieldKind, missing: Otherwise, wrong: Otherwise) -> FieldSpec {
    FieldSpec { path: path::parse(path).unwrap(), kind, missing, wrong }
}

fn fraud_specs() -> Vec<FieldSpec> {
    let rule = |at| if at < 2 { Otherwise::Reject } else { Otherwise::Absent };
    let fields = samples::fraud_fields().into_iter().enumerate();
    fields.map(|(at, (path, kind))| spec(path, kind, rule(at), rule(at))).collect()
}

/// Nanoseconds that this thread has been on a CPU: neighbours on a busy machine do not count.
fn on_cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Best and median nanoseconds of CPU an event.
fn pace(events: usize, mut turn: impl FnMut()) -> (u64, u64) {
    let mut times: Vec<u64> = (0..9)
        .map(|_| {
            let start = on_cpu();
            // the clock of the scheduler may be as coarse as a few milliseconds
            (0..10).for_each(|_| turn());
            (on_cpu() - start) / (10 * events as u64)
        })
        .collect();
    times.sort_unstable();
    (times[0], times[times.len() / 2])
}

/// Prints the pace, and that of `serde_json` for comparison: `cargo test --release --lib speed -- --ignored --nocapture`.
#[test]
#[ignore = "measures; says nothing in the dev profile"]
fn speed_of_payments() {
    let mut rng = Rng::new();
    let events: Vec<String> = (0..20_000).map(|i| samples::payment(&mut rng, i)).collect();
    let mut decoder = build(&Options::default(), &[], &fraud_specs(), Path::new("")).unwrap();
    let batches: Vec<Batch> =
        events.chunks(500).map(|part| samples::batch(part.iter().map(|e| Some(e.as_bytes())))).collect();
    let (mut fields, mut verdicts) = (Fields::default(), Verdicts::default());
    let ours = pace(events.len(), || {
        for batch in &batches {
            verdicts.reset(batch.records.len());
            decoder.decode(batch, &mut fields, &mut verdicts);
            assert!(verdicts.rejected.is_empty());
        }
    });
    let theirs = pace(events.len(), || {
        for event in &events {
            std::hint::black_box(serde_json::from_str::<serde_json::Value>(event).unwrap());
        }
    });
    let bytes = events.iter().map(String::len).sum::<usize>() / events.len();
    println!("{bytes} bytes an event; best, median ns: {ours:?}; serde_json Value: {theirs:?}");
}

type Headers<'a> = &'a [(&'a str, Option<&'a str>)];

/// A record: payload, key, headers.
type Raw<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, Headers<'a>);

fn batch(records: &[Raw<'_>]) -> Batch {
    let mut batch = samples::batch(records.iter().map(|r| r.0));
    for (at, (_, key, headers)) in records.iter().enumerate() {
        batch.records[at].key = batch.push_bytes(*key);
        let start = batch.bytes.len() as u32;
        for (name, value) in *headers {
            batch.push_header(name.as_bytes(), value.map(str::as_bytes));
        }
        batch.records[at].headers = Span { start, len: batch.bytes.len() as u32 - start };
    }
    batch
}

/// What became of each record: `keep`, `skip N`, or the reason and detail of its rejection.
fn fates(decoder: &mut dyn Decoder, batch: &Batch) -> (Vec<String>, Fields) {
    let (mut fields, mut verdicts) = (Fields::default(), Verdicts::default());
    verdicts.reset(batch.records.len());
    decoder.decode(batch, &mut fields, &mut verdicts);
    let fate = |verdict: &Verdict| match verdict {
        Verdict::Keep => "keep".into(),
        Verdict::Skip(rule) => format!("skip {rule}"),
        Verdict::Dead(at) => {
            let why = &verdicts.rejected[*at as usize];
            assert_eq!(why.stage, Stage::Decode);
            format!("{}: {}", why.reason, why.detail)
        }
    };
    (verdicts.of.iter().map(fate).collect(), fields)
}

fn payloads(events: &[&str]) -> Batch {
    samples::batch(events.iter().map(|e| Some(e.as_bytes())))
}

fn json(skips: &[SkipRule], wanted: &[FieldSpec]) -> Box<dyn Decoder> {
    build(&Options::default(), skips, wanted, Path::new("")).unwrap()
}

#[test]
fn payments_are_decoded_into_their_slots() {
    let event = concat!(
        r#"{"id":"pay-1","ts":"2026-11-01T00:00:01Z","amount":12.5,"card":{"country":"FR","prepaid":true},"#,
        r#""merchant":{"id":"m7","category":"casino"}}"#
    );
    let batch = payloads(&[event, "{}", event]);
    let mut decoder = json(&[], &fraud_specs());
    let (got, fields) = fates(decoder.fork().as_mut(), &batch);
    assert_eq!(got, ["keep", "missing_field: field id is missing or null", "keep"]);
    assert_eq!(fates(decoder.as_mut(), &batch).0, got);
    for record in [0, 2] {
        assert_eq!(fields.text(&batch, record, 0), Some(&b"pay-1"[..]));
        assert_eq!(fields.integer(record, 1), Some(1_793_491_201_000_000));
        assert_eq!(fields.text(&batch, record, 2), Some(&b"m7"[..]));
        assert_eq!(fields.number(record, 3), 12.5);
        assert!(fields.number(record, 4).is_nan() && !fields.is_present(record, 4));
        assert_eq!(fields.integer(record, 6), Some(1));
        assert_eq!(fields.integer(record, 7), Some(1));
        assert_eq!(fields.integer(record, 8), Some(-1));
    }
}

#[test]
fn policies_settle_missing_and_wrong_fields() {
    use Otherwise::Absent;
    use Otherwise::Reject;
    use Otherwise::Value;
    let list = || FieldKind::Category(vec!["a".into(), "b".into()]);
    let mut decoder = json(
        &[],
        &[
            spec("n", FieldKind::Number, Value(-1.5), Value(2.5)),
            spec("i", FieldKind::Integer, Value(7.0), Absent),
            spec("b", FieldKind::Boolean, Absent, Value(1.0)),
            spec("c", list(), Value(-1.0), Value(1.0)),
            spec("o.t", FieldKind::Text, Absent, Reject),
            spec("r", FieldKind::Number, Reject, Absent),
        ],
    );
    let batch = payloads(&[
        r#"{"r":1}"#,
        r#"{"r":1,"n":"1","i":"1","b":1,"c":1,"o":1}"#,
        r#"{"r":"x","n":3,"i":3,"b":false,"c":"b","o":{"t":"t"}}"#,
        r#"{"r":1,"o":{"t":5}}"#,
        r#"{"r":null}"#,
    ]);
    let (got, fields) = fates(decoder.as_mut(), &batch);
    let wrong = "wrong_type: field o.t has the wrong type";
    assert_eq!(got, ["keep", "keep", "keep", wrong, "missing_field: field r is missing or null"]);
    let row = |record| {
        (fields.number(record, 0), fields.integer(record, 1), fields.integer(record, 2), fields.integer(record, 3))
    };
    assert_eq!(row(0), (-1.5, Some(7), None, Some(-1)));
    assert_eq!(row(1), (2.5, None, Some(1), Some(1)));
    assert_eq!(row(2), (3.0, Some(3), Some(0), Some(1)));
    assert!(fields.number(2, 5).is_nan() && fields.text(&batch, 0, 4).is_none());
    assert_eq!(fields.text(&batch, 2, 4), Some(&b"t"[..]));
}

#[test]
fn values_that_a_kind_cannot_hold_are_refused() {
    let list = || FieldKind::Category(vec!["a".into()]);
    for (kind, value, want) in [
        (FieldKind::Text, 1.0, "field `x`: the default 1 is a number, and the field is a text"),
        (FieldKind::Integer, 1.5, "field `x`: the default 1.5 is not a whole number up to 2^53"),
        (FieldKind::Integer, f64::NAN, "field `x`: the default NaN is not a whole number up to 2^53"),
        (FieldKind::Boolean, 2.0, "field `x`: the default 2 is neither 0 nor 1"),
        (list(), 1.0, "field `x`: the default 1 is no code of the category"),
    ] {
        let wanted = [spec("x", kind, Otherwise::Absent, Otherwise::Value(value))];
        let error = build(&Options::default(), &[], &wanted, Path::new("")).err().unwrap();
        assert_eq!(error.to_string(), want);
    }
}

#[test]
fn arrays_of_another_length_are_said_before_the_elements_that_they_lack() {
    let length = |min, max| FieldKind::Length { min, max };
    let reject = |path, kind| spec(path, kind, Otherwise::Reject, Otherwise::Reject);
    let mut decoder = json(
        &[],
        &[
            reject("a", length(2, 2)),
            reject("a[0]", FieldKind::Number),
            reject("a[1]", FieldKind::Number),
            spec("b", length(0, 1), Otherwise::Absent, Otherwise::Reject),
            spec("b[0]", FieldKind::Bytes, Otherwise::Absent, Otherwise::Reject),
        ],
    );
    let batch = payloads(&[
        r#"{"a":[1,2]}"#,
        r#"{"a":[1]}"#,
        r#"{"a":[1,2,3]}"#,
        r#"{"a":[1,null]}"#,
        r#"{"a":{"0":1}}"#,
        r#"{"a":[1],"a":[ 3 , 4 ],"b":["x"]}"#,
        r#"{"a":[1,2],"a":null}"#,
        r#"{"a":[1,2],"b":["x",[]]}"#,
        r#"{"a":[1,2],"b":[7]}"#,
    ]);
    let (got, fields) = fates(decoder.as_mut(), &batch);
    assert_eq!(
        got,
        [
            "keep",
            "wrong_length: field a has 1 elements, wanted are 2",
            "wrong_length: field a has 3 elements, wanted are 2",
            "missing_field: field a[1] is missing or null",
            "wrong_type: field a has the wrong type",
            "keep",
            "missing_field: field a is missing or null",
            "wrong_length: field b has 2 elements, wanted are 0 to 1",
            "wrong_type: field b[0] has the wrong type",
        ]
    );
    assert_eq!((fields.number(5, 1), fields.text(&batch, 5, 4)), (3.0, Some(&b"x"[..])));
}

fn text(text: &str) -> Literal {
    Literal::Text(text.into())
}

#[test]
fn skip_rules_apply_in_their_order() {
    let rule = SkipRule::default;
    let skips = [
        SkipRule { field: Some("kind".into()), any_of: Some(vec![text("refund"), text("void")]), ..rule() },
        SkipRule { header: Some("type".into()), equals: Some(text("test")), ..rule() },
        SkipRule { key: true, absent: Some(true), ..rule() },
        SkipRule { field: Some("v".into()), equals: Some(Literal::Integer(3)), ..rule() },
        SkipRule { field: Some("rate".into()), equals: Some(Literal::Number(0.5)), ..rule() },
        SkipRule { field: Some("dry".into()), equals: Some(Literal::Boolean(true)), ..rule() },
        SkipRule { field: Some("payment".into()), absent: Some(true), ..rule() },
        SkipRule { header: Some("retry".into()), absent: Some(false), ..rule() },
    ];
    let wanted = [spec("payment.amount", FieldKind::Number, Otherwise::Reject, Otherwise::Reject)];
    let mut decoder = json(&skips, &wanted);
    let good = r#"{"payment":{"amount":1}}"#;
    let key = Some(&b"k"[..]);
    let cases: &[(&str, Option<&[u8]>, Headers<'_>, &str)] = &[
        (good, key, &[], "keep"),
        (r#"{"kind":"refund"}"#, key, &[], "skip 0"),
        (r#"{"kind":"v\u006fid"}"#, key, &[], "skip 0"),
        (r#"{"kind":"refunds","payment":{"amount":1}}"#, key, &[], "keep"),
        (r#"{"kind":7,"payment":{"amount":1}}"#, key, &[], "keep"),
        (good, key, &[("type", Some("test"))], "skip 1"),
        ("not json at all", key, &[("type", Some("test"))], "skip 1"),
        (good, key, &[("type", Some("test")), ("type", Some("real"))], "keep"),
        (good, key, &[("type", Some("real")), ("type", Some("test"))], "skip 1"),
        (good, key, &[("type", None), ("other", Some("test"))], "keep"),
        // a rule on a key is looked at before one on a field, whatever their order
        (r#"{"kind":"refund"}"#, None, &[], "skip 2"),
        (r#"{"v":3}"#, key, &[], "skip 3"),
        (r#"{"v":3.0}"#, key, &[], "skip 3"),
        (r#"{"v":4,"payment":{"amount":1}}"#, key, &[], "keep"),
        (r#"{"rate":5e-1}"#, key, &[], "skip 4"),
        (r#"{"dry":true}"#, key, &[], "skip 5"),
        (r#"{"dry":false,"payment":{"amount":2}}"#, key, &[], "keep"),
        (r#"{"payment":null}"#, key, &[], "skip 6"),
        (r#"{}"#, key, &[], "skip 6"),
        (r#"{"payment":[]}"#, key, &[], "missing_field: field payment.amount is missing or null"),
        (r#"{"payment":{"amount":"1"}}"#, key, &[], "wrong_type: field payment.amount has the wrong type"),
        (good, key, &[("retry", Some(""))], "skip 7"),
        ("{", key, &[], "bad_json: not valid JSON near byte 1"),
    ];
    let raw: Vec<Raw<'_>> = cases.iter().map(|c| (Some(c.0.as_bytes()), c.1, c.2)).collect();
    let (got, fields) = fates(decoder.as_mut(), &batch(&raw));
    for (got, case) in got.iter().zip(cases) {
        assert_eq!(got, case.3, "{}", case.0);
    }
    assert_eq!(fields.number(0, 0), 1.0);
}

#[test]
fn tombstones_framing_and_size_come_first() {
    let skips = [SkipRule { key: true, equals: Some(text("k")), ..SkipRule::default() }];
    let wanted = [spec("a", FieldKind::Text, Otherwise::Reject, Otherwise::Reject)];
    let mut options = Options { framing: Framing::Confluent, bytes_max: ByteSize(20), ..Options::default() };
    let long = [b' '; 21];
    let raw: &[Raw<'_>] = &[
        (Some(b"\0\0\0\0\x07{\"a\":\"x\"}"), None, &[]),
        (None, Some(b"k"), &[]),
        (Some(b"\x01\0\0\0\x07{\"a\":\"x\"}"), None, &[]),
        (Some(b"\0\0\0\0"), None, &[]),
        (Some(b""), None, &[]),
        (Some(b"\0\0\0\0\x07"), None, &[]),
        (Some(b"{\"a\":\"x\"}"), Some(b"k"), &[]),
        (Some(&long), Some(b"k"), &[]),
    ];
    let batch = batch(raw);
    let mut want = vec![
        "keep",
        "skip 1",
        "bad_framing: the first byte is not zero",
        "bad_framing: shorter than the registry's five-byte prefix",
        "bad_framing: shorter than the registry's five-byte prefix",
        "bad_json: not valid JSON near byte 0",
        "skip 0",
        "too_large: the payload has 21 bytes, event.bytes_max is 20B",
    ];
    let mut decoder = build(&options, &skips, &wanted, Path::new("")).unwrap();
    let (got, fields) = fates(decoder.as_mut(), &batch);
    assert_eq!(got, want);
    assert_eq!(fields.text(&batch, 0, 0), Some(&b"x"[..]));
    options.tombstones = Tombstones::DeadLetter;
    want[1] = "tombstone: the payload is null";
    let mut decoder = build(&options, &skips, &wanted, Path::new("")).unwrap();
    assert_eq!(fates(decoder.as_mut(), &batch).0, want);
}

#[test]
fn records_that_are_settled_are_left_alone() {
    let batch = payloads(&["{", "{}", "{"]);
    let (mut fields, mut verdicts) = (Fields::default(), Verdicts::default());
    verdicts.reset(3);
    verdicts.skip(0, 9);
    json(&[], &[]).decode(&batch, &mut fields, &mut verdicts);
    assert_eq!(verdicts.of, [Verdict::Skip(9), Verdict::Keep, Verdict::Dead(0)]);
    assert_eq!(verdicts.rejected.len(), 1);
}

#[test]
fn the_schemas_of_the_repository_are_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let options = Options { format: Format::Bincode, schema: Some("payment.toml".into()), ..Options::default() };
    build(&options, &[], &fraud_specs(), &root.join("schemas")).map(drop).unwrap();
    let missing = build(&options, &[], &[], Path::new("nowhere")).err().unwrap();
    assert!(missing.to_string().starts_with("cannot read the schema nowhere/payment.toml: "));

    let text = std::fs::read_to_string(root.join("schemas/payment.schema.json")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
    let event: serde_json::Value = serde_json::from_str(&samples::payment(&mut Rng::new(), 1)).unwrap();
    same_shape("event", &schema, &event);
}

/// The schema lists exactly the fields of the event, and gives them its types.
fn same_shape(path: &str, schema: &serde_json::Value, event: &serde_json::Value) {
    let ty = schema["type"].as_str().unwrap();
    match event {
        serde_json::Value::Object(fields) => {
            assert_eq!(ty, "object", "{path}");
            let known = schema["properties"].as_object().unwrap();
            assert_eq!(known.keys().collect::<Vec<_>>(), fields.keys().collect::<Vec<_>>(), "{path}");
            for (key, value) in fields {
                same_shape(&format!("{path}.{key}"), &known[key], value);
            }
        }
        serde_json::Value::String(text) => {
            assert_eq!(ty, "string", "{path}");
            if let Some(list) = schema["enum"].as_array() {
                assert!(list.iter().any(|v| v == text), "{path}");
            }
        }
        serde_json::Value::Bool(_) => assert_eq!(ty, "boolean", "{path}"),
        serde_json::Value::Number(n) => assert!(ty == "number" || (ty == "integer" && n.is_u64()), "{path}"),
        _ => panic!("{path}"),
    }
}
