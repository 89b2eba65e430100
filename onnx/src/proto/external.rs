//! Names of the other files that a model's weights lie in.

use std::collections::BTreeSet;

use crate::proto::AttributeProto;
use crate::proto::GraphProto;
use crate::proto::ModelProto;
use crate::proto::NodeProto;
use crate::proto::SparseTensorProto;
use crate::proto::TensorProto;

/// Places of external data as the file writes them, each once; nothing is checked here.
pub fn files(model: &ModelProto) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    model.graph.iter().for_each(|g| graph(g, &mut out));
    model.functions.iter().flat_map(|f| &f.node).for_each(|n| node(n, &mut out));
    out
}

// the reader of messages bounds the nesting
fn graph(graph: &GraphProto, out: &mut BTreeSet<String>) {
    graph.initializer.iter().for_each(|t| tensor(t, out));
    graph.sparse_initializer.iter().for_each(|t| sparse(t, out));
    graph.node.iter().for_each(|n| node(n, out));
}

fn node(node: &NodeProto, out: &mut BTreeSet<String>) {
    node.attribute.iter().for_each(|a| attribute(a, out));
}

fn attribute(attribute: &AttributeProto, out: &mut BTreeSet<String>) {
    attribute.t.iter().chain(&attribute.tensors).for_each(|t| tensor(t, out));
    attribute.sparse_tensor.iter().for_each(|t| sparse(t, out));
    attribute.g.iter().for_each(|g| graph(g, out));
    attribute.graphs.iter().for_each(|g| graph(g, out));
}

fn sparse(sparse: &SparseTensorProto, out: &mut BTreeSet<String>) {
    sparse.values.iter().chain(&sparse.indices).for_each(|t| tensor(t, out));
}

fn tensor(tensor: &TensorProto, out: &mut BTreeSet<String>) {
    if tensor.data_location == 1 {
        out.extend(tensor.external_data.iter().filter(|e| e.key == "location").map(|e| e.value.clone()));
    }
}
