"""The fraud scenario's events in a topic, and a sample of them with what must be stored."""

import multiprocessing
import os
import pathlib
import random
import sys
import time

import orjson
from confluent_kafka import Producer

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent.parent / "python"))
from payments import event, key  # noqa: E402

SAMPLES = 2_000
LINGER_MS = 20  # with twelve partitions
SETTINGS = {
    "compression.type": "lz4",
    "batch.size": 262144,
    "batch.num.messages": 10000,
    "queue.buffering.max.messages": 500000,
    "acks": "all",
    "log_level": 2,
}


def payments(first, step, end, seed):
    """(number, key, event) of every step-th payment."""
    r = random.Random(seed)
    for i in range(first, end, step):
        e = event(r, i)
        yield i, key(e), e


def send(producer, topic, k, value, **more):
    while True:
        try:
            return producer.produce(topic, value, key=k, **more)
        except BufferError:
            producer.poll(0.05)


def part(arguments):
    """One process's share; returns bytes and its samples as (partition, offset, key, event)."""
    bootstrap, topic, first, step, end, seed, linger = arguments
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": linger, **SETTINGS})
    size, samples, failed = 0, [], []
    every = max(end // SAMPLES, 1)

    def kept(k, e):
        def delivered(error, message):
            failed.append(error) if error else samples.append((message.partition(), message.offset(), k, e))

        return delivered

    for i, k, e in payments(first, step, end, seed + first):
        value = orjson.dumps(e)
        size += len(value)
        # Multiples of `every` alone could all fall to one process.
        more = {"on_delivery": kept(k, e)} if (i // step) % every == 0 else {}
        send(producer, topic, k, value, **more)
        if i % 2048 < step:
            producer.poll(0)
    left = producer.flush(120)
    if left or failed:
        raise SystemExit(f"bench: {left} records were not taken by Kafka: {failed[:1]}")
    return size, samples


def fill(kafka, topic, records, partitions=12, seed=1):
    """Makes the topic and its backlog; returns facts and samples."""
    kafka.create(topic, partitions)
    began, n = time.time(), os.cpu_count()
    # A batch holds as many records whatever the number of partitions; else its size would be measured, not their number.
    linger = max(round(LINGER_MS * partitions / 12), 1)
    shares = [(kafka.bootstrap, topic, i, n, records, seed, linger) for i in range(n)]
    with multiprocessing.get_context("spawn").Pool(n) as pool:
        done = pool.map(part, shares)
    size, samples = sum(s for s, _ in done), [x for _, s in done for x in s]
    facts = {
        "records": records,
        "partitions": partitions,
        "bytes_each": round(size / records, 1),
        "seconds": round(time.time() - began, 1),
    }
    return facts, samples
