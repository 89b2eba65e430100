use serde_json::Value;

use super::super::path;
use super::super::rfc3339;
use super::super::samples;
use super::super::samples::Rng;
use super::*;
use crate::domain::batch::Batch;
use crate::domain::fields::FieldKind;
use crate::domain::fields::Fields;
use crate::domain::fields::Step;
use crate::domain::fields::TimeUnit;

/// What a slot is to hold.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Slot {
    Absent,
    Wrong,
    /// Bits of the double.
    Number(u64),
    Integer(i64),
    Text(Vec<u8>),
}

pub(super) struct Rig {
    pub(super) wants: Vec<Want>,
    reader: Json,
    fields: Fields,
    wrong: Marks,
}

impl Rig {
    pub(super) fn new(wants: Vec<Want>, depth_max: u32) -> Rig {
        let reader = Json::new(&wants, depth_max, true).unwrap();
        Rig { wants, reader, fields: Fields::default(), wrong: Marks::default() }
    }

    /// The same without templates.
    pub(super) fn plain(wants: Vec<Want>) -> Rig {
        let reader = Json::new(&wants, 127, false).unwrap();
        Rig { reader, ..Rig::new(wants, 127) }
    }

    pub(super) fn of(fields: &[(&str, FieldKind)]) -> Rig {
        Rig::new(fields.iter().map(|(path, kind)| want(path, Some(kind.clone()))).collect(), 127)
    }

    /// Reads an event; the slots, or the reason why not.
    pub(super) fn read(&mut self, event: &[u8]) -> Result<Vec<Slot>, Rejected> {
        let batch = samples::batch([Some(event)]);
        let slots = self.wants.len();
        self.fields.reset(1, slots);
        self.wrong.reset(slots);
        let mut row = self.fields.row_mut(0);
        let base = batch.records[0].payload.start;
        self.reader.parse(event, base, Target { row: &mut row, wrong: &mut self.wrong })?;
        Ok((0..slots).map(|slot| self.slot(&batch, slot)).collect())
    }

    fn templates(&self) -> &Templates {
        self.reader.templates.as_ref().expect("the rig has templates")
    }

    /// Events that were read by a template.
    pub(super) fn hits(&self) -> usize {
        self.templates().hits
    }

    /// Events that were learnt, or tried to be.
    pub(super) fn learnt(&self) -> usize {
        self.templates().learnt
    }

    pub(super) fn steps(&self) -> usize {
        self.templates().steps()
    }

    fn slot(&self, batch: &Batch, slot: usize) -> Slot {
        match (&self.wants[slot].kind, self.fields.is_present(0, slot)) {
            (_, false) => {
                assert!(self.fields.number(0, slot).is_nan());
                if self.wrong.get(slot) { Slot::Wrong } else { Slot::Absent }
            }
            (Some(FieldKind::Number), _) => Slot::Number(self.fields.number(0, slot).to_bits()),
            (Some(FieldKind::Text | FieldKind::Bytes), _) => {
                Slot::Text(self.fields.text(batch, 0, slot).unwrap().to_vec())
            }
            _ => Slot::Integer(self.fields.integer(0, slot).unwrap()),
        }
    }

    fn reason(&mut self, event: &[u8]) -> &'static str {
        self.read(event).map_or_else(|why| why.reason, |_| "taken")
    }
}

fn want(text: &str, kind: Option<FieldKind>) -> Want {
    Want { path: path::parse(text).unwrap(), kind }
}

/// The same fields by way of `serde_json`'s `Value`.
pub(super) fn reference(event: &[u8], wants: &[Want]) -> Option<Vec<Slot>> {
    let event: Value = serde_json::from_str(std::str::from_utf8(event).ok()?).ok()?;
    event.is_object().then(|| wants.iter().map(|want| expected(&event, want)).collect())
}

