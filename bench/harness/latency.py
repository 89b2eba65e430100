"""How long a record takes at a fixed rate: from the broker's append to the row's commit record, and to a reader's eyes."""

import multiprocessing
import os
import threading
import time

import numpy as np
import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from . import contenders, events, rounds

WARM_UP = 10  # seconds; JVM peers need them
READER = 10  # seconds with a reader, which costs the server something, behind those that count
SLACK = 2  # seconds at the producer's end that count for nothing
BURST = 0.002
READ_EVERY = 0.005
# Pages behind the table's end that rows may still go to: a server makes up to 64 at once for a session that writes much,
# and contenders write by two.
STOCK = 2 * 64
# librdkafka sends a request for each partition: a shorter linger makes the broker take a core for them alone.
SETTINGS = {"linger.ms": 10, "compression.type": "lz4", "queue.buffering.max.messages": 1_000_000, "log_level": 2}


def produce(bootstrap, topic, rate, seconds):
    """Sends at an even rate in bursts of 2 ms; runs in a process of its own."""
    payments = [(k, orjson.dumps(e)) for _, k, e in events.payments(0, 1, 20_000, 5)]
    producer = Producer({"bootstrap.servers": bootstrap, **SETTINGS})
    began, n = time.time(), 0
    while (passed := time.time() - began) < seconds:
        due = int(passed * rate)
        while n < due:
            k, value = payments[n % len(payments)]
            events.send(producer, topic, k, value)
            n += 1
        producer.poll(0)
        time.sleep(BURST)
    producer.flush(60)


class Reader(threading.Thread):
    """Polls for new rows as an application would, and notes when it saw which offset of each partition.

    Looks only at the table's last pages. The largest offset of a partition says all: with these contenders its rows
    become visible in their order.
    """

    def __init__(self, server, database):
        super().__init__(daemon=True)
        self.con = server.connect(database)
        self.ended, self.seen = threading.Event(), {}

    def run(self):
        # The table's end at the latest polls: pages before the first were made 150 ms ago, and are filled but for the stock.
        ends = [rounds.pages(self.con)] * 30
        while not self.ended.wait(READ_EVERY):
            ends = ends[1:] + [rounds.pages(self.con)]
            first = max(ends[0] - STOCK, 0)
            found = self.con.execute(
                f"SELECT partition, max(kafka_offset) FROM scored WHERE ctid >= '({first},0)' GROUP BY 1"
            ).fetchall()
            now = time.time()
            for partition, offset in found:
                seen = self.seen.setdefault(partition, [])
                if not seen or offset > seen[-1][0]:
                    seen.append((offset, now))

    def end(self):
        self.ended.set()
        self.join()
        self.con.close()


def appended(bootstrap, topic, partitions):
    """{partition: the broker's time of each offset, in seconds}."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-reads", "fetch.queue.backoff.ms": 10, "log_level": 2})
    times = {}
    for p in range(partitions):
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)
        times[p] = np.full(end, np.nan)
    consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    left = sum(len(t) for t in times.values())
    while left:
        messages = consumer.consume(10_000, 10)
        if not messages:
            raise SystemExit(f"bench: {left} records of {topic} cannot be read")
        for m in messages:
            times[m.partition()][m.offset()] = m.timestamp()[1] / 1000
        left -= len(messages)
    consumer.close()
    return times


def quantiles(delays):
    if not len(delays):
        return None
    values = np.quantile(np.array(delays) * 1000, [0.5, 0.99, 0.999, 1.0])
    return dict(zip(("p50", "p99", "p999", "max"), (round(float(v), 1) for v in values)))


def committed(con, times, begin, end):
    """Delays of the rows whose record was appended between `begin` and `end`."""
    found = con.execute(
        "SELECT partition, kafka_offset, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 FROM scored"
    ).fetchall()
    rows = np.array(found, dtype=np.float64)
    at = np.array([times[int(p)][int(o)] for p, o in rows[:, :2]])
    return (rows[:, 2] - at)[(at >= begin) & (at < end)]


def seen(reader, times, begin, end):
    delays = []
    for partition, marks in reader.seen.items():
        offsets, when = np.array(marks).T
        at = times[partition]
        wanted = np.nonzero((at >= begin) & (at < end))[0]
        index = np.searchsorted(offsets, wanted)
        there = index < len(offsets)
        delays.extend(when[index[there]] - at[wanted[there]])
    return delays


def run(bench, name, rate, seconds, partitions, held=False):
    contender, topic = contenders.ALL[name], f"latency-{bench.runs}"
    bench.kafka.create(topic, partitions, message_timestamp_type="LogAppendTime")
    lasts = WARM_UP + seconds + READER + SLACK
    source = multiprocessing.get_context("spawn").Process(
        target=produce, args=(bench.kafka.bootstrap, topic, rate, lasts), daemon=True
    )
    with rounds.live(bench, contender, topic) as running:
        database = running.con.info.dbname
        try:
            source.start()
            while rounds.pages(running.con) == 0 and source.is_alive():
                running.alive(contender)
                time.sleep(0.05)
            with rounds.snapshot(bench.postgres, database, held):
                time.sleep(WARM_UP)
                begin = time.time()
                time.sleep(seconds)
                end = time.time()
                reader = Reader(bench.postgres, database)
                reader.start()
                time.sleep(READER)
                reader.end()
            source.join(60)
            time.sleep(2)
            running.alive(contender)
        finally:
            source.kill()
        rounds.halt(running)
        times = appended(bench.kafka.bootstrap, topic, partitions)
        delays = committed(running.con, times, begin, end)
    bench.kafka.delete(topic)
    sent = sum(int(((t >= begin) & (t < end)).sum()) for t in times.values())
    used = running.sampler.between(begin, end)
    return {
        "contender": name,
        "rate": rate,
        "snapshot": held,
        "sent": sent,
        "achieved": round(sent / (end - begin)),
        "rows": len(delays),
        "commit_ms": quantiles(delays),
        # The reader's first second is for its own start.
        "seen_ms": quantiles(seen(reader, times, end + 1, end + READER - 1)),
        "cpu": " / ".join(f"{used[n] / max(sent, 1) * 1e6:.2f}" for n in ("contender", "postgres", "kafka")),
        "busy": round(used["machine"] / (end - begin) / os.cpu_count(), 3),
    }
