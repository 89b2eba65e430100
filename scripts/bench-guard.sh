#!/bin/bash
# Counts the instructions of fixed work and compares them with bench/guard.txt: more than 3 % above is a failure.
# With --update the counts are written there.
set -euo pipefail
cd "$(dirname "$0")/.."

baseline=bench/guard.txt
tolerance=3
program=$(scripts/bench-build.sh bench_guard)
compiler=$(rustc --version | cut -d' ' -f1,2)

counted=$(mktemp)
trap 'rm -f "$counted"' EXIT
for work in decode decode-plain decode-shuffled encode ledger trees; do
    count=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null '--toggle-collect=*bench_guard::guarded*' \
        "$program" "$work" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p')
    [ "${count:-0}" -gt 0 ] || { echo "bench-guard: nothing was counted for $work" >&2; exit 1; }
    echo "$work $count" >>"$counted"
done
if [ "${1:-}" = --update ]; then
    { echo "# $compiler; scripts/bench-guard.sh --update writes this"; cat "$counted"; } >"$baseline"
    cat "$baseline"
    exit
fi
grep -qF "# $compiler;" "$baseline" ||
    echo "bench-guard: the baselines are of another compiler ($(sed -n 's/^# \([^;]*\);.*/\1/p' "$baseline")), this is $compiler" >&2
awk -v tolerance=$tolerance '
    /^#/ { next }
    NR == FNR { was[$1] = $2; next }
    !($1 in was) { printf "%-16s %12d  no baseline\n", $1, $2; bad = 1; next }
    {
        change = ($2 / was[$1] - 1) * 100
        verdict = change > tolerance ? "WORSE" : change < -tolerance ? "better: run scripts/bench-guard.sh --update" : "as before"
        printf "%-16s %12d %+6.2f %%  %s\n", $1, $2, change, verdict
        bad = bad || change > tolerance
    }
    END { exit bad }
' "$baseline" "$counted"