fn expected(event: &Value, want: &Want) -> Slot {
    let found = want.path.iter().try_fold(event, |value, step| match step {
        Step::Key(key) => value.as_object()?.get(key),
        Step::Index(index) => value.as_array()?.get(*index as usize),
    });
    let Some(value) = found.filter(|value| !value.is_null()) else { return Slot::Absent };
    let integer = |value: Option<i64>| value.map(Slot::Integer);
    let slot = match &want.kind {
        None => Some(Slot::Integer(1)),
        Some(FieldKind::Number) => value.as_f64().map(|x| Slot::Number(x.to_bits())),
        Some(FieldKind::Integer) => integer(value.as_i64().or_else(|| {
            value.as_f64().filter(|x| x.fract() == 0.0 && x.abs() <= 9007199254740992.0).map(|x| x as i64)
        })),
        Some(FieldKind::Boolean) => integer(value.as_bool().map(i64::from)),
        Some(FieldKind::Length { .. }) => integer(value.as_array().map(|all| all.len() as i64)),
        Some(FieldKind::Text | FieldKind::Bytes) => value.as_str().map(|s| Slot::Text(s.as_bytes().to_vec())),
        Some(FieldKind::Category(list)) => {
            integer(value.as_str().map(|s| list.iter().position(|c| c == s).map_or(-1, |code| code as i64)))
        }
        Some(FieldKind::Timestamp(unit)) => integer(time(value, *unit)),
    };
    slot.unwrap_or(Slot::Wrong)
}

fn time(value: &Value, unit: TimeUnit) -> Option<i64> {
    let factor = match unit {
        TimeUnit::Seconds => 1_000_000i64,
        TimeUnit::Milliseconds => 1000,
        TimeUnit::Microseconds => 1,
    };
    match value {
        Value::String(text) => rfc3339::micros(text.as_bytes()),
        Value::Number(n) if n.is_i64() => i64::try_from(i128::from(n.as_i64()?) * i128::from(factor)).ok(),
        Value::Number(n) => {
            let time = (n.as_f64()? * factor as f64).round();
            (time.abs() < 9.3e18 && i64::try_from(time as i128).is_ok()).then_some(time as i64)
        }
        _ => None,
    }
}

/// Fields of all kinds; some paths are wanted twice, some lie inside others.
pub(super) fn many_wants() -> Vec<Want> {
    let category = |list: &[&str]| FieldKind::Category(list.iter().map(|s| s.to_string()).collect());
    let mut wants: Vec<Want> = samples::fraud_fields().into_iter().map(|(p, k)| want(p, Some(k))).collect();
    for (path, kind) in [
        ("amount", FieldKind::Integer),
        ("amount", FieldKind::Timestamp(TimeUnit::Seconds)),
        ("ts", FieldKind::Text),
        ("ts", FieldKind::Timestamp(TimeUnit::Microseconds)),
        ("card.country", FieldKind::Text),
        ("card.country", category(&["", "DE", "é", "a rather long name of a country"])),
        ("card", FieldKind::Text),
        ("card.bin", FieldKind::Integer),
        ("id.inner", FieldKind::Boolean),
        ("items[0].price", FieldKind::Number),
        ("items[2].tags[1]", FieldKind::Text),
        ("items[1]", FieldKind::Number),
        ("items[1].price", FieldKind::Number),
        ("items.price", FieldKind::Number),
        ("matrix[1][0]", FieldKind::Integer),
        ("stats.n_1h", FieldKind::Timestamp(TimeUnit::Seconds)),
        ("\"\"", FieldKind::Text),
        ("items", FieldKind::Length { min: 0, max: 9 }),
        ("items[2].tags", FieldKind::Length { min: 0, max: 9 }),
        ("matrix[1]", FieldKind::Length { min: 1, max: 1 }),
        ("id", FieldKind::Bytes),
    ] {
        wants.push(want(path, Some(kind)));
    }
    wants.extend(["card", "items[0]", "items", "merchant.id", "nothing"].map(|path| want(path, None)));
    // more than one word of bits
    wants.extend((0..50).map(|i| want(&format!("wide.k{i}"), Some(FieldKind::Number))));
    wants
}

const TOKENS: [&[u8]; 62] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"false",
    b"0",
    b"-",
    b".",
    b"e",
    b"E",
    b"+",
    b"1e5",
    b"\\u00e9",
    b"\\ud83d\\ude00",
    b"\\ud800",
    b"\xc3\xa9",
    b"\xff",
    b"\xed\xa0\x80",
    b" ",
    b"\n",
    b"\0",
    b"\x1f",
    b"\x7f",
    b"{}",
    b"[]",
    b"\"country\":",
    b"\"card\":",
    b",\"id\":\"x\"",
    b"99999999",
    b"1e999",
    b"-0",
    b"0.00000000000000000000001",
    b"9007199254740993",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"18446744073709551616",
    b"DE",
    b"Z",
    b"/",
    b"'",
    b"{\"price\":3},",
    b"[1],",
    b"\"items\":[",
    b"\"card\":null,",
    b"\"card\":{\"bin\":7},",
    b"\"c\\u006funtry\":",
    b"\"a\\\"b\"",
    b"\"\"",
    b"\"\":\"empty\",",
    b"2.5e-3",
    b"1.0",
    b"3e2",
    b"\"2024-02-29T23:59:60.25+01:00\"",
    b"\\t",
    b"\t",
];

