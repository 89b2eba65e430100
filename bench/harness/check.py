"""Judges what a run left in the table: complete, nothing twice, and the right values in a sample.

Rows with a negative partition were there before.
"""

import datetime
import math
import pathlib
import sys

import numpy as np
import onnxruntime as ort

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "peers/python"))
from features import row  # noqa: E402

TOLERANCE = 1e-5


class Expected:
    """The rows that a sample of events must become, by partition and offset; scores are onnxruntime's."""

    def __init__(self, samples, models):
        x = np.array([row(e) for _, _, _, e in samples], dtype=np.float32)
        self.rows = {}
        for p, o, k, e in samples:
            time = datetime.datetime.fromisoformat(e["ts"])
            self.rows[p, o] = (k, e["id"], time, e["amount"], e["merchant"]["id"])
        self.scores = {}
        for name, (file, output) in models.items():
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
            # The last column: the only one, or that of class 1.
            scores = session.run([output], {"x": x})[0][:, -1].tolist()
            self.scores[name] = {(p, o): s for (p, o, _, _), s in zip(samples, scores)}

    def compare(self, con, model):
        """(rows compared, largest difference of scores, first complaint or nothing)."""
        places = list(self.rows)
        found = con.execute(
            "SELECT s.partition, s.kafka_offset, key, event_id, event_time, amount, merchant, score FROM scored s "
            "JOIN unnest(%s::int[], %s::bigint[]) w (p, o) ON s.partition = w.p AND s.kafka_offset = w.o",
            [[p for p, _ in places], [o for _, o in places]],
        ).fetchall()
        worst = 0.0
        for p, o, *values, score in found:
            if tuple(values) != self.rows[p, o]:
                return len(found), worst, f"{p}/{o}: stored {values}, expected {self.rows[p, o]}"
            if model is None:
                if score is not None:
                    return len(found), worst, f"{p}/{o}: a score {score} without a model"
                continue
            off = abs(score - self.scores[model][p, o]) if score is not None else math.inf
            worst = max(worst, off)
            if off > TOLERANCE:
                return len(found), worst, f"{p}/{o}: score {score}, expected {self.scores[model][p, o]}"
        return len(found), worst, None


def counts(con):
    """(rows, distinct places) of the table."""
    con.execute("SET work_mem = '512MB'")
    rows = con.execute("SELECT count(*) FROM scored WHERE partition >= 0").fetchone()[0]
    places = "SELECT DISTINCT partition, kafka_offset FROM scored WHERE partition >= 0"
    return rows, con.execute(f"SELECT count(*) FROM ({places}) x").fetchone()[0]


def curve(con):
    """[(when they became visible, rows up to then)]: commit times of the transactions that wrote."""
    commits = con.execute(
        "SELECT extract(epoch FROM at)::float8, sum(n)::bigint FROM (SELECT pg_xact_commit_timestamp(xmin) AS at, count(*) AS n "
        "FROM scored WHERE partition >= 0 GROUP BY xmin) x GROUP BY 1 ORDER BY 1"
    ).fetchall()
    total, points = 0, []
    for at, n in commits:
        total += n
        points.append((at, total))
    return points
