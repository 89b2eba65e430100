//! Which operator is run by what: the one table that loading, the documentation and the tests read.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::kernel::Builder;
use crate::ops;

/// Who computes an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A kernel of this crate.
    Own,
    /// tract, as part of a segment of nodes.
    Tract,
    /// tract, where it takes the node; else a kernel of this crate.
    TractThenOwn,
    /// A kernel of this crate; beside nodes that tract computes, tract computes this one too.
    OwnOrTract,
}

/// An operator of the table.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    /// "" for the default domain.
    pub domain: &'static str,
    pub name: &'static str,
    pub by: By,
    pub build: Option<Builder>,
    /// What is not done, or how; empty if all of the specification is.
    pub note: &'static str,
}

/// Domain of classic machine learning.
pub const ML: &str = "ai.onnx.ml";
/// Domain of Microsoft's operators, which onnxruntime's own tools write.
pub const MICROSOFT: &str = "com.microsoft";

impl Operator {
    /// Of the default domain, by a kernel of this crate alone.
    pub const fn own(name: &'static str, build: Builder) -> Operator {
        Operator { domain: "", name, by: By::Own, build: Some(build), note: "" }
    }

    /// Of the default domain; tract computes it too when it stands beside nodes that tract computes.
    pub const fn shared(name: &'static str, build: Builder) -> Operator {
        Operator { domain: "", name, by: By::OwnOrTract, build: Some(build), note: "" }
    }

    /// Of the default domain, by tract alone.
    pub const fn tract(name: &'static str) -> Operator {
        Operator { domain: "", name, by: By::Tract, build: None, note: "" }
    }

    /// Of the default domain, by tract where it can, else by a kernel of this crate.
    pub const fn heavy(name: &'static str, build: Builder) -> Operator {
        Operator { domain: "", name, by: By::TractThenOwn, build: Some(build), note: "" }
    }

    pub const fn of(self, domain: &'static str) -> Operator {
        Operator { domain, ..self }
    }

    pub const fn note(self, note: &'static str) -> Operator {
        Operator { note, ..self }
    }
}

/// Operators by domain, then by name.
pub type Operators = BTreeMap<&'static str, BTreeMap<&'static str, Operator>>;

/// All operators.
///
/// # Panics
/// If the table holds an operator twice, which any test shows.
pub fn operators() -> &'static Operators {
    static ALL: OnceLock<Operators> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all = Operators::new();
        for operator in ops::FAMILIES.iter().copied().flatten() {
            let before = all.entry(operator.domain).or_default().insert(operator.name, *operator);
            assert!(before.is_none(), "{} is registered twice", operator.name);
        }
        all
    })
}

/// An operator by its domain and name.
pub fn find(domain: &str, name: &str) -> Option<&'static Operator> {
    operators().get(domain)?.get(name)
}
