//! Synthetic card payments: the stream that `demo`, the tests and the trained fraud models share.
//!
//! The Rust twin of the Python generator beside the fraud models: same fields in the same order, same distributions,
//! same compact JSON (about 410 bytes). Only the random numbers differ, so a seed gives other values there.

use std::mem;

use super::poison::Poison;
use super::random::Random;

const COUNTRIES: [&str; 10] = ["DE", "FR", "US", "GB", "NL", "PL", "BR", "IN", "CN", "NG"];
const DEVICES: [&str; 5] = ["ios", "android", "web", "pos", "moto"];
const CATEGORIES: [&str; 8] = ["grocery", "travel", "electronics", "gambling", "fuel", "fashion", "health", "games"];

/// 2026-11-01T00:00:00Z, the first event's time unless told otherwise, in milliseconds since 1970.
const FIRST_MS: i64 = 1_793_491_200_000;

/// One payment, borrowed from its generator until the next one is made.
#[derive(Clone, Copy, Debug)]
pub struct Payment<'a> {
    /// Counts from 0, also through poisoned ones.
    pub number: u64,
    /// Country and bin of the card: all payments of a card range share a partition.
    pub key: &'a [u8],
    pub payload: &'a [u8],
    /// What is wrong with the payload on purpose.
    pub poison: Option<Poison>,
}

/// An endless stream of payments. Makes each in a buffer of its own, without allocating.
#[derive(Clone, Debug)]
pub struct Payments {
    random: Random,
    made: u64,
    first_ms: i64,
    poisoned: f64,
    kinds: usize,
    key: Vec<u8>,
    json: Vec<u8>,
}

impl Payments {
    /// The stream of this seed: every payment is clean, and event `n` happened `n` ms after 2026-11-01.
    pub fn new(seed: u64) -> Payments {
        Payments {
            random: Random::new(seed),
            made: 0,
            first_ms: FIRST_MS,
            poisoned: 0.0,
            kinds: 0,
            key: Vec::with_capacity(16),
            json: Vec::with_capacity(4096),
        }
    }

    /// Lets this share of the payments (0 to 1) be poisoned, all kinds in turn.
    pub fn poisoned(mut self, share: f64) -> Payments {
        self.poisoned = share;
        self
    }

    /// The next payment; its event time follows from its number.
    pub fn make(&mut self) -> Payment<'_> {
        self.make_at(self.first_ms + self.made as i64)
    }

    /// The next payment, with an event time in milliseconds since 1970 (taken as 1970 when before).
    pub fn make_at(&mut self, event_ms: i64) -> Payment<'_> {
        let poison = (self.poisoned > 0.0 && self.random.chance(self.poisoned)).then(|| {
            self.kinds += 1;
            Poison::ALL[(self.kinds - 1) % Poison::ALL.len()]
        });
        self.make_with(event_ms, poison)
    }

    /// The next payment, spoilt in this way or clean.
    pub fn make_with(&mut self, event_ms: i64, poison: Option<Poison>) -> Payment<'_> {
        let number = self.made;
        self.made += 1;
        let mut json = mem::take(&mut self.json);
        json.clear();
        self.write(number, event_ms, &mut json);
        if let Some(kind) = poison {
            kind.spoil(&mut json, &mut self.random);
        }
        self.json = json;
        Payment { number, key: &self.key, payload: &self.json, poison }
    }

    fn write(&mut self, number: u64, event_ms: i64, out: &mut Vec<u8>) {
        let r = &mut self.random;
        text(out, r#"{"id":"pay-"#);
        padded(out, number, 12);
        text(out, r#"","ts":""#);
        time(out, event_ms);
        text(out, r#"","amount":"#);
        decimal(out, r.log_normal(3.5, 1.2), 2);

        let (bin, age) = (400_000 + r.below(160_000), 1 + r.below(2_999));
        let country = r.pick(&COUNTRIES);
        self.key.clear();
        text(&mut self.key, country);
        integer(&mut self.key, bin);
        text(out, r#","currency":"EUR","card":{"bin":"#);
        integer(out, bin);
        text(out, r#","age_days":"#);
        integer(out, age);
        text(out, r#","country":""#);
        text(out, country);
        text(out, r#"","prepaid":"#);
        boolean(out, r.chance(0.1));

        text(out, r#"},"merchant":{"id":"m"#);
        integer(out, r.below(50_000));
        text(out, r#"","category":""#);
        text(out, r.pick(&CATEGORIES));
        text(out, r#"","country":""#);
        text(out, r.pick(&COUNTRIES));
        text(out, r#"","risk":"#);
        decimal(out, r.unit(), 4);

        text(out, r#"},"device":{"kind":""#);
        text(out, r.pick(&DEVICES));
        text(out, r#"","ip_country":""#);
        text(out, r.pick(&COUNTRIES));
        text(out, r#"","new":"#);
        boolean(out, r.chance(0.05));
        statistics(r, out);
    }
}

fn statistics(r: &mut Random, out: &mut Vec<u8>) {
    text(out, r#"},"stats":{"n_1h":"#);
    integer(out, r.below(10));
    text(out, r#","n_24h":"#);
    integer(out, r.below(50));
    text(out, r#","sum_24h":"#);
    decimal(out, r.log_normal(5.0, 1.0), 2);
    text(out, r#","avg_30d":"#);
    decimal(out, r.log_normal(3.6, 0.8), 2);
    text(out, r#","std_30d":"#);
    decimal(out, r.unit() * 80.0, 3);
    text(out, r#","declines_24h":"#);
    integer(out, r.below(4));
    text(out, r#","distance_km":"#);
    decimal(out, r.exponential(300.0), 2);
    text(out, "}}");
}

#[inline]
fn text(out: &mut Vec<u8>, value: &str) {
    out.extend_from_slice(value.as_bytes());
}

#[inline]
fn boolean(out: &mut Vec<u8>, value: bool) {
    text(out, if value { "true" } else { "false" });
}

fn integer(out: &mut Vec<u8>, value: u64) {
    padded(out, value, 1);
}

/// Decimal digits, with zeros in front up to `width`.
fn padded(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while value > 0 || digits.len() - at < width {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

/// Rounded to `places` (at least 1) and without needless zeros, as Python shows a rounded float: `8.0`, `23.3`, `0.07`.
fn decimal(out: &mut Vec<u8>, value: f64, places: usize) {
    let scale = 10_u64.pow(places as u32);
    let scaled = (value * scale as f64).round() as u64;
    integer(out, scaled / scale);
    out.push(b'.');
    let start = out.len();
    padded(out, scaled % scale, places);
    while out.len() > start + 1 && out.last() == Some(&b'0') {
        out.pop();
    }
}

/// ISO 8601 in UTC, as Python's `isoformat` has it: microseconds only when there are any.
fn time(out: &mut Vec<u8>, ms: i64) {
    let ms = ms.max(0) as u64;
    let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = date(days);
    padded(out, year, 4);
    for (mark, value) in [
        (b'-', month),
        (b'-', day),
        (b'T', of_day / 3_600_000),
        (b':', of_day / 60_000 % 60),
        (b':', of_day / 1_000 % 60),
    ] {
        out.push(mark);
        padded(out, value, 2);
    }
    if of_day % 1_000 != 0 {
        out.push(b'.');
        padded(out, of_day % 1_000 * 1_000, 6);
    }
    out.push(b'Z');
}

/// Year, month and day of a number of days since 1970-01-01.
///
/// Source: Howard Hinnant, `civil_from_days`, <https://howardhinnant.github.io/date_algorithms.html>.
fn date(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + u64::from(month <= 2), month, of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests;
