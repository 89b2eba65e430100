//! Times of RFC 3339 inside events, against a reader that counts days one by one.

use std::path::Path;

use tidemill::adapters::formats;
use tidemill::domain::fields::FieldKind;
use tidemill::domain::fields::Fields;
use tidemill::domain::fields::TimeUnit;
use tidemill::domain::verdict::Verdict;
use tidemill::ports::Decoder;

use super::Target;
use super::events;
use super::events::Slot;
use crate::random::hash;

pub struct Time {
    decoder: Box<dyn Decoder>,
    fields: Fields,
}

impl Time {
    pub fn new() -> Time {
        let wanted = [events::spec("t", FieldKind::Timestamp(TimeUnit::Milliseconds))];
        let options = formats::options::Options::default();
        let decoder = formats::build(&options, &[], &wanted, Path::new("")).expect("the field of the test is right");
        Time { decoder, fields: Fields::default() }
    }
}

impl Target for Time {
    fn name(&self) -> &'static str {
        "time"
    }

    fn words(&self) -> &'static [&'static [u8]] {
        const WORDS: &[&[u8]] = &[
            b"T",
            b"t",
            b"Z",
            b"z",
            b"-",
            b":",
            b".",
            b"+01:00",
            b"-23:59",
            b"+24:00",
            b"60",
            b"59",
            b"24",
            b"23",
            b"02-29",
            b"02-30",
            b"0000",
            b"9999",
            b"2000",
            b"1900",
            b"12-31",
            b".123456789",
            b".0",
            b" ",
            b"2026-11-01",
        ];
        WORDS
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let Ok(text) = std::str::from_utf8(input) else { return 1 };
        let event = serde_json::json!({ "t": text }).to_string();
        let batch = events::batch(event.as_bytes());
        let want = reference(text);
        // The second reading goes by the day that the first one remembered.
        for _ in 0..2 {
            let (verdict, reason) = events::decode(self.decoder.as_mut(), &batch, &mut self.fields);
            assert_eq!((verdict, reason), (Verdict::Keep, ""));
            let kind = FieldKind::Timestamp(TimeUnit::Milliseconds);
            let found = events::slot(&kind, &self.fields, &batch, 0);
            assert_eq!(found, want.map_or(Slot::Absent, Slot::Integer));
        }
        let shape: Vec<u8> = text.bytes().take(40).map(|b| if b.is_ascii_digit() { b'0' } else { b }).collect();
        hash(&[&[u8::from(want.is_some())], if want.is_some() { &shape } else { &[] }])
    }
}

/// Microseconds since 1970, by the grammar of RFC 3339 and the rules of `docs/events.md`.
fn reference(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| {
        let part = text.get(from..to)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<i64>().ok())?
    };
    let sign = |at: usize, of: &str| text.get(at..at + 1).is_some_and(|c| of.contains(c));
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let signs = sign(4, "-") && sign(7, "-") && sign(10, "Tt") && sign(13, ":") && sign(16, ":");
    if !signs
        || hour > 23
        || minute > 59
        || second > 60
        || !(1..=12).contains(&month)
        || day < 1
        || day > days(year, month)
    {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut micros = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let digits: String = fraction[..len].chars().chain("000000".chars()).take(6).collect();
        micros = digits.parse::<i64>().ok().filter(|_| len > 0)?;
        rest = &fraction[len..];
    }
    let east = match rest {
        "Z" | "z" => 0,
        _ => {
            let sign = if rest.starts_with('+') { 1 } else { -1 };
            let (h, m) = rest.strip_prefix(['+', '-'])?.split_once(':')?;
            let two =
                |t: &str| (t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse::<i64>().ok())?;
            let (h, m) = (two(h)?, two(m)?);
            (h <= 23 && m <= 59).then_some(sign * (h * 60 + m))?
        }
    };
    let mut count = 0;
    for y in 1970.min(year)..1970.max(year) {
        count += (1..=12).map(|m| days(y, m)).sum::<i64>() * if year < 1970 { -1 } else { 1 };
    }
    count += (1..month).map(|m| days(year, m)).sum::<i64>() + day - 1;
    Some((((count * 24 + hour) * 60 + minute - east) * 60 + second) * 1_000_000 + micros)
}

fn days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 400 == 0 || year % 4 == 0 && year % 100 != 0 => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
