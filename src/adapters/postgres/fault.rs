//! What an error of Postgres means, by SQLSTATE; and its text, without values of the user's rows.

use std::error::Error as _;

use deadpool_postgres::PoolError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::domain::fault::Fault;
use crate::ports::SinkError;
use crate::ports::SinkFault;

/// Why the database cannot be used at start.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StartError {
    /// The database could not be reached or refused a statement of ours.
    #[error(transparent)]
    Database(#[from] SinkError),
    /// Something is set up in a way that would break the promise; a person must decide.
    #[error("{0}")]
    Refused(String),
    /// The table does not fit; every problem is named.
    #[error("the table does not fit:\n  - {}", .0.join("\n  - "))]
    Contract(Vec<String>),
}

impl StartError {
    /// Whether waiting helps.
    pub fn fault(&self) -> Fault {
        let StartError::Database(e) = self else { return Fault::Stop };
        let configured = |code: &str| ["28", "3D", "42"].contains(&&code[..2.min(code.len())]);
        match e.fault {
            SinkFault::Transient | SinkFault::Ambiguous => Fault::Retry,
            SinkFault::Operator if !e.sqlstate.as_deref().is_none_or(configured) => Fault::Retry,
            _ => Fault::Stop,
        }
    }
}

/// The class of a SQLSTATE whose outcome is known to be "not stored". Unknown codes are outages, never dead letters.
pub fn class(code: &str, message: &str) -> SinkFault {
    match code {
        "08007" | "40003" => SinkFault::Ambiguous,
        // A wrong binary form is not a bad value: the column changed its type under us.
        "22P03" | "22P04" => SinkFault::Contract,
        "0A000" if message.contains("cached plan") => SinkFault::Transient,
        "54000" => SinkFault::Data,
        "42P01" | "42703" | "42804" | "42883" | "42846" | "3F000" | "42601" | "42P10" | "42704" | "428C9" | "0A000" => {
            SinkFault::Contract
        }
        "25006" | "57P04" | "3D000" | "42501" => SinkFault::Operator,
        "42P05" | "26000" | "53300" => SinkFault::Transient,
        _ => match &code[..2.min(code.len())] {
            "22" | "23" => SinkFault::Data,
            "53" | "58" | "XX" | "28" | "42" | "F0" => SinkFault::Operator,
            _ => SinkFault::Transient,
        },
    }
}

/// Turns an error of the client into ours. `sent` says that the statement which makes the group durable was on its way.
pub(super) fn sink_error(error: &Error, doing: &str, sent: bool) -> SinkError {
    if let Some(db) = error.as_db_error() {
        let code = db.code().code();
        let mut fault = class(code, db.message());
        if sent && [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN].contains(db.code()) {
            fault = SinkFault::Ambiguous;
        }
        let text = match fault {
            SinkFault::Data => named(db),
            _ => db.message().to_owned(),
        };
        let way_out = way_out(code);
        return SinkError {
            fault,
            sqlstate: Some(code.to_owned()),
            message: format!("{doing}: {text} (SQLSTATE {code}){way_out}"),
        };
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text = format!("{text}: {e}");
        cause = e.source();
    }
    let local = ["error serializing", "error deserializing", "invalid column", "expected "];
    let fault = match () {
        _ if local.iter().any(|l| text.starts_with(l)) || text.contains("configuration") => SinkFault::Contract,
        _ if text.contains("TLS handshake") || text.starts_with("authentication error") => SinkFault::Operator,
        _ if sent => SinkFault::Ambiguous,
        _ => SinkFault::Transient,
    };
    SinkError { fault, sqlstate: None, message: format!("{doing}: {text}") }
}

/// Code, constraint and column of a data error: all that can be said without showing values.
pub(super) fn named(db: &tokio_postgres::error::DbError) -> String {
    let mut text = format!("refused with SQLSTATE {}", db.code().code());
    if let Some(name) = db.constraint() {
        text.push_str(&format!(", constraint {name}"));
    }
    if let Some(name) = db.column().or_else(|| copy_place(db.where_().unwrap_or("")).and_then(|p| p.1)) {
        text.push_str(&format!(", column {name}"));
    }
    text
}

/// Line (from 1) and column that a COPY error names in its context, if it does in the wording that we know.
///
/// Other lines of the context may speak of lines too (those of a JSON document), hence the search for the one of COPY.
pub(super) fn copy_place(context: &str) -> Option<(usize, Option<&str>)> {
    let line = context.lines().find(|l| l.starts_with("COPY "))?;
    let at = line.find(", line ")? + 7;
    let digits = line[at..].chars().take_while(char::is_ascii_digit).count();
    let number = line[at..at + digits].parse().ok()?;
    let rest = &line[at + digits..];
    let column = rest.strip_prefix(", column ").map(|c| c.split(':').next().unwrap_or(c));
    Some((number, column))
}

fn way_out(code: &str) -> &'static str {
    match code {
        "28P01" | "28000" => "; check postgres.user and postgres.password",
        "3D000" => "; create the database or correct postgres.url",
        "53100" => "; the server's disk is full: free space",
        "42501" => "; grant it, or connect as another user",
        "42P01" | "42703" | "3F000" => "; run `tidemill migrate` or correct [table]",
        "25006" => "; this server is a replica or read-only: correct postgres.url",
        _ => "",
    }
}

/// The same for an error of the pool.
pub(super) fn pool_error(error: PoolError) -> SinkError {
    let transient = |text: &str| SinkError {
        fault: SinkFault::Transient,
        sqlstate: None,
        message: format!("cannot connect to postgres: {text}"),
    };
    match error {
        PoolError::Backend(e) => sink_error(&e, "cannot connect to postgres", false),
        PoolError::Timeout(_) => transient("no answer within postgres.connect_timeout"),
        other => transient(&other.to_string()),
    }
}

pub(super) fn contract(message: String) -> SinkError {
    SinkError { fault: SinkFault::Contract, sqlstate: None, message }
}

pub(super) fn timed_out(doing: &str, sent: bool) -> SinkError {
    let fault = if sent { SinkFault::Ambiguous } else { SinkFault::Transient };
    SinkError { fault, sqlstate: None, message: format!("{doing}: no answer from postgres in time") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstates_have_the_classes_of_the_table() {
        use SinkFault::*;
        for (codes, want) in [
            (
                &["40001", "40P01", "55P03", "57014", "25P03", "08006", "57P01", "57P03", "53300", "26000"][..],
                Transient,
            ),
            (&["53100", "53200", "58030", "XX000", "25006", "28P01", "3D000", "57P04", "42501"], Operator),
            (&["42P01", "42703", "42804", "42883", "3F000", "42P10", "22P03"], Contract),
            (&["22001", "22003", "22021", "22P02", "23502", "23505", "23514", "54000"], Data),
            (&["08007", "40003"], Ambiguous),
            (&["99999", "", "2"], Transient),
        ] {
            for code in codes {
                assert_eq!(class(code, ""), want, "{code}");
            }
        }
        assert_eq!(class("0A000", "cached plan must not change result type"), Transient);
    }

    #[test]
    fn the_line_is_that_of_copy() {
        assert_eq!(copy_place("JSON data, line 1: x\nCOPY r, line 7, column doc: \"secret\""), Some((7, Some("doc"))));
        assert_eq!(copy_place("COPY r, line 12"), Some((12, None)));
        assert_eq!(copy_place("COPY r, Zeile 12"), None);
        assert_eq!(copy_place("SQL statement \"x\", line 3"), None);
    }
}
