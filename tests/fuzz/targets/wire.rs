//! Values in the binary form of Postgres: read back by the rules of its own readers, each is what was written.

use tidemill::adapters::postgres::types;
use tidemill::adapters::postgres::types::Element;
use tidemill::adapters::postgres::types::Wire as Form;

use super::Target;
use crate::random::hash;

pub struct Wire;

const FORMS: [Form; 18] = [
    Form::Bool,
    Form::Int2,
    Form::Int4,
    Form::Int8,
    Form::Float4,
    Form::Float8,
    Form::Numeric { whole: None },
    Form::Numeric { whole: Some(6) },
    Form::Text { max: None },
    Form::Text { max: Some(5) },
    Form::Uuid,
    Form::Bytea,
    Form::Json,
    Form::Jsonb,
    Form::Date,
    Form::Timestamptz,
    Form::Array(Element::Float4),
    Form::Array(Element::Numeric),
];

impl Target for Wire {
    fn name(&self) -> &'static str {
        "wire"
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[
            b"1e10",
            b"-0.00012",
            b"1234567.25",
            b"+7",
            b"1e-1000",
            b"NaN",
            b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            b"\0",
            b".",
        ]
    }

    fn executions(&self) -> u64 {
        40_000
    }

    /// First byte: the column's form; second: the kind of value; the rest is the value.
    fn run(&mut self, input: &[u8]) -> u64 {
        let [form, kind, rest @ ..] = input else { return 1 };
        let form = FORMS[usize::from(*form) % FORMS.len()];
        let mut eight = [0; 8];
        rest.iter().zip(&mut eight).for_each(|(from, to)| *to = *from);
        let (integer, float) = (i64::from_le_bytes(eight), f64::from_le_bytes(eight));
        let kind = kind % 6;
        let mut out = vec![];
        let written = match kind {
            0 => types::integer(&mut out, form, integer),
            1 => types::float(&mut out, form, float),
            2 => types::boolean(&mut out, form, integer & 1 == 1),
            3 => types::text(&mut out, form, rest),
            4 => types::timestamp(&mut out, form, integer),
            _ => types::reals(&mut out, form, &singles(rest)),
        };
        if let Err(unfit) = written {
            return hash(&[unfit.0.as_bytes(), &[kind]]);
        }
        let body = framed(&out);
        match kind {
            0 => check_number(form, body, &integer.to_string(), integer as f64),
            1 => check_number(form, body, &float.to_string(), float),
            2 => check_boolean(form, body, integer & 1 == 1),
            3 => check_text(form, body, rest),
            4 => check_time(form, body, integer),
            _ => check_reals(form, body, &singles(rest)),
        }
        hash(&[format!("{form:?}").as_bytes(), &[kind, body.len().min(60) as u8]])
    }
}

fn singles(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|c| f32::from_le_bytes(c.try_into().expect("four bytes"))).collect()
}

/// The field behind its length, which must be all that follows.
fn framed(out: &[u8]) -> &[u8] {
    let (length, body) = out.split_first_chunk::<4>().expect("a length comes first");
    assert_eq!(i32::from_be_bytes(*length) as usize, body.len());
    body
}

fn array<const N: usize>(body: &[u8]) -> [u8; N] {
    body.try_into().expect("the form has a fixed width")
}

fn check_number(form: Form, body: &[u8], decimal: &str, value: f64) {
    match form {
        Form::Int2 => assert_eq!(i16::from_be_bytes(array(body)).to_string(), decimal),
        Form::Int4 => assert_eq!(i32::from_be_bytes(array(body)).to_string(), decimal),
        Form::Int8 => assert_eq!(i64::from_be_bytes(array(body)).to_string(), decimal),
        Form::Float4 => assert_eq!(f32::from_be_bytes(array(body)).to_bits(), (value as f32).to_bits()),
        Form::Float8 => assert_eq!(f64::from_be_bytes(array(body)).to_bits(), value.to_bits()),
        Form::Numeric { whole } => {
            let read = numeric(body);
            assert_eq!(read, plain(decimal));
            let digits =
                read.trim_start_matches('-').split('.').next().unwrap_or_default().trim_start_matches('0').len();
            assert!(!value.is_finite() || whole.is_none_or(|w| digits as i32 <= w), "{read}");
        }
        Form::Text { .. } => assert_eq!(body, decimal.as_bytes()),
        Form::Json | Form::Jsonb => assert_eq!(json(form, body).as_f64(), Some(value)),
        form => panic!("{form:?} took a number"),
    }
}

fn check_boolean(form: Form, body: &[u8], value: bool) {
    match form {
        Form::Bool => assert_eq!(body, [u8::from(value)]),
        Form::Text { .. } => assert_eq!(body, value.to_string().as_bytes()),
        Form::Json | Form::Jsonb => assert_eq!(json(form, body).as_bool(), Some(value)),
        form => panic!("{form:?} took a boolean"),
    }
}

