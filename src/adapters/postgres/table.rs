//! Which of Tidemill's values goes to which column of the result table, before anybody has looked at the table.

use crate::domain::outputs::OutputKind;
use crate::domain::outputs::OutputSpec;

use super::options::FieldType;
use super::options::KeyAs;
use super::options::Missing;
use super::options::TableOptions;
use super::options::Target;

/// Kind of a value on our side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Integer,
    Float,
    Boolean,
    Text,
    Bytes,
    /// Microseconds since 1970.
    Timestamp,
    Reals {
        width: usize,
    },
    /// An id of a control table; as text, the name that it stands for.
    Named,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Integer => "integer",
            Kind::Float => "float",
            Kind::Boolean => "boolean",
            Kind::Text => "text",
            Kind::Bytes => "bytes",
            Kind::Timestamp => "timestamp",
            Kind::Reals { .. } => "list of reals",
            Kind::Named => "id",
        }
    }

    /// Type of the column that `migrate` makes for it.
    fn created_as(self) -> &'static str {
        match self {
            Kind::Integer => "bigint",
            Kind::Float => "double precision",
            Kind::Boolean => "boolean",
            Kind::Text => "text",
            Kind::Bytes => "bytea",
            Kind::Timestamp => "timestamptz",
            Kind::Reals { .. } => "real[]",
            Kind::Named => "smallint",
        }
    }
}

/// One of the values that a row can hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    Source,
    Partition,
    Offset,
    Key,
    EventTime,
    ProcessedAt,
    Model,
    /// Index into the model's outputs.
    Output(usize),
    /// Index into [`TableOptions::fields`].
    Field(usize),
}

/// A value on its way to a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapped {
    pub column: String,
    pub value: Value,
    pub kind: Kind,
    /// May the value be null?
    pub nullable: bool,
}

impl Mapped {
    /// The column's definition in a table of ours.
    pub fn definition(&self) -> String {
        let kind = match self.value {
            Value::Partition => "integer",
            _ => self.kind.created_as(),
        };
        let null = if self.nullable { "" } else { " NOT NULL" };
        format!("{} {kind}{null}", quote(&self.column))
    }

    /// Columns in this order leave no holes between them: eight bytes first, then four, two and one, then the rest.
    pub fn rank(&self) -> usize {
        match (self.value, self.kind) {
            (Value::Offset, _) => 0,
            (_, Kind::Timestamp) => 1,
            (Value::Partition, _) => 3,
            (_, Kind::Named) => 4,
            (_, Kind::Integer | Kind::Float) => 2,
            (_, Kind::Boolean) => 5,
            _ => 6,
        }
    }
}

/// Every value that is to be stored, or every mistake in `[table]`.
pub fn mapping(options: &TableOptions, outputs: &[OutputSpec]) -> Result<Vec<Mapped>, Vec<String>> {
    let key = if options.key_as == KeyAs::Text { Kind::Text } else { Kind::Bytes };
    let own = [
        ("source", Value::Source, Kind::Named, false),
        ("partition", Value::Partition, Kind::Integer, false),
        ("offset", Value::Offset, Kind::Integer, false),
        ("key", Value::Key, key, true),
        ("event_time", Value::EventTime, Kind::Timestamp, true),
        ("processed_at", Value::ProcessedAt, Kind::Timestamp, false),
        ("model", Value::Model, Kind::Named, false),
    ];
    let mut problems = vec![];
    let mut mapped: Vec<Mapped> = vec![];
    let mut known: Vec<&str> = vec![];
    let outputs = outputs.iter().enumerate().map(|(i, o)| (o.name.as_str(), Value::Output(i), kind_of(o.kind), true));
    for (name, value, kind, nullable) in own.into_iter().chain(outputs) {
        if known.contains(&name) {
            problems
                .push(format!("the model's output `{name}` has the name of another value: rename it in model.toml"));
        }
        known.push(name);
        let Some(column) = column_of(options, name) else { continue };
        mapped.push(Mapped { column: column.to_owned(), value, kind, nullable });
    }
    for name in options.columns.keys().filter(|n| !known.contains(&n.as_str())) {
        problems.push(format!("table.columns.{name}: there is no such value; values are {}", known.join(", ")));
    }
    for (i, field) in options.fields.iter().enumerate() {
        let kind = match field.kind {
            FieldType::Number => Kind::Float,
            FieldType::Integer => Kind::Integer,
            FieldType::Boolean => Kind::Boolean,
            FieldType::Text => Kind::Text,
            FieldType::Timestamp | FieldType::TimestampSeconds | FieldType::TimestampMicros => Kind::Timestamp,
        };
        let nullable = field.missing == Missing::Null;
        mapped.push(Mapped { column: field.column.clone(), value: Value::Field(i), kind, nullable });
    }
    for (i, m) in mapped.iter().enumerate() {
        if mapped[..i].iter().any(|o| o.column == m.column) {
            problems.push(format!("two values go to column `{}`: rename one in [table]", m.column));
        }
    }
    if mapped.is_empty() {
        problems.push("no value is stored: switch one on in [table.columns]".into());
    }
    if problems.is_empty() { Ok(mapped) } else { Err(problems) }
}

/// Column that a value goes to by its name; `None` when it is left out.
pub fn column_of<'a>(options: &'a TableOptions, value: &'a str) -> Option<&'a str> {
    match options.columns.get(value) {
        None | Some(Target::Off(true)) => Some(value),
        Some(Target::Off(false)) => None,
        Some(Target::Column(column)) => Some(column),
    }
}

fn kind_of(kind: OutputKind) -> Kind {
    match kind {
        OutputKind::Float => Kind::Float,
        OutputKind::Integer => Kind::Integer,
        OutputKind::Boolean => Kind::Boolean,
        OutputKind::Label => Kind::Text,
        OutputKind::Reals { width } => Kind::Reals { width },
    }
}

/// An identifier as SQL wants it.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Schema and name of `[table] name`; without a schema it is `public`.
pub fn split_name(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or(("public", name))
}

/// The table's full name as SQL wants it.
pub fn qualified(name: &str) -> String {
    let (schema, table) = split_name(name);
    format!("{}.{}", quote(schema), quote(table))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::postgres::options::MappedField;

    #[test]
    fn all_mistakes_of_the_mapping_are_named_at_once() {
        let outputs = [OutputSpec { name: "offset".into(), kind: OutputKind::Float, nan_allowed: false }];
        let mut options = TableOptions::default();
        options.columns.insert("scroe".into(), Target::Column("x".into()));
        options.fields.push(MappedField {
            column: "key".into(),
            field: "a".into(),
            kind: FieldType::Text,
            missing: Missing::Null,
        });
        let problems = mapping(&options, &outputs).unwrap_err().join("\n");
        for part in ["output `offset`", "table.columns.scroe", "column `key`"] {
            assert!(problems.contains(part), "{problems}");
        }
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(qualified("s\"x.t"), "\"s\"\"x\".\"t\"");
        assert_eq!(qualified("t"), "\"public\".\"t\"");
    }
}
