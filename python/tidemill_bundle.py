"""Makes a model bundle for Tidemill: model.onnx, model.toml and golden records computed by onnxruntime.

    from tidemill_bundle import write_bundle
    write_bundle("models/fraud", to_onnx(pipeline, x[:1]), samples, name="fraud", version="3")

    python tidemill_bundle.py MODEL.onnx SAMPLES.jsonl OUT/ [--name NAME] [--version VERSION] [--features a,b.c,d]

`samples` are events as they will come: dicts (nested ones too), or a pandas DataFrame. An input of the graph whose name
is a field is made of that field; otherwise the graph's one matrix takes the fields in the order of `features`, or of the
first sample. One file on purpose, to be copied beside a training script: it needs the standard library and onnxruntime.
"""

import argparse
import datetime
import hashlib
import json
import math
import os
import pathlib
import re
import shutil
import sys

import numpy as np
import onnxruntime

KINDS = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16, "tensor(bool)": np.bool_, "tensor(string)": object,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int16)": np.int16, "tensor(int8)": np.int8,
    "tensor(uint64)": np.uint64, "tensor(uint32)": np.uint32, "tensor(uint16)": np.uint16, "tensor(uint8)": np.uint8,
}  # fmt: skip
FLOATS = (np.float32, np.float64, np.float16)
ABSENT = object()


class BundleError(ValueError):
    """The bundle cannot be made; the message says what to change."""


def write_bundle(
    path, model, samples, name="model", version=None, features=None, outputs=None, types=None, categories=None, missing=None, engine=None, golden=200
):
    """Writes the bundle into the folder `path` and returns what was left out or guessed, as sentences.

    model: the ONNX file (path), its bytes, or what skl2onnx and onnx give (anything with SerializeToString).
    samples: events with all fields that the model reads; some of them with missing fields, rare values and extremes.
    features: fields in the order of the graph's matrix, or {graph input: field or fields}.
    outputs: {column: (graph output, index or class, kind)}; kind is float, integer, boolean, label or reals.
    types: {field: "timestamp"} and the like, where the samples do not show it; a timestamp is seconds in the tensor.
    categories: {field: texts in the order that training numbered them}, for texts that the graph takes as numbers.
    missing: {field: number, "nan", "reject" or {"text": ...}}, for absent fields.
    golden: how many samples become golden records.
    """
    path = pathlib.Path(path)
    data, side, source = model_bytes(model)
    samples = events(samples)
    path.mkdir(parents=True, exist_ok=True)
    (path / "model.onnx").write_bytes(data)
    for file in side:
        copy_side(source.parent, path, file)
    session = start(path / "model.onnx")
    plan = Plan(session, samples, features, types or {}, categories or {}, missing or {})
    answers = [run(session, plan, e) for e in samples[: max(1, golden)]]
    columns, notes = columns_of(session, answers, outputs)
    version = version or hashlib.sha256(data).hexdigest()[:12]
    # First the records: they show which columns must store NaN.
    lines = [golden_line(e, a, columns) for e, a in zip(samples, answers)]
    (path / "golden.jsonl").write_text("".join(lines), encoding="utf-8")
    (path / "model.toml").write_text(manifest(name, str(version), engine, plan, columns), encoding="utf-8")
    return plan.notes + notes


# --- the model --------------------------------------------------------------------------------------------------------


def model_bytes(model):
    """The file's bytes, the side files that its weights lie in, and where it came from."""
    if hasattr(model, "SerializeToString"):
        data, source = model.SerializeToString(), None
    elif isinstance(model, (bytes, bytearray, memoryview)):
        data, source = bytes(model), None
    else:
        source = pathlib.Path(model)
        data = source.read_bytes()
    side = sorted(side_files(data))
    if side and source is None:
        raise BundleError(f"the weights lie in {', '.join(side)}: give the path of the model's file, not its bytes")
    return data, side, source


