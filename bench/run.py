"""Tidemill beside its peers, on one real Kafka broker and one real Postgres. `make bench` starts it; docs/benchmarks.md
says what it measures."""

import argparse
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time

from harness import check, connect, contenders, events, kafka, latency, machine, postgres, report, rounds, series, stages

contenders.ALL.update(connect.CONTENDERS)


def numbers(text):
    return [int(x.replace("_", "")) for x in text.split(",") if x]


def arguments():
    p = argparse.ArgumentParser(prog="make bench", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--records", type=int, default=2_500_000, help="backlog of a run")
    p.add_argument("--rounds", type=int, default=5, help="rounds; 0 leaves the backlog out")
    p.add_argument("--only", default=",".join(contenders.ALL), help="contenders, by name")
    p.add_argument("--partitions", type=int, default=12, help="partitions of the topic")
    p.add_argument("--latency", type=numbers, default=[20_000, 50_000], help="fixed rates, records/s; empty leaves them out")
    p.add_argument("--latency-only", default="tidemill,a", help="who takes part in the latency run")
    p.add_argument("--seconds", type=int, default=20, help="measured time of a fixed rate, after 10 s of warming up")
    p.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="KEY=V,V",
        help="Tidemill alone with partitions, stored (rows), or any key of its configuration varied",
    )
    p.add_argument("--vary-records", type=int, default=1_000_000, help="backlog of such a run")
    p.add_argument("--vary-rounds", type=int, default=3, help="rounds of such runs")
    p.add_argument("--data", type=pathlib.Path, default="/var/tmp", help="where the services keep their data: a real disk")
    p.add_argument("--out", type=pathlib.Path, help="results without suffix; bench/results/DATE when left out")
    for name in ("tidemill", "java", "jars", "python"):
        p.add_argument(f"--{name}", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    given = p.parse_args()
    unknown = [n for n in (given.only + "," + given.latency_only).split(",") if n and n not in contenders.ALL]
    if unknown:
        p.error(f"unknown contender {unknown[0]}; there are {', '.join(contenders.ALL)}")
    return given


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def backlog(bench, given, result):
    names = [n for n in given.only.split(",") if n]
    say(f"{given.records:,} records into a topic of {given.partitions} partitions")
    result["backlog"], samples = events.fill(bench.kafka, "payments", given.records, given.partitions)
    bench.expected["payments"] = check.Expected(samples, contenders.MODELS)
    say(f"  {result['backlog']['seconds']} s")
    result["rounds"] = {n: [] for n in names}
    for i in range(given.rounds):
        # Another one begins each time, so that nobody always follows the same neighbour.
        turn = i % len(names)
        for name in names[turn:] + names[:turn]:
            try:
                done = rounds.run(bench, contenders.ALL[name], "payments", given.records)
            except rounds.Failed as e:
                say(f"  round {i + 1} failed: {e}")
                result["failures"].append(str(e))
                done = None
            result["rounds"][name].append(done)
            if not done:
                continue
            w = done["warm"] or done["all"]
            say(
                f"  round {i + 1} {contenders.ALL[name].name}: {w['rate']:,}/s, CPU {w['cpu_us']['contender']:.2f} + Postgres "
                f"{w['cpu_us']['postgres']:.2f} + broker {w['cpu_us']['kafka']:.2f} µs, {done['peak_rss_mb']:.0f} MB"
                + (f", others {w['others_share']:.0%}" if w["others_share"] > 0.02 else "")
            )


def save(result, given):
    out = given.out or contenders.ROOT / "bench/results" / result["facts"]["date"][:16].replace(":", "").replace("T", "-")
    out.parent.mkdir(parents=True, exist_ok=True)
    result["command"] = [a for a in sys.argv[1:] if not a.startswith(("--tidemill", "--java", "--jars", "--python"))]
    out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    text = report.markdown(result)
    out.with_suffix(".md").write_text(text)
    print()
    print(text)
    print(f"raw numbers: {out.with_suffix('.json')}")


def main():
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tidemill-bench-", dir=given.data))
    folder.chmod(0o711)  # the server's user must come through
    tools = contenders.Tools(given.tidemill, given.python, given.java, folder)
    started = []
    try:
        server = postgres.Postgres(folder)
        started.append(server)
        say("Postgres runs; measuring how long a flush takes")
        result = {"facts": machine.facts(server, tools, folder), "rounds": {}, "failures": [], "latency": [], "series": []}
        broker = kafka.Kafka(folder, given.jars)
        started.append(broker)
        result["services"] = {"Postgres": server.settings, "Kafka": {"java": " ".join(kafka.JAVA)} | kafka.SETTINGS}
        bench = rounds.Bench(broker, server, tools, {}, folder)
        if given.rounds:
            backlog(bench, given, result)
            if any(n.startswith("tidemill") for n in result["rounds"]):
                consume = stages.consume_alone(bench, "payments", given.records)
                result["alone"] = {"consume": consume, "models": stages.alone(tools)}
        for rate in given.latency:
            for name in [n for n in given.latency_only.split(",") if n]:
                result["latency"].append(latency.run(bench, name, rate, given.seconds, given.partitions))
                say(f"  {name} at {rate:,}/s: {result['latency'][-1]['commit_ms']}")
        for text in given.vary:
            key, _, values = text.partition("=")
            result["series"].append(series.run(bench, key, values.split(","), given.vary_records, given.vary_rounds, say))
        save(result, given)
    finally:
        for service in reversed(started):
            service.stop()
        if os.environ.get("BENCH_KEEP") is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
