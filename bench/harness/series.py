"""Tidemill alone with one thing varied: partitions, rows already stored, how late the server answers, a snapshot held, or
any key of its configuration."""

import copy

from . import contenders, events, figures as f, rounds

# Cost a record may grow by this between the first value that counts and the last.
GROWTH = 1.10
COUNTS_FROM = {"partitions": 12, "stored": 0}
TITLES = {
    "partitions": "Partitions",
    "stored": "Rows already stored",
    "delay": "Milliseconds that the server's answers come late",
    "snapshot": "A snapshot held meanwhile (1) or not (0)",
}
FILL = (
    "INSERT INTO scored SELECT 0, -1, i, 'DE' || i % 160000, 'pay-' || lpad(i::text, 12, '0'), now(), i % 1000, "
    "'m' || i % 50000, 0.5 FROM generate_series(1, {rows}) i"
)


def with_rows(server, rows):
    """A database to copy, whose table holds so many rows of another source."""
    name = f"stored{rows}"
    server.admin.execute(f"CREATE DATABASE {name} TEMPLATE fresh STRATEGY file_copy")
    with server.connect(name) as con:
        con.execute(FILL.format(rows=rows))
        con.execute("VACUUM scored")
    return name


def variant(key, value):
    contender = copy.copy(contenders.ALL["tidemill"])
    if key not in TITLES:
        contender.sets = (f"{key}={value}",)
    return contender


def run(bench, key, values, records, count, say):
    """Interleaved rounds over the values; returns what the report and the targets need."""
    say(f"{key}: {', '.join(values)}")
    topics, templates = {}, {}
    for v in values:
        partitions = int(v) if key == "partitions" else 12
        topics[v] = f"vary-{partitions}-{records}"
        if topics[v] not in bench.topics:
            events.fill(bench.kafka, topics[v], records, partitions)
            bench.topics.add(topics[v])
        templates[v] = with_rows(bench.postgres, int(v)) if key == "stored" else "fresh"
    runs = {v: [] for v in values}
    for _ in range(count):
        for v in values:
            more = {"delay": int(v)} if key == "delay" else {"held": v == "1"} if key == "snapshot" else {}
            done = rounds.run(bench, variant(key, v), topics[v], records, template=templates[v], **more)
            runs[v].append(done)
            say(f"  {key} {v}: {f.rate(done) or 0:,}/s, CPU {f.own_cpu(done) or 0:.2f} µs, {done['peak_rss_mb']:.0f} MB")
    for name in set(templates.values()) - {"fresh"}:
        bench.postgres.drop(name)
    return {"key": key, "records": records, "runs": runs}


def figures(series):
    rows = []
    for value, runs in series["runs"].items():
        cells = [f.spread([how(r) for r in runs]) for how in (f.rate, f.own_cpu, f.with_server)]
        rows.append((value, *cells, f.spread([f.pick(r, "peak_rss_mb") for r in runs])))
    return rows


def growth(series):
    """Cost with the last value over that with the first that counts, Postgres included; nothing for other series."""
    least = COUNTS_FROM.get(series["key"])
    if least is None:
        return None
    counted = [v for v in series["runs"] if int(v) >= least]
    if len(counted) < 2:
        return None
    first, last = (series["runs"][v] for v in (counted[0], counted[-1]))
    own = f.paired([f.own_cpu(r) for r in last], [f.own_cpu(r) for r in first], f.ratio)
    return counted[0], counted[-1], own
