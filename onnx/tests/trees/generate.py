"""Random tree ensembles with onnxruntime's answers: generate.py OUT COUNT [SEED [ROWS [LARGEST]]]

Writes NAME.onnx, NAME.rows.jsonl and NAME.expected.jsonl for the three tree operators of ai.onnx.ml: all modes, aggregates,
post transforms, base values, label types, weights per leaf, number types and sets, on rows that hit thresholds and their
neighbours, with NaN, infinities and zeros of both signs. Models that onnxruntime refuses are left out and counted,
those of more than LARGEST bytes left out.
"""
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnx import TensorProto as T, helper as h, numpy_helper as nh

ORDER = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"]
MODES = ORDER + ["BRANCH_EQ", "BRANCH_NEQ"]
POSTS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]
AGGREGATES = ["AVERAGE", "SUM", "MIN", "MAX"]


class Tree:
    """Nodes (mode, feature, value, yes, no, nan) with children as indices; leaves have mode LEAF."""

    def __init__(self, r, modes, features, pool, depth, stop, lopsided):
        self.r, self.modes, self.features, self.pool, self.stop, self.lopsided = r, modes, features, pool, stop, lopsided
        self.nodes = []
        self.grow(depth)

    def grow(self, depth):
        r, i = self.r, len(self.nodes)
        self.nodes.append(None)
        if depth == 0 or (i > 0 and r.random() < self.stop):
            self.nodes[i] = ["LEAF", 0, 0.0, 0, 0, 0]
            return i
        mode = str(r.choice(self.modes))
        value = float(r.choice(self.pool))
        if mode == "CHAIN":  # x in a set, as converters write it: equality tests with one true child
            members = [float(v) for v in r.choice(self.pool, size=int(r.integers(1, 5)))]
            feature, nan, links = int(r.integers(self.features)), int(r.integers(2)), [i]
            self.nodes[i] = ["BRANCH_EQ", feature, members[0], -1, -1, nan]
            for m in members[1:]:
                links.append(len(self.nodes))
                self.nodes.append(["BRANCH_EQ", feature, m, -1, -1, nan])
                self.nodes[links[-2]][4] = links[-1]
            yes, no = self.grow(depth - 1), self.grow(depth - 1)
            for link in links:
                self.nodes[link][3] = yes
            self.nodes[links[-1]][4] = no
            return i
        yes = self.grow(0 if self.lopsided and r.random() < 0.8 else depth - 1)
        no = self.grow(depth - 1)
        self.nodes[i] = [mode, int(r.integers(self.features)), value, yes, no, int(r.integers(2))]
        return i


def forest(r, modes, double):
    dtype = np.float64 if double else np.float32
    features = int(r.integers(1, 9))
    pool = [0.0, -0.0, 1.0, 2.0, 3.0, 5.0, 0.5, -1.0, -2.5, 1e-38, 7.0, 33.0, 0.1, 1 / 3]
    pool += [np.inf, -np.inf] if r.random() < 0.4 else []
    pool += [np.nan] if r.random() < 0.05 else []
    pool += list(r.normal(size=int(r.integers(1, 30))))
    if r.random() < 0.5:
        pool = [v for v in pool if not r.random() < 0.3] or [0.25]
    pool = np.array(pool, dtype)
    few = r.random() < 0.4
    trees = int(r.integers(1, 4)) if few else int(r.integers(2, 14))
    depth, stop = int(r.integers(1, 4)) if few else int(r.integers(2, 9)), float(r.choice([0.05, 0.3]))
    return features, pool, [Tree(r, modes, features, pool, depth, stop, r.random() < 0.2) for _ in range(trees)]


def rows(r, pool, features, dtype, count):
    near = pool.astype(dtype)
    if np.issubdtype(dtype, np.floating):
        with np.errstate(all="ignore"):
            near = np.concatenate([near, near, np.nextafter(near, dtype(-np.inf)), np.nextafter(near, dtype(np.inf))])
            near = np.concatenate([near, r.normal(size=8).astype(dtype), [np.nan, np.inf, -np.inf, 0.0, -0.0]]).astype(dtype)
    else:
        near = np.concatenate([np.nan_to_num(near, posinf=9, neginf=-9), r.integers(-40, 40, 20), [2**24 + 1]]).astype(dtype)
    x = r.choice(near, size=(count, features))
    if np.issubdtype(dtype, np.floating) and r.random() < 0.3:
        x = np.where(np.isnan(x), dtype(1), x)
    return x


