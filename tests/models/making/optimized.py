"""Graphs as other tools leave them: saved by onnxruntime's optimiser, trees turned into matrices, torch's rarer operators."""

import pathlib
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T
from onnx import helper as h
from sklearn.tree import DecisionTreeClassifier

from making.graph import Graph
from making.hand_nets import shaped
from making.kit import CASES
from making.kit import Made
from making.kit import case
from making.rows import floats
from making.rows import matrix
from making.sk import labelled


def optimised(source, level):
    """The model `source`, saved by onnxruntime as `optimized_model_filepath` does it."""

    @case(f"optimized_{source}", "saved by onnxruntime's optimiser", f"{source}, level {level}")
    def make():
        made = next(c for c in CASES if c.name == source).make()
        with tempfile.TemporaryDirectory() as folder:
            path = str(pathlib.Path(folder) / "optimized.onnx")
            options = onnxruntime.SessionOptions()
            options.optimized_model_filepath = path
            options.log_severity_level = 4
            options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
            onnxruntime.InferenceSession(made.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            return Made(onnx.load(path), made.rows, made.axes, made.batch, made.alone)


for name in ("net_mlp_torch", "net_conv", "net_lstm_torch", "attention_decomposed", "attention_bert", "half_weights", "int8_qdq_conv", "int8_dynamic_dense", "pipe_imputer_mean"):
    optimised(name, "EXTENDED")


def forest_as_matrices(name, strategy):
    """A tree as the products that Hummingbird makes of it."""

    @case(name, f"tree as matrices ({strategy})", "decisions at exact thresholds hang on Less against LessOrEqual")
    def make():
        x, y = labelled(3)
        model = DecisionTreeClassifier(max_depth=5, random_state=1).fit(x, y)
        t = model.tree_
        inner = [i for i in range(t.node_count) if t.children_left[i] >= 0]
        leaves = [i for i in range(t.node_count) if t.children_left[i] < 0]
        cuts = t.threshold[inner].astype(np.float32)
        values = (t.value[leaves, 0] / t.value[leaves, 0].sum(1, keepdims=True)).astype(np.float32)
        g = Graph(60)
        p = gemm(g, t, inner, leaves, cuts, values) if strategy == "gemm" else traverse(g, t, model.get_depth())
        g.op("Identity", [p], ["probabilities"])
        g.op("ArgMax", [p], ["label"], axis=1, keepdims=0)
        at = {f: t.threshold[[i for i in inner if t.feature[i] == f]] for f in set(t.feature[inner])}
        return Made(g.model(name, ["x:f:n,6"], ["label:i:n", "probabilities:f:n,3"], 13), lambda n, rng: {"x": matrix(n, rng, 6, at)})


def gemm(g, t, inner, leaves, cuts, values):
    """Which nodes are true; which leaf has all its nodes as it wants them."""
    left, right = np.zeros((len(inner), len(leaves)), np.float32), np.zeros((len(inner), len(leaves)), np.float32)

    def walk(node, path):
        if t.children_left[node] < 0:
            for i, side in path:
                (left if side else right)[inner.index(i), leaves.index(node)] = 1
            return
        walk(t.children_left[node], [*path, (node, True)])
        walk(t.children_right[node], [*path, (node, False)])

    walk(0, [])
    a = np.zeros((6, len(inner)), np.float32)
    a[t.feature[inner], range(len(inner))] = 1
    x = g.op("LessOrEqual", [g.op("MatMul", ["x", g.const(a)]), g.const(cuts)])
    x = g.op("MatMul", [g.op("Cast", [x], to=T.FLOAT), g.const(left - right)])
    x = g.op("Equal", [x, g.const(left.sum(0))])
    return g.op("MatMul", [g.op("Cast", [x], to=T.FLOAT), g.const(values)])


def traverse(g, t, depth):
    """One step down a level, for all rows at once."""
    feature = np.maximum(t.feature, 0).astype(np.int64)
    side = [np.where(c < 0, np.arange(t.node_count), c).astype(np.int64) for c in (t.children_left, t.children_right)]
    tables = [g.const(v) for v in (feature, t.threshold.astype(np.float32), *side)]
    n = g.op("Slice", [g.op("Shape", ["x"]), g.ints(0), g.ints(1)])
    at = g.op("ConstantOfShape", [n], value=h.make_tensor("v", T.INT64, [1], [0]))
    for _ in range(depth):
        which, cut, left, right = (g.op("Gather", [table, at]) for table in tables)
        column = g.op("GatherElements", ["x", g.op("Unsqueeze", [which, g.ints(1)])], axis=1)
        at = g.op("Where", [g.op("LessOrEqual", [g.op("Squeeze", [column, g.ints(1)]), cut]), left, right])
    share = t.value[:, 0] / t.value[:, 0].sum(1, keepdims=True)
    return g.op("Gather", [g.const(share.astype(np.float32)), at])


forest_as_matrices("tree_as_gemm", "gemm")
forest_as_matrices("tree_as_traversal", "traversal")


@case("torch_scatter", "ScatterND, GatherND, Trilu")
def scatter():
    g = Graph(61)
    y = g.op("Trilu", [g.op("MatMul", [g.op("Unsqueeze", ["x", g.ints(2)]), g.op("Unsqueeze", ["x", g.ints(1)])]), g.const(np.int64(0))], upper=0)
    y = g.op("Transpose", [y], perm=[1, 0, 2])
    y = g.op("Transpose", [g.op("GatherND", [y, g.const(np.array([[1], [3]]))])], perm=[1, 0, 2])
    row = g.op("Transpose", [g.op("Flatten", [y])], perm=[1, 0])
    row = g.op("ScatterND", [row, g.const(np.array([[0], [4]])), g.op("Gather", [row, g.ints(7, 3)], axis=0)])
    row = g.op("Transpose", [row], perm=[1, 0])
    count = g.op("ReduceSum", [g.op("Cast", [g.op("Greater", [row, g.const(np.float32(0))])], to=T.FLOAT), g.ints(1)], keepdims=1)
    g.op("Concat", [row, count], ["y"], axis=1)
    return Made(g.model("scatter", ["x:f:n,4"], ["y:f:n,9"], 16), floats(4, "x"))


@case("torch_vision", "DepthToSpace, LRN, Upsample, GridSample, Pad of every mode")
def vision():
    g = Graph(62)
    x = g.op("DepthToSpace", ["x"], blocksize=2, mode="CRD")
    x = g.op("LRN", [x], size=3, alpha=0.01, beta=0.5, bias=1.5)
    x = g.op("Pad", [x, g.ints(0, 0, 1, 1, 0, 0, 1, 2)], mode="reflect")
    x = g.op("Pad", [x, g.ints(0, 0, 1, 0, 0, 0, 0, 1)], mode="edge")
    x = g.op("Resize", [x, "", "", g.op("Concat", [g.op("Slice", [g.op("Shape", [x]), g.ints(0), g.ints(2)]), g.ints(5, 9)], axis=0)], mode="linear", coordinate_transformation_mode="half_pixel")
    x = g.op("LpPool", [x], kernel_shape=[2, 2], strides=[1, 2], p=2)
    x = g.op("GlobalMaxPool", [g.op("SpaceToDepth", [g.op("Slice", [x, g.ints(0), g.ints(4), g.ints(2)])], blocksize=2)])
    g.op("Flatten", [x], ["y"])
    return Made(g.model("vision", ["x:f:n,8,3,3"], ["y:f:n,8"], 17), shaped("x", 8, 3, 3, digits=1))


@case("torch_reductions", "reductions and element-wise operators", "every Reduce with and without kept axes; Mod, Sign, IsInf, Min, Max, Sum, Mean, BitwiseAnd")
def reductions():
    g = Graph(63)
    outs = []
    for kind in ("ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare"):
        outs.append(g.op(kind, ["x"], axes=[2], keepdims=0))
    a, b = g.op("Split", ["x", g.ints(1, 2)], 2, axis=1)
    b = g.op("ReduceSum", [b, g.ints(1)], keepdims=1)
    for kind in ("Min", "Max", "Sum", "Mean", "Sub", "Mul"):
        outs.append(g.op("Squeeze", [g.op(kind, [a, b]), g.ints(1)]))
    for kind in ("Sign", "Floor", "Ceil", "Atan", "Sinh", "Cos", "Reciprocal"):
        outs.append(g.op("Squeeze", [g.op(kind, [g.op("Add", [a, g.const(np.float32(0.1))])]), g.ints(1)]))
    y = g.op("Concat", outs, axis=1)
    bad = g.op("Or", [g.op("IsInf", [y]), g.op("IsNaN", [y])])
    g.op("Where", [bad, g.const(np.float32(-1)), y], ["y"])
    m = g.op("Mod", [g.op("Squeeze", [a, g.ints(1)]), g.const(np.float32(1.5))], fmod=1)
    g.op("Pow", [g.op("Abs", [m]), g.const(np.float32(0.5))], ["m"])
    return Made(g.model("reductions", ["x:f:n,3,4"], ["y:f:n,52", "m:f:n,4"], 17), shaped("x", 3, 4))


@case("torch_sequence", "sequence operators", "SplitToSequence, SequenceAt, ConcatFromSequence, SequenceInsert")
def sequence():
    g = Graph(64)
    parts = g.op("SplitToSequence", ["x", g.ints(2, 1, 1)], axis=1)
    first = g.op("SequenceAt", [parts, g.const(np.int64(-1))])
    more = g.op("SequenceInsert", [parts, g.op("Neg", [first]), g.const(np.int64(0))])
    more = g.op("SequenceErase", [more, g.const(np.int64(1))])
    g.op("ConcatFromSequence", [more], ["y"], axis=1)
    n = g.op("SequenceLength", [more])
    g.op("Add", [g.op("Mul", ["x", g.const(np.float32(0))]), g.op("Cast", [n], to=T.FLOAT)], ["count"])
    return Made(g.model("sequence", ["x:f:n,4"], ["y:f:n,3", "count:f:n,4"], 17), floats(4, "x"))


@case("output_sequence", "an output that is a sequence", "two tensors of a row each")
def output_sequence():
    g = Graph(65)
    g.op("SequenceConstruct", [g.op("MatMul", ["x", g.weight(3, 2)]), g.op("Softmax", ["x"], axis=1)], ["both"])
    kind = h.make_sequence_type_proto(h.make_tensor_type_proto(T.FLOAT, ["n", None]))
    return Made(g.model("sequence", ["x:f:n,3"], [h.make_value_info("both", kind)], 13), floats(3, "x"))


@case("optional_has", "OptionalHasElement on a tensor that is there", "as torch.jit writes `is not None`")
def optional_has():
    g, then, other = Graph(66), Graph(67, "t_"), Graph(68, "e_")
    has = g.op("OptionalHasElement", ["x"])
    then.op("Relu", ["x"], ["t"])
    other.op("Neg", ["x"], ["e"])
    g.op("If", [has], ["y"], then_branch=then.graph("then", [], ["t:f"]), else_branch=other.graph("else", [], ["e:f"]))
    return Made(g.model("optional", ["x:f:n,3"], ["y:f:n,3"], 18), floats(3, "x"))