def fields(data):
    """(number, wire type, value) of a protobuf message; nothing more once it is no message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    try:
        while at < len(data):
            key = varint()
            if key & 7 == 0:
                yield key >> 3, 0, varint()
            elif key & 7 == 2:
                size = varint()
                yield key >> 3, 2, data[at : at + size]
                at += size
            else:
                at += {1: 8, 5: 4}[key & 7]
    except (IndexError, KeyError):
        return


def side_files(data):
    """`location` of every initializer with external data: ModelProto.graph 7 > initializer 5 > external_data 13 > key 1, value 2."""

    def inside(messages, number):
        return [v for m in messages for n, wire, v in fields(m) if n == number and wire == 2]

    entries = inside(inside(inside([memoryview(data)], 7), 5), 13)
    pairs = [{n: bytes(v) for n, wire, v in fields(e) if wire == 2} for e in entries]
    return {p.get(2, b"").decode() for p in pairs if p.get(1) == b"location"}


def copy_side(source, target, file):
    inside = pathlib.PurePosixPath(file)
    if inside.is_absolute() or ".." in inside.parts:
        raise BundleError(f"the weights' file `{file}` lies outside the model's folder; export it beside the model")
    if (source / file).resolve() != (target / file).resolve():
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file, target / file)


def start(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


# --- the samples ------------------------------------------------------------------------------------------------------


def events(samples):
    if hasattr(samples, "to_dict"):  # a DataFrame, told without pandas
        samples = samples.to_dict(orient="records")
    samples = [plain(s) for s in samples]
    if not samples or not all(isinstance(s, dict) for s in samples):
        raise BundleError("samples must be a list of dicts, one at least, or a DataFrame")
    return samples


def plain(value):
    """A value as JSON has it; NaN and pandas' missing values become null."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, np.generic):
        # a float32 keeps its own few digits: they round back to it
        value = float(str(value)) if isinstance(value, np.floating) else value.item()
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            return None
        raise BundleError("a sample holds an infinity, which JSON lacks")
    if isinstance(value, (bool, int, float, str)):
        return value
    raise BundleError(f"a sample holds a {type(value).__name__}, which no event can hold")


def show(path):
    """A path as model.toml has it: `card.country`, `"a.b".c`."""
    bare = re.compile(r"[^\s.\[\]\"\\\x00-\x1f\x7f]+")
    return ".".join(key if bare.fullmatch(key) else '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"' for key in path)


def get(event, path):
    for key in path:
        if not isinstance(event, dict) or key not in event:
            return ABSENT
        event = event[key]
    return event


def leaves(event, before=()):
    for key, value in event.items():
        if isinstance(value, dict):
            yield from leaves(value, (*before, key))
        else:
            yield (*before, key)


def shape_of(value):
    out = []
    while isinstance(value, list):
        out.append(len(value))
        value = value[0] if value else None
    return out


# --- from samples to inputs -------------------------------------------------------------------------------------------


