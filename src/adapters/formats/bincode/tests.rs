use std::path::Path;

use bincode::Encode;
use bincode::config;
use bincode::config::Config;
use proptest::prelude::*;

use super::super::leaf::Marks;
use super::super::path;
use super::super::samples;
use super::super::schema;
use super::*;
use crate::domain::fields::FieldKind;
use crate::domain::fields::Fields;
use crate::domain::fields::TimeUnit;

const SCHEMA: &str = r#"
    version_byte = 2
    [[field]]
    name = "flag"
    type = "bool"
    [[field]]
    name = "small"
    type = "u8"
    [[field]]
    name = "big"
    type = "u64"
    [[field]]
    name = "deep"
    type = "struct"
    fields = [
      { name = "i", type = "i32" },
      { name = "j", type = "i64" },
      { name = "x", type = "f32" },
      { name = "y", type = "f64" },
      { name = "raw", type = "bytes" },
    ]
    [[field]]
    name = "name"
    type = "string"
    [[field]]
    name = "maybe"
    type = "option<i16>"
    [[field]]
    name = "list"
    type = "vec<struct>"
    fields = [{ name = "k", type = "string" }, { name = "v", type = "option<u16>" }]
    [[field]]
    name = "fixed"
    type = "array<u32, 3>"
    [[field]]
    name = "when"
    type = "i64"
"#;

/// The struct that the schema describes, as a producer would have it.
#[derive(Clone, Debug, PartialEq)]
struct Event {
    flag: bool,
    small: u8,
    big: u64,
    deep: (i32, i64, f32, f64, Vec<u8>),
    name: String,
    maybe: Option<i16>,
    list: Vec<(String, Option<u16>)>,
    fixed: [u32; 3],
    when: i64,
}

fn bytes(event: &Event, config: impl Config) -> Vec<u8> {
    fn put(out: &mut Vec<u8>, value: impl Encode, config: impl Config) {
        out.extend(bincode::encode_to_vec(value, config).unwrap());
    }
    let mut out = vec![2];
    // tuples are written without a length or padding, as structs are
    put(&mut out, (event.flag, event.small, event.big, &event.deep, &event.name, event.maybe), config);
    put(&mut out, (&event.list, event.fixed, event.when), config);
    out
}

fn sample() -> Event {
    Event {
        flag: true,
        small: 250,
        big: u64::from(u32::MAX) + 1,
        deep: (-3, i64::MIN, 1.5, -0.25, vec![1, 2, 3]),
        name: "zoë".into(),
        maybe: Some(-300),
        list: vec![("a".into(), None), ("bc".into(), Some(700))],
        fixed: [1, 251, 70_000],
        when: 1_793_491_201_000,
    }
}

/// [`sample`] as the two layouts wrote it when the reader was made.
const STANDARD: &str = concat!(
    "0201fafd000000000100000005fdffffffffffffffff0000c03f000000000000d0bf03010203047a6fc3ab01fb570202016100",
    "02626301fbbc0201fbfb00fc70110100fdd0d7cf2843030000"
);
const LEGACY: &str = concat!(
    "0201fa0000000001000000fdffffff00000000000000800000c03f000000000000d0bf03000000000000000102030400000000",
    "0000007a6fc3ab01d4fe0200000000000000010000000000000061000200000000000000626301bc0201000000fb0000007011",
    "0100e8eb6794a1010000"
);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn wants() -> Vec<Want> {
    let category = FieldKind::Category(vec!["a".into(), "bc".into()]);
    [
        ("flag", Some(FieldKind::Boolean)),
        ("small", Some(FieldKind::Number)),
        ("big", Some(FieldKind::Integer)),
        ("big", Some(FieldKind::Number)),
        ("deep.i", Some(FieldKind::Integer)),
        ("deep.j", Some(FieldKind::Integer)),
        ("deep.x", Some(FieldKind::Number)),
        ("deep.y", Some(FieldKind::Number)),
        ("name", Some(FieldKind::Text)),
        ("maybe", Some(FieldKind::Integer)),
        ("list[1].k", Some(category)),
        ("list[1].v", Some(FieldKind::Integer)),
        ("fixed[2]", Some(FieldKind::Integer)),
        ("when", Some(FieldKind::Timestamp(TimeUnit::Milliseconds))),
        ("deep.raw", None),
        ("maybe", None),
        ("list", Some(FieldKind::Length { min: 0, max: 9 })),
        ("fixed", Some(FieldKind::Length { min: 3, max: 3 })),
        ("deep.raw", Some(FieldKind::Bytes)),
    ]
    .into_iter()
    .map(|(path, kind)| Want { path: path::parse(path).unwrap(), kind })
    .collect()
}

