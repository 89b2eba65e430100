//! A model whose answer anybody can compute: `score = 3a + 5b + 7c`, exact in 32-bit floats for what is produced.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// A field of a protocol buffer with a length in front.
fn block(field: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    let mut length = body.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(body);
    out
}

fn number(field: u8, value: u8) -> Vec<u8> {
    assert!(value < 0x80, "one byte is enough for all of ours");
    vec![field << 3, value]
}

/// `name: float[n, width]`
fn tensor(name: &str, width: u8) -> Vec<u8> {
    let shape = [block(1, &block(2, b"n")), block(1, &number(1, width))].concat();
    let kind = block(1, &[number(1, 1), block(2, &shape)].concat());
    [block(1, name.as_bytes()), block(2, &kind)].concat()
}

fn onnx() -> Vec<u8> {
    let node = [block(1, b"x"), block(1, b"w"), block(2, b"y"), block(4, b"MatMul")].concat();
    let floats: Vec<u8> = [3.0_f32, 5.0, 7.0].iter().flat_map(|w| w.to_le_bytes()).collect();
    let weights = [number(1, 3), number(1, 1), number(2, 1), block(8, b"w"), block(9, &floats)].concat();
    let graph = [
        block(1, &node),
        block(2, b"known"),
        block(5, &weights),
        block(11, &tensor("x", 3)),
        block(12, &tensor("y", 1)),
    ];
    [number(1, 8), block(7, &graph.concat()), block(8, &number(2, 17))].concat()
}

/// Writes the bundle into `folder`.
pub fn write(folder: &Path) {
    let put = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("the test folder takes a file");
    put("model.onnx", &onnx());
    let mut manifest = "name = \"known\"\nversion = \"1\"\n[input]\ntensor = \"x\"\n".to_owned();
    for field in ["a", "b", "c"] {
        let _ = write!(
            manifest,
            "[[feature]]\nfield = \"{field}\"\ntype = \"number\"\nmissing = \"reject\"\nwrong = \"reject\"\n"
        );
    }
    manifest.push_str("[[output]]\nname = \"score\"\ntensor = \"y\"\nkind = \"float\"\n");
    put("model.toml", manifest.as_bytes());
    let golden = |(a, b, c): (i64, i64, i64)| {
        let score = 3 * a + 5 * b + 7 * c;
        format!("{{\"event\":{{\"a\":{a},\"b\":{b},\"c\":{c}}},\"outputs\":{{\"score\":{score}}}}}\n")
    };
    let lines: String = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (999, 998, 997)].into_iter().map(golden).collect();
    put("golden.jsonl", lines.as_bytes());
}
