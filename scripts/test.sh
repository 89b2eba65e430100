#!/bin/bash
# Runs every check and every test, says what was left out, and ends with "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

log=$(mktemp)
trap 'rm -f "$log" "$log.beside"' EXIT
broken=()

step() { # step NAME COMMAND...: what fails is counted, and the next step runs all the same
    local name=$1
    shift
    echo "== $name"
    "$@" || broken+=("$name")
}

python() { # the reference runtime and the ONNX project's cases
    local folder
    folder=$(scripts/python.sh) || return 1
    export TIDEMILL_NODE_CASES=$folder/cases
    ORT_DYLIB_PATH=$(find "$folder" -name 'libonnxruntime.so.*' | head -n 1)
    export ORT_DYLIB_PATH TIDEMILL_PYTHON=$folder/bin/python
}

# These only compute: they run beside the others, which mostly wait for servers, and give way to them.
computing=" simulation fuzz broken corpus node_cases trees "

tests() {
    # Colours would hide the lines that are counted below.
    # With the planted bugs compiled in (and off), one build serves the tests that must see them too.
    local cargo=(cargo --color never test --workspace --features mutants,onnxruntime --no-fail-fast)
    local file name beside first=() second=()
    for file in tests/*.rs tests/*/main.rs onnx/tests/*.rs; do
        name=$(basename "${file%/main.rs}" .rs)
        if [[ $computing == *" $name "* ]]; then second+=(--test "$name"); else first+=(--test "$name"); fi
    done
    "${cargo[@]}" --no-run || return 1
    nice -n 15 "${cargo[@]}" "${second[@]}" >"$log.beside" 2>&1 &
    beside=$!
    "${cargo[@]}" --lib --bins "${first[@]}" 2>&1 | tee "$log"
    local failed=$?
    wait "$beside" || failed=1
    tee -a "$log" <"$log.beside"
    return "$failed"
}

step "formatting: cargo fmt --check" cargo fmt --all --check
step "lints: cargo clippy" cargo clippy --workspace --all-targets --features mutants,onnxruntime -- -D warnings
step "the Kafka broker's jars" scripts/kafka-jars.sh
step "onnxruntime and ONNX's own cases" python
step "tests: cargo test" tests

read -r passed failed left_out < <(awk '
    /^test result: / {
        for (i = 1; i < NF; i++) {
            if ($(i + 1) == "passed;") p += $i
            if ($(i + 1) == "failed;") f += $i
            if ($(i + 1) == "ignored;") l += $i
        }
    }
    END { print p + 0, f + 0, l + 0 }' "$log")

echo
for name in "${broken[@]}"; do
    echo "failed: $name"
    # The failed tests are counted one by one; a step, or a test program that never came to its result, counts as one.
    if [[ $name != tests:* || $failed -eq 0 ]]; then
        failed=$((failed + 1))
    fi
done
sed -n 's/^test \(.*\) \.\.\. FAILED$/failed: \1/p' "$log"
sed -n 's/^test \(.*\) \.\.\. ignored/left out: \1/p' "$log"
[[ $left_out -gt 0 ]] || echo "left out: nothing"
echo "$passed passed, $failed failed"
[[ $failed -eq 0 && ${#broken[@]} -eq 0 ]]
