//! The JSON reader against `serde_json`: the same events are taken, and the same values found in them.

use std::path::Path;

use serde_json::Value;
use tidemill::adapters::formats;
use tidemill::domain::fields::FieldKind;
use tidemill::domain::fields::FieldSpec;
use tidemill::domain::fields::Fields;
use tidemill::domain::fields::Step;
use tidemill::domain::verdict::Verdict;
use tidemill::ports::Decoder;

use super::Target;
use super::events;
use super::events::Slot;
use crate::random::Random;
use crate::random::hash;

pub const WORDS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\\udc00",
    b"\\ud83d\\ude00",
    b"\\\"",
    b"null",
    b"true",
    b"false",
    b"NaN",
    b"Infinity",
    b"-",
    b"1e5",
    b"1E-7",
    b"0.5",
    b"00",
    b".5",
    b"5.",
    b"\"amount\":",
    b"\"id\":",
    b"\"card\":{",
    b"\"items\":[",
    b"{\"\":\"\"}",
    b"\xc3\xa9",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98\x80",
    b"\xef\xbb\xbf",
    b"\t",
    b"\n",
    b"\x0c",
    b"[[",
    b"{\"a\":",
];

/// `serde_json`, which is asked beside the reader, takes 2 KB a level in this profile.
pub const STACK: usize = 1 << 20;

pub struct Json {
    wanted: Vec<FieldSpec>,
    decoder: Box<dyn Decoder>,
    fields: Fields,
}

/// Fields of most kinds; some paths are wanted twice, some lie inside others.
pub fn wanted() -> Vec<FieldSpec> {
    let list = |of: &[&str]| FieldKind::Category(of.iter().map(|s| s.to_string()).collect());
    let all = [
        ("id", FieldKind::Text),
        ("id.inner", FieldKind::Boolean),
        ("amount", FieldKind::Number),
        ("amount", FieldKind::Integer),
        ("card.bin", FieldKind::Integer),
        ("card.country", list(&["", "DE", "é", "a rather long name of a country"])),
        ("card.prepaid", FieldKind::Boolean),
        ("card", FieldKind::Text),
        ("items[0].price", FieldKind::Number),
        ("items[2].tags[1]", FieldKind::Text),
        ("items[1]", FieldKind::Number),
        ("items", FieldKind::Length { min: 0, max: u32::MAX }),
        ("matrix[1][0]", FieldKind::Integer),
        ("\"\"", FieldKind::Text),
    ];
    all.into_iter().map(|(path, kind)| events::spec(path, kind)).collect()
}

/// The reader of [`wanted`] fields, with templates or without.
pub fn decoder(templates: bool) -> Box<dyn Decoder> {
    // serde_json's own limit is 128.
    let options = formats::options::Options { depth_max: 127, templates, ..formats::options::Options::default() };
    formats::build(&options, &[], &wanted(), Path::new("")).expect("the fields of the test are right")
}

impl Json {
    pub fn new() -> Json {
        Json { wanted: wanted(), decoder: decoder(false), fields: Fields::default() }
    }

    /// Reads an event and compares with `serde_json`; the outcome.
    pub fn check(&mut self, input: &[u8]) -> u64 {
        let batch = events::batch(input);
        let (verdict, reason) = events::decode(self.decoder.as_mut(), &batch, &mut self.fields);
        let event = std::str::from_utf8(input).ok().and_then(|t| serde_json::from_str::<Value>(t).ok());
        let Some(event) = event.filter(Value::is_object) else {
            assert!(matches!(verdict, Verdict::Dead(_)), "serde_json refuses it, the reader does not");
            return hash(&[reason.as_bytes()]);
        };
        assert_eq!((verdict, reason), (Verdict::Keep, ""), "serde_json takes it, the reader does not");
        let mut present = vec![];
        for (i, want) in self.wanted.iter().enumerate() {
            let found = events::slot(&want.kind, &self.fields, &batch, i);
            assert_eq!(found, expected(&event, want), "{:?}", want.path);
            present.push(u8::from(found != Slot::Absent));
        }
        hash(&[b"taken", &present])
    }
}

