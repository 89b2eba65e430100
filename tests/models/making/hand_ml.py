"""Operators of ai.onnx.ml one by one, with attributes that exporters seldom combine."""

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

from making.graph import Graph
from making.graph import strings
from making.kit import Made
from making.kit import case
from making.rows import floats
from making.rows import matrix
from making.rows import words

MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
POOL = [0.0, 1.0, 2.0, -1.0, 0.5, -2.5, 3.25]
TRANSFORMS = ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"]


def grow(rng, trees, depth, width, modes, tracks=True):
    """Random trees as the lists of attributes of versions 1 to 3; the leaves as (tree, node)."""
    keys = ["treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids", "missing_value_tracks_true"]
    a, leaves = {f"nodes_{k}": [] for k in keys}, []
    for t in range(trees):
        count = 0

        def node(level):
            nonlocal count
            i, at = count, len(a["nodes_values"])
            count += 1
            leaf = level == 0 or (i > 0 and rng.random() < 0.15)
            row = [t, i, int(rng.integers(width)), float(rng.choice(POOL)), "LEAF" if leaf else str(rng.choice(modes)), 0, 0, int(rng.integers(2)) * tracks]
            for key, v in zip(keys, row):
                a[f"nodes_{key}"].append(0 if leaf and key in ("featureids", "missing_value_tracks_true") else v)
            if leaf:
                leaves.append((t, i))
            else:
                a["nodes_truenodeids"][at] = node(level - 1)
                a["nodes_falsenodeids"][at] = node(level - 1)
            return i

        node(depth)
    return a, leaves


def weights(rng, leaves, prefix, per_leaf, positive=False):
    rows = [(t, i, c, float(np.float32(round(rng.normal(), 3)))) for t, i in leaves for c in per_leaf(t)]
    keys = ("treeids", "nodeids", "ids", "weights")
    return {f"{prefix}_{k}": [abs(r[j]) if positive and j == 3 else r[j] for r in rows] for j, k in enumerate(keys)}


def pooled(width, name="x", dtype=np.float32, more=[]):
    at = {i: POOL + more for i in range(width)}
    return lambda n, rng: {name: matrix(n, rng, width, at, nan=0.15, inf=0.05, dtype=dtype)}


def ensemble(name, note="", targets=1, modes=MODES[:4], trees=6, depth=5, ml=3, per_leaf=None, **attributes):
    @case(name, "TreeEnsembleRegressor", note)
    def make():
        g = Graph(1)
        rng = g.rng
        a, leaves = grow(rng, trees, depth, 5, modes)
        w = weights(rng, leaves, "target", per_leaf or (lambda t: range(targets)))
        g.ml("TreeEnsembleRegressor", ["x"], ["y"], n_targets=targets, **a, **w, **attributes)
        return Made(g.model(name, ["x:f:n,5"], [f"y:f:n,{targets}"], None if name.endswith("bare") else 17, ml), pooled(5))


for word in ("SUM", "AVERAGE", "MIN", "MAX"):
    ensemble(f"tree_reg_{word.lower()}", targets=2, aggregate_function=word, base_values=[0.25, -1.5])
    ensemble(f"tree_reg_one_{word.lower()}_bare", "no default-domain opset", ml=1, aggregate_function=word, base_values=[0.5])
ensemble("tree_reg_modes", "one mode a node of all six", targets=1, modes=MODES, depth=7)
ensemble("tree_reg_equal", "BRANCH_EQ only", modes=["BRANCH_EQ"], depth=6)
ensemble("tree_reg_sparse", "leaves without weights for some targets", targets=3, per_leaf=lambda t: [t % 3])
ensemble("tree_reg_stump", "trees that are one leaf", depth=0, trees=3)
for word in TRANSFORMS[1:]:
    one = word == "PROBIT"
    ensemble(f"tree_reg_{word.lower()}", targets=1 if one else 3, post_transform=word, base_values=[0.5] if one else [0.1, 0.2, -0.1])


def classes(name, labels, per_leaf, note="", positive=False, ml=3, depth=4, **attributes):
    @case(name, "TreeEnsembleClassifier", note)
    def make():
        g = Graph(2)
        a, leaves = grow(g.rng, 6, depth, 5, MODES[:4])
        w = weights(g.rng, leaves, "class", per_leaf, positive)
        text = isinstance(labels[0], str)
        kind = {"classlabels_strings": labels} if text else {"classlabels_int64s": labels}
        g.ml("TreeEnsembleClassifier", ["x"], ["label", "scores"], **kind, **a, **w, **attributes)
        outs = [f"label:{'s' if text else 'i'}:n", f"scores:f:n,{len(labels)}"]
        return Made(g.model(name, ["x:f:n,5"], outs, 17, ml), pooled(5))


