//! `[postgres]`, `[table]` and `[dead_letter]` of the configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::domain::fields::{FieldKind, TimeUnit};
use crate::domain::secret::Secret;
use crate::domain::units::{ByteSize, Millis};

/// A connection URL; a password inside it is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Url(String);

impl Url {
    pub fn new(text: impl Into<String>) -> Url {
        Url(text.into())
    }

    /// The text as written, password included.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn masked(&self) -> String {
        let mut text = self.0.clone();
        if let Some(start) = text.find("://").map(|i| i + 3) {
            let authority = text[start..].find(['/', '?']).map_or(text.len(), |i| start + i);
            if let Some(at) = text[start..authority].rfind('@').map(|i| start + i)
                && let Some(colon) = text[start..at].find(':').map(|i| start + i)
            {
                text.replace_range(colon + 1..at, "***");
            }
        }
        let lower = text.to_ascii_lowercase();
        if let Some(from) = lower.find("password=").map(|i| i + 9) {
            let to = text[from..].find(['&', ' ']).map_or(text.len(), |i| from + i);
            text.replace_range(from..to, "***");
        }
        text
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.masked())
    }
}

/// Whether the connection is encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    Disable,
    /// Encrypted; certificate chain and host name are verified.
    Require,
}

/// When the server answers a COMMIT.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SynchronousCommit {
    On,
    Off,
    Local,
    RemoteWrite,
    RemoteApply,
}

impl SynchronousCommit {
    pub fn name(self) -> &'static str {
        match self {
            SynchronousCommit::On => "on",
            SynchronousCommit::Off => "off",
            SynchronousCommit::Local => "local",
            SynchronousCommit::RemoteWrite => "remote_write",
            SynchronousCommit::RemoteApply => "remote_apply",
        }
    }
}

/// How the database is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresOptions {
    /// Where the database is: `postgres://user@host:5432/database`. Several hosts may be listed; the writable one is used.
    pub url: Url,
    /// User name; overrides the one in the URL.
    pub user: Option<String>,
    /// Password; overrides the one in the URL. Use `${VAR}` to keep it out of the file.
    pub password: Option<Secret>,
    /// `require` or `disable`. Unset: required unless every host is loopback or a unix socket.
    pub tls: Option<Tls>,
    /// PEM file of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Longest wait for a new connection.
    pub connect_timeout: Millis,
    /// Longest run of one statement. Also ends a client that was stopped inside COPY, so it bounds a takeover.
    pub statement_timeout: Millis,
    /// Longest wait for a row that an earlier owner still holds.
    pub lock_timeout: Millis,
    /// After this the server ends a transaction whose client went silent.
    pub idle_in_transaction_timeout: Millis,
    /// `off` answers before the disk has it: a crash repeats records, none is lost. Change it for small batches only.
    pub synchronous_commit: SynchronousCommit,
    /// Name shown in `pg_stat_activity`.
    pub application_name: String,
    /// Silence after which both sides ask whether the other still lives.
    pub keepalive: Millis,
    /// Pace of asking who holds an old snapshot, for the metrics.
    pub horizon_interval: Millis,
    /// Groups of up to this many rows go in by one statement, larger ones by COPY.
    pub statement_rows: usize,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        PostgresOptions {
            url: Url::new("postgres://postgres@localhost:5432/postgres"),
            user: None,
            password: None,
            tls: None,
            ca_file: None,
            connect_timeout: Millis::secs(5),
            statement_timeout: Millis::secs(10),
            lock_timeout: Millis::secs(5),
            idle_in_transaction_timeout: Millis::secs(10),
            synchronous_commit: SynchronousCommit::On,
            application_name: "tidemill".into(),
            keepalive: Millis::secs(10),
            horizon_interval: Millis::secs(15),
            statement_rows: 1000,
        }
    }
}

/// What happens to a row that a unique index of the table refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// The record becomes a dead letter.
    DeadLetter,
    /// The row that is there stays; the record counts as skipped.
    Skip,
    /// The newer row overwrites the older one.
    Update,
}

/// How a record's key is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyAs {
    Bytes,
    Text,
}

/// Where one of Tidemill's values goes: the name of a column, or `false` to leave it out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Target {
    Column(String),
    /// Only `false` has a meaning: the value is not stored.
    Off(bool),
}

