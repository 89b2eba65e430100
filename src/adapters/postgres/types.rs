//! Column types and how a value of ours becomes one of theirs, in binary form (rule W10).

use bytes::BufMut;

use super::table::Kind;
use super::wire;

/// Binary form of a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wire {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// With digits before the point, where the column limits them.
    Numeric {
        whole: Option<i32>,
    },
    /// With the most characters of a `varchar(n)`.
    Text {
        max: Option<usize>,
    },
    Uuid,
    Bytea,
    Json,
    Jsonb,
    Date,
    Timestamp,
    Timestamptz,
    Enum,
    Array(Element),
}

/// Element of an array column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Element {
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
}

/// Why a value does not go into a column: the end of "column x …".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unfit(pub &'static str);

type Fits = Result<(), Unfit>;

const TOO_LARGE: Unfit = Unfit("would hold more than 2 GiB");

impl Wire {
    /// The form of a type of `pg_catalog`, if it is one that we write.
    pub fn of(name: &str, typmod: i32) -> Option<Wire> {
        let limit = (typmod >= 4).then(|| typmod - 4);
        Some(match name {
            "bool" => Wire::Bool,
            "int2" => Wire::Int2,
            "int4" => Wire::Int4,
            "int8" => Wire::Int8,
            "float4" => Wire::Float4,
            "float8" => Wire::Float8,
            // The scale takes eleven bits with sign since PostgreSQL 15.
            "numeric" => Wire::Numeric { whole: limit.map(|l| (l >> 16 & 0xffff) - (((l & 0x7ff) ^ 1024) - 1024)) },
            "text" => Wire::Text { max: None },
            "varchar" => Wire::Text { max: limit.map(|l| l as usize) },
            "uuid" => Wire::Uuid,
            "bytea" => Wire::Bytea,
            "json" => Wire::Json,
            "jsonb" => Wire::Jsonb,
            "date" => Wire::Date,
            "timestamp" => Wire::Timestamp,
            "timestamptz" => Wire::Timestamptz,
            "_int2" => Wire::Array(Element::Int2),
            "_int4" => Wire::Array(Element::Int4),
            "_int8" => Wire::Array(Element::Int8),
            "_float4" => Wire::Array(Element::Float4),
            "_float8" => Wire::Array(Element::Float8),
            "_numeric" => Wire::Array(Element::Numeric),
            _ => return None,
        })
    }

    /// Whether values of this kind can go into such a column at all.
    pub fn takes(self, kind: Kind) -> bool {
        use Wire::*;
        match kind {
            Kind::Integer => {
                matches!(self, Int2 | Int4 | Int8 | Float4 | Float8 | Numeric { .. } | Text { .. } | Json | Jsonb)
            }
            Kind::Float => matches!(self, Float4 | Float8 | Numeric { .. } | Text { .. } | Json | Jsonb),
            Kind::Boolean => matches!(self, Bool | Text { .. } | Json | Jsonb),
            Kind::Text => matches!(self, Text { .. } | Uuid | Bytea | Json | Jsonb | Enum | Numeric { .. }),
            Kind::Bytes => self == Bytea,
            Kind::Timestamp => matches!(self, Timestamp | Timestamptz | Date),
            Kind::Named => matches!(self, Int2 | Int4 | Int8 | Text { .. }),
            Kind::Reals { .. } => {
                matches!(self, Array(Element::Float4 | Element::Float8 | Element::Numeric) | Json | Jsonb)
            }
        }
    }
}

/// Writes the field's length in front of what `write` appends.
fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Fits) -> Fits {
    let at = out.len();
    out.put_i32(0);
    write(out)?;
    let len = i32::try_from(out.len() - at - 4).map_err(|_| TOO_LARGE)?;
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
    Ok(())
}

pub fn null(out: &mut Vec<u8>) {
    out.put_i32(-1);
}

