//! What the commands share that ask a question or do one thing and end.

use std::io::Write;

use crate::adapters::postgres::connect::Database;
use crate::app::connect;
use crate::app::connect::Trouble;
use crate::cli::Exit;
use crate::config::Config;
use crate::domain::fault::Fault;
use crate::ports::SinkError;

/// Why a command could not do its work.
pub struct Refusal {
    pub exit: Exit,
    pub message: String,
}

impl Refusal {
    /// What was asked for cannot be done; trying again does not help.
    pub fn wrong(message: impl Into<String>) -> Refusal {
        Refusal { exit: Exit::Configuration, message: message.into() }
    }

    /// A service did not answer; trying again may help.
    pub fn away(message: impl Into<String>) -> Refusal {
        Refusal { exit: Exit::CannotGoOn, message: message.into() }
    }
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Refusal {
        match trouble.fault {
            Fault::Retry => Refusal::away(trouble.message),
            _ => Refusal::wrong(trouble.message),
        }
    }
}

impl From<SinkError> for Refusal {
    fn from(error: SinkError) -> Refusal {
        Trouble::postgres(error.into()).into()
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Refusal {
        match error.kind() {
            // A reader that went away (`| head`) is no failure.
            std::io::ErrorKind::BrokenPipe => Refusal { exit: Exit::Done, message: String::new() },
            _ => Refusal::away(format!("cannot write the answer: {error}")),
        }
    }
}

/// Runs a command on a runtime of its own; what went wrong goes to stderr.
pub fn run(work: impl Future<Output = Result<Exit, Refusal>>) -> Exit {
    let runtime = match crate::app::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start the runtime: {error}");
            return Exit::CannotGoOn;
        }
    };
    let done = runtime.block_on(work);
    // A question that nobody answered may still be waited for on a thread of the runtime.
    runtime.shutdown_background();
    done.unwrap_or_else(|refusal| {
        if !refusal.message.is_empty() {
            eprintln!("{}", refusal.message);
        }
        refusal.exit
    })
}

/// A handle for a few connections.
pub fn database(config: &Config) -> Result<Database, Refusal> {
    Ok(connect::database(config)?)
}

/// User and host of this command, for the record; only what it says of itself.
pub fn client() -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}@{}", user.as_deref().unwrap_or("unknown"), host.trim())
}

pub fn print(text: &str) -> Result<(), Refusal> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// Rows of cells as columns; numbers to the right.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width =
        |i: usize| rows.iter().map(|r| r[i].chars().count()).chain([heads[i].chars().count()]).max().unwrap_or(0);
    let is_number = |i: usize| {
        let number = |c: &str| c.starts_with(|c: char| c.is_ascii_digit()) && !c.contains([':', '@']);
        !rows.is_empty() && rows.iter().all(|r| r[i] == "-" || number(&r[i]))
    };
    let columns: Vec<(usize, bool)> = (0..heads.len()).map(|i| (width(i), is_number(i))).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells
            .zip(&columns)
            .map(|(cell, (width, right))| if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") })
            .collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(&mut heads.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_times_to_the_left() {
        let rows = [["7", "2026-01-01T00:00", "a"], ["1234", "-", "bcd"]].map(|r| r.map(str::to_owned).to_vec());
        assert_eq!(
            table(&["id", "at", "text"], &rows),
            "  id  at                text\n   7  2026-01-01T00:00  a\n1234  -                 bcd\n"
        );
    }
}
