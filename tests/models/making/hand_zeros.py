"""Zeros in the first rows: what a session learns of them must hold for the rows that follow."""

import numpy as np

from making.graph import Graph
from making.kit import Made
from making.kit import case


def zeros_first(*shape):
    def rows(n, rng):
        x = rng.normal(size=(n, *shape)).round(3).astype(np.float32)
        x[:8] = 0
        return {"x": x}

    return rows


@case("zeros_transposed_conv", "ConvTranspose with output_shape", "eight rows of zeros, of which any shape of kernel makes zeros")
def transposed_conv():
    g = Graph(1)
    g.op("ConvTranspose", ["x", g.weight(2, 2, 3)], ["y"], strides=[2], output_padding=[1], output_shape=[12])
    return Made(g.model("zeros", ["x:f:n,2,6"], ["y:f:n,2,12"], 17), zeros_first(2, 6))


@case("zeros_reverse_gru", "GRU backwards with linear_before_reset", "eight rows of zeros, which look the same from both ends")
def reverse_gru():
    g = Graph(2)
    x = g.op("Transpose", ["x"], perm=[1, 0, 2])
    inputs = [x, g.weight(1, 12, 3), g.weight(1, 12, 4)]
    _, h = g.op("GRU", inputs, 2, hidden_size=4, direction="reverse", linear_before_reset=1)
    g.op("Squeeze", [h, g.ints(0)], ["y"])
    return Made(g.model("zeros", ["x:f:n,7,3"], ["y:f:n,4"], 17), zeros_first(7, 3))


@case("zeros_mean", "the mean over the batch taken off", "eight rows of zeros, to which nothing shows that rows mix")
def mean():
    g = Graph(3)
    g.op("Sub", ["x", g.op("ReduceMean", ["x"], axes=[0], keepdims=1)], ["off"])
    g.op("Gemm", ["off", g.weight(3, 2)], ["y"])
    return Made(g.model("zeros", ["x:f:n,3"], ["y:f:n,2"], 17), zeros_first(3), alone=True)