impl Target for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn words(&self) -> &'static [&'static [u8]] {
        WORDS
    }

    fn restructure(&mut self, input: &mut Vec<u8>, random: &mut Random) -> bool {
        let Ok(mut value) = serde_json::from_slice::<Value>(input) else { return false };
        for _ in 0..1 + random.below(3) {
            change(&mut value, random, 0);
        }
        *input = serde_json::to_vec(&value).expect("a value can be written");
        true
    }

    fn stack(&self) -> usize {
        STACK
    }

    fn executions(&self) -> u64 {
        30_000
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        self.check(input)
    }
}

pub fn at<'a>(event: &'a Value, path: &[Step]) -> Option<&'a Value> {
    let step = |value: &'a Value, step: &Step| match step {
        Step::Key(key) => value.as_object()?.get(key),
        Step::Index(index) => value.as_array()?.get(*index as usize),
    };
    path.iter().try_fold(event, step).filter(|v| !v.is_null())
}

/// An integer, written as one or as a float without a fraction that a double holds exactly.
pub fn integer(value: &Value) -> Option<i64> {
    let exact = |x: &f64| x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| value.as_f64().filter(exact).map(|x| x as i64))
}

fn expected(event: &Value, want: &FieldSpec) -> Slot {
    let Some(value) = at(event, &want.path) else { return Slot::Absent };
    let slot = match &want.kind {
        FieldKind::Number => value.as_f64().map(|x| Slot::Number(x.to_bits())),
        FieldKind::Integer => integer(value).map(Slot::Integer),
        FieldKind::Boolean => value.as_bool().map(|b| Slot::Integer(i64::from(b))),
        FieldKind::Length { .. } => value.as_array().map(|all| Slot::Integer(all.len() as i64)),
        FieldKind::Text => value.as_str().map(|s| Slot::Text(s.as_bytes().to_vec())),
        FieldKind::Category(list) => {
            let code = |s: &str| list.iter().position(|c| c == s).map_or(-1, |code| code as i64);
            value.as_str().map(|s| Slot::Integer(code(s)))
        }
        kind => panic!("the test wants no {kind:?}"),
    };
    slot.unwrap_or(Slot::Absent)
}

/// Changes one place of a value.
pub fn change(value: &mut Value, random: &mut Random, depth: usize) {
    let deeper = depth < 20 && random.below(4) > 0;
    match value {
        Value::Object(map) if deeper && !map.is_empty() => {
            let at = random.below(map.len());
            let (key, inner) = map.iter_mut().nth(at).map(|(k, v)| (k.clone(), v)).expect("it is below the length");
            match random.below(6) {
                0 => drop(map.remove(&key)),
                1 => {
                    let moved = map.remove(&key).expect("it is there");
                    map.insert(["id", "amount", "card", "items", "matrix", "", "é"][random.below(7)].into(), moved);
                }
                _ => change(inner, random, depth + 1),
            }
        }
        Value::Array(list) if deeper && !list.is_empty() => {
            let at = random.below(list.len());
            match random.below(5) {
                0 => drop(list.remove(at)),
                1 => list.insert(at, list[at].clone()),
                _ => change(&mut list[at], random, depth + 1),
            }
        }
        _ => *value = leaf(random, value.clone()),
    }
}

fn leaf(random: &mut Random, old: Value) -> Value {
    match random.below(10) {
        0 => Value::Null,
        1 => Value::Bool(random.below(2) == 0),
        2 => (random.word() as i64 >> random.below(64)).into(),
        3 => (random.word() >> random.below(64)).into(),
        4 => serde_json::Number::from_f64(f64::from_bits(random.word())).map_or(Value::Null, Value::Number),
        5 => ((random.below(100_000) as f64) / 100.0).into(),
        6 => "DE".into(),
        7 => String::from_utf8_lossy(&random.word().to_le_bytes()).into_owned().into(),
        8 => Value::Array(vec![old]),
        _ => serde_json::json!({ "inner": old }),
    }
}
