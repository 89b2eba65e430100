//! The tree as a serde deserialiser. Every error knows the path and the place that it belongs to.

use std::any::type_name;
use std::path::Path;
use std::path::PathBuf;

use serde::de::DeserializeSeed;
use serde::de::Deserializer;
use serde::de::EnumAccess;
use serde::de::Error as _;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::VariantAccess;
use serde::de::Visitor;
use serde::forward_to_deserialize_any;

use super::de_error::DeError;
use super::place::Place;
use super::place::Step;
use super::tree::Entry;
use super::tree::Node;
use super::tree::Value;

/// A node to be read, with the folder that relative paths start from.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub node: &'a Node,
    pub folder: &'a Path,
}

impl<'a> Reader<'a> {
    fn of(self, node: &'a Node) -> Reader<'a> {
        Reader { node, folder: self.folder }
    }

    /// The leaf's text, when it may become a number or a boolean.
    fn raw(self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text { text, raw: true } => Some(text.trim()),
            _ => None,
        }
    }

    fn integer<'de, V: Visitor<'de>>(n: i128, visitor: V) -> Result<V::Value, DeError> {
        match (i64::try_from(n), u64::try_from(n)) {
            (_, Ok(n)) => visitor.visit_u64(n),
            (Ok(n), _) => visitor.visit_i64(n),
            _ => Err(DeError::custom(format!("`{n}` does not fit into 64 bits"))),
        }
    }

    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match self.raw().map(|t| (t.parse::<i128>(), t.parse::<f64>())) {
            Some((Ok(n), _)) => Self::integer(n, visitor),
            Some((_, Ok(n))) => visitor.visit_f64(n),
            _ => self.deserialize_any(visitor),
        }
    }
}

macro_rules! numbers {
    ($($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
            self.number(visitor)
        }
    )* };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = DeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Int(n) => Self::integer(*n, visitor),
            Value::Float(n) => visitor.visit_f64(*n),
            // A choice of forms (a size, a property): only a text that would print the same is taken for a number.
            Value::Text { text, raw: true } => match text.parse::<i128>() {
                Ok(n) if n.to_string() == *text => Self::integer(n, visitor),
                _ => visitor.visit_str(text),
            },
            Value::Text { text, .. } => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(List { reader: self, items, next: 0 }),
            Value::Table(entries) => visitor.visit_map(Table { reader: self, entries, next: 0 }),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match self.raw() {
            Some("true") => visitor.visit_bool(true),
            Some("false") => visitor.visit_bool(false),
            _ => self.deserialize_any(visitor),
        }
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match &self.node.value {
            Value::Text { text, .. } => visitor.visit_str(text),
            _ => self.deserialize_any(visitor),
        }
    }

    /// A relative path that stands in the file starts at the file's folder; one in a `--set` stays as it was typed.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        let is_path = type_name::<V::Value>() == type_name::<PathBuf>();
        match (&self.node.value, &self.node.place) {
            (Value::Text { text, .. }, Place::File(_)) if is_path && !text.is_empty() => {
                let path = self.folder.join(text);
                visitor.visit_str(path.to_str().ok_or_else(|| DeError::custom("the path is not UTF-8"))?)
            }
            _ => self.deserialize_str(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeError> {
        match &self.node.value {
            Value::Text { text, .. } => visitor.visit_enum(serde::de::value::StrDeserializer::new(text)),
            Value::Table(entries) if entries.len() == 1 => {
                visitor.visit_enum(Variant { reader: self, entry: &entries[0] })
            }
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct List<'a> {
    reader: Reader<'a>,
    items: &'a [(usize, Node)],
    next: usize,
}

impl<'de> SeqAccess<'de> for List<'_> {
    type Error = DeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DeError> {
        let Some((index, node)) = self.items.get(self.next) else { return Ok(None) };
        self.next += 1;
        let value = seed.deserialize(self.reader.of(node));
        value.map(Some).map_err(|e| e.inside(Step::Index(*index), node))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

struct Table<'a> {
    reader: Reader<'a>,
    entries: &'a [Entry],
    next: usize,
}

impl<'de> MapAccess<'de> for Table<'_> {
    type Error = DeError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DeError> {
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        let key = seed.deserialize(serde::de::value::StrDeserializer::<DeError>::new(&entry.key));
        key.map(Some).map_err(|e| e.at_key(entry))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DeError> {
        let entry = &self.entries[self.next];
        self.next += 1;
        let value = seed.deserialize(self.reader.of(&entry.node));
        value.map_err(|e| e.inside(Step::Key(entry.key.clone()), &entry.node))
    }
}

/// `name = { … }` as an enum.
struct Variant<'a> {
    reader: Reader<'a>,
    entry: &'a Entry,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = DeError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), DeError> {
        let name = seed.deserialize(serde::de::value::StrDeserializer::<DeError>::new(&self.entry.key));
        name.map_err(|e| e.at_key(self.entry)).map(|v| (v, self))
    }
}

impl Variant<'_> {
    fn inside<T>(&self, value: Result<T, DeError>) -> Result<T, DeError> {
        value.map_err(|e| e.inside(Step::Key(self.entry.key.clone()), &self.entry.node))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = DeError;

    fn unit_variant(self) -> Result<(), DeError> {
        self.inside(Err(DeError::custom("this choice has no settings of its own: write it as a text")))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, DeError> {
        self.inside(seed.deserialize(self.reader.of(&self.entry.node)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DeError> {
        self.inside(self.reader.of(&self.entry.node).deserialize_any(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, DeError> {
        self.inside(self.reader.of(&self.entry.node).deserialize_any(visitor))
    }
}
