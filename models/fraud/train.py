"""Trains the two fraud models and writes their bundles: gbt/ and mlp/ beside this file.

    pip install -r requirements.txt && python train.py

Deterministic: seeded, one thread. The bundles in the repository are its output; see ../README.md.
"""

import copy
import json
import math
import pathlib
import random
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent / "python"))
from payments import CATEGORIES, COUNTRIES, DEVICES, event, fraud  # noqa: E402

warnings.filterwarnings("ignore", message="Stochastic Optimizer")  # the number of passes is meant
VERSION = "1"
TRAIN, TEST, SEED = 40_000, 20_000, 20261101
# A tree sends a missing value (NaN) to the side of the larger values: training sees it as a number above all others.
MISSING = 1e9

# (field, type, values, missing in gbt, missing in mlp); the order is the order in the tensor
FEATURES = [
    ("amount", "number", None, "reject", "reject"),
    ("card.bin", "integer", None, "reject", "reject"),
    ("card.age_days", "integer", None, "nan", 1500),
    ("card.country", "category", COUNTRIES, -1, -1),
    ("card.prepaid", "boolean", None, 0, 0),
    ("merchant.category", "category", CATEGORIES, -1, -1),
    ("merchant.country", "category", COUNTRIES, -1, -1),
    ("merchant.risk", "number", None, "nan", 0.5),
    ("device.kind", "category", DEVICES, -1, -1),
    ("device.ip_country", "category", COUNTRIES, -1, -1),
    ("device.new", "boolean", None, 0, 0),
    ("stats.n_1h", "integer", None, "nan", 4),
    ("stats.n_24h", "integer", None, "nan", 24),
    ("stats.sum_24h", "number", None, "nan", 148),
    ("stats.avg_30d", "number", None, "nan", 37),
    ("stats.std_30d", "number", None, "nan", 40),
    ("stats.declines_24h", "integer", None, "nan", 1),
    ("stats.distance_km", "number", None, "nan", 208),
]
EQUAL = [("card.country", "merchant.country"), ("card.country", "device.ip_country")]
MAY_BE_MISSING = [f for f in FEATURES if f[3] == "nan"]


def get(e, path):
    for part in path.split("."):
        e = e.get(part) if isinstance(e, dict) else None
    return e


def row(e, kind):
    """An event as 20 numbers, exactly as the bundle's model.toml says."""
    out = []
    for path, typ, values, *missing in FEATURES:
        v = get(e, path)
        if v is None:
            v = missing[kind == "mlp"]
            assert v != "reject", path
            out.append(math.nan if v == "nan" else v)
        else:
            out.append(values.index(v) if typ == "category" and v in values else -1 if typ == "category" else v)
    for a, b in EQUAL:
        a, b = get(e, a), get(e, b)
        out.append(float(a is not None and a == b))
    return out


def without(e, path):
    parent, name = path.rsplit(".", 1)
    del get(e, parent)[name]


def dataset(n, seed):
    """Events with labels; in one of ten a field that may be missing is."""
    r, labels, holes = random.Random(seed), random.Random(seed + 1), random.Random(seed + 2)
    events, y = [], []
    for i in range(n):
        e = event(r, i)
        y.append(fraud(labels, e))
        if holes.random() < 0.1:
            without(e, holes.choice(MAY_BE_MISSING)[0])
        events.append(e)
    return events, np.array(y, np.int64)


def matrix(events, kind):
    return np.array([row(e, kind) for e in events], np.float32)


