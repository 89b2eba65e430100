//! How a broken rule is said.

/// One breach of one rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Complaint {
    pub file: String,
    pub line: usize,
    /// The rule with what was found.
    pub rule: String,
    pub why: &'static str,
    pub what_to_do: &'static str,
}

/// Fails with all complaints.
pub fn expect_none(complaints: Vec<Complaint>) {
    let show =
        |c: &Complaint| format!("{}:{}: {}\n    why: {}\n    do: {}\n", c.file, c.line, c.rule, c.why, c.what_to_do);
    let text: String = complaints.iter().map(show).collect();
    assert!(complaints.is_empty(), "\n{text}{} breach(es)", complaints.len());
}
