"""Graphs that ask for terabytes or never end."""

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h

from making.broken import bad
from making.broken_graphs import graph
from making.graph import Graph

BIG = 1 << 40
LARGE = ("large", "memory", "limit", "elements", "size", "overflow", "allocat", "shape")


def bomb(name, wrong, words, build, **more):
    graph(f"bomb_{name}", wrong, (*words, *LARGE), build, outs=more.pop("outs", ["y:f"]), **more)


def last(g, big, summed=True):
    """The small answer that hides the large tensor."""
    g.op("Add", ["x", g.op("ReduceMax", [big], keepdims=0) if summed else big], ["y"])


def doubling(g, times):
    y = "x"
    for _ in range(times):
        y = g.op("Concat", [y, y], axis=1)
    return y


def texts(g):
    y = g.op("Cast", ["x"], to=T.STRING)
    for _ in range(40):
        y = g.op("StringConcat", [y, y])
    g.op("Identity", [y], ["y"])


bomb("constant_of_shape", "ConstantOfShape of 2^60 elements", ("ConstantOfShape",), lambda g: last(g, g.op("ConstantOfShape", [g.ints(1 << 20, 1 << 20, 1 << 20)])))
bomb("constant_of_shape_wraps", "ConstantOfShape whose size wraps to 0", ("ConstantOfShape",), lambda g: last(g, g.op("ConstantOfShape", [g.ints(1 << 32, 1 << 32)])))
bomb("constant_of_shape_negative", "ConstantOfShape with a negative dimension", ("ConstantOfShape", "negative"), lambda g: last(g, g.op("ConstantOfShape", [g.ints(-4)])))
bomb("constant_of_rows", "ConstantOfShape whose shape is in the events", ("ConstantOfShape",), lambda g: g.op("ConstantOfShape", [g.op("Cast", [g.op("Reshape", ["x", g.ints(-1)])], to=T.INT64)], ["y"]), row={"x": [1e9, 1e9, 1e9, 1e9]})
bomb("expand", "Expand to 2^40", ("Expand",), lambda g: last(g, g.op("Expand", ["x", g.ints(BIG, 1, 4)])))
bomb("tile", "Tile 2^40 times", ("Tile",), lambda g: last(g, g.op("Tile", ["x", g.ints(1, BIG)])))
bomb("range", "Range up to 2^40", ("Range",), lambda g: last(g, g.op("Cast", [g.op("Range", [g.const(np.int64(0)), g.const(np.int64(BIG)), g.const(np.int64(1))])], to=T.FLOAT)))
bomb("range_zero", "Range with steps of 0", ("Range", "delta"), lambda g: last(g, g.op("Cast", [g.op("Range", [g.const(np.int64(0)), g.const(np.int64(9)), g.const(np.int64(0))])], to=T.FLOAT)))
bomb("range_nan", "Range up to infinity", ("Range", "delta"), lambda g: last(g, g.op("Range", [g.const(np.float32(0)), g.const(np.float32(np.inf)), g.const(np.float32(1))])))
bomb("pad", "Pad by 2^40", ("Pad",), lambda g: last(g, g.op("Pad", ["x", g.ints(0, BIG, 0, BIG)])))
bomb("resize", "Resize by 10^12", ("Resize",), lambda g: last(g, g.op("Resize", [g.op("Unsqueeze", ["x", g.ints(1)]), "", g.const(np.array([1, 1, 1e12], np.float32))], mode="nearest")))
bomb("onehot", "OneHot of depth 2^40", ("OneHot",), lambda g: last(g, g.op("OneHot", [g.op("Cast", ["x"], to=T.INT64), g.ints(BIG), g.const(np.array([0, 1], np.float32))])))
bomb("random", "RandomNormal of 2^40", ("RandomNormal",), lambda g: last(g, g.op("RandomNormal", [], shape=[1 << 20, 1 << 20])))
bomb("window", "HannWindow of 2^40", ("HannWindow",), lambda g: last(g, g.op("HannWindow", [g.const(np.int64(BIG))])))
bomb("eye", "EyeLike of a large tensor", ("EyeLike", "Expand"), lambda g: last(g, g.op("EyeLike", [g.op("Expand", [g.const(np.float32(0)), g.ints(1 << 21, 1 << 21)])])))
bomb("conv_pads", "Conv with pads of 2^40", ("Conv",), lambda g: last(g, g.op("Conv", [g.op("Unsqueeze", ["x", g.ints(1)]), g.weight(1, 1, 2)], pads=[BIG, BIG])))
bomb("conv_dilation", "Conv with a stride of 0 and a dilation of 2^62", ("Conv", "stride"), lambda g: last(g, g.op("Conv", [g.op("Unsqueeze", ["x", g.ints(1)]), g.weight(1, 1, 2)], strides=[0], dilations=[1 << 62])))
bomb("conv_groups", "Conv with 0 groups", ("Conv", "group"), lambda g: last(g, g.op("Conv", [g.op("Unsqueeze", ["x", g.ints(1)]), g.weight(1, 1, 2)], group=0)))
bomb("transposed", "ConvTranspose with a stride of 2^40", ("ConvTranspose",), lambda g: last(g, g.op("ConvTranspose", [g.op("Unsqueeze", ["x", g.ints(1)]), g.weight(1, 1, 2)], strides=[BIG])))
bomb("outer", "an outer product of a million by a million", ("MatMul", "Einsum", "Expand"), lambda g: last(g, g.op("MatMul", [g.op("Expand", [g.const(np.float32(1)), g.ints(1 << 20, 1)]), g.op("Expand", [g.const(np.float32(1)), g.ints(1, 1 << 20)])])))
bomb("einsum", "Einsum of five long indices", ("Einsum", "Expand"), lambda g: last(g, g.op("Einsum", [g.op("Expand", [g.const(np.float32(1)), g.ints(4096)])] * 5, equation="a,b,c,d,e->abcde")))
bomb("concat", "Concat of a tensor with itself, 44 times", ("Concat",), lambda g: last(g, doubling(g, 44)))
bomb("string", "a text that doubles forty times", ("StringConcat", "Cast", "text", "string"), lambda g: texts(g), opset=20, outs=["y:s:n,4"])
bomb("nonzero_dims", "Reshape to 2^40 by 0", ("Reshape",), lambda g: g.op("Reshape", ["x", g.ints(BIG, 0, BIG)], ["y"], allowzero=1))
bomb("lstm_hidden", "an LSTM with a hidden size of 2^40", ("LSTM", "hidden"), lambda g: g.op("LSTM", [g.op("Unsqueeze", ["x", g.ints(0)]), g.weight(1, 16, 4), g.weight(1, 16, 4)], ["y"], hidden_size=BIG))
bomb("tfidf", "a TfIdfVectorizer with a column 2^40", ("TfIdfVectorizer", "ngram_indexes"), lambda g: g.op("TfIdfVectorizer", [g.op("Cast", ["x"], to=T.INT64)], ["y"], mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0, ngram_counts=[0], ngram_indexes=[0, BIG], pool_int64s=[1, 2]))
bomb("tfidf_skips", "a TfIdfVectorizer with 2^40 skips and grams of 2^40", ("TfIdfVectorizer", "gram", "skip"), lambda g: g.op("TfIdfVectorizer", [g.op("Cast", ["x"], to=T.INT64)], ["y"], mode="TF", min_gram_length=1, max_gram_length=BIG, max_skip_count=BIG, ngram_counts=[0], ngram_indexes=[0, 1], pool_int64s=[1, 2]))
bomb("topk", "TopK of a tensor that Expand makes 2^42 long", ("Expand", "TopK"), lambda g: last(g, g.op("TopK", [g.op("Expand", ["x", g.ints(BIG, 4)]), g.ints(1)], 2)[0]))
bomb("constant", "Constant nodes with absurd dimensions", ("Constant", "data", "byte"), lambda g: last(g, g.op("Constant", [], value=T(dims=[1 << 31, 1 << 31, 4], data_type=1, raw_data=b"abcd"))))


