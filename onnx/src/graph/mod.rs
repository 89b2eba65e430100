//! A graph as the rest of the crate sees it: names resolved, functions inlined, weights read, operator versions known.

pub mod attributes;
pub mod convert;
mod double_pairs;
mod float_operands;
pub mod half;
mod half_folding;
mod half_rounding;
pub mod inline;
pub mod narrow;
mod passing;
pub mod quantised;
mod quantised_rules;
mod ranks;
mod weights_alone;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::graph::attributes::Attributes;
use crate::tensor::ElementType;
use crate::tensor::Tensor;

/// A graph, or a subgraph of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    pub name: String,
    /// What a caller feeds: inputs that are no constants.
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    /// In an order in which every value is made before it is used.
    pub nodes: Vec<Node>,
    pub constants: BTreeMap<String, Arc<Tensor>>,
    /// Types that the exporter noted for values inside, by name.
    pub noted: BTreeMap<String, Kind>,
}

/// A named input or output.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    pub name: String,
    pub kind: Kind,
}

/// Declared type of a value.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Kind {
    #[default]
    Unknown,
    /// `shape` is `None` if even the rank is not declared.
    Tensor {
        element_type: Option<ElementType>,
        shape: Option<Vec<Dim>>,
    },
    Sequence(Box<Kind>),
    Map {
        key: ElementType,
        value: Box<Kind>,
    },
    Optional(Box<Kind>),
}

/// Declared length of an axis.
#[derive(Clone, Debug, PartialEq)]
pub enum Dim {
    Fixed(usize),
    Named(String),
    Unknown,
}

/// An operator with the names of the values that it reads and makes; "" stands for one that is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// "" for the default domain.
    pub domain: String,
    pub op_type: String,
    pub name: String,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub attributes: Attributes,
    /// Version of the operator set.
    pub version: i64,
}

impl Node {
    /// As in messages and tables: `TopK`, `ai.onnx.ml:Scaler`.
    pub fn operator(&self) -> String {
        if self.domain.is_empty() { self.op_type.clone() } else { format!("{}:{}", self.domain, self.op_type) }
    }

    /// The node's name, or what it makes.
    pub fn title(&self) -> String {
        if self.name.is_empty() { self.outputs.first().cloned().unwrap_or_default() } else { self.name.clone() }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(n) => write!(f, "{n}"),
            Dim::Named(name) => f.write_str(name),
            Dim::Unknown => f.write_str("?"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Unknown => f.write_str("unknown"),
            Kind::Tensor { element_type, shape } => {
                match element_type {
                    Some(t) => write!(f, "{t}")?,
                    None => f.write_str("unknown")?,
                }
                match shape {
                    Some(dims) => {
                        let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
                        write!(f, "[{}]", dims.join(", "))
                    }
                    None => f.write_str("[...]"),
                }
            }
            Kind::Sequence(inner) => write!(f, "sequence({inner})"),
            Kind::Map { key, value } => write!(f, "map({key}, {value})"),
            Kind::Optional(inner) => write!(f, "optional({inner})"),
        }
    }
}
