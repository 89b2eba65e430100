//! Events that check themselves, and the kinds of poison among them.

use std::io::Write as _;

use tidemill::demo::random::Random;

/// Header that says what a record is, so that the log itself tells how it must end.
pub const KIND: &str = "kind";
/// The checksum is taken modulo this, so that SQL can compute it in `bigint`.
pub const MODULUS: i64 = 1 << 47;

/// What a record is. Its number is the value of the header.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    Clean,
    Malformed,
    Truncated,
    MissingField,
    WrongType,
    BadUtf8,
    TooDeep,
    /// The model's answer is not finite.
    NotFinite,
    /// A constraint of the table refuses the row.
    Refused,
    /// A null payload: skipped, by the configuration.
    Tombstone,
}

impl Kind {
    pub const POISON: [Kind; 8] = [
        Kind::Malformed,
        Kind::Truncated,
        Kind::MissingField,
        Kind::WrongType,
        Kind::BadUtf8,
        Kind::TooDeep,
        Kind::NotFinite,
        Kind::Refused,
    ];

    pub fn letter(self) -> u8 {
        b'a' + self as u8
    }

    pub fn of_letter(letter: u8) -> Option<Kind> {
        [Kind::Clean, Kind::Tombstone].into_iter().chain(Kind::POISON).find(|k| k.letter() == letter)
    }

    /// Stage and reason of its dead letter, for the kinds that become one.
    pub fn reason(self) -> Option<(&'static str, &'static str)> {
        match self {
            Kind::Clean | Kind::Tombstone => None,
            Kind::Malformed | Kind::Truncated => Some(("decode", "bad_json")),
            Kind::MissingField => Some(("decode", "missing_field")),
            Kind::WrongType => Some(("decode", "wrong_type")),
            Kind::BadUtf8 => Some(("decode", "bad_utf8")),
            Kind::TooDeep => Some(("decode", "too_deep")),
            Kind::NotFinite => Some(("infer", "not_finite")),
            Kind::Refused => Some(("write", "check_violation")),
        }
    }
}

/// One event. `sum` binds all of its fields together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    pub id: i64,
    pub key: u64,
    pub a: i64,
    pub b: i64,
    pub c: i64,
}

/// The checksum as SQL says it, over the columns of a row.
pub const SUM_SQL: &str = "(id * 1000003 + a::bigint * 8191 + b * 131071 + c * 524287) % 140737488355328";
/// The model as SQL says it.
pub const SCORE_SQL: &str = "3 * a + 5 * b + 7 * c";

impl Event {
    pub fn sum(&self) -> i64 {
        (self.id * 1_000_003 + self.a * 8191 + self.b * 131_071 + self.c * 524_287) % MODULUS
    }
}

/// A seeded stream of events. About 1 % are poison and 1 in 1000 is a tombstone.
pub struct Events {
    random: Random,
    next: i64,
    kinds: usize,
    pub payload: Vec<u8>,
}

const KEYS: u64 = 5_000;
const DEPTH: usize = 200;

impl Events {
    /// Ids begin at `first`, so that no two streams share one.
    pub fn new(seed: u64, first: i64) -> Events {
        Events { random: Random::new(seed), next: first, kinds: 0, payload: Vec::with_capacity(1024) }
    }

    /// The next event and its kind; its payload is in `payload`, which a tombstone has none of.
    pub fn make(&mut self) -> (Event, Kind) {
        let kind = match self.random.below(1000) {
            0 => Kind::Tombstone,
            1..=10 => {
                self.kinds += 1;
                Kind::POISON[self.kinds % Kind::POISON.len()]
            }
            _ => Kind::Clean,
        };
        let small = |random: &mut Random| random.below(1000) as i64;
        let id = self.next;
        self.next += 1;
        let key = self.random.below(KEYS);
        let event = Event {
            id,
            key,
            a: if kind == Kind::Refused { -1 } else { small(&mut self.random) },
            b: small(&mut self.random),
            c: small(&mut self.random),
        };
        self.write(&event, kind);
        (event, kind)
    }

    fn write(&mut self, event: &Event, kind: Kind) {
        let Event { id, key, a, b, c } = *event;
        let (out, sum) = (&mut self.payload, event.sum());
        out.clear();
        let a = match kind {
            Kind::MissingField => "\"was\":1".to_owned(),
            Kind::WrongType => "\"a\":{}".to_owned(),
            Kind::Malformed => "\"a\":,".to_owned(),
            // Three times this is no number of 32 bits.
            Kind::NotFinite => "\"a\":3e38".to_owned(),
            _ => format!("\"a\":{a}"),
        };
        let deep = if kind == Kind::TooDeep { "[".repeat(DEPTH) + &"]".repeat(DEPTH) } else { "0".to_owned() };
        // A Vec takes everything.
        let _ = write!(out, "{{\"id\":{id},{a},\"b\":{b},\"c\":{c},\"sum\":{sum},\"extra\":{deep},\"key\":\"k{key}");
        if kind == Kind::BadUtf8 {
            out.extend_from_slice(b"\xff\xc0");
        }
        out.extend_from_slice(b"\"}");
        if kind == Kind::Truncated {
            let half = out.len() / 2;
            out.truncate(half);
        }
    }
}

/// Reads what [`Events`] wrote of a clean record; `None` if it is not whole.
pub fn read(payload: &[u8]) -> Option<Event> {
    #[derive(serde::Deserialize)]
    struct Wire {
        id: i64,
        a: i64,
        b: i64,
        c: i64,
        sum: i64,
        key: String,
    }
    let wire: Wire = serde_json::from_slice(payload).ok()?;
    let key = wire.key.strip_prefix('k')?.parse().ok()?;
    let event = Event { id: wire.id, key, a: wire.a, b: wire.b, c: wire.c };
    (event.sum() == wire.sum).then_some(event)
}
