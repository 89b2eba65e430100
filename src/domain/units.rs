//! Sizes and durations as people write them: `"64MiB"`, `"250ms"`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ByteSize(pub u64);

/// A duration in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Millis(pub u64);

const SIZES: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];
const TIMES: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

impl ByteSize {
    pub const fn mib(n: u64) -> ByteSize {
        ByteSize(n << 20)
    }

    pub const fn kib(n: u64) -> ByteSize {
        ByteSize(n << 10)
    }

    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Millis {
    pub const fn secs(n: u64) -> Millis {
        Millis(n * 1_000)
    }

    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    units.iter().find_map(|(unit, factor)| {
        let number = text.strip_suffix(unit)?.trim_end();
        let whole = number.chars().all(|c| c.is_ascii_digit()) && !number.is_empty();
        whole.then(|| number.parse::<u64>().ok()?.checked_mul(*factor)).flatten()
    })
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    let mut best = units[units.len() - 1];
    for unit in units.iter().filter(|u| value >= u.1 && value % u.1 == 0) {
        if unit.1 > best.1 || value % best.1 != 0 {
            best = *unit;
        }
    }
    format!("{}{}", value / best.1, best.0)
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(self.0, &[SIZES[0], SIZES[1], SIZES[2], SIZES[7]]))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units: Vec<_> = TIMES.iter().rev().copied().collect();
        f.write_str(&show(self.0, &units))
    }
}

macro_rules! as_text {
    ($name:ident, $units:expr, $what:literal, $pattern:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<$name, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }
                    fn visit_str<E: de::Error>(self, v: &str) -> Result<$name, E> {
                        parse(v, &$units).map($name).ok_or_else(|| E::custom(format!("`{v}` is not {}", $what)))
                    }
                    fn visit_u64<E: de::Error>(self, v: u64) -> Result<$name, E> {
                        Ok($name(v))
                    }
                    fn visit_i64<E: de::Error>(self, v: i64) -> Result<$name, E> {
                        u64::try_from(v).map($name).map_err(|_| E::custom(format!("`{v}` is negative")))
                    }
                }
                d.deserialize_any(Visitor)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "anyOf": [
                    { "type": "string", "pattern": $pattern },
                    { "type": "integer", "minimum": 0 }
                ], "description": $what })
            }
        }
    };
}

as_text!(ByteSize, SIZES, "a size such as \"64MiB\" (or a number of bytes)", "^[0-9]+ *(B|kB|KB|MB|GB|KiB|MiB|GiB)$");
as_text!(Millis, TIMES, "a duration such as \"250ms\" or \"5s\" (or a number of milliseconds)", "^[0-9]+ *(ms|s|m|h)$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_and_show() {
        for (text, want) in [("64MiB", 64 << 20), ("0B", 0), ("3kB", 3000), (" 2 GiB", 2 << 30), ("512B", 512)] {
            assert_eq!(parse(text, &SIZES), Some(want), "{text}");
        }
        for (text, want) in [("250ms", 250), ("5s", 5000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(parse(text, &TIMES), Some(want), "{text}");
        }
        for bad in ["", "5", "5 parsecs", "-1s", "1.5s", "99999999999999999999s"] {
            assert_eq!(parse(bad, &TIMES), None, "{bad}");
        }
        assert_eq!(ByteSize::mib(64).to_string(), "64MiB");
        assert_eq!(ByteSize(1500).to_string(), "1500B");
        assert_eq!(ByteSize(0).to_string(), "0B");
        assert_eq!(Millis(250).to_string(), "250ms");
        assert_eq!(Millis(120_000).to_string(), "2m");
        assert_eq!(Millis(0).to_string(), "0ms");
    }
}