class Feature:
    """One field of the events and how it becomes a part of an input."""

    def __init__(self, port, path, samples, types, categories, missing):
        self.port, self.path, self.title = port, path, show(path)
        values = [get(e, path) for e in samples]
        known = [v for v in values if v is not ABSENT and v is not None]
        if not known:
            raise BundleError(f"no sample has the field `{self.title}`")
        shapes = {tuple(shape_of(v)) for v in known}
        if len(shapes) > 1:
            raise BundleError(f"field `{self.title}` is an array of different lengths: {sorted(shapes)}; Tidemill wants one length")
        self.length = list(shapes.pop())
        self.values = categories.get(self.title)
        elements = [x for v in known for x in np.array(v, object).reshape(-1)]
        self.kind = types.get(self.title) or self.guess([x for x in elements if x is not None])
        # A null in an array is filled by what would fill it up.
        self.pad = "nan" if self.length and None in elements and port.dtype in FLOATS else None
        lacks = len(known) < len(values)
        self.missing = missing.get(self.title, "nan" if lacks and self.may_be_nan() else "reject")
        if lacks and self.missing == "reject":
            raise BundleError(f"field `{self.title}` is missing in some samples: say by missing={{{self.title!r}: ...}} what it is then")

    def guess(self, values):
        if self.values is not None:
            return "category"
        if self.port.dtype is object:
            if not all(isinstance(v, str) for v in values):
                raise BundleError(f"field `{self.title}` holds other values than texts, and input `{self.port.name}` takes texts")
            return "text"
        if any(isinstance(v, str) for v in values):
            raise BundleError(f"field `{self.title}` holds texts, and input `{self.port.name}` takes numbers: say by categories= how training numbered them")
        if all(isinstance(v, bool) for v in values):
            return "boolean"
        return "integer" if all(isinstance(v, (bool, int)) for v in values) else "number"

    def may_be_nan(self):
        return self.port.dtype in FLOATS and self.kind != "text" and not self.length

    def cell(self, event):
        """Elements for the tensor, in doubles as Tidemill reads them, or texts."""
        value = get(event, self.path)
        if value is ABSENT or value is None:
            fill = self.missing
            if isinstance(fill, dict):
                return [fill["text"]]
            if fill == "reject":
                raise BundleError(f"field `{self.title}` is missing in a sample")
            return [math.nan if fill == "nan" else fill]
        return [self.element(v) for v in np.array(value, object).reshape(-1)] if self.length else [self.element(value)]

    def element(self, value):
        if value is None and self.pad:
            return math.nan
        if value is None:
            raise BundleError(f"field `{self.title}` holds a null in a sample")
        if self.kind == "category":
            return self.values.index(value) if value in self.values else -1
        if self.kind == "timestamp" and isinstance(value, str):
            return datetime.datetime.fromisoformat(value).timestamp()
        if self.kind == "timestamp":
            return value / 1000  # milliseconds, Tidemill's default unit
        return value

    def toml(self, several):
        lines = ["", "[[feature]]"]
        if several:
            lines.append(f"input = {quote(self.port.name)}")
        lines += [f"field = {quote(self.title)}", f"type = {quote(self.kind)}"]
        if self.values is not None:
            lines.append(f"values = [{', '.join(quote(v) for v in self.values)}]")
        if self.length:
            lines.append(f"length = {self.length[0] if len(self.length) == 1 else self.length}")
        if self.pad:
            lines.append(f"pad = {fill(self.pad)}")
        if self.missing != "reject":
            lines.append(f"missing = {fill(self.missing)}")
        return lines


def fill(value):
    if isinstance(value, dict):
        return f"{{ text = {quote(value['text'])} }}"
    return quote(value) if isinstance(value, str) else repr(value)


class Port:
    """An input of the graph."""

    def __init__(self, info):
        self.name = info.name
        if info.type not in KINDS:
            raise BundleError(f"input `{info.name}` is {info.type}; Tidemill makes tensors of features")
        self.dtype = np.dtype(KINDS[info.type]).type if KINDS[info.type] is not object else object
        dims = [d if isinstance(d, int) and d > 0 else None for d in info.shape]
        free = [i for i, d in enumerate(dims) if d is None]
        # The batch is the first axis; where that is fixed and another one is free, the free one.
        self.axis = 0 if not dims or dims[0] in (None, 1) or not free else free[0]
        self.batch = dims[self.axis] if dims else None
        # A graph that declares no shape gets what the fields make.
        self.row = dims[: self.axis] + dims[self.axis + 1 :] if dims else None

    def tensor(self, cells):
        """A batch of one row; a graph of a fixed batch gets the row as often as it wants."""
        shape = [len(cells)] if self.row is None else list(self.row)
        free = [i for i, d in enumerate(shape) if d is None]
        rest = math.prod(d for d in shape if d is not None)
        if len(free) == 1 and rest and len(cells) % rest == 0:
            shape[free[0]] = len(cells) // rest
        elif free:
            raise BundleError(f"input `{self.name}` has several free axes; give its field as a nested array")
        if math.prod(shape) != len(cells):
            raise BundleError(f"a row of input `{self.name}` is {shape}, and its fields make {len(cells)} values; say which by features=")
        with np.errstate(over="ignore", invalid="ignore"):
            row = np.array(cells, object if self.dtype is object else np.float64 if self.dtype in FLOATS else object)
            row = row.reshape(shape).astype(self.dtype)
        return np.stack([row] * (self.batch or 1), self.axis)


