//! The typed field list of bincode events: a TOML file that says in which order which types follow each other.

use std::path::Path;

use serde::Deserialize;

use super::error::Error;

/// Types nested deeper than this are refused.
const DEPTH_MAX: usize = 32;

/// A type of the wire. None of them can be empty on the wire, so that hostile lengths cannot make endless loops.
#[derive(Clone, PartialEq, Debug)]
pub enum Type {
    Bool,
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
    String,
    Bytes,
    Option(Box<Type>),
    Vec(Box<Type>),
    Array(Box<Type>, u32),
    Struct(Vec<Field>),
}

/// A field of a struct.
#[derive(Clone, PartialEq, Debug)]
pub struct Field {
    pub name: String,
    pub ty: Type,
}

/// The whole list.
#[derive(Clone, PartialEq, Debug)]
pub struct Schema {
    /// Byte that every event must begin with.
    pub version_byte: Option<u8>,
    pub fields: Vec<Field>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    version_byte: Option<u8>,
    field: Vec<FieldText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldText {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    fields: Option<Vec<FieldText>>,
}

/// Reads a schema file.
///
/// # Errors
/// [`Error::SchemaFile`] when it cannot be read, [`Error::SchemaText`] and [`Error::SchemaField`] for what it says.
pub fn load(file: &Path) -> Result<Schema, Error> {
    let text =
        std::fs::read_to_string(file).map_err(|source| Error::SchemaFile { file: file.to_path_buf(), source })?;
    parse(&text, file)
}

/// Reads the text of a schema; `file` is for the error only.
pub fn parse(text: &str, file: &Path) -> Result<Schema, Error> {
    let read: FileText = toml::from_str(text)
        .map_err(|e| Error::SchemaText { file: file.to_path_buf(), problem: e.to_string().trim_end().into() })?;
    Ok(Schema { version_byte: read.version_byte, fields: fields("", &read.field, 0)? })
}

fn fail<T>(field: &str, problem: impl Into<String>) -> Result<T, Error> {
    Err(Error::SchemaField { field: field.into(), problem: problem.into() })
}

fn fields(parent: &str, texts: &[FieldText], depth: usize) -> Result<Vec<Field>, Error> {
    if texts.is_empty() {
        return fail(parent, "a struct needs at least one field");
    }
    let mut made: Vec<Field> = vec![];
    for text in texts {
        let name = if parent.is_empty() { text.name.clone() } else { format!("{parent}.{}", text.name) };
        if made.iter().any(|f| f.name == text.name) {
            return fail(&name, "the name is used twice");
        }
        let mut reader = TypeReader { field: &name, rest: &text.ty, inner: text.fields.as_deref(), used: false };
        let ty = reader.read(depth)?;
        if !reader.rest.trim().is_empty() {
            return fail(&name, format!("`{}` follows the type", reader.rest.trim()));
        }
        if text.fields.is_some() && !reader.used {
            return fail(&name, "only a struct has `fields`");
        }
        made.push(Field { name: text.name.clone(), ty });
    }
    Ok(made)
}

/// Reads types such as `option<vec<struct>>`, where `struct` stands for the field's `fields`.
struct TypeReader<'a> {
    field: &'a str,
    rest: &'a str,
    inner: Option<&'a [FieldText]>,
    used: bool,
}

