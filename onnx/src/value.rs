//! What flows between nodes: tensors mostly, and the sequences and maps that classic machine learning exports.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::tensor::Tensor;

/// A value of a graph; cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// An input that is left out, an optional that is empty.
    #[default]
    Absent,
    Tensor(Arc<Tensor>),
    Sequence(Arc<Vec<Value>>),
    /// One map, such as the input of DictVectorizer.
    Map(Arc<Map>),
    /// A sequence of maps with the same keys, as ZipMap makes it: `values` is `[rows, keys]`.
    Table(Arc<Table>),
}

/// Keys of a map.
#[derive(Clone, Debug, PartialEq)]
pub enum Keys {
    Integers(Vec<i64>),
    Texts(Vec<String>),
}

/// Keys with one value each: `values` is `[keys]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    pub keys: Keys,
    pub values: Tensor,
}

/// See [`Value::Table`].
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub keys: Arc<Keys>,
    pub values: Tensor,
}

/// Outputs of a node.
pub type Values = SmallVec<[Value; 2]>;

impl Keys {
    pub fn len(&self) -> usize {
        match self {
            Keys::Integers(v) => v.len(),
            Keys::Texts(v) => v.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `i`-th key as text.
    pub fn text(&self, i: usize) -> String {
        match self {
            Keys::Integers(v) => v[i].to_string(),
            Keys::Texts(v) => v[i].clone(),
        }
    }
}

impl Value {
    pub fn tensor(&self) -> Option<&Tensor> {
        match self {
            Value::Tensor(t) => Some(t),
            _ => None,
        }
    }

    pub fn is_absent(&self) -> bool {
        matches!(self, Value::Absent)
    }

    /// Numbers or texts in it.
    pub fn elements(&self) -> usize {
        match self {
            Value::Absent => 0,
            Value::Tensor(t) => t.len(),
            Value::Sequence(all) => all.iter().map(Value::elements).sum(),
            Value::Map(map) => map.values.len(),
            Value::Table(table) => table.values.len(),
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Value::Absent => 0,
            Value::Tensor(t) => t.bytes(),
            Value::Sequence(all) => all.iter().map(Value::bytes).sum(),
            Value::Map(map) => map.values.bytes(),
            Value::Table(table) => table.values.bytes(),
        }
    }

    /// What it is, for messages: no contents.
    pub fn kind(&self) -> String {
        match self {
            Value::Absent => "nothing".into(),
            Value::Tensor(t) => format!("{} {}", t.element_type(), crate::tensor::show(t.shape())),
            Value::Sequence(s) => format!("a sequence of {}", s.len()),
            Value::Map(_) => "a map".into(),
            Value::Table(t) => format!("a sequence of {} maps", t.values.shape().first().unwrap_or(&0)),
        }
    }
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Value {
        Value::Tensor(Arc::new(tensor))
    }
}

/// The usual case: a node with one output.
pub fn one(tensor: Tensor) -> Values {
    smallvec::smallvec![Value::from(tensor)]
}