/// An event that is whole, with arrays, wide objects and escapes in some.
pub(super) fn whole(rng: &mut Rng, number: usize) -> Vec<u8> {
    let mut text = samples::payment(rng, number);
    text.pop();
    if rng.below(2) == 0 {
        text +=
            r#","items":[{"price":1.25,"tags":["a"]},{"price":2},{"tags":["x","yé\n","z"]},4],"matrix":[[1],[2,3]]"#;
    }
    if rng.below(4) == 0 {
        let keys: Vec<String> = (0..rng.below(60)).map(|i| format!("\"k{i}\":{}", rng.below(1000))).collect();
        text += &format!(",\"wide\":{{{}}}", keys.join(","));
    }
    if rng.below(4) == 0 {
        text = text.replace("pay-", rng.pick(&["p\\u00e4y-", "é", "\\\"", "\u{1F600}", "a\\\\b", "日本日本日本日本"]));
    }
    text.push('}');
    if rng.below(8) == 0 {
        text = text.replace(',', " ,\n\t").replace(':', " : ");
    }
    text.into_bytes()
}

fn places(event: &[u8], wanted: impl Fn(u8) -> bool) -> Vec<usize> {
    (0..event.len()).filter(|&k| wanted(event[k])).collect()
}

/// Spoils an event in one place, or moves a part of it.
pub(super) fn spoil(rng: &mut Rng, event: &mut Vec<u8>) {
    let way = rng.below(10);
    spoil_in(rng, event, way);
}

/// The last two of the ten ways change a value, mostly.
pub(super) fn spoil_in(rng: &mut Rng, event: &mut Vec<u8>, way: usize) {
    if event.is_empty() {
        return;
    }
    let a = rng.below(event.len());
    match way {
        0 => event[a] = rng.below(256) as u8,
        1 => event[a] ^= 1 << rng.below(8),
        2 => drop(event.remove(a)),
        3 => drop(event.splice(a..a, rng.pick(&TOKENS).iter().copied())),
        4 => {
            let token = rng.pick(&TOKENS);
            let end = (a + token.len()).min(event.len());
            event.splice(a..end, token.iter().copied());
        }
        5 => event.truncate(a),
        6 => {
            let part = event[a..(a + rng.below(40)).min(event.len())].to_vec();
            let b = rng.below(event.len());
            event.splice(b..b, part);
        }
        7 => {
            // two parts between commas change places: mostly still JSON
            let commas = places(event, |c| c == b',');
            if commas.len() > 2 {
                let k = rng.below(commas.len() - 2);
                let (x, y, z) = (commas[k], commas[k + 1], commas[k + 2]);
                let swapped = [&event[y..z], &event[x..y]].concat();
                event.splice(x..z, swapped);
            }
        }
        8 => {
            // another value behind a colon, up to the next comma or brace
            let colons = places(event, |c| c == b':');
            if !colons.is_empty() {
                let from = colons[rng.below(colons.len())] + 1;
                let len = event[from..].iter().position(|c| matches!(c, b',' | b'}')).unwrap_or(0);
                event.splice(from..from + len, rng.pick(&TOKENS).iter().copied());
            }
        }
        _ => {
            let digits = places(event, |c| c.is_ascii_digit());
            if !digits.is_empty() {
                let k = digits[rng.below(digits.len())];
                let other: &[u8] = rng.pick(&[&b"7"[..], b"00", b"1.5", b"123456789012", b"", b"3e2", b"0.1"]);
                event.splice(k..k + 1, other.iter().copied());
            }
        }
    }
}

