"""What Tidemill wants to reach, and whether it did."""

from . import figures as f, series as varied

# Letter of the peer: at most this part of its CPU a record.
PARTS = {"a": (2 / 5, "2/5"), "b": (1 / 3, "1/3"), "c": (1 / 4, "1/4"), "d": (1 / 8, "1/8"), "e": (1 / 15, "1/15")}
THROUGHPUT = 1.6
TREES = 0.3
# A quarter of the 12 to 16 µs that sinks without a model need with their server (Redpanda Connect, Aiven's sink), which
# cannot be had from the registries and were measured elsewhere.
NO_MODEL = 3.0
MEMORY = 200
WHOLE = 1.25
LATENCY = {20_000: {"p50": 5.0, "p99": 15.0}, 50_000: {"p99": 25.0}}


def line(what, target, figure, digits, met):
    return {"what": what, "target": target, "figure": figure, "digits": digits, "met": met}


def of_rounds(rounds, avx512):
    """Lines for what takes part; `rounds` is {contender: [run, …]}."""
    lines = []

    def values(name, how):
        return [how(run) for run in rounds.get(name, [])]

    for letter, (part, text) in PARTS.items():
        figure = f.paired(values("tidemill", f.own_cpu), values(letter, f.own_cpu), f.ratio)
        if figure:
            lines.append(line(f"CPU a record ÷ ({letter})", f"≤ {text} = {part:.3f}", figure, 3, figure["median"] <= part))
    figure = f.paired(values("tidemill", f.rate), values("a", f.rate), f.ratio)
    if figure:
        lines.append(line("records/s ÷ (a)", f"≥ {THROUGHPUT}", figure, 2, figure["median"] >= THROUGHPUT))
    figure = f.paired(values("tidemill-gbt", f.own_cpu), values("tidemill", f.own_cpu), f.difference)
    if figure:
        where = "" if avx512 else " (asked for with AVX-512 only)"
        lines.append(line(f"boosted trees − MLP, µs{where}", f"≤ {TREES}", figure, 2, figure["median"] <= TREES))
    figure = f.spread(values("tidemill-none", f.with_server))
    if figure:
        lines.append(line("no model: CPU with Postgres, µs", f"≤ {NO_MODEL}", figure, 2, figure["median"] <= NO_MODEL))
    memory = f.spread(values("tidemill", lambda run: f.pick(run, "peak_rss_mb")))
    if memory:
        plan = f.spread(values("tidemill", lambda run: f.pick(run, "memory_plan_mb")))["min"]
        lines.append(line("peak RSS, MB", f"≤ {MEMORY}", memory, 0, memory["max"] <= MEMORY))
        lines.append(line("peak RSS, MB, under the printed plan", f"≤ {plan:.0f}", memory, 0, memory["max"] <= plan))
    return lines


def of_stages(figure):
    if not figure:
        return []
    return [line("CPU a record ÷ sum of its stages alone", f"≤ {WHOLE}", figure, 2, figure["median"] <= WHOLE)]


def of_series(all_series):
    lines = []
    for one in all_series:
        first, last, figure = varied.growth(one) or (None, None, None)
        if figure:
            what = f"CPU a record, {one['key']} {last} ÷ {first}"
            lines.append(line(what, f"≤ {varied.GROWTH}", figure, 2, figure["median"] <= varied.GROWTH))
    return lines


def of_latency(runs):
    lines = []
    for run in runs:
        if run["contender"] != "tidemill" or run["snapshot"]:
            continue
        for q, limit in LATENCY.get(run["rate"], {}).items():
            got = run["commit_ms"][q]
            figure = {"median": got, "min": got, "max": got}
            what = f"append → commit record at {run['rate']:,}/s, {q}, ms"
            lines.append(line(what, f"≤ {limit:.0f}", figure, 1, got <= limit))
    return lines
