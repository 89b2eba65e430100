#!/bin/bash
# Counts the instructions of fixed work and compares them with bench/guard.txt: more than 3 % above is a failure.
# With --update the counts are written there.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-$PWD/target}
baseline=bench/guard.txt
tolerance=3
cargo build --quiet --release --example bench_guard

counted=$(mktemp)
trap 'rm -f "$counted"' EXIT
for work in decode decode-plain encode ledger trees; do
    count=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null '--toggle-collect=*bench_guard::guarded*' \
        "$target/release/examples/bench_guard" "$work" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p')
    [ "${count:-0}" -gt 0 ] || { echo "bench-guard: nothing was counted for $work" >&2; exit 1; }
    echo "$work $count" >>"$counted"
done
if [ "${1:-}" = --update ]; then
    cp "$counted" "$baseline"
    cat "$baseline"
    exit
fi
awk -v tolerance=$tolerance '
    NR == FNR { was[$1] = $2; next }
    !($1 in was) { printf "%-14s %12d  no baseline\n", $1, $2; bad = 1; next }
    {
        change = ($2 / was[$1] - 1) * 100
        verdict = change > tolerance ? "WORSE" : change < -tolerance ? "better: run scripts/bench-guard.sh --update" : "as before"
        printf "%-14s %12d %+6.2f %%  %s\n", $1, $2, change, verdict
        bad = bad || change > tolerance
    }
    END { exit bad }
' "$baseline" "$counted"