/// All slots as text, or why the event is refused.
fn read(parser: &mut impl Parser, wants: &[Want], event: &[u8]) -> Result<Vec<String>, Rejected> {
    let batch = samples::batch([Some(event)]);
    let (mut fields, mut wrong) = (Fields::default(), Marks::default());
    fields.reset(1, wants.len());
    wrong.reset(wants.len());
    let base = batch.records[0].payload.start;
    parser.parse(event, base, Target { row: &mut fields.row_mut(0), wrong: &mut wrong })?;
    let slot = |(slot, want): (usize, &Want)| match (&want.kind, fields.is_present(0, slot)) {
        (_, false) if wrong.get(slot) => "wrong".into(),
        (_, false) => "-".into(),
        (Some(FieldKind::Number), _) => format!("{:?}", fields.number(0, slot)),
        (Some(FieldKind::Bytes), _) => format!("{:?}", fields.text(&batch, 0, slot).unwrap()),
        (Some(FieldKind::Text), _) => String::from_utf8(fields.text(&batch, 0, slot).unwrap().to_vec()).unwrap(),
        _ => fields.integer(0, slot).unwrap().to_string(),
    };
    Ok(wants.iter().enumerate().map(slot).collect())
}

fn expected(event: &Event) -> Vec<String> {
    fn or<T: ToString>(value: Option<T>, other: &str) -> String {
        value.map_or(other.into(), |v| v.to_string())
    }
    let finite = |x: f64| if x.is_finite() { format!("{x:?}") } else { "wrong".into() };
    let second = event.list.get(1);
    let code = second.map(|(k, _)| ["a", "bc"].iter().position(|c| c == k).map_or(-1, |c| c as i64));
    vec![
        i64::from(event.flag).to_string(),
        format!("{:?}", f64::from(event.small)),
        or(i64::try_from(event.big).ok(), "wrong"),
        format!("{:?}", event.big as f64),
        event.deep.0.to_string(),
        event.deep.1.to_string(),
        finite(f64::from(event.deep.2)),
        finite(event.deep.3),
        event.name.clone(),
        or(event.maybe, "-"),
        or(code, "-"),
        or(second.and_then(|(_, v)| *v), "-"),
        event.fixed[2].to_string(),
        or(event.when.checked_mul(1000), "wrong"),
        "1".into(),
        or(event.maybe.map(|_| 1), "-"),
        event.list.len().to_string(),
        "3".into(),
        format!("{:?}", event.deep.4),
    ]
}

fn schema() -> Schema {
    schema::parse(SCHEMA, Path::new("test.toml")).unwrap()
}

#[test]
fn golden_bytes_are_read_in_both_layouts() {
    assert_eq!(hex(&bytes(&sample(), config::standard())), STANDARD);
    assert_eq!(hex(&bytes(&sample(), config::legacy())), LEGACY);
    let (wants, schema) = (wants(), schema());
    let want = expected(&sample());
    assert_eq!(want[8], "zoë");
    let event = |golden: &str| -> Vec<u8> {
        (0..golden.len()).step_by(2).map(|i| u8::from_str_radix(&golden[i..i + 2], 16).unwrap()).collect()
    };
    assert_eq!(read(&mut standard(&schema, &wants).unwrap(), &wants, &event(STANDARD)).unwrap(), want);
    assert_eq!(read(&mut legacy(&schema, &wants).unwrap(), &wants, &event(LEGACY)).unwrap(), want);
    // a topic has one layout
    assert!(read(&mut standard(&schema, &wants).unwrap(), &wants, &event(LEGACY)).is_err());
    assert!(read(&mut legacy(&schema, &wants).unwrap(), &wants, &event(STANDARD)).is_err());
}

#[test]
fn every_truncation_and_extension_is_refused() {
    let (wants, schema) = (wants(), schema());
    let mut both = (standard(&schema, &wants).unwrap(), legacy(&schema, &wants).unwrap());
    let (one, two) = (bytes(&sample(), config::standard()), bytes(&sample(), config::legacy()));
    for end in 0..one.len() {
        assert_eq!(read(&mut both.0, &wants, &one[..end]).unwrap_err().reason, "bad_bincode", "{end}");
    }
    for end in 0..two.len() {
        assert_eq!(read(&mut both.1, &wants, &two[..end]).unwrap_err().reason, "bad_bincode", "{end}");
    }
    let longer = [&one[..], &[0]].concat();
    assert_eq!(
        read(&mut both.0, &wants, &longer).unwrap_err().detail,
        format!("more bytes than fields at byte {}", one.len())
    );
    assert_eq!(read(&mut both.0, &wants, &[1]).unwrap_err().detail, "not the version byte of the schema at byte 0");
    let inside = read(&mut both.0, &wants, &one[..16]).unwrap_err().detail;
    assert_eq!(inside, "not a value of the field's type in field deep.j at byte 13");
}

