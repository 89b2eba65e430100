"""Networks as torch's and TensorFlow's exporters write them: dense, convolutional, recurrent, with control flow."""

import numpy as np
from onnx import helper as h

from making.graph import Graph
from making.kit import Made
from making.kit import case
from making.rows import floats
from making.rows import matrix


def shaped(name, *shape, **more):
    """A sampler of tensors of `shape` a row."""
    width = int(np.prod(shape))
    return lambda n, rng: {name: matrix(n, rng, width, **more).reshape(n, *shape)}


def tokens(name, length, vocabulary):
    return lambda n, rng: {name: rng.integers(0, vocabulary, (n, length))}


@case("net_mlp_torch", "MLP (torch)", "Gemm with transB, names of a torch state dict")
def mlp():
    g = Graph()
    x = "input"
    for i, (a, b) in enumerate([(8, 16), (16, 12), (12, 3)]):
        w, bias = g.weight(b, a, name=f"net.{2 * i}.weight"), g.weight(b, name=f"net.{2 * i}.bias")
        x = g.op("Gemm", [x, w, bias], transB=1, alpha=1.0, beta=1.0)
        x = g.op("Relu", [x]) if i < 2 else g.op("LogSoftmax", [x], ["output"], axis=1)
    return Made(g.model("main_graph", ["input:f:batch_size,8"], ["output:f:batch_size,3"]), floats(8, "input"))


@case("net_mlp_activations", "MLP of every activation")
def activations():
    g = Graph(2)
    x = "x"
    kinds = ["Elu", "Selu", "LeakyRelu", "Softplus", "Softsign", "HardSigmoid", "HardSwish", "Mish", "Celu", "ThresholdedRelu", "Tanh", "Sigmoid"]
    outs = []
    for kind in kinds:
        y = g.op("MatMul", [x, g.weight(6, 4)])
        outs.append(g.op(kind, [g.op("Add", [y, g.weight(4)])]))
    y = g.op("PRelu", [g.op("MatMul", [x, g.weight(6, 4)]), g.weight(4)])
    y = g.op("Concat", outs + [y], axis=-1)
    y = g.op("MatMul", [y, g.weight(52, 2)], ["y"])
    return Made(g.model("activations", ["x:f:n,6"], ["y:f:n,2"], 18), floats(6, "x"))


@case("net_mlp_batchnorm", "MLP with BatchNormalization and residual")
def batchnorm():
    g = Graph(3)
    x = g.op("Gemm", ["x", g.weight(8, 8), g.weight(8)])
    y = g.op("BatchNormalization", [x, g.weight(8), g.weight(8), g.weight(8), g.const(np.abs(g.rng.normal(size=8)).astype(np.float32) + 0.5)])
    y = g.op("Relu", [y])
    y = g.op("Dropout", [g.op("Add", [x, y])])
    g.op("Sigmoid", [g.op("Gemm", [y, g.weight(8, 1), g.weight(1)])], ["p"])
    return Made(g.model("residual", ["x:f:n,8"], ["p:f:n,1"]), floats(8, "x"))


@case("net_keras", "MLP (tf2onnx)", "names with slashes and colons, MatMul and Add apart")
def keras():
    g = Graph(4)
    x = "dense_input:0"
    for i, (a, b) in enumerate([(6, 10), (10, 4)]):
        w = g.weight(a, b, name=f"sequential/dense_{i}/MatMul/ReadVariableOp:0")
        y = g.op("MatMul", [x, w], [f"sequential/dense_{i}/MatMul:0"])
        x = g.op("Add", [y, g.weight(b, name=f"sequential/dense_{i}/bias:0")], [f"sequential/dense_{i}/BiasAdd:0"])
        x = g.op("Relu", [x], [f"sequential/dense_{i}/Relu:0"]) if i == 0 else g.op("Softmax", [x], ["Identity:0"], axis=-1)
    ins = [h.make_tensor_value_info("dense_input:0", 1, ["unk__6", 6])]
    outs = [h.make_tensor_value_info("Identity:0", 1, ["unk__7", 4])]
    return Made(g.model("tf2onnx", ins, outs, 13), floats(6, "dense_input:0"))