class Plan:
    """Which fields feed which inputs."""

    def __init__(self, session, samples, features, types, categories, missing):
        self.ports, self.notes = [Port(i) for i in session.get_inputs()], []
        first = list(leaves(samples[0]))
        by_name = {show(p): p for p in dict.fromkeys(p for e in samples for p in leaves(e))}
        wanted = self.fields(features, first, by_name)
        self.features = []
        for port, paths in zip(self.ports, wanted):
            made = [Feature(port, p, samples, types, categories, missing) for p in paths]
            if len(made) == 1 and (port.row is None or len(port.row) == len(made[0].length)):
                port.row = [d or n for d, n in zip(port.row or made[0].length, made[0].length)]
            self.features.append(made)

    def fields(self, features, first, by_name):
        """Paths for each input."""

        def find(field):
            if field not in by_name:
                raise BundleError(f"the samples have no field `{field}`; they have {', '.join(by_name)}")
            return by_name[field]

        named = {p.name for p in self.ports}
        if isinstance(features, dict):
            if features.keys() != named:
                raise BundleError(f"features= must name the graph's inputs: {', '.join(sorted(named))}")
            return [[find(f) for f in ([features[p.name]] if isinstance(features[p.name], str) else features[p.name])] for p in self.ports]
        if features is None and all((p.name,) in by_name.values() or p.name in by_name for p in self.ports):
            return [[by_name.get(p.name, (p.name,))] for p in self.ports]
        if len(self.ports) > 1:
            lacking = ", ".join(p.name for p in self.ports if p.name not in by_name)
            raise BundleError(f"the samples have no fields for the inputs {lacking}; say by features={{input: field}} which they are")
        if features is None:
            self.notes.append("the fields of the first sample, in their order, were taken as the columns of the matrix: " + ", ".join(map(show, first)))
        return [[find(f) for f in features] if features is not None else first]

    def feed(self, event):
        return {p.name: p.tensor([c for f in made for c in f.cell(event)]) for p, made in zip(self.ports, self.features)}


# --- from outputs to columns ------------------------------------------------------------------------------------------