def loop(name, wrong, words, trips, cond, body, more=()):
    """A Loop over a state that begins as x."""
    g, b = Graph(71), Graph(72, "b_")
    body(b)
    inner = b.graph("body", ["i:i:", "c_in:b:", "s_in:f"], ["c_out:b:", "s_out:f"])
    trips = g.const(np.int64(trips)) if trips is not None else ""
    start = g.const(np.array(True)) if cond else ""
    g.op("Loop", [trips, start, "x"], ["y"], body=inner)
    bad(name, wrong, ("Loop", *words), g.model(name, ["x:f:n,4"], ["y:f"]), {"x": [0.5, 1.0, 2.0, 3.0]})


def keep(kind):
    def body(b):
        b.op("Identity", ["c_in"], ["c_out"])
        b.op(kind, ["s_in"], ["s_out"])

    return body


def always(b):
    b.op("Identity", [b.const(np.array(True))], ["c_out"])
    b.op("Identity", ["s_in"], ["s_out"])


def double(b):
    b.op("Identity", ["c_in"], ["c_out"])
    b.op("Concat", ["s_in", "s_in"], ["s_out"], axis=1)


WORDS = ("iteration", "limit", "endless", "trip", "steps", "many")
loop("loop_endless", "a Loop whose condition is always true", WORDS, None, True, always)
loop("loop_no_end", "a Loop without count and condition", WORDS, None, False, keep("Identity"))
loop("loop_long", "a Loop of 2^62 turns", WORDS, 1 << 62, True, keep("Neg"))
loop("loop_doubles", "a Loop that doubles its state sixty times", (*WORDS, *LARGE, "Concat"), 60, True, double)


