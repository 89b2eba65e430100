//! A bundle of four nodes whose trouble depends on the record: NaN, infinity, and a look-up that is out of bounds.

use std::fs;
use std::path::PathBuf;

use crate::support::folder::Folder;

const FLOAT: u8 = 1;
const INT64: u8 = 7;
/// What the look-up may find.
const TABLE: [f32; 3] = [10.0, 20.0, 30.0];

const MANIFEST: &str = r#"
name = "trouble"
version = "1"
[input]
tensor = "x"
[[feature]]
field = "a"
type = "number"
missing = "reject"
wrong = "reject"
[[feature]]
field = "b"
type = "number"
missing = "reject"
wrong = "reject"
[[output]]
name = "score"
tensor = "y"
index = 0
kind = "float"
[[output]]
name = "picked"
tensor = "g"
index = 1
kind = "float"
"#;

const GOLDEN: &str = r#"{"event":{"a":1.0,"b":2},"outputs":{"score":0.0,"picked":30.0}}
"#;

/// `score` is the logarithm of `a`, `picked` is entry `b` of a table of three.
pub fn bundle(folder: &Folder) -> PathBuf {
    let path = folder.join("trouble");
    fs::create_dir_all(&path).expect("the test folder takes a folder");
    fs::write(path.join("model.onnx"), onnx()).expect("it takes a file");
    fs::write(path.join("model.toml"), MANIFEST).expect("it takes a file");
    fs::write(path.join("golden.jsonl"), GOLDEN).expect("it takes a file");
    path
}

/// What the table holds at `b`, for `b` in 0, 1, 2.
pub fn picked(b: usize) -> f32 {
    TABLE[b]
}

fn onnx() -> Vec<u8> {
    let nodes = [
        node("Log", &["x"], "y", &[]),
        node("Cast", &["x"], "c", &[attribute("to", INT64)]),
        node("Gather", &["table", "c"], "g", &[attribute("axis", 0)]),
    ];
    let values: Vec<u8> = TABLE.iter().flat_map(|v| v.to_le_bytes()).collect();
    let table =
        [number(1, TABLE.len() as u64), number(2, u64::from(FLOAT)), bytes(8, b"table"), bytes(9, &values)].concat();
    let graph = [
        nodes.map(|n| bytes(1, &n)).concat(),
        bytes(2, b"trouble"),
        bytes(5, &table),
        bytes(11, &value("x")),
        bytes(12, &value("y")),
        bytes(12, &value("g")),
    ]
    .concat();
    [number(1, 8), bytes(7, &graph), bytes(8, &[bytes(1, b""), number(2, 17)].concat())].concat()
}

fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut node: Vec<u8> = inputs.iter().flat_map(|i| bytes(1, i.as_bytes())).collect();
    node.extend([bytes(2, output.as_bytes()), bytes(4, operator.as_bytes())].concat());
    node.extend(attributes.iter().flat_map(|a| bytes(5, a)));
    node
}

fn attribute(name: &str, value: u8) -> Vec<u8> {
    [bytes(1, name.as_bytes()), number(3, u64::from(value)), number(20, 2)].concat()
}

/// A matrix of floats: any number of rows, two columns.
fn value(name: &str) -> Vec<u8> {
    let shape = [bytes(1, &bytes(2, b"n")), bytes(1, &number(1, 2))].concat();
    let tensor = [number(1, u64::from(FLOAT)), bytes(2, &shape)].concat();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
}

/// Fields as Protocol Buffers write them.
fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    out.extend(varint(value.len() as u64));
    out.extend(value);
    out
}

fn number(field: u8, value: u64) -> Vec<u8> {
    let mut out = varint(u64::from(field) << 3);
    out.extend(varint(value));
    out
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = vec![];
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
