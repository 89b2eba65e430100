//! The deserialiser's error: structured, so that a suggestion can be made and the wrong key be set aside for the next round.

use std::fmt;

use serde::de::Expected;
use serde::de::Unexpected;

use super::error::suggest;
use super::place::Place;
use super::place::Step;
use super::place::show;
use super::tree::Entry;
use super::tree::Node;
use super::tree::Value;

#[derive(Debug)]
pub struct DeError {
    pub kind: Kind,
    pub path: Vec<Step>,
    pub place: Option<Place>,
}

#[derive(Debug)]
pub enum Kind {
    UnknownKey { key: String, expected: &'static [&'static str] },
    UnknownChoice { choice: String, expected: &'static [&'static str] },
    Missing(&'static str),
    Other(String),
}

impl DeError {
    fn new(kind: Kind) -> DeError {
        DeError { kind, path: Vec::new(), place: None }
    }

    /// The error came from reading `node`, which stands under `step`.
    pub fn inside(mut self, step: Step, node: &Node) -> DeError {
        if self.place.is_none() {
            self.settle(node);
        }
        self.path.insert(0, step);
        self
    }

    /// The error came from the key itself.
    pub fn at_key(mut self, entry: &Entry) -> DeError {
        self.path.insert(0, Step::Key(entry.key.clone()));
        self.place = Some(entry.at.clone());
        self
    }

    /// Finds the place in the node that was read. An internally tagged table is read through a buffer without places,
    /// so an unknown key or choice is looked for among its entries.
    pub fn settle(&mut self, node: &Node) {
        self.place = Some(node.place.clone());
        let Value::Table(entries) = &node.value else { return };
        let found = entries.iter().find(|e| match (&self.kind, &e.node.value) {
            (Kind::UnknownKey { key, .. }, _) => e.key == *key,
            (Kind::UnknownChoice { choice, .. }, Value::Text { text, .. }) => text == choice,
            _ => false,
        });
        if let Some(entry) = found {
            let is_key = matches!(self.kind, Kind::UnknownKey { .. });
            self.place = Some(if is_key { entry.at.clone() } else { entry.node.place.clone() });
            self.path.push(Step::Key(entry.key.clone()));
        }
    }

    /// The path that the finding is about: for a missing key, the key itself.
    pub fn subject(&self) -> String {
        match &self.kind {
            Kind::Missing(field) => {
                let mut path = self.path.clone();
                path.push(Step::Key((*field).to_owned()));
                show(&path)
            }
            _ => show(&self.path),
        }
    }
}

impl fmt::Display for DeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::UnknownKey { key, expected } => write!(f, "unknown key `{key}`{}", suggest(key, expected)),
            Kind::UnknownChoice { choice, expected } => {
                write!(f, "unknown choice `{choice}`{}", suggest(choice, expected))
            }
            Kind::Missing(field) => write!(f, "key `{field}` is missing"),
            Kind::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for DeError {}

/// The kind of value that was found; a text is not repeated, it may be a secret.
fn found(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Str(_) | Unexpected::Bytes(_) => "a text".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Unit => "null".to_owned(),
        other => other.to_string(),
    }
}

impl serde::de::Error for DeError {
    fn custom<T: fmt::Display>(message: T) -> DeError {
        DeError::new(Kind::Other(message.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> DeError {
        DeError::new(Kind::Other(format!("expected {expected}, found {}", found(unexpected))))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> DeError {
        DeError::new(Kind::Other(format!("expected {expected}, found {}", found(unexpected))))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> DeError {
        DeError::new(Kind::UnknownKey { key: field.to_owned(), expected })
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> DeError {
        DeError::new(Kind::UnknownChoice { choice: variant.to_owned(), expected })
    }

    fn missing_field(field: &'static str) -> DeError {
        DeError::new(Kind::Missing(field))
    }
}
