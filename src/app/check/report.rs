//! What the checks found, a line each, and what that means for the exit code.

use std::fmt;

use crate::cli::Exit;
use crate::domain::fault::Fault;

/// Lines named under one check; the rest is counted.
const DETAILS_MAX: usize = 50;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    Fine,
    /// A service is away; a run would wait for it.
    Away,
    /// Waiting does not mend it.
    Wrong,
    /// Could not be looked at because of something above it.
    Open,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Line {
    mark: Mark,
    what: &'static str,
    text: String,
    details: Vec<String>,
}

/// The checks so far, in the order in which they are told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    lines: Vec<Line>,
}

impl Report {
    fn add(&mut self, mark: Mark, what: &'static str, text: impl Into<String>, details: Vec<String>) {
        self.lines.push(Line { mark, what, text: text.into(), details });
    }

    pub fn fine(&mut self, what: &'static str, text: impl Into<String>) {
        self.add(Mark::Fine, what, text, vec![]);
    }

    pub fn fine_with(&mut self, what: &'static str, text: impl Into<String>, details: Vec<String>) {
        self.add(Mark::Fine, what, text, details);
    }

    pub fn wrong(&mut self, what: &'static str, text: impl Into<String>) {
        self.add(Mark::Wrong, what, text, vec![]);
    }

    pub fn wrong_with(&mut self, what: &'static str, text: impl Into<String>, details: Vec<String>) {
        self.add(Mark::Wrong, what, text, details);
    }

    /// Several problems of one part: alone on the line, or below it.
    pub fn problems(&mut self, what: &'static str, mut problems: Vec<String>) {
        match problems.len() {
            1 => self.add(Mark::Wrong, what, problems.remove(0), vec![]),
            n => self.add(Mark::Wrong, what, format!("{n} problems"), problems),
        }
    }

    /// A service that did not answer, or answered with a refusal.
    pub fn refused(&mut self, what: &'static str, fault: Fault, message: &str) {
        match fault {
            Fault::Retry => self.add(Mark::Away, what, format!("unreachable, a run would wait: {message}"), vec![]),
            Fault::Reject | Fault::Stop => self.add(Mark::Wrong, what, message, vec![]),
        }
    }

    pub fn open(&mut self, what: &'static str, why: &str) {
        self.add(Mark::Open, what, format!("not checked: {why}"), vec![]);
    }

    pub fn append(&mut self, mut other: Report) {
        self.lines.append(&mut other.lines);
    }

    fn count(&self, mark: Mark) -> usize {
        self.lines.iter().filter(|l| l.mark == mark).count()
    }

    pub fn exit(&self) -> Exit {
        match (self.count(Mark::Wrong), self.count(Mark::Away)) {
            (0, 0) => Exit::Done,
            (0, _) => Exit::CannotGoOn,
            _ => Exit::Configuration,
        }
    }

    /// What all lines come to, in one.
    pub fn summary(&self) -> String {
        let (wrong, away) = (self.count(Mark::Wrong), self.count(Mark::Away));
        let checks = self.lines.len() - self.count(Mark::Open);
        match (wrong, away) {
            (0, 0) => format!("{checks} checks, everything is fine"),
            (0, _) => {
                format!("{away} of {checks} checks failed: nothing that was looked at is wrong, but a run would wait")
            }
            _ => format!("{} of {checks} checks failed: a run would not start", wrong + away),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            let mark = match line.mark {
                Mark::Fine => "ok",
                Mark::Away | Mark::Wrong => "FAIL",
                Mark::Open => "-",
            };
            // Messages of parts may have lines of their own, such as an excerpt of a file.
            let text = line.text.replace('\n', "\n     ");
            writeln!(f, "{mark:<4} {:<14} {text}", line.what)?;
            for detail in line.details.iter().take(DETAILS_MAX) {
                writeln!(f, "     - {}", detail.replace('\n', "\n       "))?;
            }
            if let Some(more) = line.details.len().checked_sub(DETAILS_MAX).filter(|n| *n > 0) {
                writeln!(f, "     - and {more} more")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_worst_line() {
        let mut report = Report::default();
        report.fine("model", "m");
        report.open("sample", "why not");
        assert_eq!((report.exit(), report.summary().as_str()), (Exit::Done, "1 checks, everything is fine"));
        report.refused("kafka", Fault::Retry, "gone");
        assert_eq!(report.exit(), Exit::CannotGoOn);
        report.refused("postgres", Fault::Stop, "no such database");
        assert_eq!(report.exit(), Exit::Configuration);
        assert!(report.summary().starts_with("2 of 3 checks failed"));
    }

    #[test]
    fn a_line_a_check_with_details_below() {
        let mut report = Report::default();
        report.problems("table", vec!["a".into(), "b\nc".into()]);
        report.problems("event", vec!["only".into()]);
        let want = "FAIL table          2 problems\n     - a\n     - b\n       c\nFAIL event          only\n";
        assert_eq!(report.to_string(), want);
    }
}