pub fn integer(out: &mut Vec<u8>, wire: Wire, value: i64) -> Fits {
    sized(out, |out| {
        match wire {
            Wire::Int2 => out.put_i16(value.try_into().map_err(|_| Unfit("cannot hold an integer outside smallint"))?),
            Wire::Int4 => out.put_i32(value.try_into().map_err(|_| Unfit("cannot hold an integer outside integer"))?),
            Wire::Int8 => out.put_i64(value),
            Wire::Float4 => out.put_f32(value as f32),
            Wire::Float8 => out.put_f64(value as f64),
            Wire::Numeric { whole } => return decimal(out, &value.to_string(), whole),
            Wire::Text { max } => return characters(out, &value.to_string(), max),
            Wire::Json | Wire::Jsonb => json(out, wire, &value),
            _ => return Err(Unfit("does not take an integer")),
        }
        Ok(())
    })
}

pub fn float(out: &mut Vec<u8>, wire: Wire, value: f64) -> Fits {
    sized(out, |out| {
        match wire {
            Wire::Float8 => out.put_f64(value),
            Wire::Float4 => {
                let narrow = value as f32;
                if narrow.is_infinite() && value.is_finite() {
                    return Err(Unfit("cannot hold a number outside real"));
                }
                out.put_f32(narrow);
            }
            Wire::Numeric { whole } => return numeric(out, value, whole),
            Wire::Text { max } => return characters(out, &value.to_string(), max),
            Wire::Json | Wire::Jsonb if !value.is_finite() => return Err(Unfit("cannot hold NaN or infinity as JSON")),
            Wire::Json | Wire::Jsonb => json(out, wire, &value),
            _ => return Err(Unfit("does not take a float")),
        }
        Ok(())
    })
}

pub fn boolean(out: &mut Vec<u8>, wire: Wire, value: bool) -> Fits {
    sized(out, |out| {
        match wire {
            Wire::Bool => out.put_u8(u8::from(value)),
            Wire::Text { max } => return characters(out, if value { "true" } else { "false" }, max),
            Wire::Json | Wire::Jsonb => json(out, wire, &value),
            _ => return Err(Unfit("does not take a boolean")),
        }
        Ok(())
    })
}

pub fn bytes(out: &mut Vec<u8>, value: &[u8]) -> Fits {
    out.put_i32(i32::try_from(value.len()).map_err(|_| TOO_LARGE)?);
    out.extend_from_slice(value);
    Ok(())
}

/// Whether all of it is ASCII without NUL, which every text column takes. Eight bytes at a time: most texts are short.
fn is_plain(value: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // A byte below 128 that is not zero, and only that, has its high bit set by the sum and not before.
    let plain = |word: u64| (word | !word.wrapping_add(!HIGH)) & HIGH == 0;
    let (words, rest) = value.as_chunks::<8>();
    words.iter().all(|w| plain(u64::from_ne_bytes(*w))) && rest.iter().all(|b| (1..128).contains(b))
}

pub fn text(out: &mut Vec<u8>, wire: Wire, value: &[u8]) -> Fits {
    if wire == Wire::Bytea {
        return bytes(out, value);
    }
    if let Wire::Text { max } = wire
        && max.is_none_or(|max| value.len() <= max)
        && is_plain(value)
    {
        return bytes(out, value);
    }
    let value = std::str::from_utf8(value).map_err(|_| Unfit("cannot hold text that is not UTF-8"))?;
    sized(out, |out| {
        match wire {
            Wire::Text { max } => return characters(out, value, max),
            Wire::Enum => return characters(out, value, None),
            Wire::Uuid => out.put_u128(uuid(value).ok_or(Unfit("cannot hold a text that is no UUID"))?),
            Wire::Json | Wire::Jsonb if value.contains('\0') => return Err(Unfit("cannot hold NUL in text")),
            Wire::Json | Wire::Jsonb => json(out, wire, value),
            Wire::Numeric { whole } => return decimal(out, value.trim(), whole),
            _ => return Err(Unfit("does not take text")),
        }
        Ok(())
    })
}

/// `micros` since 1970, clamped to what the column can hold.
pub fn timestamp(out: &mut Vec<u8>, wire: Wire, micros: i64) -> Fits {
    /// Microseconds from 1970 to 2000, where Postgres counts from.
    const EPOCH: i64 = 946_684_800_000_000;
    /// 4713-11-24 BC and 294276-12-31 AD, from 2000 on (`timestamp.h`).
    const RANGE: (i64, i64) = (-211_813_488_000_000_000, 9_223_371_331_199_999_999);
    let micros = micros.saturating_sub(EPOCH).clamp(RANGE.0, RANGE.1);
    sized(out, |out| {
        match wire {
            Wire::Timestamp | Wire::Timestamptz => out.put_i64(micros),
            Wire::Date => out.put_i32(micros.div_euclid(86_400_000_000) as i32),
            _ => return Err(Unfit("does not take a timestamp")),
        }
        Ok(())
    })
}

