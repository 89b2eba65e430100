"""What every family shares: the list of cases, onnxruntime's answers, and the files that they are written to."""

import json
import math
import zlib
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime

# Largest difference between two batches of onnxruntime that still counts as the same answer.
SAME = 1e-5
# Rows of a committed model, and how long they may be as text before there are fewer.
ROWS, LARGE = 64, 20_000


@dataclass
class Made:
    """A model with the sampler of its rows.

    `rows(n, rng)` gives graph input -> array with the batch as axis 0 (or a list of n maps).
    """

    model: onnx.ModelProto
    rows: object
    axes: dict = field(default_factory=dict)  # graph input or output -> its batch axis, where that is not 0
    batch: int | None = None  # rows that the graph takes at once; None: any number
    alone: bool = False  # the graph mixes rows: one row a run is the only meaning that does not depend on the batch
    files: dict = field(default_factory=dict)  # side file -> bytes


@dataclass
class Case:
    """A named way to make a model."""

    name: str
    kind: str
    make: object
    note: str = ""


CASES: list[Case] = []


def case(name, kind, note=""):
    """Registers the decorated function as the maker of the model `name`."""

    def register(make):
        assert all(c.name != name for c in CASES), name
        CASES.append(Case(name, kind, make, note))
        return make

    return register


def rng_of(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def session(model, where=None):
    """A session as the fidelity demands compare with: the CPU provider, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if where is None:
        where = model.SerializeToString()
    return onnxruntime.InferenceSession(where, options, providers=["CPUExecutionProvider"])


def to_batch(feed, axes):
    """Rows first -> the graph's own axes."""
    return {k: v if isinstance(v, list) else np.moveaxis(v, 0, axes.get(k, 0)) for k, v in feed.items()}


def part(feed, start, end):
    return {k: v[start:end] for k, v in feed.items()}


def size(feed):
    return len(next(iter(feed.values())))


def run(sess, made, feed, step):
    """Output -> one value a row, `step` rows a run; the last piece of a fixed batch is padded with its last row."""
    names = [o.name for o in sess.get_outputs()]
    got = {n: [] for n in names}
    for start in range(0, size(feed), step):
        piece = part(feed, start, min(start + step, size(feed)))
        count = size(piece)
        if made.batch and count < made.batch:
            piece = {k: np.concatenate([v] + [v[-1:]] * (made.batch - count)) for k, v in piece.items()}
        piece = {k: v[0] if isinstance(v, list) else v for k, v in to_batch(piece, made.axes).items()}
        for name, value in zip(names, sess.run(None, piece)):
            got[name].extend(rows_of(value, made.axes.get(name, 0), made.batch or count)[:count])
    return got


def rows_of(value, axis, count):
    """One value a row: of a tensor, of a sequence of maps (a map is a row), of a sequence of tensors (each has all rows)."""
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list) and isinstance(value[0], np.ndarray):
        return [list(row) for row in zip(*(rows_of(v, axis, count) for v in value))]
    rows = value if isinstance(value, list) else np.moveaxis(np.asarray(value), axis, 0)
    assert len(rows) == count, f"{len(rows)} rows came back for {count}"
    return list(rows)


def same(a, b):
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return False
    if a.dtype.kind != "f":
        return bool((a == b).all())
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        close = np.abs(a - b) <= SAME * np.maximum(1, np.abs(b))
    return bool((close | (a == b) | (np.isnan(a) & np.isnan(b))).all())


def expected(name, made, sess, feed):
    """onnxruntime's answers, which must not depend on how the rows were batched."""
    if made.alone:
        return run(sess, made, feed, 1)
    if made.batch:
        return run(sess, made, feed, made.batch)
    whole = run(sess, made, feed, size(feed))
    for step, some in ((1, 256), (7, size(feed))):
        pieces = run(sess, made, part(feed, 0, some), step)
        for out in whole:
            for i, (a, b) in enumerate(zip(whole[out], pieces[out])):
                assert same(a, b), f"{name}: output {out} of row {i} is {a} in the whole batch and {b} in batches of {step}"
    return whole


def plain(value):
    """A value as JSON has it; floats keep the digits of their own type, what JSON lacks becomes text."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item() if value.dtype == object else value[()]
    if isinstance(value, (np.ndarray, list)):
        return [plain(v) for v in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (float, np.floating)):
        return number(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    assert isinstance(value, str), type(value)
    return str(value)


def number(value):
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    # The shortest text of its own type, as a double; of float16 that would be too coarse for a reader that compares doubles.
    out = float(value) if isinstance(value, np.float16) else float(str(value))
    assert type(value)(out) == value, value
    return out


def lines(columns):
    names = list(columns)
    rows = zip(*columns.values())
    return "".join(json.dumps({k: plain(v) for k, v in zip(names, row)}, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)


def operators(model):
    """Operators of a graph, of its subgraphs and functions, as `domain.Operator` (the default domain without a dot)."""
    found = set()

    def walk(nodes):
        for node in nodes:
            found.add(f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type)
            for a in node.attribute:
                for graph in [a.g] if a.type == onnx.AttributeProto.GRAPH else a.graphs:
                    walk(graph.node)

    walk(model.graph.node)
    for function in model.functions:
        walk(function.node)
    return sorted(found)


def write(one, out, count):
    """Makes a case and writes its files into the folder `out`; returns its line of the index."""
    made = one.make()
    rng = rng_of(one.name)
    feed = made.rows(count, rng)
    data = made.model.SerializeToString(deterministic=True)
    path = out / f"{one.name}.onnx"
    path.write_bytes(data)
    for name, content in made.files.items():
        (out / name).write_bytes(content)
    sess = session(made.model, str(path))
    answers = expected(one.name, made, sess, feed)
    texts = [lines(feed), lines(answers)]
    if count <= ROWS and sum(map(len, texts)) > LARGE:  # committed: fewer rows where they are wide
        count = count * 5 // 8
        texts = ["".join(text.splitlines(keepends=True)[:count]) for text in texts]
    for word, text in zip(("rows", "expected"), texts):
        (out / f"{one.name}.{word}.jsonl").write_text(text)
    line = {"name": one.name, "kind": one.kind, "rows": count, "operators": operators(made.model)}
    line["opset"] = {o.domain: o.version for o in made.model.opset_import}
    if made.axes:
        line["axes"] = made.axes
    if made.batch:
        line["batch"] = made.batch
    if made.alone:
        line["alone"] = True
    if made.files:
        line["files"] = sorted(made.files)
    if one.note:
        line["note"] = one.note
    return line
