"""Weights that alone are quantised, in 2, 4 and 8 bits, and pairs of quantisation that onnxruntime's optimiser joins or leaves."""

import ml_dtypes
import numpy as np

from making.graph import Graph
from making.kit import Made
from making.kit import case
from making.rows import floats

KIND = "quantised weights"


def numbers(g, rows, columns, dtype=np.int8, low=-127, high=128):
    return g.const(g.rng.integers(low, high, (rows, columns)).astype(dtype))


def scales(g, *shape):
    return g.const((g.rng.random(shape) * 0.01 + 0.002).astype(np.float32))


def weights(g, rows, columns, **attributes):
    """int8 with a scale for each column."""
    return g.op("DequantizeLinear", [numbers(g, rows, columns), scales(g, columns)], axis=1, **attributes)


def zero(g, dtype, value=0):
    return g.const(np.array(value, dtype))


def pair(g, x, scale, zero_point):
    inputs = [g.const(np.float32(scale)), zero_point]
    return g.op("DequantizeLinear", [g.op("QuantizeLinear", [x, *inputs]), *inputs])


def made(g, outs, wide=12, opset=21, nan=0.02, **more):
    for name, value in outs.items():
        g.op("Mul", [value, g.const(np.float32([1.0]))], [name])
    shapes = [f"{name}:f:n,k{i}" for i, name in enumerate(outs)]
    return Made(g.model("weights", [f"x:f:n,{wide}"], shapes, opset, ir=10, **more), floats(wide, "x", nan=nan))


@case("weights_int8_layers", KIND, "layers of 8-bit weights: the activations become int8 by blocks of 32, but not in front of a Relu alone")
def layers():
    g = Graph(71)
    first = g.op("Tanh", [g.op("Add", [g.op("MatMul", ["x", weights(g, 40, 24)]), g.weight(24)])])
    second = g.op("Relu", [g.op("Add", [g.op("MatMul", [first, weights(g, 24, 33)]), g.weight(33)])])
    third = g.op("Sigmoid", [g.op("Gemm", [second, weights(g, 33, 16), g.weight(16)])])
    y = g.op("MatMul", [third, g.op("DequantizeLinear", [numbers(g, 16, 3, np.uint8, 0, 256), scales(g), zero(g, np.uint8, 120)])])
    return made(g, {"y": y}, 40)


@case("weights_int8_left", KIND, "what keeps onnxruntime from it: shared scales, bounds, biases of two axes, factors, quantisation behind")
def left():
    g = Graph(72)
    shared = scales(g, 5)
    outs = {c: g.op("MatMul", ["x", g.op("DequantizeLinear", [numbers(g, 12, 5), shared])]) for c in "ab"}
    outs["c"] = g.op("Neg", [g.op("Clip", [g.op("MatMul", ["x", weights(g, 12, 5)]), g.const(np.float32(-1)), g.const(np.float32(1))])])
    outs["d"] = g.op("Add", [g.op("MatMul", ["x", weights(g, 12, 5)]), g.weight(1, 5)])
    outs["e"] = g.op("Gemm", ["x", weights(g, 12, 5), g.weight(5)], alpha=0.5)
    outs["f"] = g.op("Gemm", ["x", weights(g, 5, 12), g.weight(5)], transB=1)
    outs["g"] = pair(g, g.op("MatMul", ["x", weights(g, 12, 5)]), 0.01, zero(g, np.uint8, 128))
    outs["h"] = g.op("Add", [g.op("MatMul", ["x", weights(g, 12, 12)]), "x"])
    return made(g, outs)