pub fn reals(out: &mut Vec<u8>, wire: Wire, values: &[f32]) -> Fits {
    if matches!(wire, Wire::Json | Wire::Jsonb) {
        if values.iter().any(|v| !v.is_finite()) {
            return Err(Unfit("cannot hold NaN or infinity as JSON"));
        }
        return sized(out, |out| {
            json(out, wire, values);
            Ok(())
        });
    }
    let (element, form) = match wire {
        Wire::Array(Element::Float4) => (700, Wire::Float4),
        Wire::Array(Element::Float8) => (701, Wire::Float8),
        Wire::Array(Element::Numeric) => (1700, Wire::Numeric { whole: None }),
        _ => return Err(Unfit("does not take a list of reals")),
    };
    sized(out, |out| {
        wire::array_header(out, element, values.len() as i32, false);
        values.iter().try_for_each(|v| match form {
            // The shortest decimal of the f32, not of its f64 neighbour.
            Wire::Numeric { .. } if v.is_finite() => sized(out, |out| decimal(out, &v.to_string(), None)),
            form => float(out, form, f64::from(*v)),
        })
    })
}

fn characters(out: &mut Vec<u8>, value: &str, max: Option<usize>) -> Fits {
    if value.contains('\0') {
        return Err(Unfit("cannot hold NUL in text"));
    }
    if max.is_some_and(|max| value.len() > max && value.chars().count() > max) {
        return Err(Unfit("cannot hold a text of this length"));
    }
    out.extend_from_slice(value.as_bytes());
    Ok(())
}

fn json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, wire: Wire, value: &T) {
    if wire == Wire::Jsonb {
        out.put_u8(1);
    }
    serde_json::to_writer(out, value).expect("numbers, booleans and texts always serialise, and a Vec takes all");
}

fn uuid(text: &str) -> Option<u128> {
    let mut value = 0_u128;
    let mut digits = 0;
    for c in text.chars().filter(|c| *c != '-') {
        value = value << 4 | u128::from(c.to_digit(16)?);
        digits += 1;
    }
    let dashed = text.len() == 36 && [8, 13, 18, 23].iter().all(|i| text.as_bytes()[*i] == b'-');
    (digits == 32 && (dashed || text.len() == 32)).then_some(value)
}

fn numeric(out: &mut Vec<u8>, value: f64, whole: Option<i32>) -> Fits {
    let special: u16 = match value {
        v if v.is_nan() => 0xC000,
        v if v.is_finite() => return decimal(out, &value.to_string(), whole),
        _ if whole.is_some() => return Err(Unfit("cannot hold infinity")),
        v if v > 0.0 => 0xD000,
        _ => 0xF000,
    };
    out.put_slice(&[0, 0, 0, 0]);
    out.put_u16(special);
    out.put_i16(0);
    Ok(())
}

