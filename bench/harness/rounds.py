"""One run of one contender over a backlog, measured from outside."""

import dataclasses
import os
import time

from . import check, contenders, cpu, process

WARM = 100_000
STALL = 0.5  # seconds without growth after which rows are counted
PATIENCE = 240  # seconds without a new row


@dataclasses.dataclass
class Bench:
    """What all runs share."""

    kafka: object
    postgres: object
    tools: contenders.Tools
    expected: check.Expected
    folder: object
    runs: int = 0


def wait_for_rows(con, contender, child, log, wanted, whole):
    """Returns when `wanted` rows are there: looks at the table's size, and counts only when it no longer grows."""
    last, since, began = 0, time.monotonic(), time.monotonic()
    counted = 0
    while True:
        time.sleep(0.1)
        size = con.execute("SELECT pg_relation_size('scored')").fetchone()[0]
        now = time.monotonic()
        if child.poll() is not None:
            raise SystemExit(f"bench: {contender.name} ended with {child.returncode}:\n{process.tail(log)}")
        if not whole and size > wanted * 105:  # about 100 bytes a row; counted exactly afterwards
            return
        if size != last:
            last, since = size, now
        elif size and now - since > STALL:
            before, counted = counted, con.execute("SELECT count(*) FROM scored").fetchone()[0]
            if counted >= wanted:
                return
            if counted != before:
                since = now
        if now - max(since, began) > PATIENCE:
            raise SystemExit(f"bench: {contender.name}: {counted} of {wanted} rows after a stall:\n{process.tail(log)}")


def window(points, sampler, first_rows):
    """Rate and CPU between the moment when more than `first_rows` were visible and the last row."""
    start = next(((t, n) for t, n in points if n >= first_rows), None)
    end_at, end_rows = points[-1]
    if start is None or start[1] >= end_rows:
        return None
    seconds, rows = end_at - start[0], end_rows - start[1]
    used = sampler.between(start[0], end_at)
    others = used.pop("machine") - sum(used.values())
    used.pop("bench")
    return {
        "rows": rows,
        "seconds": round(seconds, 3),
        "rate": round(rows / seconds),
        "cpu_us": {name: round(s / rows * 1e6, 3) for name, s in used.items()},
        # Of the whole machine: what ran beside the benchmark.
        "others_share": round(max(others, 0.0) / seconds / os.cpu_count(), 3),
    }


def watch(bench, child, con):
    """Meters for the contender, the server without our own connections, and the broker."""
    ours = {c.execute("SELECT pg_backend_pid()").fetchone()[0] for c in (con, bench.postgres.admin)}
    postmaster = bench.postgres.child.pid
    meters = {
        "contender": lambda: cpu.own_seconds(child.pid),
        "postgres": lambda: cpu.tree_seconds(postmaster, ours),
        "kafka": lambda: cpu.own_seconds(bench.kafka.child.pid),
        "bench": lambda: sum(os.times()[:2]),
        "machine": cpu.machine_seconds,
    }
    return cpu.Sampler(meters)


def run(bench, contender, topic, records, looks=lambda con: None):
    """Returns the figures of one run. `looks` may ask the database more before it goes."""
    bench.runs += 1
    group = f"bench-{bench.runs}"
    wanted = min(records, contender.rows_max or records)
    database = bench.postgres.new_database()
    place = contenders.Place(bench.kafka.bootstrap, topic, group, bench.postgres.url(database))
    contender.prepare(bench.tools, place)
    log = bench.folder / f"{group}.log"
    with bench.postgres.connect(database) as con:
        began = time.time()
        environment = contenders.environment(contender)
        child = process.start(contender.command(bench.tools, place), log, env=environment)
        sampler = watch(bench, child, con)
        sampler.start()
        try:
            wait_for_rows(con, contender, child, log, wanted, wanted == records)
            peak, _ = cpu.memory(child.pid)
        finally:
            sampler.end()
            process.stop(child, patience=10)
        rows, distinct = check.counts(con)
        # What a contender that was stopped early wrote while it went is not measured.
        points = [p for p in check.curve(con) if p[0] <= sampler.times[-1]]
        sampled, worst, complaint = bench.expected.compare(con, contender.model) if bench.expected else (0, 0.0, None)
        result = {
            "started_to_first_row_s": round(points[0][0] - began, 2),
            "rows": rows,
            "complete": (rows == records if wanted == records else rows >= wanted * 0.9) and rows == distinct,
            "distinct": distinct,
            "sampled": sampled,
            "score_off": worst,
            "complaint": complaint,
            "peak_rss_mb": round(peak / 1e6, 1),
            "transactions": len(points),
            "all": window(points, sampler, 1),
            "warm": window(points, sampler, WARM),
            "looked": looks(con),
        }
    bench.postgres.drop(database)
    if complaint or not result["complete"]:
        print(f"  {contender.name}: WRONG: {rows} rows, {distinct} distinct, {complaint}", flush=True)
    return result
