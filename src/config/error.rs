//! What is wrong with a configuration: all of it at once, as `file:line:col: key: message` with the line and carets below.

use std::fmt;

use super::place::Place;
use super::place::Source;

/// One thing that is wrong. It never shows the value of a key that looks like a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// `file:line:col` or `--set key`; editors and CI understand the first.
    pub at: String,
    /// Path of the key, empty for the file as a whole.
    pub path: String,
    pub message: String,
    pub snippet: Option<String>,
    order: usize,
}

impl Finding {
    pub fn at(source: &Source, place: Place, path: &str, message: &str) -> Finding {
        let order = match &place {
            Place::File(range) => range.start,
            Place::Set(i) => source.text.len() + i,
        };
        let snippet = if is_secret(path) { None } else { source.snippet(&place) };
        Finding { at: source.label(&place), path: path.to_owned(), message: message.to_owned(), snippet, order }
    }

    /// A finding about something that has no place in a file.
    pub fn of(name: &str, message: impl Into<String>) -> Finding {
        Finding { at: name.to_owned(), path: String::new(), message: message.into(), snippet: None, order: 0 }
    }
}

/// Whether a key of this path holds a secret, by its name.
pub fn is_secret(path: &str) -> bool {
    let last = path.rsplit('.').next().unwrap_or(path).to_ascii_lowercase();
    ["password", "secret", "token", "passphrase", "private", "pem", "jaas", "url"]
        .iter()
        .any(|word| last.contains(word))
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.at)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        self.snippet.as_ref().map_or(Ok(()), |snippet| write!(f, "\n{snippet}"))
    }
}

/// All findings, in the order of the file.
#[derive(Debug, thiserror::Error)]
pub struct ConfigErrors(Vec<Finding>);

impl ConfigErrors {
    pub fn new(mut findings: Vec<Finding>) -> ConfigErrors {
        findings.sort_by_key(|f| f.order);
        ConfigErrors(findings)
    }

    pub fn findings(&self) -> &[Finding] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, finding) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}

/// ` (did you mean `x`?)` when one of the names is close to `word`, otherwise the list of them.
pub fn suggest(word: &str, names: &[&str]) -> String {
    let score = |name: &str| {
        let flat = |s: &str| s.replace(['-', '_'], "").to_ascii_lowercase();
        if flat(word) == flat(name) { 1.0 } else { strsim::jaro_winkler(word, name) }
    };
    let best = names.iter().map(|n| (score(n), *n)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((score, name)) if score >= 0.8 => format!(", did you mean `{name}`?"),
        _ if names.is_empty() => ", nothing is allowed here".to_owned(),
        _ => format!(", expected {}", names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_name_is_suggested_and_a_strange_one_gets_the_list() {
        assert_eq!(suggest("batchsize", &["brokers", "batch_size"]), ", did you mean `batch_size`?");
        assert_eq!(suggest("levl", &["level", "format"]), ", did you mean `level`?");
        assert_eq!(suggest("zzz", &["level", "format"]), ", expected `level`, `format`");
    }

    #[test]
    fn the_line_of_a_secret_is_not_shown() {
        let source = Source { name: "c".into(), text: "password = 5".into(), sets: Vec::new() };
        let show = |path: &str| Finding::at(&source, Place::File(11..12), path, "m").to_string();
        assert_eq!(show("postgres.password"), "c:1:12: postgres.password: m");
        assert!(show("postgres.port").contains("password = 5"));
    }
}
