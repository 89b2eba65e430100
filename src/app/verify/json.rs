//! The report for machines. Its shape is part of the interface: `docs/operations.md` describes it.

use crate::app::verify::findings::Report;

pub fn render(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("plain structures with text keys become JSON");
    text.push('\n');
    text
}
