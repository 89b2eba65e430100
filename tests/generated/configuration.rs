//! `docs/configuration.md` from the JSON Schema: every key with its default, its values and its meaning.

use std::collections::BTreeSet;

use serde_json::Value;

/// Sections in the order of the journey. One that is not named here comes at the end, so that none is lost.
const ORDER: &[&str] = &[
    "kafka",
    "kafka.tls",
    "kafka.sasl",
    "event",
    "skip",
    "model",
    "table",
    "table.fields",
    "postgres",
    "dead_letter",
    "intake",
    "batch",
    "mill",
    "writer",
    "writer.retry",
    "shutdown",
    "admin",
    "log",
];

const HEAD: &str = "# Configuration

Every key that a configuration file may hold, made from `schemas/config.schema.json`, which is made from the sources.

The file is TOML, or JSON when its name ends in `.json`. An unknown key is refused with a suggestion, and everything that
is wrong is said at once with file, line and column. `${VAR}` in a text is filled from the environment after parsing, so a
value can never become syntax; `${VAR:-default}` has a default, `$$` is a dollar sign. `--set key=value` wins over the file.
File names are relative to the configuration file. `tidemill config show` prints the effective configuration with the origin
of every key and secrets as `***`; `tidemill config schema` prints the schema, which editors use by a first line such as
`#:schema ../schemas/config.schema.json`.

Durations are written `\"250ms\"`, `\"5s\"`, `\"2m\"`, `\"1h\"` or as a number of milliseconds; sizes `\"64KiB\"`, `\"64MiB\"`, `\"1GiB\"`
or as a number of bytes. Rules such as T5 are those of [protocol.md](protocol.md).
";

/// A table of keys.
struct Section {
    path: String,
    /// `[[path]]`: there may be several.
    repeated: bool,
    about: String,
    rows: Vec<String>,
}

/// The page. `required` are the keys without which a configuration is refused.
pub fn page(schema: &Value, required: &BTreeSet<String>) -> String {
    let mut sections = vec![];
    collect(
        schema,
        schema,
        required,
        Section { path: String::new(), repeated: false, about: String::new(), rows: vec![] },
        &mut sections,
    );
    let rank = |s: &Section| {
        let place = ORDER.iter().position(|o| *o == s.path);
        if s.path.is_empty() { (0, 0) } else { (1, place.unwrap_or(ORDER.len())) }
    };
    sections.sort_by_key(rank);
    let mut text = HEAD.to_owned();
    for section in sections.iter().filter(|s| !s.rows.is_empty()) {
        text.push_str(&match (section.path.as_str(), section.repeated) {
            ("", _) => "\n## At the top\n".to_owned(),
            (path, false) => format!("\n## `[{path}]`\n"),
            (path, true) => format!("\n## `[[{path}]]`\n"),
        });
        if !section.about.is_empty() {
            text.push_str(&format!("\n{}\n", section.about));
        }
        text.push_str("\n| key | default | values | meaning |\n| --- | --- | --- | --- |\n");
        section.rows.iter().for_each(|row| text.push_str(row));
    }
    text
}

fn collect(root: &Value, node: &Value, required: &BTreeSet<String>, mut section: Section, sections: &mut Vec<Section>) {
    let must = |key: &str| node["required"].as_array().is_some_and(|keys| keys.iter().any(|k| k == key));
    for (key, value) in node["properties"].as_object().expect("a section has keys") {
        let path = if section.path.is_empty() { key.clone() } else { format!("{}.{key}", section.path) };
        let about = line(value);
        let inner = resolve(root, value);
        let items = inner.get("items").map(|items| resolve(root, items));
        let table = |n: &Value| n.get("properties").is_some();
        if table(inner) {
            collect(root, inner, required, Section { path, repeated: false, about, rows: vec![] }, sections);
        } else if let Some(items) = items.filter(|i| table(i)) {
            collect(root, items, required, Section { path, repeated: true, about, rows: vec![] }, sections);
        } else {
            let needed = must(key) || required.contains(&path);
            section.rows.push(row(root, key, value, inner, needed));
        }
    }
    sections.push(section);
}

