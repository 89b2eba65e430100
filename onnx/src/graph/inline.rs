//! Model-local functions are replaced by their bodies, as the specification allows every reader to do.

use std::collections::BTreeMap;
use std::collections::HashMap;

use crate::error::LoadError;
use crate::limits;
use crate::proto::AttributeProto;
use crate::proto::FunctionProto;
use crate::proto::GraphProto;
use crate::proto::NodeProto;
use crate::proto::OperatorSetIdProto;

/// A node with the operator sets that hold where it was written.
pub type Placed = (NodeProto, Versions);

/// Operator set versions by domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Versions(BTreeMap<String, i64>);

/// Version of the default domain for files that declare none (xgboost, catboost write such): their nodes outside
/// `ai.onnx.ml` are Cast, Identity and the like, which read the same in all versions around this one.
const UNDECLARED: i64 = 13;

impl Versions {
    pub fn new(imports: &[OperatorSetIdProto]) -> Versions {
        Versions(imports.iter().map(|o| (domain(&o.domain).to_string(), o.version)).collect())
    }

    /// Version of a domain's operators.
    pub fn of(&self, domain_name: &str) -> i64 {
        let known = self.0.get(domain(domain_name)).copied();
        known.unwrap_or(if domain(domain_name).is_empty() { UNDECLARED } else { 1 })
    }

    fn with(&self, imports: &[OperatorSetIdProto]) -> Versions {
        let mut all = self.clone();
        all.0.extend(Versions::new(imports).0);
        all
    }
}

/// The default domain has two names.
pub fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

/// Replaces calls of functions by their bodies.
pub struct Inliner<'a> {
    functions: HashMap<(&'a str, &'a str, &'a str), &'a FunctionProto>,
    calls: usize,
    nodes: usize,
}

impl<'a> Inliner<'a> {
    pub fn new(functions: &'a [FunctionProto]) -> Inliner<'a> {
        let by_key = functions.iter().map(|f| ((domain(&f.domain), f.name.as_str(), f.overload.as_str()), f));
        Inliner { functions: by_key.collect(), calls: 0, nodes: 0 }
    }

    /// # Errors
    /// If functions call each other without end, or the graph grows past [`limits::NODES`].
    pub fn expand(&mut self, nodes: &[NodeProto], versions: &Versions) -> Result<Vec<Placed>, LoadError> {
        let mut out = vec![];
        for node in nodes {
            self.node(node.clone(), versions, 0, &mut out)?;
        }
        Ok(out)
    }

    fn node(
        &mut self,
        node: NodeProto,
        versions: &Versions,
        depth: usize,
        out: &mut Vec<Placed>,
    ) -> Result<(), LoadError> {
        self.nodes += 1;
        if self.nodes > limits::NODES {
            return Err(LoadError::Refused(format!("the graph has more than {} nodes", limits::NODES)));
        }
        let key = (domain(&node.domain), node.op_type.as_str(), node.overload.as_str());
        let Some(function) = self.functions.get(&key).copied() else {
            out.push((node, versions.clone()));
            return Ok(());
        };
        if depth >= limits::DEPTH {
            return Err(LoadError::Broken(format!("function `{}` calls itself without end", node.op_type)));
        }
        self.calls += 1;
        let call = Call::new(self.calls, function, &node);
        let versions = versions.with(&function.opset_import);
        for inner in &function.node {
            let mut inner = inner.clone();
            call.rewrite_node(&mut inner, 0)?;
            self.node(inner, &versions, depth + 1, out)?;
        }
        Ok(())
    }
}

/// One use of a function: what its names and attributes stand for.
struct Call<'a> {
    prefix: String,
    names: HashMap<&'a str, &'a str>,
    attributes: HashMap<&'a str, &'a AttributeProto>,
}

impl<'a> Call<'a> {
    fn new(number: usize, function: &'a FunctionProto, node: &'a NodeProto) -> Call<'a> {
        let mut names = HashMap::new();
        for (i, inner) in function.input.iter().enumerate() {
            names.insert(inner.as_str(), node.input.get(i).map_or("", String::as_str));
        }
        for (i, inner) in function.output.iter().enumerate() {
            if let Some(outer) = node.output.get(i).filter(|o| !o.is_empty()) {
                names.insert(inner.as_str(), outer.as_str());
            }
        }
        let defaults = function.attribute_proto.iter();
        let attributes = defaults.chain(&node.attribute).map(|a| (a.name.as_str(), a)).collect();
        Call { prefix: format!("{}#{number}/", function.name), names, attributes }
    }

    fn rename(&self, name: &mut String) {
        if name.is_empty() {
            return;
        }
        *name = match self.names.get(name.as_str()) {
            Some(outer) => (*outer).to_string(),
            None => format!("{}{name}", self.prefix),
        };
    }

    fn rewrite_node(&self, node: &mut NodeProto, depth: usize) -> Result<(), LoadError> {
        if depth > limits::DEPTH {
            return Err(LoadError::Broken("subgraphs are nested without end".into()));
        }
        node.input.iter_mut().chain(&mut node.output).for_each(|n| self.rename(n));
        node.name = format!("{}{}", self.prefix, node.name);
        let mut kept = vec![];
        for mut attribute in std::mem::take(&mut node.attribute) {
            if !attribute.ref_attr_name.is_empty() {
                // one that the call leaves out and that has no default is left out here too
                let Some(given) = self.attributes.get(attribute.ref_attr_name.as_str()) else { continue };
                attribute = AttributeProto { name: attribute.name, ..(*given).clone() };
                kept.push(attribute);
                continue;
            }
            for graph in attribute.g.iter_mut().map(|g| &mut **g).chain(&mut attribute.graphs) {
                self.rewrite_graph(graph, depth + 1)?;
            }
            kept.push(attribute);
        }
        node.attribute = kept;
        Ok(())
    }

    fn rewrite_graph(&self, graph: &mut GraphProto, depth: usize) -> Result<(), LoadError> {
        for port in graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info) {
            self.rename(&mut port.name);
        }
        graph.initializer.iter_mut().for_each(|t| self.rename(&mut t.name));
        graph.sparse_initializer.iter_mut().filter_map(|t| t.values.as_mut()).for_each(|t| self.rename(&mut t.name));
        graph.node.iter_mut().try_for_each(|n| self.rewrite_node(n, depth))
    }
}