/// A decimal number as Postgres' numeric: groups of four digits, the weight of the first one, sign, digits behind the point.
fn decimal(out: &mut Vec<u8>, text: &str, whole: Option<i32>) -> Fits {
    const NO: Unfit = Unfit("cannot hold a text that is no number");
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = rest.split_once(['e', 'E']).map_or((rest, "0"), |(m, e)| (m, e));
    let exponent: i32 = exponent.parse().ok().filter(|e: &i32| e.abs() <= 1000).ok_or(NO)?;
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = before.bytes().chain(after.bytes()).map(|b| b.wrapping_sub(b'0')).collect();
    if digits.is_empty() || digits.len() > 2000 || digits.iter().any(|d| *d > 9) {
        return Err(NO);
    }
    // The digit at index i has the weight 10^(point - 1 - i).
    let point = before.len() as i32 + exponent;
    let scale = (after.len() as i32 - exponent).max(0);
    let first = digits.iter().position(|d| *d != 0).map(|i| point - i as i32);
    if let (Some(max), Some(size)) = (whole, first)
        && size > max
    {
        return Err(Unfit("cannot hold a number of this size"));
    }
    let groups_before = point.div_euclid(4) + i32::from(point.rem_euclid(4) != 0);
    let mut groups = vec![];
    let mut at = point - groups_before * 4;
    while at < digits.len() as i32 {
        let group = (at..at + 4).fold(0_i16, |g, i| {
            g * 10 + usize::try_from(i).ok().and_then(|i| digits.get(i)).map_or(0, |d| i16::from(*d))
        });
        groups.push(group);
        at += 4;
    }
    let leading = groups.iter().take_while(|g| **g == 0).count();
    let mut kept = &groups[leading..];
    while let [head @ .., 0] = kept {
        kept = head;
    }
    let weight = if kept.is_empty() { 0 } else { groups_before - 1 - leading as i32 };
    out.put_i16(kept.len() as i16);
    out.put_i16(weight as i16);
    out.put_u16(if negative && !kept.is_empty() { 0x4000 } else { 0 });
    out.put_i16(scale as i16);
    kept.iter().for_each(|g| out.put_i16(*g));
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_have_the_form_that_postgres_sends() {
        // (text, digits, weight, sign, scale), each as `numeric_send` of PostgreSQL 15 gives it.
        for (text, groups, weight, sign, scale) in [
            ("0", &[][..], 0, 0, 0),
            ("1", &[1], 0, 0, 0),
            ("-12345.678", &[1, 2345, 6780], 1, 0x4000, 3),
            ("0.00012", &[1, 2000], -1, 0, 5),
            ("1e4", &[1], 1, 0, 0),
            ("10000000", &[1000], 1, 0, 0),
            ("1.5e-9", &[1500], -3, 0, 10),
        ] {
            let mut out = vec![];
            decimal(&mut out, text, None).unwrap();
            let words: Vec<u16> = out.chunks(2).map(|c| u16::from_be_bytes([c[0], c[1]])).collect();
            assert_eq!(words[0] as usize, groups.len(), "{text}");
            assert_eq!((words[1] as i16, words[2], words[3]), (weight, sign, scale), "{text}");
            assert_eq!(&words[4..], groups, "{text}");
        }
        for bad in ["", "-", ".", "1x", "1e", "1e9999", "0x1", "1.2.3"] {
            assert!(decimal(&mut vec![], bad, None).is_err(), "{bad}");
        }
        assert!(decimal(&mut vec![], "1234", Some(3)).is_err());
        assert!(decimal(&mut vec![], "0123.99", Some(3)).is_ok());
    }

    #[test]
    fn a_value_outside_its_column_is_told_apart() {
        let out = &mut vec![];
        assert!(integer(out, Wire::Int2, 32_768).is_err() && integer(out, Wire::Int2, -32_768).is_ok());
        assert!(float(out, Wire::Float4, 1e39).is_err() && float(out, Wire::Float4, f64::NAN).is_ok());
        assert!(text(out, Wire::Text { max: Some(2) }, "éé".as_bytes()).is_ok());
        assert!(text(out, Wire::Text { max: Some(2) }, b"abc").is_err());
        assert!(text(out, Wire::Text { max: None }, b"a\0").is_err() && text(out, Wire::Bytea, b"a\0\xff").is_ok());
        assert!(text(out, Wire::Uuid, b"0").is_err());
        assert_eq!(uuid("00000000-0000-0000-0000-0000000000ff"), Some(255));
        assert_eq!(uuid("0-000000-0000-0000-0000-000000000-0ff"), None);
    }
    proptest! {
        /// The short way says yes to exactly what it is for, and writes what the long way writes.
        #[test]
        fn plain_text_is_ascii_without_nul(value in proptest::collection::vec(prop_oneof![20 => 1u8..128, 1 => any::<u8>()], 0..40)) {
            prop_assert_eq!(is_plain(&value), value.is_ascii() && !value.contains(&0));
            let (mut short, mut long) = (vec![], vec![]);
            let fits = text(&mut short, Wire::Text { max: Some(30) }, &value).is_ok();
            let value = std::str::from_utf8(&value);
            let same = value.is_ok_and(|v| sized(&mut long, |out| characters(out, v, Some(30))).is_ok());
            prop_assert!(fits == same && (!fits || short == long));
        }
    }
}