fn row(root: &Value, key: &str, value: &Value, inner: &Value, needed: bool) -> String {
    let default = match value.get("default") {
        _ if needed => "required".to_owned(),
        None | Some(Value::Null) => String::new(),
        Some(Value::Array(list)) if list.is_empty() => "none".to_owned(),
        Some(Value::Object(map)) if map.is_empty() => "none".to_owned(),
        Some(other) => format!("`{other}`"),
    };
    let meaning = format!("{}{}", line(value), variants(inner));
    let values = kind(root, inner).replace('|', "\\|");
    format!("| `{key}` | {default} | {values} | {} |\n", meaning.replace('|', "\\|"))
}

/// What a value may be, in a few words.
fn kind(root: &Value, node: &Value) -> String {
    let node = resolve(root, node);
    let definition = |name: &str| &root["definitions"][name];
    let words: Vec<String> = choices(node).iter().map(|(name, _)| format!("`\"{name}\"`")).collect();
    if !words.is_empty() {
        return words.join(", ");
    }
    for (name, text) in [("Millis", "duration"), ("ByteSize", "size"), ("StartFrom", "text or number")] {
        if node == definition(name) {
            return text.to_owned();
        }
    }
    if let Some(any) = node["anyOf"].as_array() {
        let mut kinds: Vec<String> = vec![];
        for one in any.iter().map(|n| kind(root, n)) {
            if !kinds.contains(&one) {
                kinds.push(one);
            }
        }
        return kinds.join(", ");
    }
    let plain = |name: &str| match name {
        "string" => "text",
        "boolean" => "`true`, `false`",
        "integer" => "whole number",
        "number" => "number",
        "object" => "table",
        "array" => "list",
        other => panic!("docs/configuration.md has no word for the type {other}"),
    };
    let kind_of = match &node["type"] {
        Value::String(name) => plain(name).to_owned(),
        Value::Array(names) => {
            let one = names.iter().filter_map(Value::as_str).find(|n| *n != "null");
            plain(one.expect("a type beside null")).to_owned()
        }
        _ => panic!("docs/configuration.md has no word for {node}"),
    };
    let of = |key: &str| node.get(key).filter(|n| n.is_object()).map(|n| format!("{kind_of} of {}", kind(root, n)));
    of("items").or_else(|| of("additionalProperties")).unwrap_or(kind_of)
}

/// The words that an enumeration takes, with what is said about each.
fn choices<'a>(node: &'a Value) -> Vec<(&'a str, String)> {
    let words = |n: &'a Value| n["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut found: Vec<(&str, String)> = words(node).map(|w| (w, String::new())).collect();
    for one in node["oneOf"].as_array().into_iter().flatten() {
        found.extend(words(one).map(|w| (w, String::new())));
        found.extend(one["const"].as_str().map(|w| (w, line(one))));
    }
    found
}

fn variants(node: &Value) -> String {
    let told = choices(node).into_iter().filter(|(_, about)| !about.is_empty());
    told.map(|(word, about)| format!(" `{word}`: {about}")).collect()
}

/// The description on one line.
fn line(node: &Value) -> String {
    node["description"].as_str().unwrap_or("").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Follows references and looks behind "or null".
fn resolve<'a>(root: &'a Value, node: &'a Value) -> &'a Value {
    if let Some(name) = node["$ref"].as_str() {
        let name = name.rsplit('/').next().expect("split gives one part at least");
        return resolve(root, &root["definitions"][name]);
    }
    let list = |key: &str| node[key].as_array().map(Vec::as_slice).unwrap_or_default();
    match (list("allOf"), list("anyOf")) {
        ([one], _) => resolve(root, one),
        (_, [one, null]) if null["type"] == "null" => resolve(root, one),
        _ => node,
    }
}
