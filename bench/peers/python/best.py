"""Row-wise Python at its best: confluent-kafka consume(n), orjson, numpy, onnxruntime, asyncpg's binary COPY, uvloop.

Consuming and scoring have a thread of their own; writing overlaps with the next batch; offsets are committed after the
write. Runs until it is killed.

best.py BOOTSTRAP PGURL TOPIC GROUP MODEL
"""

import asyncio
import datetime
import os
import sys

import asyncpg
import numpy as np
import onnxruntime as ort
import orjson
import uvloop
from confluent_kafka import TopicPartition
from consumer import subscribed
from features import row

bootstrap, pg, topic, group, model = sys.argv[1:6]
BATCH = int(os.environ.get("BATCH", "2048"))
COLUMNS = ["topic", "partition", "kafka_offset", "key", "event_id", "event_time", "amount", "merchant", "score"]
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def work(consumer):
    ms = consumer.consume(BATCH, 0.05)
    if not ms:
        return None
    es = [orjson.loads(m.value()) for m in ms]
    x = np.array([row(e) for e in es], dtype=np.float32)
    scores = session.run(["score"], {"x": x})[0][:, 0].tolist()
    time = datetime.datetime.fromisoformat
    rows = [
        (1, m.partition(), m.offset(), m.key().decode(), e["id"], time(e["ts"]), e["amount"], e["merchant"]["id"], s)
        for m, e, s in zip(ms, es, scores)
    ]
    last = {m.partition(): m.offset() + 1 for m in ms}
    return rows, [TopicPartition(topic, p, o) for p, o in last.items()]


async def main():
    con = await asyncpg.connect(pg)
    consumer = subscribed(bootstrap, topic, group)
    loop = asyncio.get_running_loop()
    pending = None

    async def write(rows, offsets):
        await con.copy_records_to_table("scored", records=rows, columns=COLUMNS)
        consumer.commit(offsets=offsets, asynchronous=True)

    while True:
        done = await loop.run_in_executor(None, work, consumer)
        if pending:
            await pending
            pending = None
        if done:
            pending = asyncio.create_task(write(*done))
            await asyncio.sleep(0)


uvloop.run(main())
