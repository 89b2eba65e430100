//! Where a value of the configuration stands: its path of keys, and its place in the file or on the command line.

use std::fmt::Write;
use std::ops::Range;

/// One step of a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    Key(String),
    Index(usize),
}

/// A path as people write it: `table.columns[2].name`; a key with odd characters is quoted.
pub fn show(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Index(i) => write!(text, "[{i}]").expect("a String takes everything"),
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(&quoted(key));
            }
        }
    }
    text
}

/// A key as TOML writes it.
pub fn quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { key.to_owned() } else { format!("{key:?}") }
}

/// Where a value was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// Bytes of the file.
    File(Range<usize>),
    /// Number of the `--set` argument.
    Set(usize),
}

/// The text that places refer to.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file's name as it was given, for messages.
    pub name: String,
    pub text: String,
    pub sets: Vec<String>,
}

impl Source {
    /// Line and column of a byte, both from 1; columns count characters.
    pub fn line_col(&self, at: usize) -> (usize, usize) {
        let at = self.floor(at);
        let line = self.text[..at].matches('\n').count() + 1;
        let start = self.text[..at].rfind('\n').map_or(0, |i| i + 1);
        (line, self.text[start..at].chars().count() + 1)
    }

    /// `file:line:col`, or `--set` with the key that it sets (never its value).
    pub fn label(&self, place: &Place) -> String {
        match place {
            Place::File(range) => {
                let (line, col) = self.line_col(range.start);
                format!("{}:{line}:{col}", self.name)
            }
            Place::Set(i) => format!("--set {}", self.sets[*i].split('=').next().unwrap_or("")),
        }
    }

    /// The line that a place begins in, with carets below the place.
    pub fn snippet(&self, place: &Place) -> Option<String> {
        let Place::File(range) = place else { return None };
        let (line, col) = self.line_col(range.start);
        let text = self.text.lines().nth(line - 1)?.trim_end();
        let (start, end) = (self.floor(range.start), self.floor(range.end));
        let first = self.text[start..end].lines().next().unwrap_or("").trim_end().chars().count();
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let carets = "^".repeat(first.max(1));
        Some(format!("{margin} |\n{number} | {text}\n{margin} | {}{carets}", " ".repeat(col - 1)))
    }

    fn floor(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_becomes_line_column_and_carets() {
        let source =
            Source { name: "a.toml".into(), text: "x = 1\né = \"öä\"\n".into(), sets: vec!["k=secret".into()] };
        let at = source.text.find("\"öä").unwrap();
        let place = Place::File(at..at + 6);
        assert_eq!(source.label(&place), "a.toml:2:5");
        assert_eq!(source.snippet(&place).unwrap(), "  |\n2 | é = \"öä\"\n  |     ^^^^");
        assert_eq!(source.label(&Place::Set(0)), "--set k");
        assert_eq!(source.label(&Place::File(999..1000)), "a.toml:3:1");
    }

    #[test]
    fn paths_read_as_people_write_them() {
        let key = |k: &str| Step::Key(k.into());
        assert_eq!(show(&[key("a"), Step::Index(2), key("b.c")]), "a[2].\"b.c\"");
    }
}
