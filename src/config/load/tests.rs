use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use crate::config::show;
use crate::domain::secret::Secret;
use crate::domain::units::Millis;

use super::*;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    name: String,
    #[serde(default)]
    wait: Option<Millis>,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    verbose: bool,
    #[serde(default)]
    ratio: f64,
    #[serde(default)]
    file: PathBuf,
    #[serde(default)]
    password: Secret,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    topics: Vec<Topic>,
    #[serde(default)]
    kind: Option<Tagged>,
    #[serde(default)]
    options: BTreeMap<String, String>,
    #[serde(default)]
    any: BTreeMap<String, Form>,
}

#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(untagged)]
enum Form {
    Whole(i64),
    Text(String),
}

#[derive(Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Auto,
    Json,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Topic {
    name: String,
    #[serde(default)]
    start: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Tagged {
    Json { depth: u8 },
    Bincode { layout: String },
}

fn load_from(name: &str, text: &str, sets: &[&str]) -> Result<(Sample, Origins), ConfigErrors> {
    let sets = sets.iter().map(|s| (*s).to_owned()).collect();
    let source = Source { name: name.into(), text: text.into(), sets };
    read(source, Path::new("/etc/mill"), &|name| match name {
        "PORT" => Some("5432".into()),
        "YES" => Some("true".into()),
        "PASS" => Some("0012".into()),
        "WAIT" => Some("1500".into()),
        _ => None,
    })
}

fn errors(name: &str, text: &str, sets: &[&str]) -> Vec<String> {
    let err = load_from(name, text, sets).expect_err("the configuration is wrong");
    err.findings().iter().map(|f| format!("{}: {}: {}", f.at, f.path, f.message)).collect()
}

#[test]
fn variables_become_what_their_key_wants() {
    let text = r#"
name = "n-${PORT}"
port = "${PORT}"
verbose = "${YES}"
ratio = "${RATIO:-0.5}"
wait = "${WAIT}"
password = "${PASS}"
file = "models/m.onnx"
mode = "json"
options = { "a.b" = "${PASS}" }
any = { digits = "${PASS}", whole = "${WAIT}" }
kind = { type = "json", depth = 3 }
"#;
    let (c, _) = load_from("c.toml", text, &[]).unwrap();
    assert_eq!((c.name.as_str(), c.port, c.verbose, c.ratio), ("n-5432", 5432, true, 0.5));
    assert_eq!((c.wait, c.password.expose(), c.mode), (Some(Millis(1500)), "0012", Mode::Json));
    assert_eq!((c.file, c.options["a.b"].as_str()), (PathBuf::from("/etc/mill/models/m.onnx"), "0012"));
    assert_eq!((&c.any["digits"], &c.any["whole"]), (&Form::Text("0012".into()), &Form::Whole(1500)));
    assert!(matches!(c.kind, Some(Tagged::Json { depth: 3 })));
}

#[test]
fn a_text_that_is_no_variable_does_not_become_a_number() {
    assert_eq!(
        errors("c.toml", "name = \"a\"\nport = \"5432\"", &[]),
        ["c.toml:2:8: port: expected u16, found a text"]
    );
}

#[test]
fn all_findings_come_at_once_in_the_order_of_the_file() {
    let text = r#"
wait = "5 parsecs"
prot = 1
mode = "jsn"
port = 70000
password = { a = 1 }
options = { x = "${NOPE}" }
kind = { type = "json", dept = 3 }

[[topics]]
name = "a"
strat = 1

[[topics]]
start = -1
"#;
    assert_eq!(
        errors("c.toml", text, &["topics.7.name=x", "verbose=maybe"]),
        [
            "c.toml:1:1: name: key `name` is missing",
            "c.toml:2:8: wait: `5 parsecs` is not a duration such as \"250ms\" or \"5s\" (or a number of milliseconds)",
            "c.toml:3:1: prot: unknown key `prot`, did you mean `port`?",
            "c.toml:4:8: mode: unknown choice `jsn`, did you mean `json`?",
            "c.toml:5:8: port: expected u16, found integer `70000`",
            "c.toml:6:12: password: expected a string, found a table",
            "c.toml:7:17: options.x: variable NOPE is not set; set it or write `${NOPE:-default}`",
            "c.toml:8:8: kind.depth: key `depth` is missing",
            "c.toml:8:25: kind.dept: unknown key `dept`, did you mean `depth`?",
            "c.toml:12:1: topics[0].strat: unknown key `strat`, did you mean `start`?",
            "c.toml:14:1: topics[1].name: key `name` is missing",
            "c.toml:15:9: topics[1].start: expected u32, found integer `-1`",
            "--set topics.7.name: : `topics` has only 2 elements",
            "--set verbose: verbose: expected a boolean, found a text",
        ]
        .iter()
        .map(|s| (*s).to_owned())
        .collect::<Vec<_>>()
    );
}

#[test]
fn a_finding_shows_its_line_with_carets() {
    let err = load_from("c.toml", "name = \"a\"\nwait = \"5 parsecs\"\n", &[]).unwrap_err();
    let lines: Vec<_> = err.to_string().lines().skip(1).map(str::to_owned).collect();
    assert_eq!(lines, ["  |", "2 | wait = \"5 parsecs\"", "  |        ^^^^^^^^^^^"]);
}

#[test]
fn syntax_errors_have_their_place_in_both_formats() {
    assert_eq!(errors("c.toml", "name = \"a\"\nport = = 1\n", &[])[0].split(": ").next().unwrap(), "c.toml:2:8");
    let got = errors("c.json", "{\n \"name\": \"a\",\n \"port\": }", &[]);
    assert_eq!(got, ["c.json:3:10: : expected value"]);
    assert_eq!(errors("c.json", "[]", &[]), ["c.json:1:1: : the configuration must be a table of sections"]);
    assert_eq!(
        errors("c.json", "{\"name\": \"a\", \"name\": \"b\"}", &[]),
        ["c.json:1:15: : this key stands twice in one object: keep one"]
    );
}

#[test]
fn json_has_the_same_types_rules_and_places() {
    let text = "{\n  \"name\": \"x\\\"y\\u00e9\",\n  \"port\": \"${PORT}\",\n  \"wait\": null, \"file\": \"a\",\n  \"topics\": [{\"name\": \"t\", \"start\": 7}]\n}";
    let (c, origins) = load_from("c.json", text, &[]).unwrap();
    assert_eq!((c.name.as_str(), c.port, c.wait, c.topics[0].start), ("x\"yé", 5432, None, 7));
    assert_eq!(c.file, PathBuf::from("/etc/mill/a"));
    let path = [Step::Key("topics".into()), Step::Index(0), Step::Key("start".into())];
    assert_eq!(origins.of(&path), "c.json:5:37");
    let text = "{\n  \"name\": \"x\",\n  \"topics\": [{\"name\": \"t\", \"star\": 7}, {\"name\": 1e3}]\n}";
    assert_eq!(
        errors("c.json", text, &[]),
        [
            "c.json:3:28: topics[0].star: unknown key `star`, did you mean `start`?",
            "c.json:3:49: topics[1].name: expected a string, found floating point `1000.0`"
        ]
    );
}

#[test]
fn a_set_overrides_the_file_and_stays_a_text_where_one_is_wanted() {
    let sets = [
        "port=1",
        "password=0012",
        "options.\"a.b\"=x=y",
        "topics=[{name='t'}]",
        "topics.0.start=9",
        "file=here",
        "wait=\"2s\"",
        "ratio=1",
    ];
    let (c, origins) = load_from("c.toml", "name = \"a\"\nport = 7\n", &sets).unwrap();
    assert_eq!((c.port, c.password.expose(), c.options["a.b"].as_str()), (1, "0012", "x=y"));
    assert_eq!((c.topics[0].start, c.file, c.wait, c.ratio), (9, PathBuf::from("here"), Some(Millis(2000)), 1.0));
    assert_eq!(origins.of(&[Step::Key("port".into())]), "--set port");
    let got = errors("c.toml", "name = \"a\"", &["port", "name.x=1", "=1"]);
    assert!(got[0].contains("write --set key=value"), "{got:?}");
    assert!(got[1].contains("`name` holds a value"), "{got:?}");
    assert!(got[2].contains("not a path of keys"), "{got:?}");
}

#[test]
fn show_gives_values_origins_and_stars() {
    let text = "name = \"a\"\npassword = \"hunter2\"\n[[topics]]\nname = \"t\"\n";
    let (c, origins) = load_from("c.toml", text, &["port=5"]).unwrap();
    let shown = show::render(&c, &origins).unwrap();
    for line in [
        "name = \"a\"  # c.toml:1:8",
        "password = \"***\"  # c.toml:2:12",
        "port = 5  # --set port",
        "ratio = 0.0  # default",
        "[[topics]]\nname = \"t\"  # c.toml:4:8",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    assert!(!shown.contains("hunter2"));
    let (again, _) = load_from("c.toml", &shown, &[]).unwrap();
    assert_eq!(show::digest(&again).unwrap(), show::digest(&c).unwrap());
    let (other, _) = load_from("c.toml", "name = \"b\"", &[]).unwrap();
    assert_ne!(show::digest(&other).unwrap(), show::digest(&c).unwrap());
}

#[test]
fn a_rule_across_sections_points_at_the_nearest_written_key() {
    let (_, origins) = load_from("c.toml", "name = \"a\"\n[[topics]]\nname = \"t\"\n", &[]).unwrap();
    let path = [Step::Key("topics".into()), Step::Index(0), Step::Key("start".into())];
    let finding = origins.finding(&path, "must be below x");
    assert_eq!((finding.at.as_str(), finding.path.as_str()), ("c.toml:2:1", "topics[0].start"));
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let err = load::<Sample>(Path::new("/nonexistent/c.toml"), &[]).unwrap_err();
    assert!(err.to_string().starts_with("/nonexistent/c.toml: cannot read the configuration"), "{err}");
}

#[test]
fn texts_that_a_lazy_check_would_let_through_are_findings() {
    let deep = "[".repeat(100_000);
    for (name, text) in [
        ("c.json", "{\"name\": \"\\ud800\"}"),
        ("c.json", "{\"ratio\": 1e999}"),
        ("c.json", deep.as_str()),
        ("c.toml", &format!("name = {deep}")),
        ("c.json", ""),
        ("c.toml", "\u{feff}name = 1"),
    ] {
        assert!(!errors(name, text, &[]).is_empty(), "{name}");
    }
}

proptest::proptest! {
    /// Whatever stands in the file, the answer is a configuration or findings that can be printed.
    #[test]
    fn no_text_makes_the_loader_panic(
        at in 0usize..400, cut in 0usize..8, put in "[\\PC\n\"{}\\[\\]=:,$\\\\]{0,4}", json in proptest::bool::ANY,
    ) {
        let (name, good) = if json {
            ("c.json", r#"{"name": "x\"é", "wait": "5s", "topics": [{"name": "t", "start": 7}, {"name": "u"}], "kind": {"type": "json", "depth": 3}, "ratio": 1.5e3, "file": null}"#)
        } else {
            ("c.toml", "name = \"xé\"\nwait = \"${WAIT}\"\nratio = 0x1f\nkind = { type = \"json\", depth = 3 }\n[[topics]]\nname = 't'\n[options]\n\"a.b\" = \"$$\"\n")
        };
        let mut chars: Vec<char> = good.chars().collect();
        let at = at % chars.len();
        chars.splice(at..(at + cut).min(chars.len()), put.chars());
        let text: String = chars.into_iter().collect();
        if let Err(e) = load_from(name, &text, &[]) {
            proptest::prop_assert!(!e.to_string().is_empty());
        }
    }
}
