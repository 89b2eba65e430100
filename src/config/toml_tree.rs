//! TOML text to tree. All syntax errors that the parser can recover from are reported together.

use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

use super::error::Finding;
use super::place::Place;
use super::place::Source;
use super::tree::Entry;
use super::tree::Node;
use super::tree::Value;

/// Parses the text of `source`.
pub fn parse(source: &Source) -> Result<Node, Vec<Finding>> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    if errors.is_empty() {
        let place = Place::File(0..0);
        return Ok(Node { value: self::table(table.into_inner(), &Place::File), place });
    }
    let finding = |e: &toml::de::Error| {
        let at = e.span().map_or(Place::File(0..0), Place::File);
        Finding::at(source, at, "", e.message())
    };
    Err(errors.iter().map(finding).collect())
}

/// One value, such as the right side of a `--set`.
pub fn value(value: Spanned<DeValue<'_>>, place: &dyn Fn(std::ops::Range<usize>) -> Place) -> Node {
    let at = place(value.span());
    let value = match value.into_inner() {
        DeValue::String(s) => Value::Text { text: s.into_owned(), raw: false },
        DeValue::Integer(i) => match i128::from_str_radix(i.as_str(), i.radix()) {
            Ok(n) => Value::Int(n),
            Err(_) => Value::Text { text: i.to_string(), raw: true },
        },
        DeValue::Float(f) => f.as_str().parse().map_or(Value::Float(f64::NAN), Value::Float),
        DeValue::Boolean(b) => Value::Bool(b),
        DeValue::Datetime(d) => Value::Text { text: d.to_string(), raw: false },
        DeValue::Array(items) => Value::List(items.into_iter().map(|v| self::value(v, place)).enumerate().collect()),
        DeValue::Table(t) => table(t, place),
    };
    Node { value, place: at }
}

fn table(table: DeTable<'_>, place: &dyn Fn(std::ops::Range<usize>) -> Place) -> Value {
    let mut entries: Vec<_> = table.into_iter().map(|(k, v)| (k.span().start, k, v)).collect();
    entries.sort_by_key(|e| e.0);
    let entry = |(_, key, node): (usize, Spanned<std::borrow::Cow<'_, str>>, _)| {
        let at = place(key.span());
        Entry { key: key.into_inner().into_owned(), at, node: value(node, place) }
    };
    Value::Table(entries.into_iter().map(entry).collect())
}
