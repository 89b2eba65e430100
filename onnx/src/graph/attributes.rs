//! Attributes of a node, read with their types and defaults.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::OpError;
use crate::graph::Graph;
use crate::graph::Kind;
use crate::tensor::Tensor;

/// One attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    Float(f32),
    Int(i64),
    Text(Vec<u8>),
    Tensor(Arc<Tensor>),
    Graph(Arc<Graph>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Texts(Vec<Vec<u8>>),
    Tensors(Vec<Arc<Tensor>>),
    Graphs(Vec<Arc<Graph>>),
    Kind(Kind),
    /// Types that no known operator reads.
    Other,
}

/// All attributes of a node by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(pub BTreeMap<String, Attribute>);

impl Attributes {
    pub fn get(&self, name: &str) -> Option<&Attribute> {
        self.0.get(name)
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// # Errors
    /// If it is there with another type; so with all that follow.
    pub fn int(&self, name: &str) -> Result<Option<i64>, OpError> {
        match self.get(name) {
            None => Ok(None),
            Some(Attribute::Int(v)) => Ok(Some(*v)),
            Some(_) => Err(mistyped(name, "a whole number")),
        }
    }

    pub fn int_or(&self, name: &str, otherwise: i64) -> Result<i64, OpError> {
        Ok(self.int(name)?.unwrap_or(otherwise))
    }

    /// A flag: any number but 0.
    pub fn flag(&self, name: &str, otherwise: bool) -> Result<bool, OpError> {
        Ok(self.int(name)?.map_or(otherwise, |v| v != 0))
    }

    pub fn float(&self, name: &str) -> Result<Option<f32>, OpError> {
        match self.get(name) {
            None => Ok(None),
            Some(Attribute::Float(v)) => Ok(Some(*v)),
            Some(_) => Err(mistyped(name, "a float")),
        }
    }

    pub fn float_or(&self, name: &str, otherwise: f32) -> Result<f32, OpError> {
        Ok(self.float(name)?.unwrap_or(otherwise))
    }

    pub fn text(&self, name: &str) -> Result<Option<&str>, OpError> {
        match self.get(name) {
            None => Ok(None),
            Some(Attribute::Text(v)) => utf8(name, v).map(Some),
            Some(_) => Err(mistyped(name, "a text")),
        }
    }

    pub fn text_or<'a>(&'a self, name: &str, otherwise: &'a str) -> Result<&'a str, OpError> {
        Ok(self.text(name)?.unwrap_or(otherwise))
    }

    pub fn ints(&self, name: &str) -> Result<Option<&[i64]>, OpError> {
        match self.get(name) {
            None => Ok(None),
            Some(Attribute::Ints(v)) => Ok(Some(v)),
            Some(_) => Err(mistyped(name, "whole numbers")),
        }
    }

    pub fn floats(&self, name: &str) -> Result<Option<&[f32]>, OpError> {
        match self.get(name) {
            None => Ok(None),
            Some(Attribute::Floats(v)) => Ok(Some(v)),
            Some(_) => Err(mistyped(name, "floats")),
        }
    }

    pub fn texts(&self, name: &str) -> Result<Option<Vec<String>>, OpError> {
        match self.get(name) {
            None => Ok(None),
            Some(Attribute::Texts(v)) => {
                v.iter().map(|t| utf8(name, t).map(String::from)).collect::<Result<_, _>>().map(Some)
            }
            Some(_) => Err(mistyped(name, "texts")),
        }
    }

    pub fn tensor(&self, name: &str) -> Result<Option<&Arc<Tensor>>, OpError> {
        match self.get(name) {
            None => Ok(None),
            Some(Attribute::Tensor(v)) => Ok(Some(v)),
            Some(_) => Err(mistyped(name, "a tensor")),
        }
    }

    pub fn graph(&self, name: &str) -> Result<Option<&Arc<Graph>>, OpError> {
        match self.get(name) {
            None => Ok(None),
            Some(Attribute::Graph(v)) => Ok(Some(v)),
            Some(_) => Err(mistyped(name, "a graph")),
        }
    }

    /// Every subgraph.
    pub fn graphs(&self) -> impl Iterator<Item = &Arc<Graph>> {
        self.0.values().flat_map(|a| match a {
            Attribute::Graph(g) => std::slice::from_ref(g),
            Attribute::Graphs(all) => all,
            _ => &[],
        })
    }
}

/// What a required attribute says when it is not there: `attributes.ints("axes")?.ok_or_else(|| missing("axes"))`.
pub fn missing(name: &str) -> OpError {
    OpError::bad(format!("attribute `{name}` is missing"))
}

fn mistyped(name: &str, wanted: &str) -> OpError {
    OpError::bad(format!("attribute `{name}` must be {wanted}"))
}

fn utf8<'a>(name: &str, text: &'a [u8]) -> Result<&'a str, OpError> {
    std::str::from_utf8(text).map_err(|_| OpError::bad(format!("attribute `{name}` is not UTF-8")))
}