impl TypeReader<'_> {
    fn read(&mut self, depth: usize) -> Result<Type, Error> {
        if depth > DEPTH_MAX {
            return fail(self.field, format!("types are nested deeper than {DEPTH_MAX}"));
        }
        let text = self.rest.trim_start();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.rest = rest;
        Ok(match word {
            "bool" => Type::Bool,
            "u8" => Type::U8,
            "u16" => Type::U16,
            "u32" => Type::U32,
            "u64" => Type::U64,
            "i8" => Type::I8,
            "i16" => Type::I16,
            "i32" => Type::I32,
            "i64" => Type::I64,
            "f32" => Type::F32,
            "f64" => Type::F64,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "option" => Type::Option(self.inside(depth)?),
            "vec" => Type::Vec(self.inside(depth)?),
            "array" => {
                self.sign('<')?;
                let item = Box::new(self.read(depth + 1)?);
                self.sign(',')?;
                let len = self.length()?;
                self.sign('>')?;
                Type::Array(item, len)
            }
            "struct" => {
                let Some(inner) = self.inner else { return fail(self.field, "a struct needs `fields = [...]`") };
                self.used = true;
                Type::Struct(fields(self.field, inner, depth + 1)?)
            }
            _ => {
                return fail(
                    self.field,
                    format!(
                        "`{word}` is no type; there are bool, u8 to u64, i8 to i64, f32, f64, string, bytes, \
                         option<T>, vec<T>, array<T, N>, struct"
                    ),
                );
            }
        })
    }

    fn inside(&mut self, depth: usize) -> Result<Box<Type>, Error> {
        self.sign('<')?;
        let ty = self.read(depth + 1)?;
        self.sign('>')?;
        Ok(Box::new(ty))
    }

    fn sign(&mut self, sign: char) -> Result<(), Error> {
        match self.rest.trim_start().strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => fail(self.field, format!("expected `{sign}` before `{}`", self.rest)),
        }
    }

    fn length(&mut self) -> Result<u32, Error> {
        let text = self.rest.trim_start();
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        self.rest = &text[end..];
        match text[..end].parse() {
            Ok(len) if len > 0 => Ok(len),
            _ => fail(self.field, "an array's length is a number from 1 on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Schema, String> {
        parse(text, Path::new("x.toml")).map_err(|e| e.to_string())
    }

    #[test]
    fn types_are_read() {
        let schema = read(
            r#"
            version_byte = 3
            [[field]]
            name = "a"
            type = "option<vec< array<u8,4> >>"
            [[field]]
            name = "b"
            type = "vec<struct>"
            fields = [
              { name = "c", type = "f64" },
              { name = "d", type = "struct", fields = [{ name = "e", type = "bytes" }] },
            ]
        "#,
        )
        .unwrap();
        let of = |name: &str, ty| Field { name: name.into(), ty };
        let array = Type::Array(Box::new(Type::U8), 4);
        let inner = Type::Struct(vec![of("e", Type::Bytes)]);
        let item = Type::Struct(vec![of("c", Type::F64), of("d", inner)]);
        assert_eq!(
            schema,
            Schema {
                version_byte: Some(3),
                fields: vec![
                    of("a", Type::Option(Box::new(Type::Vec(Box::new(array))))),
                    of("b", Type::Vec(Box::new(item))),
                ],
            }
        );
    }

    #[test]
    fn mistakes_name_the_field() {
        let one = |ty: &str| format!("[[field]]\nname = \"a\"\ntype = \"{ty}\"");
        for (text, want) in [
            (one("u128"), "schema field `a`: `u128` is no type"),
            (one("option"), "schema field `a`: expected `<`"),
            (one("option<u8"), "schema field `a`: expected `>`"),
            (one("u8>"), "schema field `a`: `>` follows the type"),
            (one("array<u8, 0>"), "schema field `a`: an array's length"),
            (one("array<u8, 99999999999>"), "schema field `a`: an array's length"),
            (one("struct"), "schema field `a`: a struct needs `fields"),
            (format!("{}\nfields = []", one("struct")), "schema field `a`: a struct needs at least one field"),
            (format!("{}\nfields = []", one("u8")), "schema field `a`: only a struct has `fields`"),
            (format!("{}\n{}", one("u8"), one("u8")), "schema field `a`: the name is used twice"),
            (one(&format!("{}u8{}", "vec<".repeat(40), ">".repeat(40))), "schema field `a`: types are nested deeper"),
            ("field = []".into(), "schema field ``: a struct needs"),
            ("bogus = 1".into(), "the schema x.toml is not valid: TOML parse error at line 1"),
        ] {
            let got = read(&text).unwrap_err();
            assert!(got.starts_with(want), "{text}: {got}");
        }
    }
}
