//! The configuration of decoding: section `[event]` and the rules `[[skip]]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use super::error::Error;
use super::path;
use crate::domain::units::ByteSize;

/// Deepest nesting that can be configured.
pub const DEPTH_LIMIT: u32 = 127;

/// Largest event that can be configured, in bytes.
pub const BYTES_LIMIT: u64 = 1 << 30;

/// How a payload is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Json,
    Bincode,
}

/// Integer encoding of bincode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Variable-length integers: `bincode::config::standard()` of bincode 2.
    Standard,
    /// Fixed-length integers: `bincode::config::legacy()`, the default of bincode 1.
    Legacy,
}

/// What precedes the payload proper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Framing {
    None,
    /// A zero byte and the schema's id (4 bytes), as schema registry serializers write.
    Confluent,
}

/// What to do with a record whose payload is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tombstones {
    Skip,
    DeadLetter,
}

/// How events are decoded.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Encoding of the payload.
    pub format: Format,
    /// Integer encoding of `format = "bincode"`: "standard" (bincode 2) or "legacy" (bincode 1).
    pub layout: Layout,
    /// File with the typed field list of `format = "bincode"`, relative to the configuration file.
    pub schema: Option<PathBuf>,
    /// Set to "confluent" when producers use a schema registry serializer: its five-byte prefix is cut off.
    pub framing: Framing,
    /// What to do with null payloads. Compacted topics use them to delete a key; "dead_letter" if they must not occur.
    pub tombstones: Tombstones,
    /// Larger payloads are dead-lettered unread (reason `too_large`). At most 1GiB.
    pub bytes_max: ByteSize,
    /// Objects and arrays nested deeper than this are dead-lettered (reason `too_deep`). The event itself is 1; at most 127.
    pub depth_max: u32,
    /// Reads JSON events that are built like earlier ones (the same keys in the same order and the same spacing) without looking
    /// up their keys. The results are the same without it.
    pub templates: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            format: Format::Json,
            layout: Layout::Standard,
            schema: None,
            framing: Framing::None,
            tombstones: Tombstones::Skip,
            bytes_max: ByteSize::mib(1),
            depth_max: 64,
            templates: true,
        }
    }
}

/// A value that a skip rule compares with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Literal {
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

/// A rule that leaves records out on purpose. Exactly one of `header`, `key`, `field`; exactly one of `equals`, `in`, `absent`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SkipRule {
    /// Name of the rule in metrics; `rule_<number>`, counted from 0, when it is not given.
    pub name: Option<String>,
    /// Looks at the last header of this name.
    pub header: Option<String>,
    /// Set to true to look at the record's key.
    pub key: bool,
    /// Looks at the event's field with this path.
    pub field: Option<String>,
    /// Skips when the subject equals this. Headers and keys are compared with texts, byte by byte.
    pub equals: Option<Literal>,
    /// Skips when the subject equals one of these, all of one type.
    #[serde(rename = "in")]
    pub any_of: Option<Vec<Literal>>,
    /// Skips when the subject is absent or null (true), or when it is present (false).
    pub absent: Option<bool>,
}

/// Name of the rule that counts skipped tombstones.
pub const TOMBSTONE: &str = "tombstone";

/// Number of the rule under which tombstones are skipped: the one after all configured rules.
pub fn tombstone_rule(skips: &[SkipRule]) -> u16 {
    skips.len() as u16
}

/// Names of the rules by number, for metrics: the configured ones in order, then [`TOMBSTONE`].
pub fn rule_names(skips: &[SkipRule]) -> Vec<String> {
    let mut names: Vec<String> = skips.iter().enumerate().map(|(i, rule)| rule.name_or(i)).collect();
    names.push(TOMBSTONE.into());
    names
}

impl SkipRule {
    fn name_or(&self, index: usize) -> String {
        self.name.clone().unwrap_or_else(|| format!("rule_{index}"))
    }

    /// The values of `equals` or `in`.
    pub(super) fn values(&self) -> &[Literal] {
        match (&self.equals, &self.any_of) {
            (Some(one), _) => std::slice::from_ref(one),
            (None, Some(many)) => many,
            (None, None) => &[],
        }
    }
}

/// All that is wrong with the options and rules by themselves, without knowing which fields are wanted.
pub fn validate(options: &Options, skips: &[SkipRule]) -> Vec<Error> {
    let mut errors = vec![];
    check_options(options, &mut errors);
    if skips.len() >= usize::from(u16::MAX) {
        errors.push(Error::option("skip", "more than 65534 rules"));
    }
    let mut names: Vec<String> = vec![TOMBSTONE.into()];
    for (i, rule) in skips.iter().enumerate() {
        let name = rule.name_or(i);
        if name.is_empty() || names.contains(&name) {
            errors.push(Error::option(
                format!("skip[{i}].name"),
                format!("`{name}` is empty or already taken; every rule needs a name of its own"),
            ));
        }
        names.push(name);
        check_rule(rule, i, &mut errors);
    }
    errors
}

fn check_options(options: &Options, errors: &mut Vec<Error>) {
    if !(1..=DEPTH_LIMIT).contains(&options.depth_max) {
        errors.push(Error::option("event.depth_max", format!("must be 1 to {DEPTH_LIMIT}")));
    }
    if !(1..=BYTES_LIMIT).contains(&options.bytes_max.0) {
        errors.push(Error::option("event.bytes_max", "must be 1B to 1GiB"));
    }
    match (options.format, &options.schema) {
        (Format::Bincode, None) => {
            errors.push(Error::option("event.schema", "format \"bincode\" needs the file with the typed field list"));
        }
        (Format::Json, Some(_)) => {
            errors.push(Error::option("event.schema", "format \"json\" has no schema; remove the key"));
        }
        _ => {}
    }
}

