"""Where the time of a record goes: threads of the running daemon, and decoding and inference alone."""

import copy
import json
import re
import subprocess
import time

import orjson

from . import contenders, events, rounds, figures as f

EVENTS = 20_000
# Threads by what they do; names are cut by the kernel after 15 letters.
STAGES = {
    "consume": r"^(rdk:|intake$)",
    "decode, infer, encode": r"^mill-",
    "write and everything else": r"",
}


def alone(tools):
    """{bundle: (decode, infer) in µs a record} of one thread with batches of 1,024, by `tidemill model bench`."""
    file = tools.work / "events.jsonl"
    with open(file, "wb") as out:
        for _, _, e in events.payments(0, 1, EVENTS, 5):
            out.write(orjson.dumps(e) + b"\n")
    found = {}
    for bundle in ("mlp", "gbt"):
        command = [tools.tidemill, "model", "bench", contenders.ROOT / "models/fraud" / bundle, "--events", file, "--json"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"bench: model bench failed:\n{done.stdout}{done.stderr}")
        last = json.loads(done.stdout)["batches"][-1]
        found[bundle] = (last["decode_us_per_row"], last["infer_us_per_row"])
    return found


def consume_alone(bench, topic, records):
    """CPU µs a record of the consuming threads of a daemon that skips every record by a header that none has."""
    contender = copy.copy(contenders.ALL["tidemill-none"])
    contender.extra = '[[skip]]\nheader = "absent"\nabsent = true\n'
    # Batches fill as they do when the mill has work; else they close small, since it is free at once.
    contender.sets = ("batch.wait=50ms",)
    skipped, deadline = 0, time.monotonic() + 300
    with rounds.live(bench, contender, topic) as running:
        while skipped < records:
            time.sleep(0.05)
            running.alive(contender)
            if time.monotonic() > deadline:
                raise rounds.Failed(f"{skipped} of {records} records skipped")
            skipped = int(running.con.execute("SELECT coalesce(sum(skipped), 0) FROM tidemill.progress").fetchone()[0])
    seconds = sum(s for name, s in running.threads.items() if re.search(STAGES["consume"], name))
    return seconds / records * 1e6


def by_thread(run):
    """{stage: µs a record} of one run, from the daemon's start to its last row."""
    parts = dict.fromkeys(STAGES, 0.0)
    for name, seconds in run["threads"].items():
        stage = next(s for s, pattern in STAGES.items() if re.search(pattern, name))
        parts[stage] += seconds / run["rows"] * 1e6
    return parts


def rows(all_runs, measured):
    """Lines of the report's table: a contender, its stages by thread, and stages alone."""
    lines = []
    for name, bundle in (("tidemill", "mlp"), ("tidemill-gbt", "gbt"), ("tidemill-none", None)):
        runs = [r for r in all_runs.get(name, []) if r]
        if not runs:
            continue
        parts = [by_thread(r) for r in runs]
        cells = [f.show(f.spread([p[s] for p in parts])) for s in STAGES]
        alone = [measured["consume"], *measured["models"].get(bundle, (None, None))]
        lines.append([contenders.ALL[name].name, *cells, *(f"{x:.2f}" if x else "-" for x in alone)])
    return lines