@case("net_conv", "convolutional net", "NCHW, global average pool")
def conv():
    g = Graph(5)
    x = g.op("Conv", ["image", g.weight(6, 3, 3, 3), g.weight(6)], pads=[1, 1, 1, 1], strides=[2, 2], kernel_shape=[3, 3])
    x = g.op("MaxPool", [g.op("Relu", [x])], kernel_shape=[2, 2], strides=[2, 2])
    x = g.op("Conv", [x, g.weight(6, 1, 3, 3), g.weight(6)], pads=[1, 1, 1, 1], group=6)
    x = g.op("Clip", [x, g.const(np.float32(0)), g.const(np.float32(6))])
    x = g.op("Flatten", [g.op("GlobalAveragePool", [x])])
    g.op("Gemm", [x, g.weight(4, 6), g.weight(4)], ["logits"], transB=1)
    return Made(g.model("conv", ["image:f:N,3,8,8"], ["logits:f:N,4"]), shaped("image", 3, 8, 8, scale=1.0, digits=1))


@case("net_conv1d", "convolution over a sequence")
def conv1d():
    g = Graph(6)
    x = g.op("Transpose", ["signal"], perm=[0, 2, 1])
    x = g.op("Relu", [g.op("Conv", [x, g.weight(5, 3, 3), g.weight(5)], pads=[2, 2], dilations=[2])])
    x = g.op("AveragePool", [x], kernel_shape=[2], strides=[2], count_include_pad=1)
    x = g.op("ReduceMax", [x], axes=[2], keepdims=0)
    g.op("Gemm", [x, g.weight(5, 2)], ["y"])
    return Made(g.model("conv1d", ["signal:f:n,10,3"], ["y:f:n,2"], 13), shaped("signal", 10, 3))


