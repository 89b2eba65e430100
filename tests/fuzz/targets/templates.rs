//! Events that come one after the other to one reader with templates: each is decided and read as a reader without them
//! does, which the target `json` compares with `serde_json`. An input is several events with a separator between.

use serde_json::Value;
use tidemill::domain::fields::FieldSpec;
use tidemill::domain::fields::Fields;
use tidemill::domain::verdict::Verdict;
use tidemill::domain::verdict::Verdicts;
use tidemill::ports::Decoder;

use super::Target;
use super::events;
use super::json;
use crate::random::Random;

/// Stands in no event that is taken.
const SEPARATOR: u8 = 0x1e;
/// Events of an input that are tried.
const EVENTS_MAX: usize = 12;

/// What may stand behind a colon; some are no values at all.
const VALUES: &[&[u8]] = &[
    b"0",
    b"-0",
    b"7",
    b"12.5",
    b"00",
    b"1.",
    b"-",
    b"1e5",
    b"1e999",
    b"12345678901",
    b"9223372036854775808",
    b"true",
    b"false",
    b"null",
    b"nul",
    b"\"\"",
    b"\"DE\"",
    b"\"a\\nb\"",
    b"\"\\ud800\"",
    b"\"\xc3\xa9\"",
    b"\"\xff\"",
    b"\"sixteen bytes and more\"",
    b"\"open",
    b"{}",
    b"{\"inner\":true}",
    b"[]",
    b"[1,2]",
    b"[[1],[2]]",
    b"",
];

pub struct Templates {
    wanted: Vec<FieldSpec>,
    /// Has learnt nothing; each input is read by another one of its kind, so that an input means the same alone.
    empty: Box<dyn Decoder>,
    plain: Box<dyn Decoder>,
    serde: json::Json,
    read: Read,
    alone: Read,
}

/// What a reader made of an event.
#[derive(Default)]
struct Read {
    fields: Fields,
    verdicts: Verdicts,
}

impl Templates {
    pub fn new() -> Templates {
        Templates {
            wanted: json::wanted(),
            empty: json::decoder(true),
            plain: json::decoder(false),
            serde: json::Json::new(),
            read: Read::default(),
            alone: Read::default(),
        }
    }

    /// Reads an event both ways and compares.
    fn compare(&mut self, decoder: &mut dyn Decoder, event: &[u8]) {
        let batch = events::batch(event);
        let decode = |decoder: &mut dyn Decoder, read: &mut Read| {
            read.verdicts.reset(1);
            decoder.decode(&batch, &mut read.fields, &mut read.verdicts);
        };
        decode(decoder, &mut self.read);
        decode(self.plain.as_mut(), &mut self.alone);
        let (read, alone) = (&self.read, &self.alone);
        assert_eq!(read.verdicts.of, alone.verdicts.of, "the decision differs");
        assert_eq!(
            format!("{:?}", read.verdicts.rejected),
            format!("{:?}", alone.verdicts.rejected),
            "the reason differs"
        );
        if alone.verdicts.of[0] == Verdict::Keep {
            for (i, want) in self.wanted.iter().enumerate() {
                let slot = |read: &Read| events::slot(&want.kind, &read.fields, &batch, i);
                assert_eq!(slot(read), slot(alone), "{:?}", want.path);
            }
        }
    }
}

impl Target for Templates {
    fn name(&self) -> &'static str {
        "templates"
    }

    fn words(&self) -> &'static [&'static [u8]] {
        json::WORDS
    }

    /// Most changes keep the structure, so that the next event fits a template but for its values.
    fn restructure(&mut self, input: &mut Vec<u8>, random: &mut Random) -> bool {
        let mut all: Vec<Vec<u8>> = input.split(|b| *b == SEPARATOR).map(<[u8]>::to_vec).collect();
        for _ in 0..1 + random.below(3) {
            let mut event = random.pick(&all).clone();
            match random.below(8) {
                0 if all.len() > 1 => {
                    all.remove(random.below(all.len()));
                    continue;
                }
                1 => {
                    let Ok(mut value) = serde_json::from_slice::<Value>(&event) else { continue };
                    json::change(&mut value, random, 0);
                    event = serde_json::to_vec(&value).expect("a value can be written");
                }
                _ => revalue(&mut event, random),
            }
            all.insert(random.below(all.len() + 1), event);
        }
        all.truncate(EVENTS_MAX);
        *input = all.join(&SEPARATOR);
        true
    }

    fn stack(&self) -> usize {
        json::STACK
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let mut decoder = self.empty.fork();
        let mut outcome = 0;
        for event in input.split(|b| *b == SEPARATOR).take(EVENTS_MAX) {
            // what the first time has learnt is followed the second time
            for _ in 0..2 {
                self.compare(decoder.as_mut(), event);
            }
            outcome = self.serde.check(event);
        }
        outcome
    }
}

/// Puts another value behind a colon.
fn revalue(event: &mut Vec<u8>, random: &mut Random) {
    let colons: Vec<usize> = (0..event.len()).filter(|i| event[*i] == b':').collect();
    if colons.is_empty() {
        return;
    }
    let from = random.pick(&colons) + 1;
    let len = event[from..].iter().position(|b| matches!(b, b',' | b'}' | b']')).unwrap_or(0);
    event.splice(from..from + len, random.pick(VALUES).iter().copied());
}
