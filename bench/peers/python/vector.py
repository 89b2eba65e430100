"""The fastest Python that we could think of: confluent-kafka consume(n), one polars read_ndjson of the whole batch,
vectorised features, onnxruntime, CSV written by polars into psycopg's COPY, overlapped by a thread; offsets are committed
after the write. Runs until it is killed.

vector.py BOOTSTRAP PGURL TOPIC GROUP MODEL
"""

import io
import os
import queue
import sys
import threading
import traceback

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import onnxruntime as ort
import polars as pl
import psycopg
from confluent_kafka import TopicPartition
from consumer import subscribed
from features import CATEGORIES, COUNTRIES, DEVICES

bootstrap, pg, topic, group, model = sys.argv[1:6]
BATCH = int(os.environ.get("BATCH", "4096"))
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

U, F, N, B = pl.Utf8, pl.Float64, pl.Int64, pl.Boolean
SCHEMA = {
    "id": U,
    "ts": U,
    "amount": F,
    "card": pl.Struct({"bin": N, "age_days": N, "country": U, "prepaid": B}),
    "merchant": pl.Struct({"id": U, "category": U, "country": U, "risk": F}),
    "device": pl.Struct({"kind": U, "ip_country": U, "new": B}),
    "stats": pl.Struct({
        "n_1h": N, "n_24h": N, "sum_24h": F, "avg_30d": F, "std_30d": F, "declines_24h": N, "distance_km": F,
    }),
}  # fmt: skip


def get(struct, field):
    return pl.col(struct).struct.field(field)


def code(e, values):
    return e.replace_strict(values, default=-1, return_dtype=pl.Float32)


FEATURES = [
    pl.col("amount"),
    get("card", "bin"),
    get("card", "age_days"),
    code(get("card", "country"), COUNTRIES),
    get("card", "prepaid"),
    code(get("merchant", "category"), CATEGORIES),
    code(get("merchant", "country"), COUNTRIES),
    get("merchant", "risk"),
    code(get("device", "kind"), DEVICES),
    code(get("device", "ip_country"), COUNTRIES),
    get("device", "new"),
    *[get("stats", f) for f in ("n_1h", "n_24h", "sum_24h", "avg_30d", "std_30d", "declines_24h", "distance_km")],
    get("card", "country") == get("merchant", "country"),
    get("card", "country") == get("device", "ip_country"),
]
FEATURES = [e.cast(pl.Float32).alias(str(i)) for i, e in enumerate(FEATURES)]

consumer = subscribed(bootstrap, topic, group)
batches = queue.Queue(2)


def write():
    con = psycopg.connect(pg)
    while True:
        text, offsets = batches.get()
        with con.cursor() as cur, cur.copy("copy scored from stdin (format csv)") as copy:
            copy.write(text)
        con.commit()
        consumer.commit(offsets=offsets, asynchronous=True)


def writer():
    try:
        write()
    except BaseException:
        traceback.print_exc()
        os._exit(1)


threading.Thread(target=writer, daemon=True).start()
while True:
    ms = consumer.consume(BATCH, 0.05)
    if not ms:
        continue
    df = pl.read_ndjson(b"\n".join([m.value() for m in ms]), schema=SCHEMA)
    scores = session.run(["score"], {"x": df.select(FEATURES).to_numpy(order="c")})[0][:, 0]
    partitions, offsets = [m.partition() for m in ms], [m.offset() for m in ms]
    rows = df.select(
        pl.lit(1).alias("t"),
        pl.Series("p", partitions),
        pl.Series("o", offsets),
        pl.Series("k", [m.key() for m in ms]).cast(U),
        "id",
        "ts",
        "amount",
        get("merchant", "id").alias("m"),
        pl.Series("s", scores),
    )
    text = io.BytesIO()
    rows.write_csv(text, include_header=False)
    last = [TopicPartition(topic, p, o + 1) for p, o in dict(zip(partitions, offsets)).items()]
    batches.put((text.getvalue(), last))
