#!/bin/bash
# Builds Tidemill and its peers, makes a Python environment, and runs bench/run.py with the arguments given.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-$PWD/target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
home=$target/bench
mkdir -p "$home"

requirements=bench/requirements.txt
if ! cmp -s "$requirements" "$home/python/requirements.txt"; then
    echo "bench: making a Python environment in $home/python"
    rm -rf "$home/python"
    python3 -m venv "$home/python"
    "$home/python/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$home/python/requirements.txt"
fi

run() {
    exec "$home/python/bin/python" bench/run.py --tidemill "$target/release/tidemill" --java "$home/java" \
        --jars "$target/kafka/libs" --python "$home/python/bin/python" "$@"
}
case " $* " in *" --help "*) run --help ;; esac

# The sources' digest is the key: Maven alone needs seconds to find that nothing changed.
digest=$(find bench/peers/java bench/peers/connect/pom.xml -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
if [ "$(cat "$home/java/digest" 2>/dev/null)" != "$digest" ]; then
    echo "bench: building the Java peers"
    rm -rf "$home/java"
    mvn -q -B -Dstyle.color=never -f bench/peers/java/pom.xml -Dbuild.root="$home/java" package
    mvn -q -B -Dstyle.color=never -f bench/peers/connect/pom.xml dependency:copy-dependencies \
        -DoutputDirectory="$home/java/connect" -DincludeScope=runtime
    echo "$digest" >"$home/java/digest"
fi

scripts/kafka-jars.sh >/dev/null
echo "bench: building Tidemill, optimised"
cargo build --quiet --release --bin tidemill
run "$@"
