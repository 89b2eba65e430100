//! Joins neighbours that tract can run to segments.
//!
//! The nodes are in an order in which values are made before they are used, so any consecutive ones can become one step.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

use crate::error::LoadError;
use crate::graph::Graph;
use crate::graph::Port;
use crate::graph::convert::reads;
use crate::program::Program;
use crate::program::Source;
use crate::program::Step;
use crate::program::compile::Planned;
use crate::program::fuse;
use crate::registry::By;
use crate::segment::Segment;
use crate::segment::plan::Nodes;
use crate::tensor::Tensor;

/// Where a name is read last; outputs of the graph are read after the end.
type LastRead = HashMap<String, usize>;

/// Makes the steps of all nodes; `outputs` are read by the caller.
///
/// # Errors
/// If a node has no kernel and is not given to tract.
pub(crate) fn steps(planned: Vec<Planned>, outputs: &[Port]) -> Result<Vec<Step>, LoadError> {
    let mut last = LastRead::new();
    let mut readers = fuse::Readers::new();
    for (i, planned) in planned.iter().enumerate() {
        for name in reads(&planned.node) {
            *readers.entry(name.clone()).or_default() += 1;
            last.insert(name, i);
        }
    }
    for port in outputs {
        *readers.entry(port.name.clone()).or_default() += 1;
    }
    last.extend(outputs.iter().map(|p| (p.name.clone(), usize::MAX)));
    let mut steps = vec![];
    let mut rest = planned.into_iter().peekable();
    let mut own = vec![];
    let mut at = 0;
    while let Some(first) = rest.next() {
        let mut run = vec![first];
        while let Some(next) = rest.next_if(|n| run[0].tract && n.tract && n.node.version == run[0].node.version) {
            run.push(next);
        }
        at += run.len();
        if run[0].tract && run.iter().any(|p| p.kernel.is_err() || matches!(p.by, By::Tract | By::TractThenOwn)) {
            steps.append(&mut singles(std::mem::take(&mut own), &readers)?);
            steps.push(segment(run, &last, at));
        } else {
            own.extend(run);
        }
    }
    steps.append(&mut singles(own, &readers)?);
    Ok(steps)
}

/// A step for each node of our own, after neighbours were fused.
fn singles(planned: Vec<Planned>, readers: &fuse::Readers) -> Result<Vec<Step>, LoadError> {
    fuse::fuse(planned, readers).into_iter().map(single).collect()
}

fn single(planned: Planned) -> Result<Step, LoadError> {
    Ok(Step {
        operator: planned.node.operator(),
        node: planned.node.title(),
        kernel: planned.kernel?,
        inputs: planned.inputs,
        outputs: planned.outputs,
    })
}

/// One step for `run`, whose nodes end before position `end`.
fn segment(run: Vec<Planned>, last: &LastRead, end: usize) -> Step {
    let made: BTreeSet<&str> = run.iter().flat_map(|p| &p.node.outputs).map(String::as_str).collect();
    let mut constants: BTreeMap<String, Arc<Tensor>> = BTreeMap::new();
    let mut inputs: Vec<(String, Source)> = vec![];
    for planned in &run {
        for (name, source) in planned.node.inputs.iter().zip(&planned.inputs) {
            match source {
                Source::Constant(t) => {
                    constants.insert(name.clone(), t.clone());
                }
                Source::Slot(_) | Source::Last(_)
                    if !made.contains(name.as_str()) && !inputs.iter().any(|(n, _)| n == name) =>
                {
                    inputs.push((name.clone(), source.clone()));
                }
                _ => {}
            }
        }
    }
    let mut outputs: Vec<(String, Option<usize>)> = vec![];
    for planned in &run {
        for (name, slot) in planned.node.outputs.iter().zip(&planned.outputs) {
            if last.get(name).is_some_and(|at| *at >= end) {
                outputs.push((name.clone(), *slot));
            }
        }
    }
    let operator = format!("{} nodes in tract", run.len());
    let node = run.first().map(|p| p.node.title()).unwrap_or_default();
    let all_own = run.iter().all(|p| p.kernel.is_ok());
    let port = |name: &String| Port { name: name.clone(), kind: Default::default() };
    let graph = Graph {
        inputs: inputs.iter().map(|(name, _)| port(name)).collect(),
        outputs: outputs.iter().map(|(name, _)| port(name)).collect(),
        nodes: run.into_iter().map(|p| p.node).collect(),
        constants,
        ..Graph::default()
    };
    // kernels are built again, as a program of their own: what is rare needs no cleverer way
    let own = if all_own { Program::compile_own(&graph, &graph.outputs).ok() } else { None };
    let nodes = Nodes {
        inputs: graph.inputs.iter().map(|p| p.name.clone()).collect(),
        outputs: graph.outputs.iter().map(|p| p.name.clone()).collect(),
        nodes: graph.nodes,
        constants: graph.constants.into_iter().collect(),
    };
    Step {
        kernel: Box::new(Segment::new(nodes, own)),
        operator,
        node,
        inputs: inputs.into_iter().map(|(_, source)| source).collect(),
        outputs: outputs.into_iter().map(|(_, slot)| slot).collect(),
    }
}
