"""Tree ensembles and other operators of ai.onnx.ml whose lists contradict each other."""

import numpy as np
from onnx import helper as h
from onnx import numpy_helper as nh

from making.broken import bad
from making.graph import Graph

ROW = {"x": [0.5, -1.0, 2.0, 0.0]}
# Five nodes: 0 is the root with children 1 and 2, 1 is a leaf, 2 has the leaves 3 and 4.
TREE = {
    "nodes_treeids": [0] * 5, "nodes_nodeids": [0, 1, 2, 3, 4], "nodes_featureids": [0, 0, 1, 0, 0], "nodes_values": [0.5, 0.0, 1.0, 0.0, 0.0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"], "nodes_truenodeids": [1, 0, 3, 0, 0], "nodes_falsenodeids": [2, 0, 4, 0, 0],
    "target_treeids": [0] * 3, "target_nodeids": [1, 3, 4], "target_ids": [0] * 3, "target_weights": [1.0, 2.0, 3.0], "n_targets": 1,
}  # fmt: skip


def tree(name, wrong, words, harmless=False, outs=("y:f:n,1",), **changes):
    """The tree with some attributes changed; None leaves one out."""
    attributes = {k: v for k, v in {**TREE, **changes}.items() if v is not None}
    g = Graph(80)
    g.ml("TreeEnsembleRegressor", ["x"], ["y"], **attributes)
    words = ("TreeEnsembleRegressor", *([words] if isinstance(words, str) else words))
    bad(f"tree_{name}", wrong, words, g.model(name, ["x:f:n,4"], list(outs), 17, 3), ROW, harmless=harmless)


tree("backwards", "a node whose child is the root", ("cycl", "parent", "child"), nodes_falsenodeids=[2, 0, 0, 0, 0])
tree("itself", "a node that is its own child", ("cycl", "parent", "child"), nodes_falsenodeids=[2, 0, 2, 0, 0])
tree("round", "two nodes that are each other's child, away from the root", ("cycl", "parent", "child"), nodes_truenodeids=[1, 0, 2, 0, 0], nodes_falsenodeids=[1, 0, 2, 0, 0])
tree("outside", "a child that is not there", ("77", "child", "node"), nodes_falsenodeids=[2, 0, 77, 0, 0])
tree("negative", "a negative child", ("-1", "child", "node"), nodes_falsenodeids=[2, 0, -1, 0, 0])
tree("absurd", "a child 2^62", ("child", "node"), nodes_falsenodeids=[2, 0, 1 << 62, 0, 0])
tree("other_tree", "a child of another tree", ("child", "node"), nodes_treeids=[0, 0, 0, 1, 1])
tree("shared", "a leaf that two parents share", ("parent", "child", "shared", "twice"), nodes_falsenodeids=[2, 0, 3, 0, 0], harmless=True)
tree("node_twice", "two nodes of one id", ("twice", "duplicate", "node"), nodes_nodeids=[0, 1, 2, 3, 3])
tree("no_root", "every node is somebody's child", ("root", "cycl", "parent"), nodes_truenodeids=[2, 0, 0, 0, 0])
tree("feature_negative", "a negative feature", ("feature", "-4"), nodes_featureids=[-4, 0, 1, 0, 0])
tree("feature_outside", "a feature beyond the row", ("feature", "columns"), nodes_featureids=[9, 0, 1, 0, 0])
tree("feature_absurd", "feature 2^40", ("feature", "columns"), nodes_featureids=[1 << 40, 0, 1, 0, 0])
tree("values_short", "a threshold too few", ("nodes_values", "length"), nodes_values=[0.5, 0.0, 1.0, 0.0])
tree("modes_short", "a mode too few", ("nodes_modes", "length"), nodes_modes=TREE["nodes_modes"][:4])
tree("modes_unknown", "a mode that nobody knows", ("BRANCH_MAYBE", "mode"), nodes_modes=["BRANCH_MAYBE", *TREE["nodes_modes"][1:]])
tree("children_short", "children missing", ("nodes_truenodeids", "length"), nodes_truenodeids=[1, 0])
tree("children_none", "no children at all", ("nodes_truenodeids", "length", "missing"), nodes_truenodeids=None)
tree("tracks_short", "missing_value_tracks_true of another length", ("nodes_missing_value_tracks_true", "length"), nodes_missing_value_tracks_true=[1, 0], harmless=True)
tree("nothing", "no nodes", ("nodes", "tree", "empty"), **{k: None for k in TREE if k != "n_targets"}, harmless=True)
tree("targets_zero", "no targets", ("n_targets",), n_targets=0)
tree("targets_negative", "minus one targets", ("n_targets",), n_targets=-1)
tree("targets_absurd", "2^40 targets", ("n_targets",), n_targets=1 << 40, outs=("y:f",))
tree("target_outside", "a weight for a target that is not there", ("target_ids", "target", "9"), target_ids=[0, 9, 0])
tree("target_negative", "a weight for target -1", ("target_ids", "target", "-1"), target_ids=[0, -1, 0])
tree("weight_nowhere", "a weight of a node that is not there", ("target_nodeids", "node", "50"), target_nodeids=[1, 3, 50], harmless=True)
tree("weight_of_branch", "a weight of a node that is no leaf", ("target_nodeids", "leaf", "node"), target_nodeids=[1, 3, 2], harmless=True)
tree("weights_short", "a weight too few", ("target_weights", "length"), target_weights=[1.0, 2.0])
tree("base_values", "base values for more targets than there are", ("base_values",), base_values=[1.0, 2.0, 3.0])
tree("aggregate", "an aggregate function that nobody knows", ("aggregate_function", "MEDIAN"), aggregate_function="MEDIAN")
tree("transform", "a post transform that nobody knows", ("post_transform", "BANANA"), post_transform="BANANA")
tree("values_as_text", "thresholds as texts", ("nodes_values",), nodes_values=["a"] * 5)
tree("values_twice", "thresholds both as list and as tensor", ("nodes_values",), nodes_values_as_tensor=nh.from_array(np.zeros(5)), harmless=True)


def classifier(name, wrong, words, **changes):
    attributes = {k.replace("target", "class"): v for k, v in TREE.items() if k != "n_targets"} | {"classlabels_int64s": [0, 1]} | changes
    g = Graph(81)
    g.ml("TreeEnsembleClassifier", ["x"], ["label", "p"], **{k: v for k, v in attributes.items() if v is not None})
    bad(f"classes_{name}", wrong, ("TreeEnsembleClassifier", words), g.model(name, ["x:f:n,4"], ["label:i:n", "p:f:n,2"], 17, 3), ROW)


classifier("no_labels", "no class labels", "classlabels", classlabels_int64s=None)
classifier("outside", "a weight for a class that is not there", "class_ids", class_ids=[0, 7, 0])
classifier("negative", "a weight for class -2", "class_ids", class_ids=[0, -2, 0])


def chain(depth):
    """A tree as deep as it has nodes."""
    g = Graph(82)
    count = 2 * depth + 1
    even = [i % 2 == 0 and i < count - 1 for i in range(count)]
    leaves = [i for i in range(count) if not even[i]]
    attributes = dict(
        nodes_treeids=[0] * count, nodes_nodeids=list(range(count)), nodes_featureids=[0] * count, nodes_values=[0.5 if e else 0.0 for e in even],
        nodes_modes=["BRANCH_LEQ" if e else "LEAF" for e in even], nodes_truenodeids=[i + 1 if e else 0 for i, e in enumerate(even)],
        nodes_falsenodeids=[i + 2 if e else 0 for i, e in enumerate(even)], n_targets=1, target_treeids=[0] * len(leaves),
        target_nodeids=leaves, target_ids=[0] * len(leaves), target_weights=[1.0] * len(leaves),
    )  # fmt: skip
    g.ml("TreeEnsembleRegressor", ["x"], ["y"], **attributes)
    return g.model("chain", ["x:f:n,4"], ["y:f:n,1"], 17, 3)


bad("tree_chain", "a tree 1,500 nodes deep", ("TreeEnsembleRegressor", "deep", "depth"), chain(1500), ROW, harmless=True)
FIVE = dict(
    n_targets=1, tree_roots=[0], nodes_featureids=[0, 1], nodes_modes=nh.from_array(np.zeros(2, np.uint8)), nodes_splits=nh.from_array(np.ones(2, np.float32)),
    nodes_truenodeids=[1, 0], nodes_trueleafs=[0, 1], nodes_falsenodeids=[0, 1], nodes_falseleafs=[1, 1], leaf_targetids=[0, 0],
    leaf_weights=nh.from_array(np.ones(2, np.float32)),
)  # fmt: skip


def five(name, wrong, words, **changes):
    g = Graph(83)
    g.ml("TreeEnsemble", ["x"], ["y"], **{k: v for k, v in {**FIVE, **changes}.items() if v is not None})
    bad(f"five_{name}", wrong, ("TreeEnsemble", *words), g.model(name, ["x:f:n,4"], ["y:f:n,1"], 21, 5), ROW)


five("backwards", "a node whose child is the root", ("cycl", "parent", "child"), nodes_truenodeids=[0, 0])
five("outside", "a child that is not there", ("child", "node", "77"), nodes_truenodeids=[77, 0])
five("leaf_outside", "a leaf that is not there", ("leaf", "9"), nodes_falsenodeids=[9, 1])
five("leaf_negative", "leaf -1", ("leaf", "-1"), nodes_falsenodeids=[-1, 1])
five("root_outside", "a root that is not there", ("root", "5"), tree_roots=[5])
five("root_negative", "root -1", ("root", "-1"), tree_roots=[-1])
five("roots_none", "no roots", ("root",), tree_roots=None)
five("mode", "mode 17", ("mode", "17"), nodes_modes=nh.from_array(np.array([0, 17], np.uint8)))
five("members", "BRANCH_MEMBER without members", ("member",), nodes_modes=nh.from_array(np.array([0, 6], np.uint8)))
five("target", "a leaf for target 4", ("target", "4"), leaf_targetids=[0, 4])
five("splits_type", "thresholds as whole numbers", ("nodes_splits", "type"), nodes_splits=nh.from_array(np.ones(2, np.int64)))
five("splits_short", "a threshold too few", ("nodes_splits", "length"), nodes_splits=nh.from_array(np.ones(1, np.float32)))
five("aggregate", "aggregate function 8", ("aggregate_function", "8"), aggregate_function=8)


def one(name, operator, wrong, words, kind="f", outs=("y",), harmless=False, **attributes):
    g = Graph(84)
    g.ml(operator, ["x"], list(outs), **attributes)
    row = {"x": ["a", "b", "c", "d"]} if kind == "s" else ROW if kind == "f" else {"x": [1, 2, 3, 4]}
    text = {"y": "y:f", "label": "label:i"}
    model = g.model(name, [f"x:{kind}:n,4"], [text[o] for o in outs], 17, 2)
    bad(f"ml_{name}", wrong, (operator, *([words] if isinstance(words, str) else words)), model, row, harmless=harmless)


one("scaler_length", "Scaler", "three offsets for four columns", ("offset", "length"), offset=[1.0, 2.0, 3.0], scale=[1.0, 1.0, 1.0])
one("scaler_apart", "Scaler", "offsets and scales of different lengths", ("offset", "scale"), offset=[1.0] * 4, scale=[1.0] * 3)
one("scaler_type", "Scaler", "offsets as texts", "offset", offset=["a"] * 4, scale=[1.0] * 4)
one("normalizer", "Normalizer", "a norm that nobody knows", ("norm", "L7"), norm="L7")
one("labels_length", "LabelEncoder", "more keys than values", ("keys", "values"), "s", keys_strings=["a", "b"], values_floats=[1.0])
one("labels_none", "LabelEncoder", "neither keys nor values", ("keys",), "s")
one("labels_type", "LabelEncoder", "keys of numbers for texts", ("keys", "type"), "s", keys_int64s=[1], values_floats=[1.0])
one("linear_length", "LinearRegressor", "coefficients for three of four columns", ("coefficients",), coefficients=[1.0, 2.0, 3.0])
one("linear_targets", "LinearRegressor", "2^40 targets", ("targets", "coefficients"), coefficients=[1.0] * 4, targets=1 << 40)
one("linear_classes", "LinearClassifier", "three classes and one row of coefficients", ("coefficients",), outs=("label", "y"), coefficients=[1.0] * 4, intercepts=[0.0] * 3, classlabels_ints=[0, 1, 2])
one("imputer_length", "Imputer", "three values for four columns", ("imputed_value",), harmless=True, imputed_value_floats=[1.0] * 3, replaced_value_float=0.0)
one("imputer_none", "Imputer", "no values", ("imputed_value",))
one("onehot_none", "OneHotEncoder", "no categories", ("cats",))
one("onehot_unknown", "OneHotEncoder", "an unknown category where none may be", ("cats", "unknown", "zeros", "category"), "i", cats_int64s=[1, 2], zeros=0)
one("svm_lengths", "SVMRegressor", "support vectors of no whole number of columns", ("support_vectors", "n_supports"), support_vectors=[1.0] * 7, n_supports=2, coefficients=[1.0, 1.0], rho=[0.0], kernel_params=[0.1, 0.0, 3.0], kernel_type="RBF")
one("svm_absurd", "SVMRegressor", "2^40 support vectors", ("support_vectors", "n_supports"), support_vectors=[1.0] * 8, n_supports=1 << 40, coefficients=[1.0, 1.0], rho=[0.0], kernel_params=[0.1, 0.0, 3.0], kernel_type="RBF")
one("svm_classes", "SVMClassifier", "vectors for three classes, labels for two", ("vectors_per_class", "classlabels", "rho", "coefficients"), outs=("label", "y"), support_vectors=[1.0] * 12, vectors_per_class=[1, 1, 1], coefficients=[1.0] * 6, rho=[0.0], kernel_params=[0.1, 0.0, 3.0], kernel_type="RBF", classlabels_ints=[0, 1])
one("svm_kernel", "SVMRegressor", "a kernel that nobody knows", ("kernel_type", "WAVE"), support_vectors=[1.0] * 8, n_supports=2, coefficients=[1.0, 1.0], rho=[0.0], kernel_params=[0.1, 0.0, 3.0], kernel_type="WAVE")
one("mapper_length", "CategoryMapper", "two texts for one number", ("cats",), "s", cats_strings=["a", "b"], cats_int64s=[1])
one("features_width", "FeatureVectorizer", "declared widths that the input does not have", ("inputdimensions",), inputdimensions=[9], harmless=True)


def zipmap():
    g = Graph(85)
    g.ml("ZipMap", ["x"], ["y"], classlabels_int64s=[0, 1])
    kind = h.make_sequence_type_proto(h.make_map_type_proto(7, h.make_tensor_type_proto(1, [])))
    return g.model("zipmap", ["x:f:n,4"], [h.make_value_info("y", kind)], 17, 1)


bad("ml_zipmap_labels", "two labels for four columns", ("ZipMap", "classlabels"), zipmap(), ROW)


def extractor():
    g = Graph(86)
    g.ml("ArrayFeatureExtractor", ["x", g.ints(1, 4)], ["y"])
    return g.model("extract", ["x:f:n,4"], ["y:f:n,2"], 17, 1)


bad("ml_extractor_index", "column 4 of four", ("ArrayFeatureExtractor", "index", "4"), extractor(), ROW)