def weight(r, kind):
    w = {"any": r.normal, "positive": r.random, "whole": lambda: float(r.integers(-3, 4))}[kind]()
    return float(np.float32(w))


def old(r, name):
    """TreeEnsembleClassifier or TreeEnsembleRegressor."""
    classifier, tensors, double = r.random() < 0.6, False, False
    if r.random() < 0.15:
        double, tensors = True, r.random() < 0.5
    modes = [ORDER, MODES, ["BRANCH_LEQ"], ["BRANCH_EQ"], MODES + ["CHAIN"], ["BRANCH_LEQ", "CHAIN"]][int(r.integers(6))]
    features, pool, trees = forest(r, modes, double and tensors)
    prefix, outputs = ("class", int(r.choice([1, 2, 2, 2, 3, 4, 5, 9]))) if classifier else ("target", int(r.choice([1, 1, 1, 2, 3, 6])))
    a = {k: [] for k in ["treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids", "missing_value_tracks_true"]}
    w = {k: [] for k in ["treeids", "nodeids", "ids", "weights"]}
    kind = str(r.choice(["any", "positive", "whole"]))
    sides = str(r.choice(["all", "one", "sparse", "each", "same"]))
    fixed = int(r.integers(outputs))
    for t, tree in enumerate(trees):
        for i, (mode, feature, value, yes, no, nan) in enumerate(tree.nodes):
            for k, v in zip(a, [t, i, mode, feature, value, yes, no, nan]):
                a[k].append(v)
            if mode != "LEAF":
                continue
            ids = {"all": range(outputs), "one": [fixed], "sparse": [k for k in range(outputs) if r.random() < 0.5], "each": [t % outputs], "same": [int(r.integers(outputs))]}[sides]
            ids = list(ids) + ([int(r.integers(outputs))] if r.random() < 0.02 else [])
            for k in ids:
                for key, v in zip(w, [t, i, k, weight(r, kind)]):
                    w[key].append(v)
    if not w["ids"]:
        return None
    if r.random() < 0.4:
        del a["missing_value_tracks_true"]
    attrs = {"nodes_" + k: v for k, v in a.items()} | {f"{prefix}_{k}": v for k, v in w.items()}
    if tensors:
        for k in ["nodes_values", prefix + "_weights"]:
            attrs[k + "_as_tensor"] = nh.from_array(np.array(attrs.pop(k), np.float64), k)
    n_base = int(r.choice([0, 0, 1, 2])) if classifier and outputs <= 2 else int(r.choice([0, outputs]))
    if n_base:
        base = [weight(r, kind) for _ in range(n_base)]
        attrs |= {"base_values_as_tensor": nh.from_array(np.array(base, np.float64), "b")} if tensors else {"base_values": base}
    attrs["post_transform"] = str(r.choice(POSTS))
    if classifier and outputs <= 2:  # in these cases onnxruntime leaves a score unwritten, or writes past the end
        unwritten = n_base == 1 and len(set(w["ids"])) == 2 or attrs["post_transform"] == "PROBIT"
        if n_base == 2 and outputs == 1 or outputs == 2 and sides != "all" and unwritten:
            return None
    dtype = np.float64 if double else np.float32
    if classifier:
        if not double and r.random() < 0.1:
            dtype = r.choice([np.int64, np.int32])
        texts = outputs > 1 and r.random() < 0.4
        labels = [f"c{k}" for k in range(outputs)] if texts else [int(v) for v in r.permutation(20)[:outputs]]
        attrs["classlabels_strings" if texts else "classlabels_int64s"] = labels
        outs = [("label", T.STRING if texts else T.INT64), ("scores", T.FLOAT)]
    else:
        attrs |= {"n_targets": outputs, "aggregate_function": str(r.choice(AGGREGATES))}
        outs = [("y", T.FLOAT)]
    op = "TreeEnsembleClassifier" if classifier else "TreeEnsembleRegressor"
    return op, attrs, outs, 3 if tensors else int(r.choice([1, 3])), features, pool, np.dtype(dtype).type