#[test]
fn hostile_lengths_cost_nothing() {
    let text = r#"
        [[field]]
        name = "l"
        type = "vec<option<vec<array<u8, 4000000000>>>>"
        [[field]]
        name = "s"
        type = "string"
    "#;
    let schema = schema::parse(text, Path::new("test.toml")).unwrap();
    let mut parser = standard(&schema, &[]).unwrap();
    let huge = [253, 255, 255, 255, 255, 255, 255, 255, 255];
    let start = std::time::Instant::now();
    for event in
        [&huge[..], &[3, 1, 3, 0, 0], &[&[0][..], &huge].concat(), &[2, 2], &[&[0, 252][..], &[255; 4]].concat()]
    {
        for _ in 0..1000 {
            assert_eq!(read(&mut parser, &[], event).unwrap_err().reason, "bad_bincode", "{event:?}");
        }
    }
    assert!(start.elapsed().as_secs() < 5);
    assert!(read(&mut parser, &[], &[2, 0, 0, 1, b'x']).is_ok());
    assert!(read(&mut parser, &[], &[0, 1, 0xff]).is_err());
}

#[test]
fn paths_and_kinds_must_fit_the_schema() {
    let schema = schema();
    for (path, kind, want) in [
        ("nope", None, "field `nope`: the schema has no `nope` there"),
        ("deep.nope", None, "field `deep.nope`: the schema has no `nope` there"),
        ("deep[0]", None, "field `deep[0]`: an index is used on a struct"),
        ("list.k", None, "field `list.k`: a key is used on a list"),
        ("fixed[3]", None, "field `fixed[3]`: the index is beyond the array"),
        ("name.x", None, "field `name.x`: the path goes on behind a plain value"),
        ("deep", Some(FieldKind::Number), "field `deep`: the schema gives it a type"),
        ("name", Some(FieldKind::Number), "field `name`: the schema gives it a type"),
        ("flag", Some(FieldKind::Number), "field `flag`: the schema gives it a type"),
        ("small", Some(FieldKind::Text), "field `small`: the schema gives it a type"),
        ("small", Some(FieldKind::Boolean), "field `small`: the schema gives it a type"),
        ("deep.raw", Some(FieldKind::Text), "field `deep.raw`: the schema gives it a type"),
    ] {
        let wants = [Want { path: path::parse(path).unwrap(), kind }];
        let error = standard(&schema, &wants).err().unwrap().to_string();
        assert!(error.starts_with(want), "{error}");
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let deep = (any::<i32>(), any::<i64>(), any::<f32>(), any::<f64>(), prop::collection::vec(any::<u8>(), 0..20));
    let item = ("(a|bc|.{0,5})", any::<Option<u16>>());
    let first = (any::<bool>(), any::<u8>(), any::<u64>(), deep, ".{0,300}", any::<Option<i16>>());
    let last = (prop::collection::vec(item, 0..5), any::<[u32; 3]>(), any::<i64>());
    (first, last).prop_map(|((flag, small, big, deep, name, maybe), (list, fixed, when))| Event {
        flag,
        small,
        big,
        deep,
        name,
        maybe,
        list,
        fixed,
        when,
    })
}

proptest! {
    #[test]
    fn what_was_written_is_read(event in any_event()) {
        let (wants, schema) = (wants(), schema());
        let want = expected(&event);
        let one = read(&mut standard(&schema, &wants).unwrap(), &wants, &bytes(&event, config::standard()));
        prop_assert_eq!(&one.unwrap(), &want);
        let two = read(&mut legacy(&schema, &wants).unwrap(), &wants, &bytes(&event, config::legacy()));
        prop_assert_eq!(&two.unwrap(), &want);
    }

    #[test]
    fn spoilt_bytes_are_survived(event in any_event(), spots in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let (wants, schema) = (wants(), schema());
        let mut event = (bytes(&event, config::standard()), bytes(&event, config::legacy()));
        for (at, byte) in spots {
            let (a, b) = (at.index(event.0.len()), at.index(event.1.len()));
            event.0[a] = byte;
            event.1[b] = byte;
        }
        for result in [
            read(&mut standard(&schema, &wants).unwrap(), &wants, &event.0),
            read(&mut legacy(&schema, &wants).unwrap(), &wants, &event.1),
        ] {
            prop_assert!(result.map_or_else(|why| why.reason == "bad_bincode", |slots| slots.len() == wants.len()));
        }
    }
}