def tower(levels):
    """Loops inside loops, each of a thousand turns."""
    made = None
    for level in range(levels):
        b = Graph(73, f"l{level}_")
        b.op("Identity", [f"c{level}"], [f"k{level}"])
        if made is None:
            b.op("Neg", [f"s{level}"], [f"o{level}"])
        else:
            b.op("Loop", [b.const(np.int64(1000)), b.const(np.array(True)), f"s{level}"], [f"o{level}"], body=made)
        made = b.graph(f"body{level}", [f"i{level}:i:", f"c{level}:b:", f"s{level}:f"], [f"k{level}:b:", f"o{level}:f"])
    g = Graph(74)
    g.op("Loop", [g.const(np.int64(1000)), g.const(np.array(True)), "x"], ["y"], body=made)
    return g.model("tower", ["x:f:n,4"], ["y:f:n,4"])


bad("loop_tower", "six loops of a thousand turns inside each other", ("Loop", *WORDS), tower(6), {"x": [0.5, 1.0, 2.0, 3.0]})


def scan(name, wrong, words, length, **more):
    g, b = Graph(75), Graph(76, "b_")
    b.op("Add", ["s_in", "e"], ["s_out"])
    inner = b.graph("body", ["s_in:f", "e:f"], ["s_out:f"])
    start = g.op("ReduceSum", ["x", g.ints(1)], keepdims=0)
    g.op("Scan", [start, "x"], ["y"], body=inner, **more)
    bad(name, wrong, ("Scan", *words), g.model(name, ["x:f:n,4"], ["y:f"]), {"x": [0.5, 1.0, 2.0, 3.0]})


scan("scan_inputs", "a Scan over more inputs than it has", ("num_scan_inputs", "input"), 4, num_scan_inputs=9)
scan("scan_axis", "a Scan over axis 7", ("axis", "axes"), 4, num_scan_inputs=1, scan_input_axes=[7])
scan("scan_negative", "a Scan over minus one inputs", ("num_scan_inputs", "input"), 4, num_scan_inputs=-1)