@case("weights_int8_forms", KIND, "what does not: Transpose, casts, a quantised constant, biases, 16-bit activations, three axes")
def forms():
    g = Graph(73)
    turned = g.op("DequantizeLinear", [numbers(g, 5, 12), scales(g, 5)], axis=0)
    outs = {"a": g.op("MatMul", ["x", g.op("Transpose", [turned], perm=[1, 0])])}
    inputs = [g.const(np.float32(0.011)), zero(g, np.int8)]
    constant = g.op("DequantizeLinear", [g.op("QuantizeLinear", [g.weight(12, 5), *inputs]), *inputs])
    outs["b"] = g.op("Add", [g.op("MatMul", ["x", g.op("Identity", [constant])]), g.weight(1)])
    outs["c"] = g.op("Gemm", ["x", weights(g, 12, 5)])
    wide = pair(g, "x", 0.0007, zero(g, np.int16))
    outs["d"] = pair(g, g.op("MatMul", [wide, weights(g, 12, 5)]), 0.0011, zero(g, np.int16))
    deep = g.op("Relu", [g.op("Add", [g.op("MatMul", [g.op("Reshape", ["x", g.ints(-1, 3, 4)]), weights(g, 4, 6)]), g.weight(6)])])
    outs["e"] = g.op("Reshape", [g.op("Exp", [g.op("Neg", [deep])]), g.ints(-1, 18)])
    bias = g.op("DequantizeLinear", [g.const(g.rng.integers(-900, 900, 5).astype(np.int32)), g.const(np.float32(0.0013))])
    outs["f"] = g.op("Gemm", ["x", weights(g, 12, 5), bias])
    return made(g, outs)


@case("weights_in_blocks", KIND, "int4, uint4 and int8 with a scale for each block and column, a last block that is not full, zero points")
def blocks():
    g = Graph(74)
    four = numbers(g, 70, 7, ml_dtypes.int4, -8, 8)
    outs = {"a": g.op("MatMul", ["x", g.op("DequantizeLinear", [four, scales(g, 3, 7)], axis=0, block_size=32)])}
    four = numbers(g, 70, 7, ml_dtypes.uint4, 0, 16)
    inputs = [four, scales(g, 5, 7), numbers(g, 5, 7, ml_dtypes.uint4, 0, 16)]
    outs["b"] = g.op("MatMul", ["x", g.op("DequantizeLinear", inputs, axis=0, block_size=16)])
    outs["c"] = g.op("MatMul", ["x", weights_of(g, 70, 7, 64)])
    # blocks of 14 are none of onnxruntime's, and 4 bits that lie are not turned
    outs["d"] = g.op("MatMul", ["x", weights_of(g, 70, 7, 14)])
    lying = g.op("DequantizeLinear", [numbers(g, 7, 70, ml_dtypes.int4, -8, 8), scales(g, 7)], axis=0)
    outs["e"] = g.op("MatMul", ["x", g.op("Transpose", [lying], perm=[1, 0])])
    return made(g, outs, 70)


