use std::collections::HashMap;

use serde_json::Value;

use super::*;

fn shown(f: impl Fn(&mut Vec<u8>)) -> String {
    let mut out = vec![];
    f(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn numbers_and_times_are_written_as_python_writes_them() {
    for (value, places, want) in [
        (8.0, 2, "8.0"),
        (23.3, 2, "23.3"),
        (0.07, 2, "0.07"),
        (0.0001, 4, "0.0001"),
        (12.999, 2, "13.0"),
        (0.0, 3, "0.0"),
    ] {
        assert_eq!(shown(|o| decimal(o, value, places)), want);
    }
    for (ms, want) in [
        (FIRST_MS, "2026-11-01T00:00:00Z"),
        (FIRST_MS + 1, "2026-11-01T00:00:00.001000Z"),
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400_000, "2000-02-29T00:00:00Z"),
        (1_798_761_599_999, "2026-12-31T23:59:59.999000Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00Z"),
    ] {
        assert_eq!(shown(|o| time(o, ms)), want);
    }
    assert_eq!(shown(|o| padded(o, 42, 12)), "000000000042");
    assert_eq!(shown(|o| integer(o, u64::MAX)), u64::MAX.to_string());
}

/// The keys of every object, in order of the text: serde_json's map would sort them.
fn keys(json: &str) -> Vec<&str> {
    let parts: Vec<&str> = json.split('"').collect();
    (1..parts.len() - 1).step_by(2).filter(|i| parts[i + 1].starts_with(':')).map(|i| parts[i]).collect()
}

#[test]
fn a_payment_has_the_fields_of_its_python_twin_in_the_same_order() {
    // The first payment of the Python generator's seed 1.
    let twin = r#"{"id":"pay-000000000000","ts":"2026-11-01T00:00:00Z","amount":68.64,"currency":"EUR","card":{"bin":529875,"age_days":1842,"country":"IN","prepaid":false},"merchant":{"id":"m13759","category":"travel","country":"IN","risk":0.0283},"device":{"kind":"pos","ip_country":"BR","new":false},"stats":{"n_1h":0,"n_24h":44,"sum_24h":106.01,"avg_30d":96.93,"std_30d":17.328,"declines_24h":3,"distance_km":388.23}}"#;
    let mut payments = Payments::new(1);
    let first = payments.make();
    let ours = std::str::from_utf8(first.payload).unwrap();
    assert_eq!(keys(ours), keys(twin));
    assert!(ours.starts_with(&twin[..58]), "{ours}");

    let event: Value = serde_json::from_str(ours).unwrap();
    let key = format!("{}{}", event["card"]["country"].as_str().unwrap(), event["card"]["bin"]);
    assert_eq!(first.key, key.as_bytes());
    assert_eq!((first.number, first.poison), (0, None));
}

#[test]
fn the_same_seed_makes_the_same_stream() {
    let (mut a, mut b, mut c) = (Payments::new(9), Payments::new(9), Payments::new(10));
    let mut differing = 0;
    for _ in 0..1_000 {
        let a = a.make().payload.to_vec();
        assert_eq!(a, b.make().payload);
        differing += usize::from(a != c.make().payload);
    }
    assert_eq!(differing, 1_000);
}

/// Mean and some quantiles of a field over many events.
struct Column(Vec<f64>);

impl Column {
    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    fn quantile(&mut self, q: f64) -> f64 {
        self.0.sort_by(f64::total_cmp);
        self.0[(q * self.0.len() as f64) as usize]
    }

    fn near(&mut self, name: &str, mean: f64, quantiles: [f64; 3], tolerance: f64) {
        let got = [self.mean(), self.quantile(0.1), self.quantile(0.5), self.quantile(0.9)];
        let want = [mean, quantiles[0], quantiles[1], quantiles[2]];
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() <= tolerance * want.abs() + 0.011, "{name}: {got} instead of {want}");
        }
    }
}

const EVENTS: usize = 100_000;

fn number(event: &Value, path: &str) -> f64 {
    let value = event.pointer(path).unwrap_or_else(|| panic!("no {path}"));
    value.as_bool().map(|b| f64::from(u8::from(b))).or(value.as_f64()).unwrap_or_else(|| panic!("{path} is no number"))
}

