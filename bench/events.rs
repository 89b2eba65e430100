//! Payments of the fraud scenario in several shapes, and the fields that its model and table want.

use std::fmt::Write as _;

use tidemill::adapters::formats::path;
use tidemill::demo::payments::Payments;
use tidemill::demo::random::Random;
use tidemill::domain::batch::Batch;
use tidemill::domain::batch::Record;
use tidemill::domain::batch::Span;
use tidemill::domain::batch::TimestampKind;
use tidemill::domain::fields::FieldKind;
use tidemill::domain::fields::FieldSpec;
use tidemill::domain::fields::Otherwise;
use tidemill::domain::fields::TimeUnit;

const COUNTRIES: &[&str] = &["DE", "FR", "US", "GB", "NL", "PL", "BR", "IN", "CN", "NG"];

/// The columns and features that the fraud scenario reads.
pub fn fields() -> Vec<FieldSpec> {
    let list = |of: &[&str]| FieldKind::Category(of.iter().map(|s| s.to_string()).collect());
    let devices = &["ios", "android", "web", "pos", "moto"];
    let categories = &["grocery", "travel", "electronics", "gambling", "fuel", "fashion", "health", "games"];
    let mut all = vec![
        ("id", FieldKind::Text),
        ("ts", FieldKind::Timestamp(TimeUnit::Milliseconds)),
        ("merchant.id", FieldKind::Text),
        ("card.prepaid", FieldKind::Boolean),
        ("device.new", FieldKind::Boolean),
        ("card.country", list(COUNTRIES)),
        ("merchant.country", list(COUNTRIES)),
        ("device.ip_country", list(COUNTRIES)),
        ("merchant.category", list(categories)),
        ("device.kind", list(devices)),
    ];
    let numbers = "amount merchant.risk stats.sum_24h stats.avg_30d stats.std_30d stats.distance_km";
    all.extend(numbers.split(' ').map(|path| (path, FieldKind::Number)));
    let integers = "card.bin card.age_days stats.n_1h stats.n_24h stats.declines_24h";
    all.extend(integers.split(' ').map(|path| (path, FieldKind::Integer)));
    // a feature, and a column as well
    all.push(("amount", FieldKind::Number));
    let spec = |(text, kind)| FieldSpec {
        path: path::parse(text).expect("the paths are well formed"),
        kind,
        missing: Otherwise::Absent,
        wrong: Otherwise::Reject,
    };
    all.into_iter().map(spec).collect()
}

/// How an event differs from the payments of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Base,
    /// The keys of every object in an order of their own, in every event.
    Shuffled,
    Pretty,
    /// Further keys, the same in every event.
    Extra,
    /// One value in twenty is not there.
    Missing,
}

pub const SHAPES: &[(&str, Shape)] = &[
    ("base", Shape::Base),
    ("shuffled", Shape::Shuffled),
    ("pretty", Shape::Pretty),
    ("extra", Shape::Extra),
    ("missing", Shape::Missing),
];

/// So many events of a shape; the same for the same seed.
pub fn events(shape: Shape, count: usize, seed: u64) -> Vec<Vec<u8>> {
    let (mut payments, mut random) = (Payments::new(seed), Random::new(seed + 1));
    let mut make = || {
        let text = std::str::from_utf8(payments.make().payload).expect("payments are text").to_string();
        let (mut event, _) = Node::read(&text);
        event.bend(shape, &mut random);
        let mut out = String::new();
        event.write(&mut out, (shape == Shape::Pretty).then_some(0));
        out.into_bytes()
    };
    (0..count).map(|_| make()).collect()
}

/// One batch of these payloads.
pub fn batch(events: &[Vec<u8>]) -> Batch {
    let mut batch = Batch::default();
    for (offset, event) in (0..).zip(events) {
        let payload = batch.push_bytes(Some(event));
        let kind = TimestampKind::Create;
        batch.records.push(Record { offset, timestamp: 0, kind, key: Span::NULL, payload, headers: Span::NULL });
    }
    batch
}

/// Objects and scalars are all that payments hold, and no text in them has an escape or a bracket.
enum Node {
    Scalar(String),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// Reads a value at the front; also what is behind it.
    fn read(text: &str) -> (Node, &str) {
        let Some(mut rest) = text.strip_prefix('{') else {
            let in_text = text.starts_with('"');
            let end = if in_text { 2 + text[1..].find('"').unwrap_or(0) } else { text.find([',', '}']).unwrap_or(0) };
            return (Node::Scalar(text[..end].to_string()), &text[end..]);
        };
        let mut members = vec![];
        loop {
            let (key, behind) = rest.split_once(':').expect("a key");
            let (value, behind) = Node::read(behind);
            members.push((key.to_string(), value));
            rest = &behind[1..];
            if behind.starts_with('}') {
                return (Node::Object(members), rest);
            }
        }
    }

    fn bend(&mut self, shape: Shape, random: &mut Random) {
        let Node::Object(members) = self else { return };
        match shape {
            Shape::Base | Shape::Pretty => {}
            Shape::Shuffled => {
                for i in (1..members.len()).rev() {
                    members.swap(i, random.below(i as u64 + 1) as usize);
                }
            }
            Shape::Missing => members.retain(|(_, value)| matches!(value, Node::Object(_)) || !random.chance(0.05)),
            Shape::Extra => {
                let reference = format!("\"{:x}\"", random.below(1 << 40));
                members.push(("\"x_ref\"".into(), Node::Scalar(reference)));
                members.push(("\"x_n\"".into(), Node::Scalar(random.below(1000).to_string())));
                members.push(("\"x_tags\"".into(), Node::Scalar("[\"a\",\"b\"]".into())));
            }
        }
        members.iter_mut().for_each(|(_, value)| value.bend(shape, random));
    }

    /// Compact, or indented from this depth on.
    fn write(&self, out: &mut String, indent: Option<usize>) {
        let members = match self {
            Node::Scalar(text) => return out.push_str(text),
            Node::Object(members) => members,
        };
        let line = |out: &mut String, depth| write!(out, "\n{:1$}", "", depth * 2).expect("a String takes all");
        out.push('{');
        for (i, (key, value)) in members.iter().enumerate() {
            out.push_str(if i > 0 { "," } else { "" });
            indent.inspect(|depth| line(out, depth + 1));
            out.push_str(key);
            out.push_str(if indent.is_some() { ": " } else { ":" });
            value.write(out, indent.map(|depth| depth + 1));
        }
        indent.inspect(|depth| line(out, *depth));
        out.push('}');
    }
}
