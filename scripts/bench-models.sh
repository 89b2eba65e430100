#!/bin/bash
# Makes models, builds the bench, and prints its table: onnxruntime and Tidemill in turn, one thread each.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-$PWD/target}
python=$target/python-models
requirements=tests/models/requirements.txt
if ! cmp -s "$requirements" "$python/requirements.txt"; then
    rm -rf "$python"
    python3 -m venv "$python"
    "$python/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$python/requirements.txt"
fi
models=$target/bench-models
[ -f "$models/done-$1" ] || { "$python/bin/python" onnx/bench/models.py "$models" "$1" && touch "$models/done-$1"; }

cargo build --quiet --release -p tidemill-onnx --features onnxruntime --example bench_models
ORT_DYLIB_PATH=$(find "$python" -name 'libonnxruntime.so.*' | head -n 1)
export ORT_DYLIB_PATH
shift
exec "$target/release/examples/bench_models" "$models"/*.onnx "$@"
