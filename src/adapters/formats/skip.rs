//! The rules that leave records out on purpose, made ready.

use super::error::Error;
use super::leaf::Want;
use super::options::Literal;
use super::options::SkipRule;
use super::path;
use crate::domain::batch::Batch;
use crate::domain::fields::FieldKind;
use crate::domain::fields::Fields;

/// A rule on what is known without reading the payload.
#[derive(Clone, Debug)]
struct BytesRule {
    number: u16,
    /// Name of the header, or `None` for the key.
    header: Option<Vec<u8>>,
    test: BytesTest,
}

#[derive(Clone, Debug)]
enum BytesTest {
    Absent(bool),
    AnyOf(Vec<Vec<u8>>),
}

/// A rule on a field of the event.
#[derive(Clone, Debug)]
struct FieldRule {
    number: u16,
    slot: usize,
    test: FieldTest,
}

#[derive(Clone, Debug)]
enum FieldTest {
    Absent(bool),
    /// The slot is a category of the wanted texts.
    Listed,
    Booleans(Vec<bool>),
    Integers(Vec<i64>),
    Numbers(Vec<f64>),
}

/// All rules. Those on headers and keys are looked at before the payload is read, those on fields after it.
#[derive(Clone, Debug, Default)]
pub struct SkipRules {
    before: Vec<BytesRule>,
    after: Vec<FieldRule>,
}

impl SkipRules {
    /// Compiles valid rules, and appends the fields that they look at to `wants`.
    pub fn new(rules: &[SkipRule], wants: &mut Vec<Want>) -> Result<SkipRules, Error> {
        let mut made = SkipRules::default();
        for (number, rule) in (0u16..).zip(rules) {
            let Some(field) = &rule.field else {
                let header = rule.header.as_ref().map(|name| name.as_bytes().to_vec());
                made.before.push(BytesRule { number, header, test: bytes_test(rule) });
                continue;
            };
            let (test, kind) = field_test(rule);
            made.after.push(FieldRule { number, slot: wants.len(), test });
            wants.push(Want { path: path::parse(field)?, kind });
        }
        Ok(made)
    }

    /// The first rule on a header or the key that the record meets.
    pub fn before(&self, batch: &Batch, record: usize) -> Option<u16> {
        let rule = self.before.iter().find(|rule| {
            let value = match &rule.header {
                None => batch.key(record),
                Some(name) => batch.headers(record).filter(|(n, _)| n == name).last().and_then(|(_, value)| value),
            };
            match &rule.test {
                BytesTest::Absent(absent) => value.is_none() == *absent,
                BytesTest::AnyOf(values) => value.is_some_and(|v| values.iter().any(|w| w == v)),
            }
        });
        rule.map(|rule| rule.number)
    }

    /// The first rule on a field that the record meets. Its slots must be filled.
    pub fn after(&self, fields: &Fields, record: usize) -> Option<u16> {
        let rule = self.after.iter().find(|rule| {
            let (slot, integer) = (rule.slot, fields.integer(record, rule.slot));
            match &rule.test {
                FieldTest::Absent(absent) => integer.is_none() == *absent,
                FieldTest::Listed => integer.is_some_and(|code| code >= 0),
                FieldTest::Booleans(values) => integer.is_some_and(|n| values.iter().any(|v| i64::from(*v) == n)),
                FieldTest::Integers(values) => integer.is_some_and(|n| values.contains(&n)),
                // an absent number is NaN, which equals nothing
                FieldTest::Numbers(values) => values.contains(&fields.number(record, slot)),
            }
        });
        rule.map(|rule| rule.number)
    }
}

fn bytes_test(rule: &SkipRule) -> BytesTest {
    if let Some(absent) = rule.absent {
        return BytesTest::Absent(absent);
    }
    let text = |value: &Literal| match value {
        Literal::Text(text) => Some(text.as_bytes().to_vec()),
        _ => None,
    };
    BytesTest::AnyOf(rule.values().iter().filter_map(text).collect())
}

fn field_test(rule: &SkipRule) -> (FieldTest, Option<FieldKind>) {
    if let Some(absent) = rule.absent {
        return (FieldTest::Absent(absent), None);
    }
    let (mut texts, mut booleans, mut integers, mut numbers) = (vec![], vec![], vec![], vec![]);
    for value in rule.values() {
        match value {
            Literal::Boolean(b) => booleans.push(*b),
            Literal::Integer(n) => {
                integers.push(*n);
                numbers.push(*n as f64);
            }
            Literal::Number(x) => numbers.push(*x),
            Literal::Text(text) if texts.contains(text) => {}
            Literal::Text(text) => texts.push(text.clone()),
        }
    }
    if !texts.is_empty() {
        (FieldTest::Listed, Some(FieldKind::Category(texts)))
    } else if !booleans.is_empty() {
        (FieldTest::Booleans(booleans), Some(FieldKind::Boolean))
    } else if integers.len() == numbers.len() {
        (FieldTest::Integers(integers), Some(FieldKind::Integer))
    } else {
        (FieldTest::Numbers(numbers), Some(FieldKind::Number))
    }
}
