//! What a SQLSTATE means here: one table for sink, claims and start. A code's own line overrides that of its class (the
//! first two characters); what is in neither is an outage, never a dead letter.

use crate::ports::SinkFault;
use crate::ports::SinkFault::Ambiguous;
use crate::ports::SinkFault::Bug;
use crate::ports::SinkFault::Contract;
use crate::ports::SinkFault::Data;
use crate::ports::SinkFault::Operator;
use crate::ports::SinkFault::Transient;

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Five characters for a code, two for a class.
    pub code: &'static str,
    pub fault: SinkFault,
    /// What happened, in a few words.
    pub meaning: &'static str,
    /// What a person can do; empty where nothing is needed. It ends the message.
    pub way_out: &'static str,
    /// At start it is taken for a wrong configuration and ends the process, where it would later be waited for.
    pub ends_start: bool,
}

const fn entry(code: &'static str, fault: SinkFault, meaning: &'static str, way_out: &'static str) -> Entry {
    Entry { code, fault, meaning, way_out, ends_start: matches!(fault, Contract) }
}

/// As [`entry`], of what the configuration names.
const fn named(code: &'static str, fault: SinkFault, meaning: &'static str, way_out: &'static str) -> Entry {
    Entry { code, fault, meaning, way_out, ends_start: true }
}

const MIGRATE: &str = "run `tidemill migrate` or correct [table]";
const LOGIN: &str = "check postgres.user and postgres.password";
const SERVER: &str = "look at the server's log";
const TRIGGER: &str = "look at triggers and functions of the table";

/// The table. Codes that only differ from their class in what a person can do have a line, too.
pub const TABLE: &[Entry] = &[
    entry("00", Transient, "not an error", ""),
    entry("01", Transient, "a warning", ""),
    entry("02", Transient, "no data", ""),
    entry("03", Bug, "statement not yet complete", ""),
    entry("08", Transient, "the connection failed", ""),
    entry("08007", Ambiguous, "nobody knows whether the transaction was committed", ""),
    entry("08P01", Bug, "the protocol was broken; poolers say it for troubles of their own", "look at the pooler"),
    entry("09", Operator, "a trigger failed", TRIGGER),
    entry("0A", Contract, "the table cannot do this", MIGRATE),
    entry("0B", Bug, "wrong begin of a transaction", ""),
    entry("0F", Bug, "wrong locator", ""),
    entry("0L", Operator, "wrong grantor", "mend the grants of the role"),
    entry("0P", Operator, "wrong role", "check the role of postgres.user"),
    entry("0Z", Operator, "a function of the server failed", TRIGGER),
    entry("10", Operator, "a function of the server failed", TRIGGER),
    entry("20", Operator, "a function of the server failed", TRIGGER),
    entry("21", Bug, "a row is met twice in one statement", ""),
    entry("22", Data, "a value does not fit", ""),
    entry("22P03", Contract, "a column's binary form is not ours: its type changed", MIGRATE),
    entry("22P04", Contract, "COPY's form is not ours: the columns changed", MIGRATE),
    entry("23", Data, "a constraint refuses a row", ""),
    entry("24", Bug, "wrong state of a cursor", ""),
    entry("25", Bug, "wrong state of a transaction", ""),
    entry("25006", Operator, "the server is read-only", "this server is a replica or read-only: correct postgres.url"),
    entry("25P03", Transient, "the session idled inside a transaction", ""),
    entry("25P04", Transient, "the transaction took too long", ""),
    entry("26", Transient, "a prepared statement is gone", "connect to the server itself or in session mode"),
    entry("27", Contract, "a trigger changed a row under way", TRIGGER),
    named("28", Operator, "the login was refused", LOGIN),
    entry("2B", Operator, "privileges depend on each other", "mend the grants of the role"),
    entry("2D", Bug, "wrong end of a transaction", ""),
    entry("2F", Operator, "a function of the server failed", TRIGGER),
    entry("34", Bug, "wrong name of a cursor", ""),
    entry("38", Operator, "a function of the server failed", TRIGGER),
    entry("39", Operator, "a function of the server failed", TRIGGER),
    entry("3B", Bug, "wrong savepoint", ""),
    named("3D", Operator, "no such database", "create the database or correct postgres.url"),
    entry("3F", Contract, "no such schema", MIGRATE),
    entry("40", Transient, "the transaction was rolled back: deadlock or serialization", ""),
    entry("40003", Ambiguous, "nobody knows whether the statement was completed", ""),
    entry("42", Contract, "the table is not what the statement takes it for", MIGRATE),
    named("42501", Operator, "a grant is missing", "grant it, or connect as another user"),
    entry("42P02", Bug, "a parameter is missing", ""),
    entry("42P05", Transient, "a prepared statement is there twice", "connect to the server itself or in session mode"),
    entry("44", Data, "a view refuses a row", ""),
    entry("53", Operator, "the server is short of something", SERVER),
    entry("53100", Operator, "disk full", "the server's disk is full: free space"),
    entry("53200", Operator, "the server is out of memory", "give the server memory"),
    entry("53300", Transient, "too many connections", "raise max_connections if it stays"),
    entry("53400", Operator, "a limit of the server is reached", SERVER),
    entry("54", Data, "a row is too large or too deep for the server", ""),
    entry("54011", Contract, "too many columns", MIGRATE),
    entry("54023", Bug, "too many arguments", ""),
    entry("55", Operator, "something is not ready", SERVER),
    entry("55006", Transient, "something is in use", ""),
    entry("55P03", Transient, "a lock was not given up in time", ""),
    entry("55P04", Transient, "a new label of an enum is not committed yet", ""),
    entry("57", Transient, "the server ends, starts, or was told to stop this", ""),
    entry("57P04", Operator, "the database was dropped", "create the database or correct postgres.url"),
    entry("58", Operator, "the server's system failed", SERVER),
    entry("72", Transient, "the snapshot is too old", ""),
    entry("F0", Operator, "the server's configuration is wrong", SERVER),
    entry("HV", Operator, "a foreign table failed", SERVER),
    entry("P0", Operator, "a function of the server failed", TRIGGER),
    entry("P0001", Data, "a trigger raised an exception", ""),
    entry("P0004", Data, "an assertion of a trigger failed", ""),
    entry("XX", Operator, "the server broke an invariant of its own", SERVER),
    entry("XX001", Operator, "the server found damaged data", "the server's data are damaged: restore or fail over"),
    entry("XX002", Operator, "the server found a damaged index", "REINDEX what the server's log names"),
];

