use std::collections::BTreeMap;
use std::sync::Arc;

use crate::graph::Graph;
use crate::graph::Kind;
use crate::graph::Node;
use crate::graph::Port;
use crate::graph::attributes::Attribute;
use crate::graph::attributes::Attributes;
use crate::program::Program;
use crate::program::State;
use crate::tensor::Tensor;
use crate::value::Value;

fn ports(names: &[&str]) -> Vec<Port> {
    names.iter().map(|n| Port { name: n.to_string(), kind: Kind::Unknown }).collect()
}

fn node(op_type: &str, inputs: &[&str], outputs: &[&str], body: Option<Graph>) -> Node {
    let names = |all: &[&str]| all.iter().map(ToString::to_string).collect();
    let attributes = body.map(|g| ("body".to_string(), Attribute::Graph(Arc::new(g)))).into_iter().collect();
    Node {
        op_type: op_type.into(),
        inputs: names(inputs),
        outputs: names(outputs),
        attributes: Attributes(attributes),
        version: 16,
        ..Default::default()
    }
}

/// Hands its state on, joins it with a value from around, and collects it.
fn body(inner: Option<Node>) -> Graph {
    let mut nodes = vec![node("Identity", &["going"], &["still"], None)];
    nodes.push(node("Concat", &["state", "around"], &["next"], None));
    nodes[1].attributes.0.insert("axis".into(), Attribute::Int(0));
    nodes.extend(inner);
    Graph {
        inputs: ports(&["turn", "going", "state"]),
        outputs: ports(&["still", "next", "turn"]),
        nodes,
        ..Default::default()
    }
}

fn run(turns: i64, body: Graph) -> Result<Vec<Value>, String> {
    let graph = Graph {
        inputs: ports(&["turns", "going", "first", "around"]),
        outputs: ports(&["last", "all"]),
        nodes: vec![node("Loop", &["turns", "going", "first"], &["last", "all"], Some(body))],
        constants: BTreeMap::new(),
        ..Default::default()
    };
    let program = Program::compile_own(&graph, &graph.outputs).map_err(|e| e.to_string())?;
    let first = Tensor::vector(Vec::<i64>::new());
    let inputs = vec![
        Tensor::scalar(turns).into(),
        Tensor::scalar(true).into(),
        first.into(),
        Tensor::vector(vec![7i64]).into(),
    ];
    program.run(&mut State::default(), inputs).map_err(|e| e.to_string())
}

#[test]
fn turns_hand_on_and_collect() {
    let out = run(3, body(None)).unwrap();
    assert_eq!(out[0], Tensor::vector(vec![7i64; 3]).into());
    assert_eq!(out[1], Tensor::vector(vec![0i64, 1, 2]).into());
    let out = run(-1, body(None)).unwrap();
    assert_eq!(out[1].tensor().unwrap().shape(), [0]);
}

#[test]
fn endless_loops_end() {
    let mut idle = body(None);
    idle.nodes[1] = node("Identity", &["state"], &["next"], None);
    let nested = node("Loop", &["turn", "going", "state"], &["unused", "also"], Some(idle.clone()));
    let mut outer = body(Some(nested));
    outer.outputs[1].name = "unused".into();
    for body in [idle, body(None), outer] {
        let error = run(i64::MAX, body).unwrap_err();
        assert!(error.contains("did not end"), "{error}");
    }
}
