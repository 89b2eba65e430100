//! The result table as `migrate` would make it, for rows that are encoded and go to no server.

use crate::domain::outputs::OutputSpec;

use super::contract::Column;
use super::contract::Table;
use super::options::TableOptions;
use super::register::Registered;
use super::register::Source;
use super::table;
use super::table::Kind;
use super::table::Mapped;
use super::table::Value;
use super::types::Element;
use super::types::Wire;

/// The table of these options.
///
/// # Errors
/// Every mistake in `[table]`.
pub fn table(options: &TableOptions, outputs: &[OutputSpec]) -> Result<Table, Vec<String>> {
    let mut mapped = table::mapping(options, outputs)?;
    mapped.sort_by_key(Mapped::rank);
    let column = |m: &Mapped| Column {
        name: m.column.clone(),
        value: m.value,
        kind: m.kind,
        wire: wire(m),
        not_null: !m.nullable,
        element: 0,
        element_name: String::new(),
    };
    let (schema, relation) = table::split_name(&options.name);
    Ok(Table {
        name: table::qualified(&options.name),
        columns: mapped.iter().map(column).collect(),
        on_conflict: options.on_conflict,
        conflict: vec![],
        schema: schema.into(),
        relation: relation.into(),
        signature: String::new(),
        expected: (options.clone(), outputs.to_vec()),
    })
}

/// Stands for the rows of the control tables: numbers of the right size.
pub fn registered(topics: &[(&str, i32)], model: String) -> Registered {
    let source = |(topic, partitions): &(&str, i32)| Source {
        id: 0,
        uid: 0,
        topic: (*topic).to_string(),
        partitions: *partitions,
    };
    Registered { sources: topics.iter().map(source).collect(), model: 0, model_name: model }
}

/// The form of [`Mapped::definition`]'s type.
fn wire(mapped: &Mapped) -> Wire {
    match mapped.kind {
        Kind::Integer if mapped.value == Value::Partition => Wire::Int4,
        Kind::Integer => Wire::Int8,
        Kind::Float => Wire::Float8,
        Kind::Boolean => Wire::Bool,
        Kind::Text => Wire::Text { max: None },
        Kind::Bytes => Wire::Bytea,
        Kind::Timestamp => Wire::Timestamptz,
        Kind::Reals { .. } => Wire::Array(Element::Float4),
        Kind::Named => Wire::Int2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outputs::OutputKind;

    #[test]
    fn columns_have_the_types_that_migrate_gives_them() {
        let output = |name: &str, kind| OutputSpec { name: name.into(), kind, nan_allowed: false };
        let kinds = [OutputKind::Float, OutputKind::Boolean, OutputKind::Label, OutputKind::Reals { width: 2 }];
        let outputs: Vec<OutputSpec> = (0..).zip(kinds).map(|(i, kind)| output(&format!("o{i}"), kind)).collect();
        let options = TableOptions::default();
        let table = table(&options, &outputs).unwrap();
        for mapped in table::mapping(&options, &outputs).unwrap() {
            let column = table.columns.iter().find(|c| c.name == mapped.column).unwrap();
            let definition = mapped.definition();
            // the names that the server's catalogue has for these types
            let name = [
                ("bigint", "int8"),
                ("integer", "int4"),
                ("smallint", "int2"),
                ("double precision", "float8"),
                ("boolean", "bool"),
                ("bytea", "bytea"),
                ("timestamptz", "timestamptz"),
                ("real[]", "_float4"),
                ("text", "text"),
            ]
            .iter()
            .find(|(shown, _)| definition.contains(&format!("\" {shown}")))
            .map_or_else(|| panic!("{definition}"), |(_, name)| *name);
            assert_eq!(Wire::of(name, -1), Some(column.wire), "{definition}");
        }
        let ranks: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(ranks[0], "offset");
    }
}
