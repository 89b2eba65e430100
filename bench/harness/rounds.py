"""One run of one contender over a backlog, measured from outside."""

import contextlib
import dataclasses
import os
import time

from . import check, contenders, cpu, process, slow

WARM = 100_000
STALL = 0.5  # seconds without growth after which rows are counted
PATIENCE = 240  # seconds without a new row


@dataclasses.dataclass
class Bench:
    """What all runs share."""

    kafka: object
    postgres: object
    tools: contenders.Tools
    expected: dict  # by topic
    folder: object
    runs: int = 0
    topics: set = dataclasses.field(default_factory=set)


def pages(con):
    return con.execute("SELECT pg_relation_size('scored') / 8192").fetchone()[0]


def wait_for_rows(contender, running, wanted, whole):
    """Returns when `wanted` rows are there: looks at the table's size, and counts only when it no longer grows."""
    con = running.con
    base = last = pages(con)
    since, counted = time.monotonic(), 0
    count = f"SELECT count(*) FROM scored WHERE ctid >= '({max(base - 1, 0)},0)' AND partition >= 0"
    while True:
        time.sleep(0.1)
        size, now = pages(con), time.monotonic()
        running.alive(contender)
        if not whole and (size - base) * 8192 > wanted * 105:  # about 100 bytes a row; counted exactly afterwards
            return
        if size != last:
            last, since = size, now
        elif size > base and now - since > STALL:
            before, counted = counted, con.execute(count).fetchone()[0]
            if counted != before:
                since = now
            # Rows also go where older pages have room: slow to count with many stored, so only when nothing else comes.
            elif base and con.execute("SELECT count(*) FROM scored WHERE partition >= 0").fetchone()[0] >= wanted:
                return
            if counted >= wanted:
                return
        if now - since > PATIENCE:
            raise Failed(f"{contender.name}: {counted} of {wanted} rows after a stall:\n{process.tail(running.log)}")


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


def compared(bench, topic, con, contender):
    known = bench.expected.get(topic)
    return known.compare(con, contender.model) if known else (0, 0.0, None)


class Failed(Exception):
    """A contender ended by itself, or stood still."""


@dataclasses.dataclass
class Live:
    """A contender that runs."""

    con: object
    child: object
    sampler: cpu.Sampler
    log: object
    began: float
    peak_rss_mb: float = 0.0
    threads: dict = dataclasses.field(default_factory=dict)

    def alive(self, contender):
        if self.child.poll() is not None:
            raise Failed(f"{contender.name} ended with {self.child.returncode}:\n{process.tail(self.log)}")


@contextlib.contextmanager
def snapshot(server, database, held):
    """A transaction that keeps its snapshot, as a long report or a dump does: vacuum may not remove what it could see."""
    if not held:
        yield
        return
    with server.connect(database) as con:
        con.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        con.execute("SELECT count(*) FROM scored")
        yield
        con.execute("COMMIT")


@contextlib.contextmanager
def live(bench, contender, topic, template="fresh", delay=0):
    """Starts a contender with a group and a database of its own, whose answers come `delay` ms late. Stopped by `halt`, or
    at the end."""
    bench.runs += 1
    group = f"bench-{bench.runs}"
    database = bench.postgres.new_database(template)
    log = bench.folder / f"{group}.log"
    with bench.postgres.connect(database) as con, slow.port(bench.postgres, delay) as port:
        place = contenders.Place(bench.kafka.bootstrap, topic, group, bench.postgres.url(database, port))
        contender.prepare(bench.tools, place)
        began = time.time()
        child = process.start(contender.command(bench.tools, place), log, env=contenders.environment(contender))
        sampler = watch(bench, child, con)
        sampler.start()
        running = Live(con, child, sampler, log, began)
        try:
            yield running
        finally:
            halt(running)
    bench.postgres.drop(database)


def halt(running):
    if running.child.poll() is None:
        running.peak_rss_mb = round(cpu.peak_memory(running.child.pid) / 1e6, 1)
        running.threads = cpu.threads(running.child.pid)
    running.sampler.end()
    process.stop(running.child, patience=10)


def run(bench, contender, topic, records, template="fresh", delay=0, held=False):
    """Returns the figures of one run, with a snapshot `held` meanwhile or not."""
    wanted = min(records, contender.rows_max or records)
    with live(bench, contender, topic, template, delay) as running:
        with snapshot(bench.postgres, running.con.info.dbname, held):
            wait_for_rows(contender, running, wanted, wanted == records)
        halt(running)
        con = running.con
        rows, distinct = check.counts(con)
        # What a contender that was stopped early wrote while it went is not measured.
        points = [p for p in check.curve(con) if p[0] <= running.sampler.times[-1]]
        sampled, worst, complaint = compared(bench, topic, con, contender)
    enough = rows == records if wanted == records else rows >= wanted * 0.9
    if complaint or not enough or rows != distinct:
        complaint = complaint or f"{rows} rows of {wanted}, {distinct} distinct"
        print(f"  {contender.name}: WRONG: {complaint}", flush=True)
    return {
        "started_to_first_row_s": round(points[0][0] - running.began, 2),
        "rows": rows,
        "distinct": distinct,
        "sampled": sampled,
        "score_off": worst,
        "complaint": complaint,
        "peak_rss_mb": running.peak_rss_mb,
        "transactions": len(points),
        "all": window(points, running.sampler, 1),
        "warm": window(points, running.sampler, WARM),
        "threads": running.threads,
        "memory_plan_mb": contender.memory_plan(running.log),
    }
