"""Results as Markdown."""

from . import contenders, figures as f, targets


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

        rows.append([
            contenders.ALL[name].name,
            cell(0, "warm", "rate"),
            cell(0, "all", "rate"),
            cell(2, "warm", "cpu_us", "contender"),
            cell(2, "all", "cpu_us", "contender"),
            cell(2, "warm", "cpu_us", "postgres"),
            cell(2, "warm", "cpu_us", "kafka"),
            cell(0, "peak_rss_mb"),
            cell(1, "started_to_first_row_s"),
        ])
    others = f.spread([f.pick(r, "all", "others_share") for runs in rounds.values() for r in runs])
    wrong = [f"{n} ({r['complaint'] or r['rows']})" for n, runs in rounds.items() for r in runs if r["complaint"] or not r["complete"]]
    worst = max(r["score_off"] for runs in rounds.values() for r in runs)
    checked = sum(r["sampled"] for runs in rounds.values() for r in runs)
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
        return text + ["**Wrong runs: " + "; ".join(wrong) + ".**", ""]
    return text + [
        "Every run left every row once (slow peers: as many as they were given); "
        f"{checked:,} sampled rows had the expected values, scores at most {worst:.1e} from onnxruntime's.",
        "",
    ]


def target_lines(lines):
    rows = [
        [x["what"], x["target"], f.show(x["figure"], x["digits"]), "met" if x["met"] else "**missed**"] for x in lines
    ]
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
        rows.append([contenders.ALL[run["contender"]].name, f"{run['rate']:,}", *cells, f"{run['rows']:,}", run["cpu"]])
    head = ["", "records/s", "append → commit record, ms", "append → seen by a reader, ms", "rows", "CPU µs a record, its own / Postgres"]
    return [
        "### Latency",
        "",
        "p50 / p99 / p99.9 at a fixed rate. *Append* is the broker's time (LogAppendTime, whole milliseconds, so up to 1 ms early); the commit "
        "record's time is taken before the WAL is flushed; the reader polls every 5 ms over a connection of its own.",
        "",
        *table(head, rows),
        "",
    ]


def markdown(result):
    lines = targets.of_rounds(result["rounds"], result["facts"]["avx512"]) + targets.of_latency(result["latency"])
    text = machine(result["facts"]) + [""]
    if result["rounds"]:
        text += backlog(result)
    if result["latency"]:
        text += latency(result["latency"])
    for part in result["series"]:
        text += [f"### {part['title']}", "", part["text"], "", *table(part["head"], part["rows"]), ""]
    return "\n".join(text + target_lines(lines) + settings(result))