/// Kind of a mapped event field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    Number,
    Integer,
    Boolean,
    Text,
    /// RFC 3339 text, or a number of milliseconds.
    Timestamp,
    /// RFC 3339 text, or a number of seconds.
    TimestampSeconds,
    /// RFC 3339 text, or a number of microseconds.
    TimestampMicros,
}

impl FieldType {
    /// The decoder's kind for this type.
    pub fn kind(self) -> FieldKind {
        match self {
            FieldType::Number => FieldKind::Number,
            FieldType::Integer => FieldKind::Integer,
            FieldType::Boolean => FieldKind::Boolean,
            FieldType::Text => FieldKind::Text,
            FieldType::Timestamp => FieldKind::Timestamp(TimeUnit::Milliseconds),
            FieldType::TimestampSeconds => FieldKind::Timestamp(TimeUnit::Seconds),
            FieldType::TimestampMicros => FieldKind::Timestamp(TimeUnit::Microseconds),
        }
    }
}

/// What a missing, null or mistyped field means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The column is null.
    #[default]
    Null,
    /// The record is rejected.
    Reject,
}

/// An event field that is stored beside the outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MappedField {
    /// Column of the table.
    pub column: String,
    /// Path of the field in the event, such as `payment.currency`.
    pub field: String,
    /// Kind of the field.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// What a missing or null field means.
    #[serde(default)]
    pub missing: Missing,
}

/// The result table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TableOptions {
    /// The table, with its schema: `public.scores`.
    pub name: String,
    /// `migrate` creates the table and adds columns for new outputs. Set false when somebody else owns it.
    pub create: bool,
    /// What happens to a row that a unique index refuses.
    pub on_conflict: OnConflict,
    /// With `on_conflict = "update"`: columns of the unique index that decides. Empty: source, partition and offset.
    pub conflict_columns: Vec<String>,
    /// Column names by value: `source`, `partition`, `offset`, `key`, `event_time`, `processed_at`, `model` and the
    /// model's output names. A value that is not listed goes to the column of its own name; `false` leaves it out.
    pub columns: BTreeMap<String, Target>,
    /// Event fields to store beside the outputs.
    pub fields: Vec<MappedField>,
    /// Timestamp field of the event to use as event time instead of the Kafka record's timestamp.
    pub event_time: Option<String>,
    /// `bytes` or `text` (records whose key is not UTF-8 are then dead-lettered).
    pub key_as: KeyAs,
    /// `migrate` makes a unique index on source, partition and offset. Not needed for correctness; it doubles the WAL.
    pub unique_index: bool,
    /// `migrate` makes the view `<table>_readable` with the names of topic and model.
    pub view: bool,
}

impl Default for TableOptions {
    fn default() -> Self {
        TableOptions {
            name: "public.scores".into(),
            create: true,
            on_conflict: OnConflict::DeadLetter,
            conflict_columns: vec![],
            columns: BTreeMap::new(),
            fields: vec![],
            event_time: None,
            key_as: KeyAs::Bytes,
            unique_index: false,
            view: true,
        }
    }
}

/// What a dead letter keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLetterOptions {
    /// A payload, key or set of headers above this is cut; its full length and SHA-256 are kept.
    pub bytes_max: ByteSize,
    /// How often open dead letters are counted, for metrics. Needs SELECT on `tidemill.dead_letter`.
    pub count_interval: Millis,
}

impl Default for DeadLetterOptions {
    fn default() -> Self {
        DeadLetterOptions { bytes_max: ByteSize::mib(1), count_interval: Millis::secs(60) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_url_never_shows() {
        for (url, shown) in [
            ("postgres://u:p%40ss@h:5432/db", "postgres://u:***@h:5432/db"),
            ("postgres://u@h/db?password=x&a=b", "postgres://u@h/db?password=***&a=b"),
            ("host=h password=x user=u", "host=h password=*** user=u"),
            ("postgres://u@h:5432/db", "postgres://u@h:5432/db"),
        ] {
            assert_eq!(format!("{:?}", Url::new(url)), shown);
        }
    }

    #[test]
    fn a_column_is_renamed_or_switched_off() {
        let options: TableOptions = toml::from_str("columns = { key = false, score = \"fraud_score\" }").unwrap();
        assert_eq!(options.columns["key"], Target::Off(false));
        assert_eq!(options.columns["score"], Target::Column("fraud_score".into()));
        assert_eq!(options.name, TableOptions::default().name);
    }
}