fn check_rule(rule: &SkipRule, index: usize, errors: &mut Vec<Error>) {
    let key = format!("skip[{index}]");
    let subjects = usize::from(rule.header.is_some()) + usize::from(rule.key) + usize::from(rule.field.is_some());
    if subjects != 1 {
        errors.push(Error::option(&key, "needs exactly one of `header`, `key = true` and `field`"));
    }
    let tests = [rule.equals.is_some(), rule.any_of.is_some(), rule.absent.is_some()];
    if tests.iter().filter(|t| **t).count() != 1 {
        errors.push(Error::option(&key, "needs exactly one of `equals`, `in` and `absent`"));
    }
    if rule.any_of.as_ref().is_some_and(Vec::is_empty) {
        errors.push(Error::option(format!("{key}.in"), "is empty, so the rule never applies"));
    }
    let values = rule.values();
    if (rule.header.is_some() || rule.key) && values.iter().any(|v| !matches!(v, Literal::Text(_))) {
        errors.push(Error::option(&key, "headers and keys are bytes: compare them with texts (in quotes)"));
    }
    if values.iter().any(|v| class(v) != class(&values[0])) {
        errors.push(Error::option(format!("{key}.in"), "has values of different types; make one rule for each type"));
    }
    if values.iter().any(|v| matches!(v, Literal::Number(n) if n.is_nan())) {
        errors.push(Error::option(&key, "nothing equals nan"));
    }
    if let Some(Err(error)) = rule.field.as_deref().map(path::parse) {
        errors.push(Error::option(format!("{key}.field"), error.to_string()));
    }
}

/// Values of one class can stand in one list.
fn class(value: &Literal) -> u8 {
    match value {
        Literal::Boolean(_) => 0,
        Literal::Integer(_) | Literal::Number(_) => 1,
        Literal::Text(_) => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        event: Options,
        #[serde(default)]
        skip: Vec<SkipRule>,
    }

    fn problems(text: &str) -> Vec<String> {
        let file: File = toml::from_str(text).unwrap();
        validate(&file.event, &file.skip).iter().map(Error::to_string).collect()
    }

    #[test]
    fn good_options_have_no_problems() {
        assert!(validate(&Options::default(), &[]).is_empty());
        let text = r#"
            [event]
            format = "bincode"
            layout = "legacy"
            schema = "payment.toml"
            framing = "confluent"
            tombstones = "dead_letter"
            bytes_max = "64KiB"
            depth_max = 127
            [[skip]]
            name = "refunds"
            header = "type"
            in = ["refund", "chargeback"]
            [[skip]]
            key = true
            absent = true
            [[skip]]
            field = "items[0].kind"
            equals = 3
            [[skip]]
            field = "rate"
            in = [1, 1.5]
        "#;
        assert_eq!(problems(text), [""; 0]);
        let file: File = toml::from_str(text).unwrap();
        assert_eq!(rule_names(&file.skip), ["refunds", "rule_1", "rule_2", "rule_3", "tombstone"]);
        assert_eq!(tombstone_rule(&file.skip), 4);
    }

    #[test]
    fn every_mistake_is_named() {
        for (text, want) in [
            ("[event]\ndepth_max = 0", "event.depth_max: must be 1 to 127"),
            ("[event]\ndepth_max = 128", "event.depth_max: must be 1 to 127"),
            ("[event]\nbytes_max = 0", "event.bytes_max: must be 1B to 1GiB"),
            ("[event]\nformat = \"bincode\"", "event.schema: format \"bincode\" needs"),
            ("[event]\nschema = \"x\"", "event.schema: format \"json\" has no schema"),
            ("[[skip]]\nequals = \"x\"", "skip[0]: needs exactly one of `header`"),
            ("[[skip]]\nkey = true\nheader = \"h\"\nequals = \"x\"", "skip[0]: needs exactly one of `header`"),
            ("[[skip]]\nkey = true", "skip[0]: needs exactly one of `equals`"),
            ("[[skip]]\nkey = true\nequals = \"x\"\nabsent = true", "skip[0]: needs exactly one of `equals`"),
            ("[[skip]]\nkey = true\nin = []", "skip[0].in: is empty"),
            ("[[skip]]\nkey = true\nequals = 3", "skip[0]: headers and keys are bytes"),
            ("[[skip]]\nfield = \"a\"\nin = [1, \"x\"]", "skip[0].in: has values of different types"),
            ("[[skip]]\nfield = \"a\"\nequals = nan", "skip[0]: nothing equals nan"),
            ("[[skip]]\nfield = \"a..b\"\nequals = 1", "skip[0].field: path `a..b`: expected a key"),
            ("[[skip]]\nname = \"tombstone\"\nkey = true\nequals = \"x\"", "skip[0].name: `tombstone`"),
        ] {
            let got = problems(text);
            assert!(got.len() == 1 && got[0].starts_with(want), "{text}: {got:?}");
        }
        assert!(toml::from_str::<File>("[event]\nbogus = 1").is_err());
        assert!(toml::from_str::<File>("[[skip]]\nbogus = 1").is_err());
    }
}
