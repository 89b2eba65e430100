#!/bin/sh
# Fetches the jars of the Apache Kafka broker that the integration tests start, once, and prints their folder.
# They go to <target>/kafka/libs; a changed pom.xml fetches them again.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
pom=$root/tests/support/kafka/pom.xml
home=${CARGO_TARGET_DIR:-$root/target}/kafka
# Maven would take a relative folder as relative to the pom.
case $home in /*) ;; *) home=$PWD/$home ;; esac
stamp=$home/pom.xml

if cmp -s "$pom" "$stamp"; then
    echo "$home/libs"
    exit 0
fi

for program in mvn java; do
    command -v "$program" >/dev/null || {
        echo "kafka-jars: $program is missing; run 'make setup' (Debian: maven, default-jdk-headless)" >&2
        exit 1
    }
done

fresh=$home/libs.$$
trap 'rm -rf "$fresh"' EXIT
mkdir -p "$home"
echo "kafka-jars: fetching the broker into $home/libs" >&2
mvn -q -B -Dstyle.color=never -f "$pom" dependency:copy-dependencies -DoutputDirectory="$fresh" -DincludeScope=runtime >&2
ls "$fresh"/kafka_2.13-*.jar >/dev/null
# Put in place whole, and stamped last: an interrupted run leaves nothing that looks finished.
rm -rf "$home/libs"
mv "$fresh" "$home/libs"
cp "$pom" "$stamp"
echo "$home/libs"
