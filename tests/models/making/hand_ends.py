"""Where the last bit of a reference decides much: the ends of its approximations, and NaN among numbers that are compared."""

import numpy as np

from making.graph import Graph
from making.kit import Made
from making.kit import case


def wide(*shape):
    """Values far out, with holes and infinities."""

    def rows(n, rng):
        x = (rng.normal(size=(n, *shape)) * rng.choice([0.5, 4, 30], (n, *[1] * len(shape)))).round(2).astype(np.float32)
        x = np.where(rng.random(x.shape) < 0.1, np.float32(np.nan), x)
        return {"x": np.where(rng.random(x.shape) < 0.02, rng.choice(np.float32([np.inf, -np.inf]), x.shape), x)}

    return rows


@case("ends_log_sigmoid", "logarithms of Sigmoid and Tanh", "torch's LogSigmoid: from -18 on the sigmoid is exactly 0")
def log_sigmoid():
    g = Graph(1)
    g.op("Log", [g.op("Sigmoid", ["x"])], ["s"])
    g.op("Log", [g.op("Sub", [g.const(np.float32(1)), g.op("Tanh", ["x"])])], ["t"])
    return Made(g.model("ends", ["x:f:n,8"], ["s:f:n,8", "t:f:n,8"], 17), wide(8))


@case("ends_pools", "MaxPool and GlobalMaxPool of NaN", "one and two axes, strides, dilations, blocks of channels")
def pools():
    g = Graph(2)
    line = g.op("Reshape", ["x", g.ints(0, 2, 32)])
    block = g.op("Reshape", ["x", g.ints(0, 16, 2, 2)])
    g.op("MaxPool", [line], ["a"], kernel_shape=[3], strides=[2], pads=[1, 1])
    g.op("MaxPool", [line], ["b"], kernel_shape=[3], dilations=[2])
    g.op("MaxPool", ["x"], ["c"], kernel_shape=[2, 2], strides=[2, 2])
    g.op("MaxPool", ["x"], ["d"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    g.op("MaxPool", ["x"], ["e"], kernel_shape=[2, 2], strides=[3, 3], ceil_mode=1)
    g.op("GlobalMaxPool", ["x"], ["f"])
    g.op("GlobalMaxPool", [block], ["g"])
    outs = ["a:f:n,2,16", "b:f:n,2,28", "c:f:n,1,4,4", "d:f:n,1,8,8", "e:f:n,1,3,3", "f:f:n,1,1,1", "g:f:n,16,1,1"]
    return Made(g.model("pools", ["x:f:n,1,8,8"], outs, 17), wide(1, 8, 8))


@case("ends_recurrent", "RNN with Relu and LSTM with a state of its own", "holes and infinities in rows and states")
def recurrent():
    g = Graph(3)
    x = g.op("Transpose", ["x"], perm=[1, 0, 2])
    _, h = g.op("RNN", [x, g.weight(1, 4, 3), g.weight(1, 4, 4), g.weight(1, 8)], 2, hidden_size=4, activations=["Relu"])
    g.op("Squeeze", [h, g.ints(0)], ["relu"])
    state = [g.op("Unsqueeze", [s, g.ints(0)]) for s in ("h", "c")]
    _, h, c = g.op("LSTM", [x, g.weight(1, 16, 3), g.weight(1, 16, 4), g.weight(1, 32), "", *state], 3, hidden_size=4)
    g.op("Squeeze", [h, g.ints(0)], ["last"])
    g.op("Squeeze", [c, g.ints(0)], ["cell"])

    def rows(n, rng):
        sides = {k: wide(4)(n, rng)["x"] for k in ("h", "c")}
        return {**wide(4, 3)(n, rng), **sides}

    ins = ["x:f:n,4,3", "h:f:n,4", "c:f:n,4"]
    return Made(g.model("recurrent", ins, ["relu:f:n,4", "last:f:n,4", "cell:f:n,4"], 14), rows)


@case("ends_doubles", "LogSoftmax, PRelu and Shrink of doubles", "infinities, NaN and zeros among values and slopes; results in float")
def doubles():
    g = Graph(4)
    g.op("LogSoftmax", ["x"], ["log"], axis=-1)
    g.op("PRelu", ["x", "slope"], ["sloped"])
    g.op("Shrink", ["x"], ["shrunk"], bias=0.25, lambd=0.5)

    def rows(n, rng):
        x = (rng.normal(size=(n, 2)) * rng.choice([0.5, 4, 1e39], (n, 1))).astype(np.float64)
        odd = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0])
        mixed = [np.where(rng.random((n, 2)) < 0.3, rng.choice(odd, (n, 2)), v) for v in (x, rng.normal(size=(n, 2)))]
        return {"x": mixed[0], "slope": mixed[1]}

    return Made(g.model("doubles", ["x:d:n,2", "slope:d:n,2"], ["log:d:n,2", "sloped:d:n,2", "shrunk:d:n,2"], 17), rows)