def weights_of(g, rows, columns, block):
    return g.op("DequantizeLinear", [numbers(g, rows, columns), scales(g, -(-rows // block), columns)], axis=0, block_size=block)


def packed(g, rows, columns, bits):
    """Random numbers of `bits` in bytes, the last axis of `rows` numbers."""
    return g.const(g.rng.integers(0, 256, (*columns, rows * bits // 8)).astype(np.uint8))


@case("weights_nbits", KIND, "MatMulNBits as onnxruntime's quantiser writes it: bits, blocks, accuracy levels, zero points, order, bias")
def nbits():
    g = Graph(75)
    outs = {}
    for name, bits, block, level in (("a", 4, 32, 0), ("b", 4, 32, 4), ("c", 8, 16, 4), ("d", 8, 64, 0), ("e", 2, 32, 4), ("f", 2, 16, 4)):
        count = -(-70 // block)
        inputs = ["x", packed(g, block, (6, count), bits), scales(g, 6 * count)]
        if name in "bc":
            inputs.append(g.const(g.rng.integers(0, 256, 6 * -(-count * bits // 8)).astype(np.uint8)))
        if name == "d":
            inputs += ["", "", g.weight(6)]
        outs[name] = g.ms("MatMulNBits", inputs, K=70, N=6, bits=bits, block_size=block, accuracy_level=level)
    inputs = ["x", packed(g, 32, (6, 3), 4), scales(g, 18), g.const((g.rng.random(18) * 15).astype(np.float32))]
    outs["g"] = g.ms("MatMulNBits", inputs, K=70, N=6, bits=4, block_size=32)
    order = g.const(g.rng.integers(0, 3, 70).astype(np.int32))
    outs["h"] = g.ms("MatMulNBits", ["x", packed(g, 32, (6, 3), 4), scales(g, 18), "", order], K=70, N=6, bits=4, block_size=32)
    return made(g, outs, 70, ms=1)


@case("pairs_in_a_row", "QDQ", "two pairs of quantisation one behind the other become one, of the range that both have")
def pairs():
    g = Graph(76)
    outs = {}
    for name, dtype, first, second in (("a", np.uint8, (0.03, 128), (0.02, 100)), ("b", np.int8, (0.03, 0), (0.02, -20)), ("c", np.uint8, (0.03, 128), (0.02, 0))):
        inner = pair(g, "x", first[0], zero(g, dtype, first[1]))
        outs[name] = pair(g, g.op("Identity", [inner]) if name == "a" else inner, second[0], zero(g, dtype, second[1]))
    # one that is read twice stays
    inner = pair(g, "x", 0.03, zero(g, np.uint8, 128))
    outs["d"] = g.op("Add", [pair(g, inner, 0.02, zero(g, np.uint8, 100)), inner])
    return made(g, outs)


@case("pairs_with_constants", "QDQ", "sums and products with an int8 constant stay in float, with uint8 they do not; numbers of 4 bits in between")
def constants():
    g = Graph(77)
    outs = {}
    for kind in ("Add", "Mul"):
        for dtype, low, middle in ((np.int8, -127, 0), (np.uint8, 0, 128)):
            x = pair(g, "x", 0.04, zero(g, dtype, middle))
            inputs = [g.const(g.rng.integers(low, low + 255, 12).astype(dtype)), g.const(np.float32(0.031)), zero(g, dtype, middle)]
            both = g.op(kind, [x, g.op("DequantizeLinear", inputs)])
            outs[f"{kind.lower()}{len(outs)}"] = pair(g, both, 0.09, zero(g, dtype, middle))
    outs["narrow"] = pair(g, "x", 0.3, zero(g, ml_dtypes.int4, -1))
    outs["narrower"] = pair(g, "x", 0.3, zero(g, ml_dtypes.uint4, 9))
    return made(g, outs)


@case("pairs_bounded", "QDQ", "a product of 8-bit numbers in front of a Relu with one reader, and of a quantisation to 16 bits, stays in float")
def bounded():
    g = Graph(78)
    x = pair(g, "x", 0.04, zero(g, np.uint8, 128))

    def right():
        return g.op("DequantizeLinear", [numbers(g, 12, 5), scales(g), zero(g, np.int8)])

    outs = {"a": g.op("Exp", [g.op("Neg", [g.op("Relu", [g.op("MatMul", [x, right()])])])])}
    outs["b"] = pair(g, g.op("MatMul", [x, right()]), 0.0013, zero(g, np.int16))
    outs["c"] = g.op("Neg", [g.op("MatMul", [x, right()])])
    return made(g, outs)


@case("pairs_float_operands", "QDQ", "weights and biases in float within quantised layers become int8 and int32; not where nothing quantises behind")
def float_operands():
    g = Graph(79)
    image = g.op("Reshape", ["x", g.ints(-1, 2, 6, 6)])
    x = pair(g, image, 0.0317, zero(g, np.uint8, 121))
    layer = g.op("Relu", [g.op("Conv", [x, g.weight(4, 2, 3, 3), g.weight(4)])])
    second = pair(g, layer, 0.0431, zero(g, np.uint8))
    by_filter = g.op("DequantizeLinear", [g.const(g.rng.integers(-127, 128, (3, 4, 1, 1)).astype(np.int8)), scales(g, 3), g.const(np.zeros(3, np.int8))], axis=0)
    third = pair(g, g.op("Conv", [second, by_filter, g.weight(3)]), 0.0272, zero(g, np.uint8, 99))
    outs = {"a": g.op("Flatten", [third])}
    flat = pair(g, g.op("Flatten", [third]), 0.0272, zero(g, np.uint8, 99))
    outs["b"] = pair(g, g.op("Gemm", [flat, g.weight(5, 48), g.weight(5)], transB=1), 0.0619, zero(g, np.uint8, 131))
    weights = g.op("DequantizeLinear", [numbers(g, 48, 5), scales(g), zero(g, np.int8)])
    outs["c"] = pair(g, g.op("Gemm", [flat, weights, g.weight(5)], alpha=0.5), 0.0523, zero(g, np.uint8, 131))
    outs["d"] = g.op("Tanh", [g.op("Gemm", [flat, g.weight(48, 5), g.weight(5)])])
    outs["e"] = g.op("Flatten", [pair(g, g.op("ConvTranspose", [second, g.weight(4, 2, 2, 2), g.weight(2)]), 0.0357, zero(g, np.uint8, 127))])
    return made(g, outs, 72, nan=0.0)
