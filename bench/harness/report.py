"""Results as Markdown."""

from . import contenders, figures as f, series, stages, targets


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(str(c) for c in row) + " |" for row in rows]


def machine(facts):
    v = facts["versions"]
    load, flush = facts["load_before"][0], facts["fdatasync_us"]
    avx = "with" if facts["avx512"] else "without"
    return [
        f"Measured on {facts['date'][:10]} at commit {facts['commit']}: {facts['cores']} cores of {facts['cpu']} {avx} AVX-512, "
        f"{facts['memory_gb']} GB, Linux {facts['kernel']}, {facts['file_system']}; load before the start {load}; "
        f"`pg_test_fsync` (8 kB, fdatasync): {flush} µs. {v['rustc']}, PostgreSQL {v['postgres']}, Apache Kafka {v['kafka']}, "
        f"{v['java']}, Python {v['python']}.",
    ]


def backlog(result):
    facts, rounds = result["backlog"], result["rounds"]
    head = ["", "records/s", "the same, from the first", "CPU µs a record", "the same, from the first", "Postgres", "broker"]
    head += ["peak RSS, MB", "start, s"]
    rows = []
    for name, runs in rounds.items():

        def cell(digits, *path):
            return f.show(f.spread([f.pick(r, *path) for r in runs]), digits)

        rows.append(
            [
                contenders.ALL[name].name,
                cell(0, "warm", "rate"),
                cell(0, "all", "rate"),
                cell(2, "warm", "cpu_us", "contender"),
                cell(2, "all", "cpu_us", "contender"),
                cell(2, "warm", "cpu_us", "postgres"),
                cell(2, "warm", "cpu_us", "kafka"),
                cell(0, "peak_rss_mb"),
                cell(1, "started_to_first_row_s"),
            ]
        )
    done = [r for runs in rounds.values() for r in runs if r]
    others = f.spread([f.pick(r, "all", "others_share") for r in done])
    wrong = [r["complaint"] for r in done if r["complaint"]] + result["failures"]
    worst, checked = max((r["score_off"] for r in done), default=0.0), sum(r["sampled"] for r in done)
    text = [
        "### Backlog",
        "",
        f"{facts['records']:,} records of {facts['bytes_each']:.0f} bytes, lz4, {facts['partitions']} partitions; "
        f"{len(next(iter(rounds.values())))} rounds, interleaved; medians (min–max). Rates and CPU count from the first 100,000 rows on, "
        "or from the first row.",
        "",
        *table(head, rows),
        "",
    ]
    if others:
        text += [f"What else ran on the machine meanwhile took {others['median']:.1%} of it (up to {others['max']:.1%}).", ""]
    if wrong:
        return text + ["**Wrong runs:** " + "; ".join(w.partition("\n")[0] for w in wrong) + ".", ""]
    return text + [
        "Every run left every row once (slow peers: as many as they were given); "
        f"{checked:,} sampled rows had the expected values, scores at most {worst:.1e} from onnxruntime's.",
        "",
    ]


def where(result):
    lines = stages.rows(result["rounds"], result["alone"]) if result.get("alone") else []
    if not lines:
        return []
    head = ["", *stages.STAGES, "alone: consume", *(f"alone: {p}" for p in stages.PARTS), "whole ÷ sum of stages"]
    return [
        "### Where Tidemill's time goes",
        "",
        "CPU µs a record by thread, from start to the last row. Beside it stages alone: the consuming threads of a daemon that skips every "
        "record unread, and decoding, inference and encoding by `tidemill model bench` (batches of 1,024, one thread). Consuming alone keeps "
        "up with the client, so that its queues are short; in the whole they are full. The sum takes writing from the daemon without a model.",
        "",
        *table(head, lines),
        "",
    ]


def varied(part):
    name = series.TITLES.get(part["key"], f"`{part['key']}`")
    rows = [[v, f.show(r, 0), f.show(c), f.show(s), f.show(m, 0)] for v, r, c, s, m in series.figures(part)]
    head = ["", "records/s", "CPU µs a record", "with Postgres", "peak RSS, MB"]
    return [f"### {name}", "", f"Tidemill, MLP, {part['records']:,} records a run.", "", *table(head, rows), ""]


def target_lines(lines):
    rows = [[x["what"], x["target"], f.show(x["figure"], x["digits"]), "met" if x["met"] else "**missed**"] for x in lines]
    return ["### Targets", "", *table(["", "target", "measured", ""], rows), ""] if rows else []


def settings(result):
    rows = [[c.name, c.what, c.settings()] for n, c in contenders.ALL.items() if n in result["rounds"]]
    text = ["### Settings", "", *table(["", "what", "settings"], rows), ""]
    for name, given in result["services"].items():
        text += [f"{name}: " + ", ".join(f"`{k}={v}`" for k, v in given.items() if v != "") + ".", ""]
    return text


def latency(runs):
    rows = []
    for run in runs:
        c, s = run["commit_ms"], run["seen_ms"]
        cells = [f"{q['p50']:.1f} / {q['p99']:.1f} / {q['p999']:.1f}" if q else "-" for q in (c, s)]
        name = contenders.ALL[run["contender"]].name + (", a snapshot held" if run["snapshot"] else "")
        rate = f"{run['rate']:,} ({run['achieved']:,})"
        rows.append([name, rate, *cells, f"{run['rows']:,} of {run['sent']:,}", run["cpu"], f"{run['busy']:.0%}"])
    head = [
        "",
        "records/s wanted (reached)",
        "append → commit record, ms",
        "append → seen by a reader, ms",
        "rows",
        "CPU µs a record, its own / Postgres / broker",
        "machine busy",
    ]
    return [
        "### Latency",
        "",
        "p50 / p99 / p99.9 at a fixed rate. *Append* is the broker's time (LogAppendTime, cut to whole milliseconds); the commit "
        "record's time is taken before the WAL is flushed; the reader, which polls every 5 ms over a connection of its own, runs afterwards. "
        "The producer's linger is 10 ms.",
        "",
        *table(head, rows),
        "",
    ]


def markdown(result):
    lines = targets.of_rounds(result["rounds"], result["facts"]["avx512"])
    lines += targets.of_stages(stages.whole(result["rounds"], result.get("alone")))
    lines += targets.of_latency(result["latency"])
    lines += targets.of_series(result["series"])
    text = machine(result["facts"]) + [""]
    if result["rounds"]:
        text += backlog(result) + where(result)
    if result["latency"]:
        text += latency(result["latency"])
    for part in result["series"]:
        text += varied(part)
    return "\n".join(text + target_lines(lines) + settings(result))