#[test]
fn the_distributions_are_those_of_the_python_twin() {
    let mut payments = Payments::new(1);
    let mut columns: HashMap<&str, Column> = HashMap::new();
    let mut shares: HashMap<(&str, String), usize> = HashMap::new();
    let mut bytes = 0;
    let numeric = [
        "/amount",
        "/card/bin",
        "/card/age_days",
        "/card/prepaid",
        "/merchant/risk",
        "/device/new",
        "/stats/n_1h",
        "/stats/n_24h",
        "/stats/sum_24h",
        "/stats/avg_30d",
        "/stats/std_30d",
        "/stats/declines_24h",
        "/stats/distance_km",
    ];
    let named = ["/card/country", "/merchant/category", "/merchant/country", "/device/kind", "/device/ip_country"];
    for _ in 0..EVENTS {
        let payload = payments.make().payload;
        bytes += payload.len();
        let event: Value = serde_json::from_slice(payload).unwrap();
        for path in numeric {
            columns.entry(path).or_insert(Column(vec![])).0.push(number(&event, path));
        }
        for path in named {
            *shares.entry((path, event.pointer(path).unwrap().as_str().unwrap().into())).or_default() += 1;
        }
    }

    let mean_bytes = bytes as f64 / EVENTS as f64;
    assert!((404.0..=414.0).contains(&mean_bytes), "{mean_bytes} bytes");

    // A log-normal's quantile is exp(mu + sigma z), z(0.9) = 1.28155; its mean exp(mu + sigma^2 / 2).
    let mut near = |path: &'static str, mean, quantiles, tolerance| {
        columns.get_mut(path).unwrap().near(path, mean, quantiles, tolerance);
    };
    let log_normal = |mu: f64, s: f64| ((mu + s * s / 2.0).exp(), [-1.28155, 0.0, 1.28155].map(|z| (mu + s * z).exp()));
    for (path, mu, sigma) in [("/amount", 3.5, 1.2), ("/stats/sum_24h", 5.0, 1.0), ("/stats/avg_30d", 3.6, 0.8)] {
        let (mean, quantiles) = log_normal(mu, sigma);
        near(path, mean, quantiles, 0.035);
    }
    near("/stats/distance_km", 300.0, [31.608, 207.944, 690.776], 0.03);
    near("/stats/std_30d", 40.0, [8.0, 40.0, 72.0], 0.03);
    near("/merchant/risk", 0.5, [0.1, 0.5, 0.9], 0.03);
    near("/card/bin", 480_000.0, [416_000.0, 480_000.0, 544_000.0], 0.005);
    near("/card/age_days", 1_500.0, [300.0, 1_500.0, 2_700.0], 0.03);
    near("/stats/n_24h", 24.5, [5.0, 25.0, 45.0], 0.05);
    near("/stats/n_1h", 4.5, [1.0, 5.0, 9.0], 0.03);
    for (path, mean, tolerance) in
        [("/card/prepaid", 0.1, 0.005), ("/device/new", 0.05, 0.004), ("/stats/declines_24h", 1.5, 0.03)]
    {
        assert!((columns[path].mean() - mean).abs() < tolerance, "{path}: {}", columns[path].mean());
    }

    for (path, kinds) in named.iter().zip([10, 8, 10, 5, 10]) {
        let found: Vec<usize> = shares.iter().filter(|((p, _), _)| p == path).map(|(_, n)| *n).collect();
        assert_eq!(found.len(), kinds, "{path}");
        let even = EVENTS as f64 / kinds as f64;
        assert!(found.iter().all(|n| (*n as f64 / even - 1.0).abs() < 0.05), "{path}: {found:?}");
    }
}

#[test]
fn a_share_is_poisoned_in_all_ways_alike() {
    let mut payments = Payments::new(3).poisoned(0.01);
    let mut kinds: HashMap<Poison, usize> = HashMap::new();
    for n in 0..60_000 {
        let payment = payments.make();
        assert_eq!(payment.number, n);
        if let Some(kind) = payment.poison {
            *kinds.entry(kind).or_default() += 1;
        }
    }
    let total: usize = kinds.values().sum();
    assert!((500..=700).contains(&total), "{total}");
    assert_eq!(kinds.len(), Poison::ALL.len());
    assert!(kinds.values().all(|n| n.abs_diff(total / 6) <= 1), "{kinds:?}");
}

#[test]
fn making_payments_does_not_grow_the_buffer() {
    let mut payments = Payments::new(5).poisoned(0.2);
    let capacity = payments.json.capacity();
    for _ in 0..20_000 {
        payments.make();
    }
    assert_eq!(payments.json.capacity(), capacity);
}