def run(session, plan, event):
    """Graph output -> the one row's value: a map, or a flat array."""
    answer = {}
    for info, value in zip(session.get_outputs(), session.run(None, plan.feed(event))):
        if isinstance(value, list) and value and isinstance(value[0], dict):
            answer[info.name] = value[0]
        elif isinstance(value, np.ndarray):
            answer[info.name] = value.reshape(-1)[: value.size // max(p.batch or 1 for p in plan.ports)]
        else:
            answer[info.name] = None
    return answer


class Column:
    """A column of the table and the part of an output that fills it."""

    def __init__(self, name, tensor, pick, kind):
        self.name, self.tensor, self.pick, self.kind, self.nan = name, tensor, pick, kind, False

    def value(self, answer):
        value = answer[self.tensor]
        if isinstance(value, dict):
            value = next(v for k, v in value.items() if str(k) == str(self.pick))
        elif self.kind != "reals":
            value = value[self.pick or 0]
        if self.kind == "reals":
            return [self.number(v) for v in value]
        if self.kind == "boolean":
            return bool(value)
        if self.kind == "integer":
            return int(value)
        return str(value) if self.kind == "label" else self.number(value)

    def number(self, value):
        value = float(value)
        if math.isfinite(value):
            return value
        self.nan = True
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"

    def toml(self):
        lines = ["", "[[output]]", f"name = {quote(self.name)}", f"tensor = {quote(self.tensor)}", f"kind = {quote(self.kind)}"]
        if self.pick is not None:
            lines.append(f"class = {quote(self.pick)}" if isinstance(self.pick, str) else f"index = {self.pick}")
        return lines + (['nan = "store"'] if self.nan else [])


def columns_of(session, answers, outputs):
    if outputs is not None:
        columns = [Column(name, *(spec if isinstance(spec, tuple) else (spec, None, "float"))) for name, spec in outputs.items()]
        for column in columns:
            if column.tensor not in answers[0]:
                raise BundleError(f"the graph has no output `{column.tensor}`; it has {', '.join(answers[0])}")
        return columns, []
    columns, notes = [], []
    for info in session.get_outputs():
        made = guess(info.name, answers[0][info.name])
        if not made:
            notes.append(f"output `{info.name}` ({info.type}) was left out: it does not make columns")
        columns += made
    if not columns:
        raise BundleError("none of the graph's outputs makes a column")
    for i, column in enumerate(columns):
        while any(c.name == column.name for c in columns[:i]):
            column.name += "_"
    return columns, notes


def guess(name, value):
    """Columns for an output: a text or a number as it is, of two probabilities the second, more of them as an array."""
    column = re.sub(r"\W+", "_", name).strip("_").lower()[:50] or "output"
    if isinstance(value, dict):
        keys = [str(k) for k in value]
        return [Column(column, name, keys[1], "float")] if len(keys) == 2 else [Column(f"{column}_{k}"[:60], name, k, "float") for k in keys]
    if value is None or value.size == 0:
        return []
    kind = {"f": "float", "b": "boolean", "O": "label", "U": "label"}.get(value.dtype.kind, "integer")
    if value.size == 1:
        return [Column(column, name, None, kind)]
    if kind == "float" and value.size == 2 and "prob" in name.lower():
        return [Column(column, name, 1, kind)]
    if kind == "label":
        return [Column(f"{column}_{i}", name, i, kind) for i in range(value.size)]
    return [Column(column, name, None, "reals")]


# --- the files --------------------------------------------------------------------------------------------------------


def quote(text):
    """A basic string of TOML; JSON's escapes are among its own."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def manifest(name, version, engine, plan, columns):
    lines = ["# Written by tidemill_bundle.py.", f"name = {quote(name)}", f"version = {quote(version)}"]
    if engine:
        lines.append(f"engine = {quote(engine)}")
    several = len(plan.ports) > 1
    if not several:
        lines += ["", "[input]", f"tensor = {quote(plan.ports[0].name)}"]
    for made in plan.features:
        for feature in made:
            lines += feature.toml(several)
    for column in columns:
        lines += column.toml()
    return "\n".join(lines) + "\n"


def golden_line(event, answer, columns):
    record = {"event": event, "outputs": {c.name: c.value(answer) for c in columns}}
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="ONNX file")
    parser.add_argument("samples", help="events, one JSON object a line")
    parser.add_argument("out", help="folder of the bundle")
    parser.add_argument("--name", help="name of the model (default: the file's)")
    parser.add_argument("--version", help="version of the model (default: the beginning of its digest)")
    parser.add_argument("--features", help="fields in the order of the matrix, separated by commas")
    parser.add_argument("--engine", choices=["tract", "onnxruntime"])
    parser.add_argument("--golden", type=int, default=200, help="samples that become golden records (default: 200)")
    args = parser.parse_args(arguments)
    try:
        with open(args.samples, encoding="utf-8") as file:
            samples = [json.loads(line) for line in file if line.strip()]
        name = args.name or os.path.splitext(os.path.basename(args.model))[0]
        features = args.features.split(",") if args.features else None
        notes = write_bundle(args.out, args.model, samples, name, args.version, features, engine=args.engine, golden=args.golden)
    except (BundleError, OSError, json.JSONDecodeError) as error:
        print(f"tidemill_bundle: {error}", file=sys.stderr)
        return 2
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"{args.out}: model.onnx, model.toml, golden.jsonl")
    return 0


if __name__ == "__main__":
    sys.exit(main())
