#!/bin/sh
# Builds an example for a bench and prints the program's path.
set -eu
cd "$(dirname "$0")/.."

# incremental builds are cut into other pieces, and so are inlined differently
CARGO_INCREMENTAL=0 cargo build --quiet --workspace --features onnxruntime --config bench/optimised.toml --example "$1" >&2
echo "${CARGO_TARGET_DIR:-$PWD/target}/debug/examples/$1"