#[test]
fn spoilt_events_are_decided_and_read_as_serde_json_does() {
    let mut rng = Rng::new();
    let mut rig = Rig::new(many_wants(), 127);
    let corpus: Vec<Vec<u8>> = (0..500).map(|i| whole(&mut rng, i * 777)).collect();
    let (mut taken, rounds) = (0, 200_000);
    for round in 0..rounds {
        let mut event = corpus[rng.below(corpus.len())].clone();
        for _ in 0..[0, 1, 1, 1, 2, 3][rng.below(6)] {
            spoil(&mut rng, &mut event);
        }
        let (got, want) = (rig.read(&event).ok(), reference(&event, &rig.wants));
        taken += usize::from(want.is_some());
        if got != want {
            let differ = match (&got, &want) {
                (Some(g), Some(w)) => (0..g.len()).find(|&i| g[i] != w[i]).map(|i| (i, g[i].clone(), w[i].clone())),
                _ => None,
            };
            panic!("round {round}: {}\n{differ:?}\n{:?}", String::from_utf8_lossy(&event), rig.read(&event).err());
        }
    }
    // otherwise the test says little
    assert!(taken > rounds / 4 && taken < rounds * 3 / 4, "{taken} of {rounds} were whole");
}

#[test]
fn numbers_are_rounded_as_the_standard_library_does() {
    let mut rng = Rng::new();
    let mut rig = Rig::of(&[("a", FieldKind::Number), ("b.c", FieldKind::Number)]);
    let mut buffer = vec![0; 4096];
    rig.reader.padded.append(&mut buffer);
    let batch = Batch::default();
    for _ in 0..1_000_000 {
        let mut text = String::new();
        text.push_str(rng.pick(&["-", "", ""]));
        match rng.below(4) {
            0 => text.push('0'),
            _ => text += &(1 + rng.word() % 10u64.pow(1 + rng.below(19) as u32)).to_string(),
        }
        for i in 0..rng.below(14) {
            text.push_str(if i == 0 { "." } else { "" });
            text.push(char::from(b'0' + rng.below(10) as u8));
        }
        if rng.below(5) == 0 {
            text += &format!("{}{}{}", rng.pick(&["e", "E"]), rng.pick(&["-", "+", ""]), rng.below(330));
        }
        let want: f64 = text.parse().unwrap();
        let event = format!("{{\"a\":{text}}}");
        rig.fields.reset(1, 2);
        rig.wrong.reset(2);
        let mut row = rig.fields.row_mut(0);
        let read = rig.reader.parse(event.as_bytes(), 0, Target { row: &mut row, wrong: &mut rig.wrong });
        assert_eq!(read.is_ok(), want.is_finite(), "{text}");
        if want.is_finite() {
            let Slot::Number(bits) = rig.slot(&batch, 0) else { panic!("{text}") };
            assert_eq!(bits, want.to_bits(), "{text}: {} {want}", f64::from_bits(bits));
        }
    }
}