def train_gbt(events, y):
    x = np.nan_to_num(matrix(events, "gbt"), nan=MISSING)
    model = GradientBoostingClassifier(
        n_estimators=100, max_depth=6, learning_rate=0.1, subsample=0.5, max_features=0.5, min_samples_leaf=60, random_state=SEED
    ).fit(x, y)
    graph = to_onnx(model, x[:1], target_opset={"": 17, "ai.onnx.ml": 3}, options={id(model): {"zipmap": False}})
    rename(graph, {"X": "x", "probabilities": "probabilities", "label": "label"})
    for value in list(graph.graph.input) + list(graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    return graph


def rename(model, names):
    for node in model.graph.node:
        for side in (node.input, node.output):
            side[:] = [names.get(n, n) for n in side]
    for value in list(model.graph.input) + list(model.graph.output):
        value.name = names.get(value.name, value.name)


def train_mlp(events, y):
    x = matrix(events, "mlp")
    mean, scale = x.mean(0), 1 / x.std(0)
    net = MLPClassifier((128, 64), alpha=1e-2, learning_rate_init=5e-4, max_iter=8, batch_size=256, random_state=SEED)
    net.fit(((x - mean) * scale).astype(np.float32), y)
    init = {"mean": mean, "scale": scale, "half": np.array(0.5)}
    for i, (w, b) in enumerate(zip(net.coefs_, net.intercepts_), 1):
        init[f"w{i}"], init[f"b{i}"] = w, b
    nodes = [helper.make_node("Sub", ["x", "mean"], ["centred"]), helper.make_node("Mul", ["centred", "scale"], ["h0"])]
    for i in (1, 2, 3):
        nodes.append(helper.make_node("Gemm", [f"h{i - 1}", f"w{i}", f"b{i}"], [f"z{i}"]))
        nodes.append(helper.make_node("Sigmoid" if i == 3 else "Relu", [f"z{i}"], ["score" if i == 3 else f"h{i}"]))
    nodes.append(helper.make_node("Greater", ["score", "half"], ["is_fraud"]))
    for i, node in enumerate(nodes):
        node.name = f"{node.op_type}_{i}"
    graph = helper.make_graph(
        nodes,
        "fraud-mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", x.shape[1]])],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 1]),
            helper.make_tensor_value_info("is_fraud", TensorProto.BOOL, ["n", 1]),
        ],
        [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in init.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


OUTPUTS = {
    "gbt": [
        ("score", 'tensor = "probabilities"\nindex = 1\nkind = "float"', lambda o: o["probabilities"][:, 1]),
        ("is_fraud", 'tensor = "label"\nkind = "boolean"', lambda o: o["label"]),
    ],
    "mlp": [
        ("score", 'tensor = "score"\nkind = "float"', lambda o: o["score"][:, 0]),
        ("is_fraud", 'tensor = "is_fraud"\nkind = "boolean"', lambda o: o["is_fraud"][:, 0]),
    ],
}


def manifest(kind):
    def value(v):
        return json.dumps(v)

    lines = ["# Written by ../train.py.", 'name = "fraud"', f'version = "{kind}-{VERSION}"', "", "[input]", 'tensor = "x"']
    for path, typ, values, *missing in FEATURES:
        lines += ["", "[[feature]]", f'field = "{path}"', f'type = "{typ}"']
        if values:
            lines.append(f"values = {value(values)}")
        lines.append(f"missing = {value(missing[kind == 'mlp'])}")
        lines.append('wrong = "reject"')
    for a, b in EQUAL:
        lines += ["", "[[feature]]", f"equal = {value([a, b])}", "missing = 0", 'wrong = "reject"']
    for name, text, _ in OUTPUTS[kind]:
        lines += ["", "[[output]]", f'name = "{name}"', text]
    return "\n".join(lines) + "\n"


def thresholds(model):
    """(feature, threshold) of the trees of a gbt graph, or nothing."""
    for node in model.graph.node:
        a = {x.name: helper.get_attribute_value(x) for x in node.attribute}
        if "nodes_values" in a:
            return [(f, v) for f, v, m in zip(a["nodes_featureids"], a["nodes_values"], a["nodes_modes"]) if m != b"LEAF"]
    return []


def set_field(e, path, v):
    parent = e
    *head, last = path.split(".")
    for part in head:
        parent = parent[part]
    parent[last] = v


def golden_events(model):
    """40 ordinary payments, then each thing that the encoding has a rule for, then values right on thresholds."""
    r = random.Random(SEED + 100)
    events = [event(r, 10_000_000 + i) for i in range(400)]
    risky = sorted(events, key=lambda e: -e["merchant"]["risk"] - e["stats"]["declines_24h"] - 3 * e["device"]["new"])
    out = risky[:20] + events[:20]
    for path, *_ in MAY_BE_MISSING:
        e = copy.deepcopy(r.choice(events))
        without(e, path)
        out.append(e)
    for path, typ, *_ in FEATURES:
        if typ == "category":
            e = copy.deepcopy(r.choice(events))
            set_field(e, path, "unheard-of")
            out.append(e)
        if typ in ("category", "boolean"):
            e = copy.deepcopy(r.choice(events))
            set_field(e, path, None)
            out.append(e)
    e = copy.deepcopy(r.choice(events))
    for path, *_ in MAY_BE_MISSING:
        without(e, path)
    out.append(e)
    e = copy.deepcopy(e)
    del e["stats"], e["device"]
    out.append(e)
    real = [t for t in thresholds(model) if t[0] < len(FEATURES) and FEATURES[t[0]][1] == "number"]
    for f, v in r.sample(real, min(16, len(real))):
        e = copy.deepcopy(r.choice(events))
        set_field(e, FEATURES[f][0], v)
        out.append(e)
    for v in (0, 1e12, -5.0, 1e-7):
        e = copy.deepcopy(r.choice(events))
        set_field(e, "amount", v)
        out.append(e)
    return out


def run(model, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"x": x})))


def write(kind, model, events):
    folder = HERE / kind
    folder.mkdir(exist_ok=True)
    onnx.checker.check_model(model)
    model.graph.name = f"fraud-{kind}"  # skl2onnx draws a random one
    for field in ("producer_name", "producer_version", "domain", "doc_string"):
        model.ClearField(field)
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    (folder / "model.toml").write_text(manifest(kind))
    got = run(model, matrix(events, kind))
    columns = [(name, read(got)) for name, _, read in OUTPUTS[kind]]
    with open(folder / "golden.jsonl", "w") as f:
        for i, e in enumerate(events):
            outputs = {"score": float(columns[0][1][i]), "is_fraud": bool(columns[1][1][i])}
            f.write(json.dumps({"event": e, "outputs": outputs}, separators=(",", ":")) + "\n")


def main():
    events, y = dataset(TRAIN, SEED)
    test, truth = dataset(TEST, SEED + 50)
    print(f"{TRAIN} payments to learn from, {y.mean():.2%} fraud; {TEST} to test with")
    for kind, train in (("gbt", train_gbt), ("mlp", train_mlp)):
        model = train(events, y)
        write(kind, model, golden_events(model))
        score = OUTPUTS[kind][0][2](run(model, matrix(test, kind)))
        flagged = (score > 0.5).sum()
        size = (HERE / kind / "model.onnx").stat().st_size
        print(f"{kind}: AUC {roc_auc_score(truth, score):.4f}, {flagged} of {TEST} flagged, model.onnx {size} bytes")


main()