/// What is said of codes that nobody knows.
pub const UNKNOWN: Entry = entry("", Transient, "unknown", SERVER);

/// What the daemon does about a fault, for the documentation.
pub const fn does(fault: SinkFault) -> &'static str {
    match fault {
        Transient => "waits and repeats, for ever: backoff with full jitter; intake pauses once the breaker is open",
        Ambiguous => "reads the progress rows and decides: stored, or repeat (rules W4, W5)",
        Operator => "stops intake at once, is not ready and says what to do; repeats slowly, for ever",
        Contract => {
            "stops intake on all partitions, looks at the catalog again and again, goes on by itself once it fits"
        }
        Data => {
            "finds the rows by COPY's line or by halves; the row that fails alone while the rest passes is a dead letter"
        }
        Bug => "stops intake, says so loudly, keeps the data, repeats in the smallest groups",
    }
}

/// The name of a fault: label of metrics and of the documentation.
pub const fn name(fault: SinkFault) -> &'static str {
    match fault {
        Transient => "transient",
        Ambiguous => "ambiguous",
        Operator => "operator",
        Contract => "contract",
        Data => "data",
        Bug => "bug",
    }
}

/// The line that counts for a code: its own, or that of its class.
pub fn find(code: &str) -> Option<&'static Entry> {
    let of = |key: &str| TABLE.iter().find(|e| e.code == key);
    of(code).or_else(|| of(code.get(..2)?))
}

/// As [`find`]; the message tells codes apart that mean two things.
pub fn judge(code: &str, message: &str) -> Entry {
    if code == "0A000" && message.contains("cached plan") {
        // The table changed under a prepared statement: a new connection prepares it anew.
        return entry("0A000", Transient, "a prepared plan is out of date", "");
    }
    find(code).copied().unwrap_or(UNKNOWN)
}

/// The table as Markdown.
pub fn markdown() -> String {
    let mut out = String::from("| fault | what the daemon does |\n| --- | --- |\n");
    for fault in [Transient, Operator, Contract, Data, Ambiguous, Bug] {
        out.push_str(&format!("| {} | {} |\n", name(fault), does(fault)));
    }
    out.push_str("\n| SQLSTATE | meaning | fault | way out |\n| --- | --- | --- | --- |\n");
    for e in TABLE {
        let class = if e.code.len() == 2 { "…" } else { "" };
        out.push_str(&format!("| `{}{class}` | {} | {} | {} |\n", e.code, e.meaning, name(e.fault), e.way_out));
    }
    out + "| any other | unknown | transient | look at the server's log |\n"
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn lines_are_unique_and_what_needs_a_person_says_what_to_do() {
        let codes: BTreeSet<_> = TABLE.iter().map(|e| e.code).collect();
        assert_eq!(codes.len(), TABLE.len());
        for e in TABLE {
            assert!(e.code.len() == 2 || e.code.len() == 5, "{}", e.code);
            let person = matches!(e.fault, Operator | Contract);
            assert!(!person || !e.way_out.is_empty(), "{}: no way out", e.code);
            let class = TABLE.iter().find(|c| c.code == &e.code[..2]);
            assert!(class.is_some(), "{}: its class has no line", e.code);
        }
    }

    #[test]
    fn sqlstates_have_the_faults_of_the_table() {
        for (codes, want) in [
            (
                &[
                    "40001", "40P01", "55P03", "57014", "25P03", "08006", "57P01", "57P02", "57P03", "53300", "26000",
                    "42P05",
                ][..],
                Transient,
            ),
            (&["53100", "53200", "53400", "58030", "XX000", "25006", "28P01", "3D000", "57P04", "42501"], Operator),
            (&["42P01", "42703", "42804", "42883", "3F000", "42601", "42P10", "22P03", "0A000"], Contract),
            (
                &["22001", "22003", "22007", "22021", "22P02", "22P05", "23502", "23503", "23505", "23514", "54000"],
                Data,
            ),
            (&["08007", "40003"], Ambiguous),
            (&["21000", "25P01", "25P02", "08P01", "42P02"], Bug),
            (&["99999", "", "2", "ß"], Transient),
        ] {
            for code in codes {
                assert_eq!(judge(code, "").fault, want, "{code}");
            }
        }
        assert_eq!(judge("0A000", "cached plan must not change result type").fault, Transient);
    }
}
