"""int8 models as onnxruntime's quantiser writes them, from the networks of `hand_nets` and from a wide dense net."""

import pathlib
import tempfile

import numpy as np
import onnx
from onnxruntime import quantization as q

from making.graph import Graph
from making.hand_nets import shaped
from making.kit import Made
from making.kit import case
from making.rows import floats


def dense():
    g = Graph(50)
    x = "x"
    for i, (a, b) in enumerate([(8, 24), (24, 12), (12, 3)]):
        x = g.op("Gemm", [x, g.weight(a, b), g.weight(b)])
        x = g.op("Relu", [x]) if i < 2 else g.op("Identity", [x], ["y"])
    return g.model("dense", ["x:f:n,8"], ["y:f:n,3"], 17), floats(8, "x")


def conv():
    g = Graph(51)
    x = g.op("Relu", [g.op("Conv", ["x", g.weight(4, 2, 3, 3), g.weight(4)], pads=[1, 1, 1, 1])])
    x = g.op("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = g.op("Relu", [g.op("Conv", [x, g.weight(6, 4, 3, 3), g.weight(6)], pads=[1, 1, 1, 1])])
    x = g.op("Flatten", [g.op("GlobalAveragePool", [x])])
    g.op("Gemm", [x, g.weight(6, 3), g.weight(3)], ["y"])
    return g.model("conv", ["x:f:n,2,6,6"], ["y:f:n,3"], 17), shaped("x", 2, 6, 6, scale=1.0, digits=2)


def sequence():
    g = Graph(52)
    x = g.op("MatMul", ["x", g.weight(6, 8)])
    x = g.op("LayerNormalization", [x, g.weight(8), g.weight(8)], axis=-1)
    p = g.op("Softmax", [g.op("MatMul", [x, g.op("Transpose", [x], perm=[0, 2, 1])])], axis=-1)
    x = g.op("Add", [x, g.op("MatMul", [p, x])])
    g.op("ReduceMean", [g.op("MatMul", [x, g.weight(8, 3)])], ["y"], axes=[1], keepdims=0)
    return g.model("sequence", ["x:f:n,4,6"], ["y:f:n,3"], 17), shaped("x", 4, 6)


def mixed():
    """An image and what is done with numbers of eight bits besides: every rule by which onnxruntime joins nodes."""
    g = Graph(53)
    x = g.op("Clip", [g.op("Conv", ["x", g.weight(4, 2, 3, 3), g.weight(4)], pads=[1, 1, 1, 1]), g.const(np.float32(0)), g.const(np.float32(6))])
    x = g.op("Add", [x, g.op("LeakyRelu", [g.op("Conv", ["x", g.weight(4, 2, 1, 1)])], alpha=0.1)])
    x = g.op("Mul", [x, g.op("Sigmoid", [x])])
    x = g.op("Concat", [x, g.op("Where", [g.op("Greater", ["x", g.const(np.float32(0))]), "x", g.op("Mul", ["x", g.const(np.float32(0.5))])])], axis=1)
    x = g.op("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = g.op("Flatten", [g.op("GlobalAveragePool", [g.op("Conv", [x, g.weight(6, 1, 3, 3)], group=6)])])
    x = g.op("Relu", [g.op("MatMul", [x, g.weight(6, 5)])])
    g.op("Softmax", [g.op("Gemm", [x, g.weight(3, 5), g.weight(3)], transB=1)], ["y"], axis=1)
    return g.model("mixed", ["x:f:n,2,6,6"], ["y:f:n,3"], 17), shaped("x", 2, 6, 6, scale=1.0, digits=2)


def recurrent():
    g = Graph(54)
    x = g.op("Transpose", ["x"], perm=[1, 0, 2])
    _, last = g.op("LSTM", [x, g.weight(2, 16, 3), g.weight(2, 16, 4), g.weight(2, 32)], 2, hidden_size=4, direction="bidirectional")
    last = g.op("Reshape", [g.op("Transpose", [last], perm=[1, 0, 2]), g.ints(0, 8)])
    g.op("Gemm", [last, g.weight(8, 2)], ["y"])
    return g.model("recurrent", ["x:f:n,5,3"], ["y:f:n,2"], 14), shaped("x", 5, 3, scale=1.0)


class Reader(q.CalibrationDataReader):
    def __init__(self, rows):
        self.feeds = iter([rows(16, np.random.default_rng(i)) for i in range(4)])

    def get_next(self):
        return next(self.feeds, None)


def through_files(model, work):
    """The quantiser works from file to file."""
    with tempfile.TemporaryDirectory() as folder:
        old, prepared, new = (str(pathlib.Path(folder) / n) for n in ("old.onnx", "prepared.onnx", "new.onnx"))
        onnx.save(model, old)
        q.quant_pre_process(old, prepared, skip_symbolic_shape=True)
        work(prepared, new)
        return onnx.load(new)


def dynamic(name, source, weight, **more):
    @case(name, "dynamic int8", "the scale of the activations is taken over the batch: one row a run")
    def make():
        model, rows = source()
        return Made(through_files(model, lambda a, b: q.quantize_dynamic(a, b, weight_type=weight, **more)), rows, alone=True)


def static(name, source, form, activation, weight, **more):
    @case(name, f"static int8 {form.name}")
    def make():
        model, rows = source()

        def work(a, b):
            q.quantize_static(a, b, Reader(rows), quant_format=form, activation_type=activation, weight_type=weight, **more)

        return Made(through_files(model, work), rows)


U8, S8, QDQ, QOP = q.QuantType.QUInt8, q.QuantType.QInt8, q.QuantFormat.QDQ, q.QuantFormat.QOperator
dynamic("int8_dynamic_dense", dense, U8)
dynamic("int8_dynamic_signed", dense, S8, per_channel=True, reduce_range=True)
dynamic("int8_dynamic_conv", conv, U8)
dynamic("int8_dynamic_sequence", sequence, S8)
static("int8_qdq_dense", dense, QDQ, U8, S8)
static("int8_qdq_signed", dense, QDQ, S8, S8, per_channel=True)
static("int8_qdq_conv", conv, QDQ, U8, S8)
static("int8_qop_dense", dense, QOP, U8, U8)
static("int8_qop_conv", conv, QOP, U8, S8)
static("int8_qop_sequence", sequence, QOP, U8, U8)
dynamic("int8_dynamic_lstm", recurrent, U8)
static("int8_qdq_mixed", mixed, QDQ, U8, U8)
static("int8_qdq_mixed_signed", mixed, QDQ, S8, S8, per_channel=True, reduce_range=True)
