"""Tidemill beside its peers, on one real Kafka broker and one real Postgres. `make bench` starts it; docs/benchmarks.md
says what it measures."""

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

from harness import check, connect, contenders, events, kafka, latency, machine, postgres, report, rounds, series, stages

contenders.ALL.update(connect.CONTENDERS)


def numbers(text):
    return [] if text == "none" else [int(x.replace("_", "")) for x in text.split(",")]


def arguments():
    p = argparse.ArgumentParser(prog="make bench", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--records", type=int, default=2_500_000, help="backlog of a run")
    p.add_argument("--rounds", type=int, default=5, help="rounds; 0 leaves the backlog out")
    p.add_argument("--only", default=",".join(contenders.ALL), help="contenders, by name")
    p.add_argument("--partitions", type=int, default=12, help="partitions of the topic")
    p.add_argument("--latency", type=numbers, default=[20_000, 50_000], help="fixed rates, records/s, or none")
    p.add_argument("--latency-only", default="tidemill,a", help="who takes part in the latency run")
    p.add_argument("--seconds", type=int, default=20, help="measured time of a fixed rate, after 10 s of warming up")
    p.add_argument("--snapshot", action="store_true", help="hold a snapshot during the latency runs")
    p.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="KEY=V,V",
        help="Tidemill alone with partitions, stored (rows), delay (ms that the server answers late), snapshot (0,1), or any key "
        "of its configuration varied",
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


def attempt(result, what, *arguments):
    """`what(...)`, or nothing when a contender failed; the results name it."""
    try:
        return what(*arguments)
    except rounds.Failed as e:
        say(f"  failed: {e}")
        result["failures"].append(str(e))
        return None


def one(bench, given, result, name, where):
    done = attempt(result, rounds.run, bench, contenders.ALL[name], "payments", given.records)
    if not done:
        return None
    w = done["warm"] or done["all"]
    own, server, broker = (w["cpu_us"][n] for n in ("contender", "postgres", "kafka"))
    others = f", others {w['others_share']:.0%}" if w["others_share"] > 0.02 else ""
    say(
        f"  {where} {contenders.ALL[name].name}: {w['rate']:,}/s, CPU {own:.2f} + Postgres {server:.2f} + broker {broker:.2f} µs, "
        f"{done['peak_rss_mb']:.0f} MB{others}"
    )
    return done


def backlog(bench, given, result):
    names = [n for n in given.only.split(",") if n]
    say(f"{given.records:,} records into a topic of {given.partitions} partitions")
    result["backlog"], samples = events.fill(bench.kafka, "payments", given.records, given.partitions)
    bench.expected["payments"] = check.Expected(samples, contenders.MODELS)
    say(f"  {result['backlog']['seconds']} s")
    result["rounds"] = {n: [] for n in names}
    for i in range(given.rounds):
        # Another order each time, the same in every run of the bench, so that nobody always follows the same neighbour.
        for name in random.Random(i).sample(names, len(names)):
            result["rounds"][name].append(one(bench, given, result, name, f"round {i + 1}"))
        save(result, given)
    if any(n.startswith("tidemill") for n in names):
        consume = attempt(result, stages.consume_alone, bench, "payments", given.records)
        result["alone"] = {"consume": consume, "models": stages.alone(bench.tools)}


def fixed_rates(bench, given, result):
    for rate in given.latency:
        for name in [n for n in given.latency_only.split(",") if n]:
            done = attempt(result, latency.run, bench, name, rate, given.seconds, given.partitions, given.snapshot)
            if done:
                result["latency"].append(done)
                say(f"  {name} at {rate:,}/s: {done['commit_ms']}")


def save(result, given):
    """Writes what there is so far; returns the report."""
    out = given.out or contenders.ROOT / "bench/results" / result["facts"]["date"][:16].replace(":", "").replace("T", "-")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    text = report.markdown(result)
    out.with_suffix(".md").write_text(text)
    return f"{text}\nraw numbers: {out.with_suffix('.json')}"


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
        options = {k: v for k, v in vars(given).items() if not isinstance(v, pathlib.Path)}
        result = {
            "facts": machine.facts(server, tools, folder),
            "options": options,
            "rounds": {},
            "failures": [],
            "latency": [],
            "series": [],
        }
        broker = kafka.Kafka(folder, given.jars)
        started.append(broker)
        result["services"] = {"Postgres": server.settings, "Kafka": {"java": " ".join(kafka.JAVA)} | kafka.SETTINGS}
        bench = rounds.Bench(broker, server, tools, {}, folder)
        if given.rounds:
            backlog(bench, given, result)
        fixed_rates(bench, given, result)
        for text in given.vary:
            key, _, values = text.partition("=")
            done = attempt(result, series.run, bench, key, values.split(","), given.vary_records, given.vary_rounds, say)
            result["series"] += [done] if done else []
        print(f"\n{save(result, given)}")
    finally:
        for service in reversed(started):
            service.stop()
        if os.environ.get("BENCH_KEEP") is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
