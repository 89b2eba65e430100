//! Where the first claim of a source starts reading.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// `"earliest"`, `"latest"`, or a time as RFC 3339 text or milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartFrom {
    Earliest,
    Latest,
    /// The first record with this timestamp or a later one; milliseconds since 1970.
    Time(i64),
}

const EXPECTED: &str = "\"earliest\", \"latest\", a time such as \"2026-01-31T08:00:00Z\", or milliseconds since 1970";

impl FromStr for StartFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<StartFrom, String> {
        match text.trim() {
            "earliest" => Ok(StartFrom::Earliest),
            "latest" => Ok(StartFrom::Latest),
            other => other
                .parse::<i64>()
                .ok()
                .filter(|ms| *ms >= 0)
                .or_else(|| rfc3339(other))
                .map(StartFrom::Time)
                .ok_or_else(|| format!("`{text}` is not {EXPECTED}")),
        }
    }
}

impl fmt::Display for StartFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartFrom::Earliest => f.write_str("earliest"),
            StartFrom::Latest => f.write_str("latest"),
            StartFrom::Time(ms) => write!(f, "{ms}"),
        }
    }
}

impl Serialize for StartFrom {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StartFrom {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<StartFrom, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = StartFrom;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<StartFrom, E> {
                v.parse().map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<StartFrom, E> {
                v.to_string().parse().map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<StartFrom, E> {
                v.to_string().parse().map_err(E::custom)
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl JsonSchema for StartFrom {
    fn schema_name() -> Cow<'static, str> {
        "StartFrom".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "type": "integer", "minimum": 0 }], "description": EXPECTED })
    }
}

fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar; `None` for a day that does not exist.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if !(1..=length).contains(&day) {
        return None;
    }
    let before: i64 = lengths[..month as usize - 1].iter().sum();
    let y = year - 1;
    Some(y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + before + day - 1 - 719_162)
}

/// Milliseconds since 1970 of `YYYY-MM-DDTHH:MM:SS[.fraction](Z|+HH:MM|-HH:MM)`.
fn rfc3339(text: &str) -> Option<i64> {
    let shape = text.is_ascii() && text.len() >= 20;
    let at = |i: usize, c: &[u8]| shape && c.contains(&text.as_bytes()[i]);
    if !(at(4, b"-") && at(7, b"-") && at(10, b"Tt ") && at(13, b":") && at(16, b":")) {
        return None;
    }
    let part = |from: usize, to: usize, max: i64| digits(&text[from..to]).filter(|n| *n <= max);
    let day = days(digits(&text[..4])?, digits(&text[5..7])?, digits(&text[8..10])?)?;
    let seconds = part(11, 13, 23)? * 3600 + part(14, 16, 59)? * 60 + part(17, 19, 60)?;
    let mut rest = &text[19..];
    let mut millis = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let end = fraction.find(|c: char| !c.is_ascii_digit())?;
        millis = digits(&format!("{:0<3}", &fraction[..end.clamp(1, 3)]))?;
        rest = &fraction[end..];
    }
    let shift = match (rest, rest.len()) {
        ("Z" | "z", _) => 0,
        (_, 6) if rest.as_bytes()[3] == b':' => {
            let minutes = digits(&rest[1..3]).filter(|h| *h < 24)? * 60 + digits(&rest[4..6]).filter(|m| *m < 60)?;
            match rest.as_bytes()[0] {
                b'+' => minutes,
                b'-' => -minutes,
                _ => return None,
            }
        }
        _ => return None,
    };
    let ms = (day * 86_400 + seconds - shift * 60) * 1000 + millis;
    (ms >= 0).then_some(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_words_are_read() {
        for (text, want) in [
            ("earliest", StartFrom::Earliest),
            ("latest", StartFrom::Latest),
            ("1700000000123", StartFrom::Time(1_700_000_000_123)),
            ("1970-01-01T00:00:00Z", StartFrom::Time(0)),
            ("2000-02-29T12:34:56.5+01:00", StartFrom::Time(951_824_096_500)),
            ("2026-11-22T17:16:32.123456-05:30", StartFrom::Time(1_795_387_592_123)),
        ] {
            assert_eq!(text.parse(), Ok(want), "{text}");
        }
        for bad in
            ["", "now", "-5", "2026-02-29T00:00:00Z", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z"]
        {
            assert!(bad.parse::<StartFrom>().is_err(), "{bad}");
        }
        let back: StartFrom = serde_json::from_str("\"latest\"").unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), "\"latest\"");
    }
}
