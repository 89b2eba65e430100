"""The usual Python: aiokafka getmany, json, onnxruntime, asyncpg executemany, commit. Runs until it is killed.

usual.py BOOTSTRAP PGURL TOPIC GROUP MODEL
"""

import asyncio
import datetime
import json
import sys

import asyncpg
import numpy as np
import onnxruntime as ort
from aiokafka import AIOKafkaConsumer
from features import row

bootstrap, pg, topic, group, model = sys.argv[1:6]
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
INSERT = "insert into scored values ($1,$2,$3,$4,$5,$6,$7,$8,$9)"


async def main():
    con = await asyncpg.connect(pg)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=500,
    )
    await consumer.start()
    time = datetime.datetime.fromisoformat
    while True:
        taken = await consumer.getmany(timeout_ms=200, max_records=500)
        ms = [m for v in taken.values() for m in v]
        if not ms:
            continue
        es = [json.loads(m.value) for m in ms]
        x = np.array([row(e) for e in es], dtype=np.float32)
        scores = session.run(["score"], {"x": x})[0][:, 0].tolist()
        rows = [
            (1, m.partition, m.offset, m.key.decode(), e["id"], time(e["ts"]), e["amount"], e["merchant"]["id"], s)
            for m, e, s in zip(ms, es, scores)
        ]
        await con.executemany(INSERT, rows)
        await consumer.commit()


asyncio.run(main())
