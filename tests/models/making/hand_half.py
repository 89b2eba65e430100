"""Graphs of float16 as converters write them: onnxruntime computes most operators in float and rounds where one of them runs in float16."""

import numpy as np
from onnx import TensorProto as T

from making.graph import Graph
from making.kit import Made
from making.kit import case
from making.rows import floats


def half(g, *shape):
    return g.weight(*shape, dtype=np.float16)


def outer(g, outs, opset=17):
    """float outside, float16 inside; `outs` are float16 values by the name of the output that they become."""
    for name, value in outs.items():
        g.op("Cast", [value], [name], to=T.FLOAT)
    return Made(g.model("half", ["x:f:n,6"], [f"{name}:f" for name in outs], opset), floats(6, "x"))


def inner(g):
    return g.op("Cast", ["x"], to=T.FLOAT16)


@case("half_moved", "float16 inside", "values that are only moved: each operator runs in float16, so that all of them round")
def moved():
    g = Graph(61)
    x = g.op("Exp", [inner(g)])
    wide = g.op("Reshape", [x, g.ints(-1, 2, 3)])
    turned = g.op("Transpose", [wide], perm=[0, 2, 1])
    left, right = g.op("Split", [turned], 2, axis=2)
    both = g.op("Concat", [g.op("Squeeze", [left, g.ints(2)]), g.op("Squeeze", [right, g.ints(2)])], axis=1)
    y = g.op("MatMul", [g.op("Gather", [both, g.ints(0, 5, 2)], axis=1), half(g, 3, 2)])
    return outer(g, {"y": y})


@case("half_between", "float16 inside", "a moving operator alone between computing ones is computed in float, and so rounds nothing")
def between():
    g = Graph(62)
    x = g.op("Exp", [inner(g)])
    alone = g.op("Exp", [g.op("Clip", [x])])
    most = g.op("Sqrt", [g.op("Max", [x, half(g, 6)])])
    # two in a row round, and so does one whose result another one reads as well
    flat = g.op("Flatten", [g.op("Reshape", [g.op("Tanh", [x]), g.ints(-1, 2, 3)])])
    same = g.op("Identity", [g.op("Tanh", [x])])
    shared = g.op("Slice", [g.op("Neg", [x]), g.ints(1), g.ints(4), g.ints(1)])
    outs = {"a": alone, "b": most, "c": g.op("Mul", [flat, alone]), "d": g.op("Sqrt", [same])}
    return outer(g, outs | {"e": g.op("Exp", [shared]), "f": g.op("Unsqueeze", [shared, g.ints(2)])})


@case("half_casts", "float16 inside", "casts of the exporter's: two that meet stay and round, one before a computing operator goes")
def casts():
    g = Graph(63)
    narrow = inner(g)
    met = g.op("Cast", [g.op("Cast", ["x"], to=T.FLOAT16)], to=T.FLOAT)
    whole = g.op("Cast", [g.op("Mul", [narrow, half(g, 6)])], to=T.INT64)
    g.op("Cast", [whole], ["whole"], to=T.FLOAT)
    g.op("Add", [met, g.const(np.float32([1]))], ["met"])
    label = g.op("ArgMax", [g.op("Clip", [g.op("Cast", ["x"], to=T.FLOAT16)])], axis=1)
    g.op("Cast", [label], ["label"], to=T.FLOAT)
    g.op("Cast", [g.op("Add", [narrow, narrow])], ["sum"], to=T.FLOAT)
    outs = ["whole:f:n,6", "met:f:n,6", "label:f:n,1", "sum:f:n,6"]
    return Made(g.model("half", ["x:f:n,6"], outs), floats(6, "x"))


@case("half_norm", "float16 inside", "LayerNormalization runs in float16 at the ends, and in float between computing operators")
def norm():
    g = Graph(64)
    x = inner(g)
    ends = g.op("LayerNormalization", [x, half(g, 6), half(g, 6)])
    mid = g.op("Exp", [g.op("LayerNormalization", [g.op("MatMul", [x, half(g, 6, 4)]), half(g, 4), half(g, 4)])])
    return outer(g, {"ends": ends, "mid": mid})


@case("half_log_sum", "float16 inside", "opset 18 defines ReduceLogSumExp and ReduceL2 by others, with a cast to float16 at their end")
def log_sum():
    g = Graph(65)
    x = g.op("MatMul", [inner(g), half(g, 6, 5)])
    log = g.op("ReduceLogSumExp", [x, g.ints(1)], keepdims=1)
    return outer(g, {"p": g.op("Exp", [g.op("Sub", [x, log])]), "n": g.op("Mul", [g.op("ReduceL2", [x, g.ints(1)], keepdims=1), x])}, 18)


@case("conv_upsampled", "convolution", "a layer of UpSampling1D between convolution and product, on which rewrites of graphs can go round in circles")
def upsampled():
    g = Graph(66)
    x = g.op("Reshape", ["x", g.ints(-1, 2, 6)])
    x = g.op("Conv", [x, g.weight(3, 2, 3), g.weight(3)])
    x = g.op("Tile", [g.op("Unsqueeze", [x, g.ints(2)]), g.ints(1, 1, 2, 1)])
    g.op("MatMul", [g.op("Reshape", [x, g.ints(-1, 24)]), g.weight(24, 2)], ["y"])
    return Made(g.model("net", ["x:f:n,12"], ["y:f:n,2"]), floats(12, "x"))


@case("half_folded", "float16 inside", "Conv takes Mul, Add and BatchNormalization behind it into float16 weights; what changes nothing goes before anything rounds")
def folded():
    g = Graph(67)
    x = g.op("Reshape", [inner(g), g.ints(-1, 2, 3, 1)])
    first = g.op("Mul", [g.op("Conv", [x, half(g, 4, 2, 2, 1), half(g, 4)]), half(g, 1, 4, 1, 1)])
    second = g.op("Conv", [g.op("Relu", [g.op("Add", [first, half(g, 4, 1, 1)])]), half(g, 3, 4, 1, 1)])
    parts = [half(g, 3), half(g, 3), half(g, 3), g.const(np.abs(g.rng.normal(size=3)).astype(np.float16) + np.float16(0.3))]
    third = g.op("Flatten", [g.op("BatchNormalization", [second, *parts], epsilon=1e-3)])
    turned = g.op("Transpose", [g.op("Exp", [inner(g)])], perm=[1, 0])
    back = g.op("Sqrt", [g.op("Transpose", [turned], perm=[1, 0])])
    one, nought = (g.const(np.array(v, np.float16)) for v in (1, 0))
    same = g.op("Cast", [g.op("Add", [g.op("Mul", [g.op("Tanh", [inner(g)]), one]), nought])], to=T.FLOAT16)
    return outer(g, {"a": third, "b": back, "c": g.op("Sqrt", [g.op("Abs", [same])])}, 18)


@case("half_relu", "float16 inside", "opset 18 defines Relu by Max, which runs in float16: beside another one that does, it rounds")
def relu():
    g = Graph(68)
    x = g.op("MatMul", [inner(g), half(g, 6, 5)])
    some = g.op("Relu", [g.op("Slice", [x, g.ints(1), g.ints(4), g.ints(1)])])
    alone = g.op("Relu", [g.op("MatMul", [inner(g), half(g, 6, 5)])])
    return outer(g, {"a": g.op("MatMul", [some, half(g, 3, 2)]), "b": g.op("MatMul", [alone, half(g, 5, 2)])}, 18)