both, one, every = (lambda t: [0, 1]), (lambda t: [0]), (lambda t: range(3))
for word in TRANSFORMS:
    if word != "PROBIT":
        classes(f"tree_bin_one_{word.lower()}", [0, 1], one, "binary, one weight column", post_transform=word)
        classes(f"tree_bin_two_{word.lower()}", ["no", "yes"], both, "binary, two weight columns", post_transform=word)
        classes(f"tree_multi_{word.lower()}", [7, 3, 5], every, post_transform=word, base_values=[0.1, -0.2, 0.3])
classes("tree_bin_one_positive", [0, 1], one, "binary, one weight column without negative weights", True)
classes("tree_bin_one_base", ["a", "b"], lambda t: [1], "binary, the only column is the second", base_values=[0.3], post_transform="LOGISTIC")
classes("tree_bin_two_base", [10, 20], both, base_values=[0.3, -0.3])
classes("tree_single_class", [4], one, "one class")
classes("tree_multi_sparse", ["a", "b", "c"], lambda t: [t % 3], "a weight column a tree", ml=1)


@case("tree_double_v3", "TreeEnsembleRegressor with *_as_tensor in double", "float64 input, thresholds that float32 cannot hold")
def double_trees():
    g = Graph(3)
    a, leaves = grow(g.rng, 6, 5, 5, MODES[:4])
    a["nodes_values_as_tensor"] = nh.from_array(np.array(a.pop("nodes_values")) + 1e-9)
    w = weights(g.rng, leaves, "class", every)
    w["class_weights_as_tensor"] = nh.from_array(np.array(w.pop("class_weights"), np.float64))
    base = nh.from_array(np.array([0.1, 0.2, 0.3]))
    g.ml("TreeEnsembleClassifier", ["x"], ["label", "scores"], classlabels_int64s=[0, 1, 2], base_values_as_tensor=base, **a, **w)
    at = np.array(POOL) + 1e-9

    def rows(n, rng):
        x = matrix(n, rng, 5, nan=0.1, dtype=np.float64)
        return {"x": np.where(rng.random((n, 5)) < 0.5, rng.choice(np.concatenate([at, np.nextafter(at, 9), np.nextafter(at, -9)]), (n, 5)), x)}

    return Made(g.model("double", ["x:d:n,5"], ["label:i:n", "scores:f:n,3"], 17, 3), rows)


for word, kind in (("f", "float32"), ("d", "float64")):
    for aggregate, number in (("sum", 1), ("average", 0), ("min", 2), ("max", 3)):

        @case(f"tree_v5_{aggregate}_{word}", f"TreeEnsemble (v5) {kind}", "all modes, BRANCH_MEMBER, leaves apart from nodes")
        def v5(word=word, number=number):
            dtype = np.float32 if word == "f" else np.float64
            g = Graph(4)
            tree = version5(g.rng, dtype)
            g.ml("TreeEnsemble", ["x"], ["y"], n_targets=2, aggregate_function=number, **tree)
            return Made(g.model("v5", [f"x:{word}:n,5"], [f"y:{word}:n,2"], 21, 5), pooled(5, dtype=dtype, more=[1, 2, 3, 4, 5, 6, 7, 8]))


def version5(rng, dtype, trees=5, depth=4, width=5):
    """Random trees of version 5: nodes and leaves in lists of their own, sets of members as NaN-separated lists."""
    nodes, leaves, roots, members = [], [], [], []

    def grow_node(level):
        i = len(nodes)
        mode = int(rng.integers(7))
        nodes.append([int(rng.integers(width)), mode, float(rng.choice(POOL)), 0, 0, 0, 0, int(rng.integers(2))])
        if mode == 6:
            members.extend(list(rng.choice(np.arange(1, 8), 3, replace=False)) + [np.nan])
        for side in (0, 1):
            if level == 0 or rng.random() < 0.2:
                nodes[i][3 + 2 * side : 5 + 2 * side] = [len(leaves), 1]
                leaves.append((int(rng.integers(2)), round(rng.normal(), 3)))
            else:
                nodes[i][3 + 2 * side : 5 + 2 * side] = [grow_node(level - 1), 0]
        return i

    for _ in range(trees):
        roots.append(grow_node(depth))
    f, m, v, t, tl, e, el, track = zip(*nodes)
    return dict(
        tree_roots=roots, nodes_featureids=f, nodes_modes=nh.from_array(np.array(m, np.uint8)), nodes_splits=nh.from_array(np.array(v, dtype)),
        nodes_truenodeids=t, nodes_trueleafs=tl, nodes_falsenodeids=e, nodes_falseleafs=el, nodes_missing_value_tracks_true=track,
        membership_values=nh.from_array(np.array(members, dtype)), leaf_targetids=[x for x, _ in leaves],
        leaf_weights=nh.from_array(np.array([x for _, x in leaves], dtype)),
    )  # fmt: skip


