//! The table of operators in `docs/models.md`: made of the registry, with the counts of the ONNX project's cases.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use tidemill_onnx::graph::convert;
use tidemill_onnx::ops::refused::REFUSED;
use tidemill_onnx::registry;
use tidemill_onnx::registry::By;
use tidemill_onnx::registry::Operator;
use tidemill_onnx::segment::plan::knows;

/// Passed and all, by operator.
pub type Counts = BTreeMap<String, (usize, usize)>;

const START: &str = "<!-- operators -->";
const END: &str = "<!-- /operators -->";

/// A case counts for the operator that it is made of; those of several nodes are bodies of functions.
pub fn count(counts: &mut Counts, case: &Path, name: &str, passed: bool) {
    let operators: Vec<String> = match convert::outline_file(&case.join("model.onnx")) {
        Ok(model) => model.graph.nodes.iter().map(|n| n.operator()).collect(),
        Err(_) => vec![],
    };
    let key = match operators.as_slice() {
        [one] if !name.contains("_expanded") => one.clone(),
        _ => "bodies of functions, and graphs of several nodes".into(),
    };
    let entry = counts.entry(key).or_default();
    entry.0 += usize::from(passed);
    entry.1 += 1;
}

/// Compares the documentation with the registry; `TIDEMILL_UPDATE=1` writes it. Without counts that column is left as it is.
pub fn check(counts: Option<&Counts>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/models.md");
    let text = fs::read_to_string(&path).expect("docs/models.md");
    let (before, rest) = text.split_once(START).expect("the start of the table");
    let (old, after) = rest.split_once(END).expect("the end of the table");
    let kept = counted(old);
    let counted = |name: &str| match counts {
        Some(counts) => counts.get(name).map_or("-".to_string(), |(passed, all)| format!("{passed}/{all}")),
        None => kept.get(name).cloned().unwrap_or("-".into()),
    };
    let new = table(&counted);
    if old != new && std::env::var("TIDEMILL_UPDATE").is_ok() {
        fs::write(&path, format!("{before}{START}{new}{END}{after}")).expect("docs/models.md");
        return;
    }
    assert!(old == new, "docs/models.md is not what the registry says; run again with TIDEMILL_UPDATE=1");
}

/// The counts that the page has now.
fn counted(table: &str) -> BTreeMap<String, String> {
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells.get(1)?.trim_matches('`');
        Some((name.to_string(), cells.get(3)?.to_string()))
    });
    rows.collect()
}

fn table(counted: &dyn Fn(&str) -> String) -> String {
    let mut out = String::from(
        "\n| Operator | Run by | ONNX's cases passed | Not done, or done otherwise |\n|---|---|---|---|\n",
    );
    for operator in registry::operators().values().flat_map(BTreeMap::values) {
        let name = name(operator.domain, operator.name);
        writeln!(out, "| `{name}` | {} | {} | {} |", by(operator), counted(&name), operator.note).unwrap();
    }
    for (domain, operator, reason) in REFUSED {
        let name = name(domain, operator);
        writeln!(out, "| `{name}` | refused | {} | {reason} |", counted(&name)).unwrap();
    }
    let bodies = "bodies of functions, and graphs of several nodes";
    writeln!(out, "| {bodies} | - | {} | |", counted(bodies)).unwrap();
    out
}

fn name(domain: &str, operator: &str) -> String {
    if domain.is_empty() { operator.to_string() } else { format!("{domain}:{operator}") }
}

fn by(operator: &Operator) -> &'static str {
    match operator.by {
        By::Own => "Tidemill",
        By::OwnOrTract if knows(operator.name) => "Tidemill, or tract beside nodes of tract's",
        By::TractThenOwn if knows(operator.name) => "tract or Tidemill, whichever is right and faster",
        By::Tract => "tract",
        _ => "Tidemill",
    }
}
