//! Events for tests: payments in the shape of the fraud scenario, and ways to spoil them.

use crate::domain::batch::Batch;
use crate::domain::batch::Record;
use crate::domain::batch::Span;
use crate::domain::batch::TimestampKind;
use crate::domain::fields::FieldKind;
use crate::domain::fields::TimeUnit;

/// xorshift: good enough to choose with, and the same for ever.
pub struct Rng(u64);

impl Rng {
    /// A generator whose seed comes from `TIDEMILL_SEED` or from the system, and is printed.
    pub fn new() -> Rng {
        let given = std::env::var("TIDEMILL_SEED").ok().map(|s| s.parse().expect("TIDEMILL_SEED is a number"));
        let seed = given.unwrap_or_else(|| getrandom::u64().unwrap());
        println!("TIDEMILL_SEED={seed}");
        Rng(seed | 1)
    }

    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.word() >> 11) % n.max(1) as u64) as usize
    }

    pub fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

pub const COUNTRIES: [&str; 10] = ["DE", "FR", "US", "GB", "NL", "PL", "BR", "IN", "CN", "NG"];
pub const CATEGORIES: [&str; 8] =
    ["grocery", "travel", "electronics", "gambling", "fuel", "fashion", "health", "games"];
pub const DEVICES: [&str; 5] = ["ios", "android", "web", "pos", "moto"];

/// The fields that the fraud scenario wants: four columns, then eighteen features.
pub fn fraud_fields() -> Vec<(&'static str, FieldKind)> {
    let list = |of: &[&str]| FieldKind::Category(of.iter().map(|s| s.to_string()).collect());
    vec![
        ("id", FieldKind::Text),
        ("ts", FieldKind::Timestamp(TimeUnit::Milliseconds)),
        ("merchant.id", FieldKind::Text),
        ("amount", FieldKind::Number),
        ("card.bin", FieldKind::Number),
        ("card.age_days", FieldKind::Number),
        ("card.country", list(&COUNTRIES)),
        ("card.prepaid", FieldKind::Boolean),
        ("merchant.category", list(&CATEGORIES)),
        ("merchant.country", list(&COUNTRIES)),
        ("merchant.risk", FieldKind::Number),
        ("device.kind", list(&DEVICES)),
        ("device.ip_country", list(&COUNTRIES)),
        ("device.new", FieldKind::Boolean),
        ("stats.n_1h", FieldKind::Number),
        ("stats.n_24h", FieldKind::Number),
        ("stats.sum_24h", FieldKind::Number),
        ("stats.avg_30d", FieldKind::Number),
        ("stats.std_30d", FieldKind::Number),
        ("stats.declines_24h", FieldKind::Number),
        ("stats.distance_km", FieldKind::Number),
    ]
}

/// A payment of about 410 bytes.
pub fn payment(rng: &mut Rng, number: usize) -> String {
    let mut money = |max: usize, digits: i32| rng.below(max) as f64 / 10f64.powi(digits);
    let (amount, risk, sum) = (money(100_000, 2), money(10_000, 4), money(200_000, 2));
    let (avg, std, km) = (money(20_000, 2), money(80_000, 3), money(200_000, 2));
    format!(
        concat!(
            r#"{{"id":"pay-{:012}","ts":"2026-11-01T00:{:02}:{:02}.{:03}000Z","amount":{},"currency":"EUR","#,
            r#""card":{{"bin":{},"age_days":{},"country":"{}","prepaid":{}}},"#,
            r#""merchant":{{"id":"m{}","category":"{}","country":"{}","risk":{}}},"#,
            r#""device":{{"kind":"{}","ip_country":"{}","new":{}}},"#,
            r#""stats":{{"n_1h":{},"n_24h":{},"sum_24h":{},"avg_30d":{},"std_30d":{},"#,
            r#""declines_24h":{},"distance_km":{}}}}}"#
        ),
        number,
        number / 60_000 % 60,
        number / 1000 % 60,
        number % 1000,
        amount,
        400_000 + rng.below(160_000),
        1 + rng.below(3000),
        rng.pick(&COUNTRIES),
        rng.below(10) == 0,
        rng.below(50_000),
        rng.pick(&CATEGORIES),
        rng.pick(&COUNTRIES),
        risk,
        rng.pick(&DEVICES),
        rng.pick(&COUNTRIES),
        rng.below(20) == 0,
        rng.below(10),
        rng.below(50),
        sum,
        avg,
        std,
        rng.below(4),
        km
    )
}

/// A batch of these payloads, without keys and headers, behind some bytes of something else.
pub fn batch<'a>(payloads: impl IntoIterator<Item = Option<&'a [u8]>>) -> Batch {
    let mut batch = Batch::default();
    batch.push_bytes(Some(b"key\xff{"));
    for (offset, payload) in (0..).zip(payloads) {
        let payload = batch.push_bytes(payload);
        batch.records.push(Record {
            offset,
            timestamp: 0,
            kind: TimestampKind::Missing,
            key: Span::NULL,
            payload,
            headers: Span { start: 0, len: 0 },
        });
    }
    batch
}
