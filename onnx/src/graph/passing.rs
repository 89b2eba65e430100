//! Takes nodes out that make a value which is there already.

use std::collections::HashMap;
use std::collections::HashSet;

use crate::graph::Graph;
use crate::graph::Node;
use crate::graph::convert::reads;
use crate::graph::half::rename;

/// Asks `same` of each node, in order, for the value that its only output makes once more, and lets all readers read that one.
/// Nodes that make an output of the graph are asked as well, and stay.
pub fn take_out(graph: &mut Graph, mut same: impl FnMut(&Graph, &Node) -> Option<String>) {
    let outputs: HashSet<String> = graph.outputs.iter().map(|p| p.name.clone()).collect();
    let mut renamed: HashMap<String, String> = HashMap::new();
    for mut node in std::mem::take(&mut graph.nodes) {
        for name in reads(&node) {
            if let Some(to) = renamed.get(&name) {
                rename(std::slice::from_mut(&mut node), &name, to);
            }
        }
        let made = match node.outputs.as_slice() {
            [output, more @ ..] if more.iter().all(String::is_empty) => {
                same(graph, &node).filter(|_| !outputs.contains(output)).map(|to| (output.clone(), to))
            }
            _ => None,
        };
        match made {
            Some((output, to)) => {
                renamed.insert(output, to);
            }
            None => graph.nodes.push(node),
        }
    }
}