fn check_text(form: Form, body: &[u8], value: &[u8]) {
    match form {
        Form::Bytea => assert_eq!(body, value),
        Form::Text { max } => {
            assert_eq!(body, value);
            let text = std::str::from_utf8(body).expect("the server takes UTF-8 alone");
            assert!(!text.contains('\0') && max.is_none_or(|m| text.chars().count() <= m));
        }
        Form::Uuid => {
            let hex: String = body.iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hex, String::from_utf8_lossy(value).replace('-', "").to_lowercase());
        }
        Form::Json | Form::Jsonb => {
            let read = json(form, body);
            assert_eq!(read.as_str().map(str::as_bytes), Some(value));
            assert!(!value.contains(&0), "the server's jsonb holds no NUL");
        }
        Form::Numeric { .. } => assert_eq!(numeric(body), plain(String::from_utf8_lossy(value).trim())),
        form => panic!("{form:?} took a text"),
    }
}

fn check_time(form: Form, body: &[u8], micros: i64) {
    let since = i128::from(micros) - 946_684_800_000_000;
    let clamped = since.clamp(-211_813_488_000_000_000, 9_223_371_331_199_999_999);
    match form {
        Form::Timestamptz => assert_eq!(i128::from(i64::from_be_bytes(array(body))), clamped),
        Form::Date => assert_eq!(i128::from(i32::from_be_bytes(array(body))), clamped.div_euclid(86_400_000_000)),
        form => panic!("{form:?} took a time"),
    }
}

fn check_reals(form: Form, body: &[u8], values: &[f32]) {
    if matches!(form, Form::Json | Form::Jsonb) {
        let read = json(form, body);
        let read: Vec<f32> =
            read.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number") as f32).collect();
        assert_eq!(read, values);
        return;
    }
    // Dimensions, a flag for nulls, the element's type; for one dimension its length and lower bound, for none nothing.
    let word = |i: usize| i32::from_be_bytes(array(&body[4 * i..4 * i + 4]));
    if values.is_empty() {
        assert_eq!((body.len(), word(0), word(1)), (12, 0, 0));
        return;
    }
    assert_eq!((word(0), word(1), word(3) as usize, word(4)), (1, 0, values.len(), 1));
    let mut rest = &body[20..];
    for value in values {
        let (length, tail) = rest.split_first_chunk::<4>().expect("a length");
        let (element, tail) = tail.split_at(i32::from_be_bytes(*length) as usize);
        match form {
            Form::Array(Element::Float4) => {
                // A signalling NaN becomes a quiet one on its way.
                let read = f32::from_be_bytes(array(element));
                assert!(read.to_bits() == value.to_bits() || read.is_nan() && value.is_nan(), "{read} {value}");
            }
            _ => assert_eq!(numeric(element), plain(&value.to_string())),
        }
        rest = tail;
    }
    assert!(rest.is_empty());
}

fn json(form: Form, body: &[u8]) -> serde_json::Value {
    let text = if form == Form::Jsonb { body.strip_prefix(&[1]).expect("the version") } else { body };
    serde_json::from_slice(text).expect("the server reads JSON")
}

/// A numeric as its decimal, as `numeric_recv` reads it: count of groups, weight, sign, scale, groups of four digits.
fn numeric(body: &[u8]) -> String {
    let words: Vec<u16> = body.chunks_exact(2).map(|c| u16::from_be_bytes([c[0], c[1]])).collect();
    let (count, weight, sign, scale) = (words[0] as usize, words[1] as i16, words[2], words[3]);
    match sign {
        0xC000 => return "NaN".into(),
        0xD000 => return "inf".into(),
        0xF000 => return "-inf".into(),
        _ => {}
    }
    let groups = &words[4..];
    assert_eq!(groups.len(), count);
    assert!(groups.iter().all(|g| *g < 10_000) && scale < 0x4000 && [0, 0x4000].contains(&sign));
    let group = |i: i32| usize::try_from(i).ok().and_then(|i| groups.get(i)).copied().unwrap_or(0);
    let before: String =
        (0..=i32::from(weight).max(0)).map(|i| format!("{:04}", group(i32::from(weight).min(0) + i))).collect();
    let before = if weight < 0 { "0".to_owned() } else { before };
    let mut behind: String = String::new();
    for i in 0..i32::from(scale).div_euclid(4) + 1 {
        behind.push_str(&format!("{:04}", group(i32::from(weight) + 1 + i)));
    }
    let number = format!("{before}.{}", &behind[..usize::from(scale)]);
    plain(&if sign == 0x4000 { format!("-{number}") } else { number })
}

/// A decimal without exponent, needless zeros and sign of zero.
fn plain(text: &str) -> String {
    if let Some(special) = ["NaN", "inf", "-inf"].iter().find(|s| **s == text) {
        return (*special).to_owned();
    }
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let exponent: i64 = exponent.parse().expect("an exponent");
    let (before, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{before}{behind}");
    let point = before.len() as i64 + exponent;
    let zeros = |n: i64| "0".repeat(n.max(0) as usize);
    let digits = format!("{}{digits}{}", zeros(-point), zeros(point - digits.len() as i64));
    let (before, behind) = digits.split_at(point.max(0) as usize);
    let (before, behind) = (before.trim_start_matches('0'), behind.trim_end_matches('0'));
    let number = match (before, behind) {
        ("", "") => return "0".into(),
        (before, "") => before.to_owned(),
        (before, behind) => format!("{}.{behind}", if before.is_empty() { "0" } else { before }),
    };
    if negative { format!("-{number}") } else { number }
}