#[test]
fn stated_rules_hold() {
    let fields = [
        ("n", FieldKind::Number),
        ("i", FieldKind::Integer),
        ("t", FieldKind::Text),
        ("b", FieldKind::Boolean),
        ("o.x", FieldKind::Number),
        ("o.y", FieldKind::Number),
        ("s", FieldKind::Timestamp(TimeUnit::Seconds)),
    ];
    let number = |x: f64| Slot::Number(x.to_bits());
    let cases: &[(&str, usize, Slot)] = &[
        // of keys that come twice the last one counts
        (r#"{"n":1,"n":2}"#, 0, number(2.0)),
        (r#"{"n":1,"n":null}"#, 0, Slot::Absent),
        (r#"{"n":1,"n":"x"}"#, 0, Slot::Wrong),
        (r#"{"n":"x","n":1}"#, 0, number(1.0)),
        (r#"{"n":"x","n":null}"#, 0, Slot::Absent),
        (r#"{"o":{"x":1},"o":{"y":2}}"#, 4, Slot::Absent),
        (r#"{"o":{"x":1},"o":{"y":2}}"#, 5, number(2.0)),
        (r#"{"o":{"x":1},"o":null}"#, 4, Slot::Absent),
        (r#"{"o":{"x":"1"},"o":[1]}"#, 4, Slot::Absent),
        // missing and wrong
        (r#"{"n":null}"#, 0, Slot::Absent),
        (r#"{"o":3}"#, 4, Slot::Absent),
        (r#"{"n":"1"}"#, 0, Slot::Wrong),
        (r#"{"n":true}"#, 0, Slot::Wrong),
        (r#"{"n":[1]}"#, 0, Slot::Wrong),
        (r#"{"b":1}"#, 3, Slot::Wrong),
        (r#"{"b":"true"}"#, 3, Slot::Wrong),
        (r#"{"t":1}"#, 2, Slot::Wrong),
        // numbers
        (r#"{"n":9007199254740993}"#, 0, number(9007199254740992.0)),
        (r#"{"n":-0}"#, 0, number(-0.0)),
        (r#"{"n":1e-400}"#, 0, number(0.0)),
        (r#"{"i":9007199254740993}"#, 1, Slot::Integer(9007199254740993)),
        (r#"{"i":-9223372036854775808}"#, 1, Slot::Integer(i64::MIN)),
        (r#"{"i":9223372036854775807}"#, 1, Slot::Integer(i64::MAX)),
        (r#"{"i":9223372036854775808}"#, 1, Slot::Wrong),
        (r#"{"i":-9223372036854775809}"#, 1, Slot::Wrong),
        (r#"{"i":1.0}"#, 1, Slot::Integer(1)),
        (r#"{"i":1e2}"#, 1, Slot::Integer(100)),
        (r#"{"i":-0}"#, 1, Slot::Integer(0)),
        (r#"{"i":1.5}"#, 1, Slot::Wrong),
        (r#"{"i":1e16}"#, 1, Slot::Wrong),
        // times
        (r#"{"s":1700000000}"#, 6, Slot::Integer(1_700_000_000_000_000)),
        (r#"{"s":1700000000.123456}"#, 6, Slot::Integer(1_700_000_000_123_456)),
        (r#"{"s":-1.5}"#, 6, Slot::Integer(-1_500_000)),
        (r#"{"s":9223372036855}"#, 6, Slot::Wrong),
        (r#"{"s":1e13}"#, 6, Slot::Wrong),
        (r#"{"s":"1970-01-01T00:00:01Z"}"#, 6, Slot::Integer(1_000_000)),
        (r#"{"s":"1970-01-01T00:\u00300:02.5Z"}"#, 6, Slot::Integer(2_500_000)),
        (r#"{"s":"1700000000"}"#, 6, Slot::Wrong),
        // texts
        (r#"{"t":""}"#, 2, Slot::Text(vec![])),
        (r#"{"t":"sixteen bytes ok"}"#, 2, Slot::Text(b"sixteen bytes ok".to_vec())),
        (r#"{"t":"\ud83d\ude00\/\b\f\n\r\t\\\""}"#, 2, Slot::Text("😀/\u{8}\u{c}\n\r\t\\\"".into())),
        (r#"{"\u0074":"key"}"#, 2, Slot::Text(b"key".to_vec())),
        (r#"{"t":"\u0000"}"#, 2, Slot::Text(vec![0])),
    ];
    let mut rig = Rig::of(&fields);
    for (event, slot, want) in cases {
        let got = rig.read(event.as_bytes()).unwrap();
        assert_eq!(got[*slot], *want, "{event}");
        assert_eq!(reference(event.as_bytes(), &rig.wants).unwrap(), got, "{event}");
    }
}

#[test]
fn what_is_not_json_is_refused() {
    let mut rig = Rig::of(&[("a", FieldKind::Number), ("o.x", FieldKind::Text)]);
    let bad: &[&[u8]] = &[
        b"",
        b" ",
        b"null",
        b"[]",
        b"1",
        b"{",
        b"{}x",
        b"{}{}",
        b"{}\0",
        b"{\"a\":NaN}",
        b"{\"a\":Infinity}",
        b"{\"a\":-Infinity}",
        b"{\"a\":1e309}",
        b"{\"z\":1e309}",
        b"{\"a\":01}",
        b"{\"a\":1.}",
        b"{\"a\":.5}",
        b"{\"a\":+1}",
        b"{\"a\":1,}",
        b"{\"a\"}",
        b"{a:1}",
        b"{'a':1}",
        b"{\"z\":\"\\ud800\"}",
        b"{\"z\":\"\\udc00\"}",
        b"{\"z\":\"\\ud800\\u0041\"}",
        b"{\"z\":\"\\x41\"}",
        b"{\"z\":\"\x1f\"}",
        b"{\"z\":\"",
        b"{\"z\":[1,]}",
        b"{\"z\":[1 2]}",
        b"{\"z\":tru}",
        b"{\"z\":nulL}",
        b"\xef\xbb\xbf{}",
        b"{\"a\":0x10}",
        b"{\"a\":--1}",
        b"{\"a\":1e}",
        b"{\"a\":1.2.3}",
        b"{\"a\":-}",
        b"{\"z\":[}",
        b"{\"z\":{]}",
        b"{\"\\ud800\":1}",
    ];
    for event in bad {
        assert_eq!(rig.reason(event), "bad_json", "{}", event.escape_ascii());
        assert!(reference(event, &rig.wants).is_none());
    }
    for event in [&b"{\"z\":\"\xff\"}"[..], b"{\"\xc0\x80\":1}", b"{\"o\":{\"x\":\"\xed\xa0\x80\"}}"] {
        assert_eq!(rig.reason(event), "bad_utf8", "{}", event.escape_ascii());
    }
    assert_eq!(rig.reason(b" \t\r\n{ } \n"), "taken");
    let why = rig.read(b"{\"a\":secret}").unwrap_err();
    assert_eq!(why.detail, "not valid JSON near byte 5");
}

#[test]
fn depth_is_limited_wherever_it_is() {
    let nested = |open: &str, close: &str, n: usize| format!("{{\"z\":{}{}}}", open.repeat(n), close.repeat(n));
    let mut paths = vec!["a".to_string() + &".b".repeat(9)];
    paths.push("l".to_string() + &"[0]".repeat(9));
    let wants: Vec<Want> = paths.iter().map(|p| want(p, Some(FieldKind::Number))).collect();
    for depth_max in [10u32, 64, 127] {
        let mut rig = Rig::new(wants.clone(), depth_max);
        let n = depth_max as usize - 1;
        assert_eq!(rig.reason(nested("[", "]", n).as_bytes()), "taken");
        assert_eq!(rig.reason(nested("[", "]", n + 1).as_bytes()), "too_deep");
        for (open, end) in [("[", "1]"), ("{\"k\":", "1}")] {
            let fits = format!("{{\"z\":{}{}{}}}", open.repeat(n), &end[..1], end[1..].repeat(n));
            assert_eq!(rig.reason(fits.as_bytes()), "taken");
        }
        assert_eq!(rig.reason("[".repeat(100_000).as_bytes()), "bad_json");
        assert_eq!(rig.reason(format!("{{\"z\":{}", "[".repeat(100_000)).as_bytes()), "too_deep");
        assert_eq!(rig.reason("{\"a\":".repeat(100_000).as_bytes()), "too_deep");
        assert_eq!(rig.reason(format!("{{\"l\":{}", "[".repeat(100_000)).as_bytes()), "too_deep");
        assert_eq!(rig.reason(format!("{{\"a\":{}", "{\"b\":".repeat(100_000)).as_bytes()), "too_deep");
    }
    let mut rig = Rig::new(wants.clone(), 10);
    let deep = format!("{{\"a\":{}7{}}}", "{\"b\":".repeat(9), "}".repeat(9));
    assert_eq!(rig.read(deep.as_bytes()).unwrap()[0], Slot::Number(7f64.to_bits()));
    let beyond = format!("{{\"a\":{}[]{}}}", "{\"b\":".repeat(9), "}".repeat(9));
    assert_eq!(rig.reason(beyond.as_bytes()), "too_deep");
    assert!(Json::new(&wants, 9, true).is_err());
}

#[test]
fn every_prefix_and_every_byte_is_survived() {
    let mut rng = Rng::new();
    let mut rig = Rig::new(many_wants(), 127);
    let event = whole(&mut rng, 5);
    for end in 0..event.len() {
        assert!(rig.read(&event[..end]).is_err() || event[end..].iter().all(u8::is_ascii_whitespace));
    }
    for at in 0..event.len() {
        for byte in [0, b'"', b'\\', b'{', b'}', b'[', b']', b'9', 0x80, 0xff] {
            let mut event = event.clone();
            event[at] = byte;
            assert_eq!(rig.read(&event).ok(), reference(&event, &rig.wants), "{at} {byte}");
        }
    }
    for _ in 0..20_000 {
        let noise: Vec<u8> = (0..rng.below(60)).map(|_| rng.word() as u8).collect();
        assert!(rig.read(&noise).is_err());
    }
}

#[test]
fn bad_wishes_are_named() {
    let wish = |path: Vec<Step>, kind| {
        Json::new(&[Want { path, kind }], 64, true).err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert_eq!(wish(vec![Step::Index(0)], None), "field `[0]`: the path must begin with a key: an event is an object");
    let twice = FieldKind::Category(vec!["a".into(), "a".into()]);
    assert_eq!(wish(vec![Step::Key("x".into())], Some(twice)), "field `x`: the category `a` is listed twice");
}
