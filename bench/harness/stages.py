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
# Measured alone by `tidemill model bench`.
PARTS = ("decode", "infer", "encode")


def alone(tools):
    """{bundle: {"decode", "infer", "encode"} in µs a record} of one thread with batches of 1,024, by `tidemill model bench`."""
    file = tools.work / "events.jsonl"
    with open(file, "wb") as out:
        for _, _, e in events.payments(0, 1, EVENTS, 5):
            out.write(orjson.dumps(e) + b"\n")
    found = {}
    nowhere = contenders.Place("localhost:9", "payments", "nobody", "postgresql://localhost/nothing")
    for name, bundle in (("tidemill", "mlp"), ("tidemill-gbt", "gbt")):
        config = tools.work / f"alone-{bundle}.toml"
        config.write_text(contenders.ALL[name].configuration(nowhere))
        command = [tools.tidemill, "model", "bench", contenders.ROOT / "models/fraud" / bundle, "--events", file]
        done = subprocess.run([*command, "-c", config, "--json"], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"bench: model bench failed:\n{done.stdout}{done.stderr}")
        last = json.loads(done.stdout)["batches"][-1]
        found[bundle] = {part: last[f"{part}_ns"] / 1000 for part in PARTS}
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
    """Lines of the report's table: a contender, its stages by thread, stages alone, and the whole ÷ their sum."""
    lines = []
    for name, bundle in (("tidemill", "mlp"), ("tidemill-gbt", "gbt"), ("tidemill-none", None)):
        runs = [r for r in all_runs.get(name, []) if r]
        if not runs:
            continue
        parts = [by_thread(r) for r in runs]
        cells = [f.show(f.spread([p[s] for p in parts])) for s in STAGES]
        models = measured["models"].get(bundle, {})
        alone = [measured["consume"], *(models.get(part) for part in PARTS)]
        share = whole(all_runs, measured, name, bundle)
        lines.append([contenders.ALL[name].name, *cells, *(f"{x:.2f}" if x else "-" for x in alone), f.show(share)])
    return lines


def whole(all_runs, measured, name="tidemill", bundle="mlp"):
    """CPU of the whole daemon ÷ the sum of its stages alone. Writing cannot run alone: what a daemon without a model spends
    outside of its consuming and mill threads stands for it."""
    last = list(STAGES)[-1]
    if not measured or bundle not in measured["models"] or not measured["consume"]:
        return None
    fixed = measured["consume"] + sum(measured["models"][bundle].values())
    writes = [by_thread(r)[last] if r else None for r in all_runs.get("tidemill-none", [])]
    totals = [sum(by_thread(r).values()) if r else None for r in all_runs.get(name, [])]
    return f.paired(totals, writes, lambda total, write: total / (fixed + write))
