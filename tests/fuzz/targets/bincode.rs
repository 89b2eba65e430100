//! The bincode reader against the crate `bincode`, in both layouts.

use std::fs;
use std::path::PathBuf;

use bincode::config;
use bincode::config::Config;
use tidemill::adapters::formats;
use tidemill::adapters::formats::options::Format;
use tidemill::adapters::formats::options::Layout;
use tidemill::domain::fields::FieldKind;
use tidemill::domain::fields::FieldSpec;
use tidemill::domain::fields::Fields;
use tidemill::domain::verdict::Verdict;
use tidemill::ports::Decoder;

use super::Target;
use super::events;
use super::events::Slot;
use crate::random::hash;

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
    fields = [{ name = "i", type = "i32" }, { name = "x", type = "f32" }, { name = "y", type = "f64" }, { name = "raw", type = "bytes" }]
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

/// The struct of the schema.
type Event = (bool, u8, u64, (i32, f32, f64, Vec<u8>), String, Option<i16>, Vec<(String, Option<u16>)>, [u32; 3], i64);

pub struct Bincode {
    standard: bool,
    wanted: Vec<FieldSpec>,
    decoder: Box<dyn Decoder>,
    fields: Fields,
}

impl Bincode {
    pub fn new(standard: bool) -> Bincode {
        let wanted: Vec<FieldSpec> = [
            ("flag", FieldKind::Boolean),
            ("small", FieldKind::Number),
            ("big", FieldKind::Number),
            ("deep.i", FieldKind::Integer),
            ("deep.x", FieldKind::Number),
            ("deep.y", FieldKind::Number),
            ("deep.raw", FieldKind::Bytes),
            ("name", FieldKind::Text),
            ("maybe", FieldKind::Integer),
            ("list[0].k", FieldKind::Text),
            ("list[1].v", FieldKind::Integer),
            ("fixed[2]", FieldKind::Integer),
            ("when", FieldKind::Integer),
        ]
        .into_iter()
        .map(|(path, kind)| events::spec(path, kind))
        .collect();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
        let file = folder.join(format!("schema-{}-{standard}.toml", std::process::id()));
        fs::create_dir_all(&folder).and_then(|()| fs::write(&file, SCHEMA)).expect("the folder takes files");
        let options = formats::options::Options {
            format: Format::Bincode,
            layout: if standard { Layout::Standard } else { Layout::Legacy },
            schema: Some(file.clone()),
            ..formats::options::Options::default()
        };
        let decoder = formats::build(&options, &[], &wanted, &folder).expect("the schema of the test is right");
        let _ = fs::remove_file(file);
        Bincode { standard, wanted, decoder, fields: Fields::default() }
    }
}

impl Target for Bincode {
    fn name(&self) -> &'static str {
        if self.standard { "bincode" } else { "bincode-legacy" }
    }

    fn words(&self) -> &'static [&'static [u8]] {
        const WORDS: &[&[u8]] = &[
            &[0],
            &[1],
            &[2],
            &[250],
            &[251, 0, 1],
            &[252, 0, 0, 1, 0],
            &[253, 0, 0, 0, 0, 1, 0, 0, 0],
            &[254],
            &[255; 9],
            &[255, 255, 255, 255, 255, 255, 255, 127],
            &[0; 8],
            "zoë".as_bytes(),
            &[0, 0, 0xc0, 0x7f],
        ];
        WORDS
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let batch = events::batch(input);
        let (verdict, reason) = events::decode(self.decoder.as_mut(), &batch, &mut self.fields);
        let read = match self.standard {
            true => read(input, config::standard().with_limit::<{ 16 << 20 }>()),
            false => read(input, config::legacy().with_limit::<{ 16 << 20 }>()),
        };
        let Some(event) = read else {
            assert!(matches!(verdict, Verdict::Dead(_)), "bincode refuses it, the reader does not");
            return hash(&[reason.as_bytes(), &[input.len().checked_ilog2().unwrap_or(0) as u8]]);
        };
        assert_eq!((verdict, reason), (Verdict::Keep, ""), "bincode takes it, the reader does not: {event:?}");
        let mut present = vec![];
        for (i, (want, expected)) in self.wanted.iter().zip(slots(&event)).enumerate() {
            let found = events::slot(&want.kind, &self.fields, &batch, i);
            assert_eq!(found, expected, "{:?}", want.path);
            present.push(u8::from(found != Slot::Absent));
        }
        hash(&[b"taken", &present, &[event.6.len().min(4) as u8]])
    }
}

/// The whole input as an event behind its version byte.
fn read(input: &[u8], config: impl Config) -> Option<Event> {
    let (version, rest) = input.split_first()?;
    let (event, used) = bincode::decode_from_slice::<Event, _>(rest, config).ok()?;
    (*version == 2 && used == rest.len()).then_some(event)
}

fn slots(event: &Event) -> Vec<Slot> {
    let (flag, small, big, (i, x, y, raw), name, maybe, list, fixed, when) = event;
    let text = |s: &str| Slot::Text(s.as_bytes().to_vec());
    let or_absent = |n: Option<i64>| n.map_or(Slot::Absent, Slot::Integer);
    let number = |x: f64| if x.is_nan() { Slot::Absent } else { Slot::Number(x.to_bits()) };
    vec![
        Slot::Integer(i64::from(*flag)),
        number(f64::from(*small)),
        number(*big as f64),
        Slot::Integer(i64::from(*i)),
        number(f64::from(*x)),
        number(*y),
        Slot::Text(raw.clone()),
        text(name),
        or_absent(maybe.map(i64::from)),
        list.first().map_or(Slot::Absent, |(k, _)| text(k)),
        or_absent(list.get(1).and_then(|(_, v)| v.map(i64::from))),
        Slot::Integer(i64::from(fixed[2])),
        Slot::Integer(*when),
    ]
}
