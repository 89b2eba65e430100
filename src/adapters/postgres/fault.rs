//! What an error of Postgres means, by SQLSTATE; and its text, without values of the user's rows.

use std::error::Error as _;

use deadpool_postgres::PoolError;
use tokio_postgres::Error;
use tokio_postgres::error::DbError;
use tokio_postgres::error::Severity;
use tokio_postgres::error::SqlState;

use crate::domain::fault::Fault;
use crate::ports::SinkError;
use crate::ports::SinkFault;

use super::sqlstate;
use super::sqlstate::Entry;

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
        match (e.fault, e.sqlstate.as_deref().and_then(sqlstate::find)) {
            (SinkFault::Transient | SinkFault::Ambiguous, _) => Fault::Retry,
            (SinkFault::Operator | SinkFault::Bug, Some(entry)) if !entry.ends_start => Fault::Retry,
            _ => Fault::Stop,
        }
    }
}

/// Turns an error of the client into ours. `sent` says that the statement which makes the group durable was on its way.
pub(super) fn sink_error(error: &Error, doing: &str, sent: bool) -> SinkError {
    if let Some(db) = error.as_db_error() {
        let code = db.code().code();
        let Entry { mut fault, meaning, way_out, .. } = sqlstate::judge(code, db.message());
        if sent && [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN].contains(db.code()) {
            fault = SinkFault::Ambiguous;
        }
        let text = match fault {
            SinkFault::Data => named(db),
            _ if is_of_a_function(db) => format!("{meaning}; its words are in the server's log alone"),
            _ => db.message().to_owned(),
        };
        let way_out = if way_out.is_empty() { String::new() } else { format!("; {way_out}") };
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

/// Whether a trigger or another function of the user may have written the text: then it may hold values of a row.
fn is_of_a_function(db: &DbError) -> bool {
    let code = db.code().code();
    // Functions may raise codes that nobody knows. So may a pooler, but that ends the session.
    let foreign = sqlstate::find(code).is_none() && db.parsed_severity() == Some(Severity::Error);
    let context = db.where_().unwrap_or("");
    code.starts_with("P0") || foreign || context.contains("PL/") || context.contains("SQL function")
}

/// Code, constraint and column of a data error: all that can be said without showing values.
pub(super) fn named(db: &DbError) -> String {
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
    fn the_line_is_that_of_copy() {
        assert_eq!(copy_place("JSON data, line 1: x\nCOPY r, line 7, column doc: \"secret\""), Some((7, Some("doc"))));
        assert_eq!(copy_place("COPY r, line 12"), Some((12, None)));
        assert_eq!(copy_place("COPY r, Zeile 12"), None);
        assert_eq!(copy_place("SQL statement \"x\", line 3"), None);
    }
}
