#!/bin/sh
# Makes a Python environment with the pinned onnx and onnxruntime packages, and the ONNX project's own cases as files.
# Prints its folder. Nothing is done twice: the requirements' text is the key.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
requirements=$root/tests/models/requirements-test.txt
folder=$target/python

if ! cmp -s "$requirements" "$folder/requirements.txt"; then
    rm -rf "$folder"
    mkdir -p "$target"
    python3 -m venv "$folder" >&2
    "$folder/bin/pip" install --quiet --disable-pip-version-check -r "$requirements" >&2
    cp "$requirements" "$folder/requirements.txt"
fi
if [ ! -f "$folder/cases/done" ]; then
    rm -rf "$folder/cases"
    "$folder/bin/python" "$root/tests/models/node_cases.py" "$folder/cases" >&2
    touch "$folder/cases/done"
fi
echo "$folder"