def share(n, rng):
    return {"x": rng.random((n, 4)).astype(np.float32).round(3)}


for word in TRANSFORMS:

    @case(f"linear_classifier_{word.lower()}", "LinearClassifier")
    def linear_classifier(word=word):
        g = Graph(5)
        kind = {"classlabels_strings": ["a", "b", "c"]} if word == "SOFTMAX" else {"classlabels_ints": [5, 6, 7]}
        # The inverse of the normal distribution is only steady well inside (0, 1) and away from 1/2.
        probit = word == "PROBIT"
        w = (g.rng.random(12) / 12).round(3).tolist() if probit else g.rng.normal(size=12).round(3).tolist()
        g.ml("LinearClassifier", ["x"], ["label", "p"], coefficients=w, intercepts=[0.55, 0.6, 0.65] if probit else [0.1, -0.1, 0.0], post_transform=word, multi_class=1, **kind)
        text = "s" if word == "SOFTMAX" else "i"
        return Made(g.model("linear", ["x:f:n,4"], [f"label:{text}:n", "p:f:n,3"], 17, 1), share if probit else floats(4, "x", scale=0.5))

    @case(f"linear_regressor_{word.lower()}", "LinearRegressor")
    def linear_regressor(word=word):
        g = Graph(6)
        count = 1 if word == "PROBIT" else 3
        w, b = (g.rng.random(4 * count) / 12).round(3).tolist(), [0.6] * count
        g.ml("LinearRegressor", ["x"], ["y"], coefficients=w, intercepts=b, targets=count, post_transform=word)
        return Made(g.model("linear", ["x:f:n,4"], [f"y:f:n,{count}"], 17, 1), share)


@case("linear_classifier_binary", "LinearClassifier binary", "one row of coefficients, two labels, int64 input")
def linear_binary():
    g = Graph(7)
    g.ml("LinearClassifier", ["x"], ["label", "p"], coefficients=[0.3, -0.2, 0.1], intercepts=[0.05], classlabels_strings=["no", "yes"], post_transform="LOGISTIC")
    return Made(g.model("linear", ["x:i:n,3"], ["label:s:n", "p:f:n,2"], 17, 1), lambda n, rng: {"x": rng.integers(-9, 9, (n, 3))})


def small(name, kind, op, width, note="", word="f", out=None, sample=None, ml=1, **attributes):
    """One operator of ai.onnx.ml from a matrix to a matrix."""

    @case(name, kind, note)
    def make():
        g = Graph(8)
        g.ml(op, ["x"], ["y"], **attributes)
        rows = sample or (lambda n, rng: {"x": matrix(n, rng, width, {i: POOL for i in range(width)}, nan=0.1)})
        return Made(g.model(name, [f"x:{word}:n,{width}"], [f"y:{out or 'f'}:n,{width}"], 17, ml), rows)


def ints(width, low=-3, high=6, dtype=np.int64):
    return lambda n, rng: {"x": rng.integers(low, high, (n, width)).astype(dtype)}


small("ml_scaler", "Scaler", "Scaler", 4, offset=[0.5, -1.0, 2.0, 0.0], scale=[2.0, 0.1, 1.0, 3.0])
small("ml_scaler_one", "Scaler", "Scaler", 4, "one offset for all, int64 input", "i", sample=ints(4), offset=[0.5], scale=[0.25])
small("ml_binarizer", "Binarizer", "Binarizer", 4, sample=lambda n, rng: {"x": matrix(n, rng, 4, {i: [0.5] for i in range(4)}, inf=0.1)}, threshold=0.5)
for norm in ("MAX", "L1", "L2"):
    small(f"ml_normalizer_{norm.lower()}", "Normalizer", "Normalizer", 4, "a row of zeros", sample=floats(4, "x"), norm=norm)
small("ml_imputer_nan", "Imputer", "Imputer", 4, imputed_value_floats=[1.0, 2.0, 3.0, 4.0], replaced_value_float=float("nan"))
small("ml_imputer_zero", "Imputer", "Imputer", 4, "a value other than NaN is missing", imputed_value_floats=[9.0], replaced_value_float=0.0)
small("ml_imputer_int", "Imputer", "Imputer", 4, word="i", out="i", sample=ints(4), imputed_value_int64s=[7, 8, 9, 10], replaced_value_int64=-1)