def new(r, name):
    """TreeEnsemble of version 5."""
    double = r.random() < 0.3
    dtype = np.float64 if double else np.float32
    names = ORDER + ["BRANCH_EQ", "BRANCH_NEQ", "MEMBER"]
    modes = [ORDER, names, ["MEMBER"], ["BRANCH_LEQ", "MEMBER"]][int(r.integers(4))]
    features, pool, trees = forest(r, modes, double)
    outputs = int(r.choice([1, 1, 2, 3]))
    a = {k: [] for k in ["featureids", "truenodeids", "falsenodeids", "trueleafs", "falseleafs", "missing_value_tracks_true"]}
    codes, splits, members, targets, weights, roots = [], [], [], [], [], []
    for tree in trees:
        place, branches = {}, [i for i, n in enumerate(tree.nodes) if n[0] != "LEAF"]
        for k, i in enumerate(branches):
            place[i] = (len(codes) + k, 0)
        for i, n in enumerate(tree.nodes):
            if n[0] == "LEAF":
                place[i] = (len(targets), 1)
                targets.append(int(r.integers(outputs)))
                weights.append(weight(r, "any"))
        roots.append(len(codes))
        for i in branches:
            mode, feature, value, yes, no, nan = tree.nodes[i]
            codes.append(names.index(mode))
            splits.append(value)
            for k, v in zip(a, [feature, place[yes][0], place[no][0], place[yes][1], place[no][1], nan]):
                a[k].append(v)
            if mode == "MEMBER":
                some = r.integers(-2, 50, int(r.integers(1, 6))) if r.random() < 0.5 else r.integers(0, 31, int(r.integers(1, 33)))
                members += [float(v) for v in some] + [np.nan]
    if r.random() < 0.4:
        del a["missing_value_tracks_true"]
    array = lambda v, t=dtype: nh.from_array(np.array(v, t), "v")
    attrs = {"nodes_" + k: v for k, v in a.items()} | {
        "nodes_modes": array(codes, np.uint8), "nodes_splits": array(splits), "leaf_targetids": targets, "leaf_weights": array(weights),
        "tree_roots": roots, "n_targets": outputs, "aggregate_function": int(r.integers(4)), "post_transform": int(r.integers(5))}
    if members:
        attrs["membership_values"] = array(members)
    pool = np.concatenate([pool, r.integers(-3, 50, 20), r.integers(0, 31, 20) + 0.5]).astype(dtype)
    return "TreeEnsemble", attrs, [("y", T.DOUBLE if double else T.FLOAT)], 5, features, pool, dtype


def show(v):
    """As the rows of `tidemill model run`: numbers with all digits, NaN and infinities as texts."""
    if isinstance(v, (list, tuple)):
        return [show(x) for x in v]
    if isinstance(v, float) and not np.isfinite(v):
        return "NaN" if v != v else "Infinity" if v > 0 else "-Infinity"
    return v


def main(out, count, seed=1, lines=24, largest=10**9):
    r, out = np.random.default_rng(seed), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    made, refused = 0, 0
    while made < count:
        case = (new if r.random() < 0.25 else old)(r, made)
        if case is None:
            continue
        op, attrs, outs, version, features, pool, dtype = case
        node = h.make_node(op, ["x"], [o for o, _ in outs], domain="ai.onnx.ml", **attrs)
        x = h.make_tensor_value_info("x", h.np_dtype_to_tensor_dtype(np.dtype(dtype)), ["n", features])
        shapes = {"label": ["n"]}
        y = [h.make_tensor_value_info(o, t, shapes.get(o, ["n", None])) for o, t in outs]
        graph = h.make_graph([node], "trees", [x], y)
        model = h.make_model(graph, opset_imports=[h.make_opsetid("", 18), h.make_opsetid("ai.onnx.ml", version)], ir_version=9)
        if model.ByteSize() > largest:
            continue
        data = rows(r, pool, features, dtype, lines)
        try:
            answers = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, {"x": data})
        except Exception:
            refused += 1
            continue
        name = f"{op[12:].lower() or 'v5'}-{made:05}"
        (out / f"{name}.onnx").write_bytes(model.SerializeToString())
        with open(out / f"{name}.rows.jsonl", "w") as f:
            f.writelines(json.dumps({"x": show(row)}) + "\n" for row in data.tolist())
        with open(out / f"{name}.expected.jsonl", "w") as f:
            columns = {o: answer.tolist() for (o, _), answer in zip(outs, answers)}
            f.writelines(json.dumps({o: show(c[i]) for o, c in columns.items()}) + "\n" for i in range(lines))
        made += 1
    print(f"{made} models, {refused} refused by onnxruntime")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *map(int, sys.argv[3:]))
