//! Skip rules: any text of them is read or refused, and those that are read mean what `serde_json` says of the event.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use tidemill::adapters::formats;
use tidemill::adapters::formats::options::Literal;
use tidemill::adapters::formats::options::Options;
use tidemill::adapters::formats::options::SkipRule;
use tidemill::adapters::formats::path;
use tidemill::domain::fields::Fields;
use tidemill::domain::verdict::Verdict;

use super::Target;
use super::events;
use super::json;
use crate::random::hash;

/// Stands between the rules and the event.
const BREAK: &str = "\n---\n";

#[derive(Deserialize)]
struct Rules {
    #[serde(default)]
    skip: Vec<SkipRule>,
}

pub struct Skip;

impl Target for Skip {
    fn name(&self) -> &'static str {
        "skip"
    }

    fn words(&self) -> &'static [&'static [u8]] {
        const WORDS: &[&[u8]] = &[
            b"[[skip]]\n",
            b"name = \"n\"\n",
            b"header = \"h\"\n",
            b"key = true\n",
            b"field = \"a.b\"\n",
            b"field = \"a\"\n",
            b"equals = \"v\"\n",
            b"equals = 1\n",
            b"equals = 1.5\n",
            b"equals = true\n",
            b"in = [1, 2.5]\n",
            b"in = [\"k\", \"v\"]\n",
            b"absent = true\n",
            b"absent = false\n",
            b"\n---\n",
            b"{\"a\":{\"b\":1}}",
            b"\"v\"",
            b"null",
            b"nan",
            b"2.0",
            b"true",
        ];
        WORDS
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let Some((rules, event)) = std::str::from_utf8(input).ok().and_then(|t| t.split_once(BREAK)) else { return 1 };
        let Ok(Rules { skip }) = toml::from_str::<Rules>(rules) else { return 2 };
        let options = Options::default();
        let problems = formats::options::validate(&options, &skip);
        let built = formats::build(&options, &skip, &[], Path::new(""));
        assert_eq!(built.is_ok(), problems.is_empty(), "{problems:?}");
        let Ok(mut decoder) = built else {
            // The words before anything that is quoted from the rules.
            let told = problems[0].to_string();
            let words = told.split('`').next().unwrap_or_default().replace(|c: char| c.is_ascii_digit(), "");
            return hash(&[words.as_bytes()]);
        };
        let batch = events::batch(event.as_bytes());
        let (verdict, reason) = events::decode(decoder.as_mut(), &batch, &mut Fields::default());
        let before = first(&skip, |rule| bytes(rule).is_some_and(|subject| tells(rule, Some(subject))));
        if let Some(number) = before {
            assert_eq!(verdict, Verdict::Skip(number));
            return hash(&[b"before", &number.to_be_bytes()]);
        }
        let Some(event) = serde_json::from_str::<Value>(event).ok().filter(Value::is_object) else {
            assert!(matches!(verdict, Verdict::Dead(_)));
            return hash(&[reason.as_bytes()]);
        };
        if reason == "too_deep" {
            return 3;
        }
        let after = first(&skip, |rule| field(rule, &event));
        assert_eq!((verdict, reason), (after.map_or(Verdict::Keep, Verdict::Skip), ""));
        hash(&[b"after", &after.map_or(u16::MAX, |n| n.min(20)).to_be_bytes(), &[skip.len().min(20) as u8]])
    }
}

fn first(rules: &[SkipRule], applies: impl Fn(&SkipRule) -> bool) -> Option<u16> {
    rules.iter().position(applies).map(|n| n as u16)
}

/// The subject of a rule on key or header: the event has key `k` and header `h` with value `v`.
fn bytes(rule: &SkipRule) -> Option<Option<&'static str>> {
    match &rule.header {
        _ if rule.field.is_some() => None,
        Some(name) => Some((name == "h").then_some("v")),
        None => Some(Some("k")),
    }
}

fn literals(rule: &SkipRule) -> Vec<Literal> {
    rule.equals.iter().chain(rule.any_of.iter().flatten()).cloned().collect()
}

fn tells(rule: &SkipRule, subject: Option<Option<&str>>) -> bool {
    let subject = subject.flatten();
    match rule.absent {
        Some(absent) => subject.is_none() == absent,
        None => literals(rule).iter().any(|l| matches!(l, Literal::Text(t) if Some(t.as_str()) == subject)),
    }
}

fn field(rule: &SkipRule, event: &Value) -> bool {
    let Some(text) = &rule.field else { return false };
    let value = json::at(event, &path::parse(text).expect("the rules are valid"));
    if let Some(absent) = rule.absent {
        return value.is_none() == absent;
    }
    let Some(value) = value else { return false };
    let literals = literals(rule);
    let whole = literals.iter().all(|l| matches!(l, Literal::Integer(_)));
    literals.iter().any(|literal| match literal {
        Literal::Text(text) => value.as_str() == Some(text),
        Literal::Boolean(b) => value.as_bool() == Some(*b),
        Literal::Integer(n) if whole => json::integer(value) == Some(*n),
        Literal::Integer(n) => value.as_f64() == Some(*n as f64),
        Literal::Number(x) => value.as_f64() == Some(*x),
    })
}