@case("net_autoencoder", "convolutional autoencoder", "output of rank 4, ConvTranspose, Resize, InstanceNormalization")
def autoencoder():
    g = Graph(7)
    x = g.op("Relu", [g.op("Conv", ["x", g.weight(4, 1, 3, 3), g.weight(4)], pads=[1, 1, 1, 1], strides=[2, 2])])
    x = g.op("InstanceNormalization", [x, g.weight(4), g.weight(4)])
    x = g.op("ConvTranspose", [x, g.weight(4, 2, 2, 2), g.weight(2)], strides=[2, 2])
    x = g.op("Resize", [x, "", g.const(np.array([1, 1, 0.5, 0.5], np.float32))], mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric")
    g.op("ReduceMean", [x], ["y"], axes=[1], keepdims=1)
    return Made(g.model("autoencoder", ["x:f:n,1,6,6"], ["y:f:n,1,3,3"], 13), shaped("x", 1, 6, 6))


@case("net_uint8_image", "image of bytes", "NHWC uint8 input, cast and normalised in the graph")
def image():
    g = Graph(8)
    x = g.op("Cast", ["image"], to=1)
    x = g.op("Div", [x, g.const(np.float32(255))])
    x = g.op("Div", [g.op("Sub", [x, g.const(np.array([0.485, 0.456, 0.406], np.float32))]), g.const(np.array([0.229, 0.224, 0.225], np.float32))])
    x = g.op("Transpose", [x], perm=[0, 3, 1, 2])
    x = g.op("Relu", [g.op("Conv", [x, g.weight(4, 3, 3, 3)], strides=[2, 2])])
    x = g.op("Reshape", [x, g.ints(0, -1)])
    g.op("Softmax", [g.op("Gemm", [x, g.weight(16, 3)])], ["p"], axis=1)
    return Made(g.model("image", ["image:u:n,6,6,3"], ["p:f:n,3"]), lambda n, rng: {"image": rng.integers(0, 256, (n, 6, 6, 3)).astype(np.uint8)})


def recurrent(kind, name, gates, direction, length=5, width=3, hidden=4, layout=0, opset=14, **attributes):
    ways = 2 if direction == "bidirectional" else 1
    states = 2 if kind == "LSTM" else 1

    @case(name, f"{kind} {direction}", f"layout {layout}" + (", batch is axis 1" if not layout else ""))
    def make():
        g = Graph(9)
        w, r, b = g.weight(ways, gates * hidden, width), g.weight(ways, gates * hidden, hidden), g.weight(ways, 2 * gates * hidden)
        g.op(kind, ["x", w, r, b], ["seq", "last"] + ["cell"] * (states - 1), hidden_size=hidden, direction=direction, layout=layout, **attributes)
        x, seq, last = ("n,5,3", f"n,5,{ways},4", f"n,{ways},4") if layout else ("5,n,3", f"5,{ways},n,4", f"{ways},n,4")
        axes = {} if layout else {"x": 1, "seq": 2, "last": 1, "cell": 1}
        outputs = [f"seq:f:{seq}", f"last:f:{last}"] + ([f"cell:f:{last}"] if states == 2 else [])
        axes = {k: v for k, v in axes.items() if k != "cell" or states == 2}
        return Made(g.model(name, [f"x:f:{x}"], outputs, opset), shaped("x", length, width, scale=1.0, digits=2), axes)


recurrent("LSTM", "net_lstm", 4, "forward")
recurrent("LSTM", "net_lstm_both", 4, "bidirectional")
recurrent("LSTM", "net_lstm_reverse_clip", 4, "reverse", clip=0.5, activations=["HardSigmoid", "Tanh", "Softsign"], activation_alpha=[0.3], activation_beta=[0.4])
recurrent("GRU", "net_gru", 3, "forward", linear_before_reset=1)
recurrent("GRU", "net_gru_both", 3, "bidirectional", linear_before_reset=0)
recurrent("RNN", "net_rnn", 1, "forward", activations=["Relu"])
recurrent("RNN", "net_rnn_both", 1, "bidirectional")


@case("net_lstm_torch", "LSTM (torch, batch first)", "states made from the batch size by Shape, Gather, ConstantOfShape, Expand")
def lstm_torch():
    g = Graph(10)
    x = g.op("Transpose", ["input"], perm=[1, 0, 2])
    batch = g.op("Gather", [g.op("Shape", [x]), g.const(np.int64(1))], axis=0)
    shape = g.op("Concat", [g.ints(2), g.op("Unsqueeze", [batch, g.ints(0)]), g.ints(4)], axis=0)
    zero = g.op("ConstantOfShape", [shape], value=h.make_tensor("v", 1, [1], [0.0]))
    hidden = g.op("Expand", [g.const(np.full((1, 1, 1), 0.1, np.float32)), shape])
    y, last, _ = g.op("LSTM", [x, g.weight(2, 16, 3), g.weight(2, 16, 4), g.weight(2, 32), "", hidden, zero], 3, hidden_size=4, direction="bidirectional")
    y = g.op("Reshape", [g.op("Transpose", [y], perm=[0, 2, 1, 3]), g.ints(0, 0, -1)])
    y = g.op("Transpose", [y], perm=[1, 0, 2])
    y = g.op("Slice", [y, g.ints(-1), g.ints(2**31 - 1), g.ints(1), g.ints(1)])
    y = g.op("Squeeze", [y, g.ints(1)])
    g.op("Gemm", [y, g.weight(2, 8), g.weight(2)], ["output"], transB=1)
    return Made(g.model("main_graph", ["input:f:batch,5,3"], ["output:f:batch,2"], 14), shaped("input", 5, 3, scale=1.0))


@case("net_lstm_lengths", "LSTM with lengths and peepholes")
def lstm_lengths():
    g = Graph(11)
    x = g.op("Transpose", ["x"], perm=[1, 0, 2])
    n = g.op("Slice", [g.op("Shape", ["x"]), g.ints(0), g.ints(1)])
    state = g.op("Expand", [g.const(np.float32(0.2)), g.op("Concat", [g.ints(1), n, g.ints(4)], axis=0)])
    _, last = g.op("LSTM", [x, g.weight(1, 16, 3), g.weight(1, 16, 4), g.weight(1, 32), "lengths", state, state, g.weight(1, 12)], 2, hidden_size=4)
    g.op("Squeeze", [last, g.ints(0)], ["y"])

    def rows(n, rng):
        return {"x": matrix(n, rng, 15).reshape(n, 5, 3), "lengths": rng.integers(1, 6, n).astype(np.int32)}

    return Made(g.model("lengths", ["x:f:n,5,3", "lengths:j:n"], ["y:f:n,4"], 14), rows)


@case("net_embedding", "embedding and masked mean pool")
def embedding():
    g = Graph(12)
    x = g.op("Gather", [g.weight(20, 6), "ids"])
    mask = g.op("Unsqueeze", [g.op("Cast", ["mask"], to=1), g.ints(-1)])
    total = g.op("ReduceSum", [g.op("Mul", [x, mask]), g.ints(1)], keepdims=0)
    count = g.op("Clip", [g.op("ReduceSum", [mask, g.ints(1)], keepdims=0), g.const(np.float32(1e-9))])
    y = g.op("Div", [total, count])
    g.op("Div", [y, g.op("Clip", [g.op("ReduceL2", [y], axes=[1], keepdims=1), g.const(np.float32(1e-12))])], ["y"])

    def rows(n, rng):
        return {"ids": rng.integers(0, 20, (n, 7)), "mask": (np.arange(7) < rng.integers(0, 8, (n, 1))).astype(np.int64)}

    return Made(g.model("embedding", ["ids:i:n,7", "mask:i:n,7"], ["y:f:n,6"], 17), rows)


@case("net_wide_deep", "several embeddings and numbers", "five named inputs, two outputs")
def wide_deep():
    g = Graph(13)
    parts = [g.op("Gather", [g.weight(k, 3, name=f"emb_{name}"), name]) for name, k in (("user", 9), ("item", 12), ("shop", 5))]
    parts = [g.op("Reshape", [p, g.ints(-1, 3)]) for p in parts]
    x = g.op("Concat", parts + ["price", "stock"], axis=1)
    x = g.op("Relu", [g.op("Gemm", [x, g.weight(11, 8), g.weight(8)])])
    g.op("Sigmoid", [g.op("Gemm", [x, g.weight(8, 1)])], ["click"])
    g.op("Exp", [g.op("Gemm", [x, g.weight(8, 1, scale=0.1)])], ["value"])

    def rows(n, rng):
        ids = {k: rng.integers(0, v, (n, 1)) for k, v in (("user", 9), ("item", 12), ("shop", 5))}
        return {**ids, "price": matrix(n, rng, 1), "stock": matrix(n, rng, 1)}

    ins = ["user:i:n,1", "item:i:n,1", "shop:i:n,1", "price:f:n,1", "stock:f:n,1"]
    return Made(g.model("wide", ins, ["click:f:n,1", "value:f:n,1"], 15), rows)


@case("net_if", "If over the batch size's neighbour", "both branches of If read outer values; the condition does not depend on the rows")
def branches():
    g = Graph(14)
    then, other = Graph(15, "then_"), Graph(16, "else_")
    then.op("Gemm", ["x", "w"], ["then_y"])
    other.op("Relu", ["x"], ["else_y"])
    g.weight(4, 4, name="w")
    rank = g.op("Size", [g.op("Shape", ["x"])])
    cond = g.op("Greater", [rank, g.const(np.int64(1))])
    a, b = then.graph("then", [], ["then_y:f"]), other.graph("else", [], ["else_y:f"])
    g.op("If", [cond], ["y"], then_branch=a, else_branch=b)
    return Made(g.model("if", ["x:f:n,4"], ["y:f:n,4"], 16), floats(4, "x"))


@case("net_loop", "Loop with carried state and scan output")
def loop():
    g, body = Graph(17), Graph(18, "b_")
    body.op("Identity", ["cond_in"], ["cond_out"])
    body.op("Tanh", [body.op("MatMul", ["h_in", "w"])], ["h_out"])
    body.op("ReduceSum", ["h_out", "axis"], ["norm"], keepdims=0)
    g.weight(4, 4, name="w")
    g.const(np.array([1], np.int64), "axis")
    graph = body.graph("body", ["i:i:", "cond_in:b:", "h_in:f:n,4"], ["cond_out:b:", "h_out:f:n,4", "norm:f:n"])
    _, norms = g.op("Loop", [g.const(np.int64(3)), g.const(np.array(True)), "x"], ["h", "norms"], body=graph)
    g.op("Transpose", ["norms"], ["steps"], perm=[1, 0])
    return Made(g.model("loop", ["x:f:n,4"], ["h:f:n,4", "steps:f:n,3"], 16), floats(4, "x"))


@case("net_scan", "Scan over the sequence", "exponential moving average")
def scan():
    g, body = Graph(19), Graph(20, "b_")
    keep = body.op("Mul", ["s_in", "decay"])
    body.op("Add", [keep, "x_t"], ["s_out"])
    body.op("Identity", ["s_out"], ["y_t"])
    g.const(np.float32(0.8), "decay")
    graph = body.graph("body", ["s_in:f:n,3", "x_t:f:n,3"], ["s_out:f:n,3", "y_t:f:n,3"])
    start = g.op("Mul", [g.op("Gather", ["x", g.const(np.int64(0))], axis=1), g.const(np.float32(0))])
    g.op("Scan", [start, "x"], ["last", "all"], body=graph, num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1])
    return Made(g.model("scan", ["x:f:n,4,3"], ["last:f:n,3", "all:f:n,4,3"], 16), shaped("x", 4, 3))

