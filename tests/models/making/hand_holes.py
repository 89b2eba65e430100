"""NaN and infinities within networks: what becomes of them hangs on how onnxruntime orders and clips; and unsorted TopK."""

from making.graph import Graph
from making.hand_nets import shaped
from making.kit import Made
from making.kit import case
from making.rows import floats


def recurrent(kind, gates, bias, **attributes):
    """A recurrent layer whose sequences have holes: gates with a bias are clipped, and a NaN becomes the upper end."""
    name = f"holes_{kind.lower()}" + ("" if bias else "_bare")

    @case(name, f"{kind} with holes in its rows", "a bias" if bias else "no bias: NaN stays NaN")
    def make():
        g = Graph(50)
        x = g.op("Transpose", ["x"], perm=[1, 0, 2])
        weights = [g.weight(2, gates * 4, 3), g.weight(2, gates * 4, 4)] + [g.weight(2, gates * 8)] * bias
        out = g.op(kind, [x, *weights], ["states", "last"], hidden_size=4, direction="bidirectional", **attributes)
        last = g.op("Transpose", [out[1]], perm=[1, 0, 2])
        g.op("Reshape", [last, g.ints(0, -1)], ["y"])
        model = g.model(name, ["x:f:batch,5,3"], ["y:f:batch,8"], 14)
        return Made(model, shaped("x", 5, 3, scale=1.0, nan=0.05, inf=0.01))


recurrent("LSTM", 4, True)
recurrent("LSTM", 4, False)
recurrent("GRU", 3, True, linear_before_reset=1)
recurrent("GRU", 3, False)
recurrent("RNN", 1, True)


@case("holes_conv", "Conv with holes in its rows", "Sigmoid and Tanh keep NaN")
def conv():
    g = Graph(51)
    x = g.op("Tanh", [g.op("Conv", ["x", g.weight(4, 2, 3), g.weight(4)], pads=[1, 1])])
    x = g.op("Sigmoid", [g.op("Conv", [x, g.weight(3, 4, 3), g.weight(3)])])
    g.op("Gemm", [g.op("Flatten", [x]), g.weight(12, 2), g.weight(2)], ["y"])
    return Made(g.model("holes", ["x:f:batch,2,6"], ["y:f:batch,2"], 14), shaped("x", 2, 6, scale=1.0, nan=0.05, inf=0.02))


@case("holes_extremes", "ReduceMax and ReduceMin of NaN", "a NaN hides the elements that it is compared with first")
def extremes():
    g = Graph(52)
    # columns are left out: there onnxruntime's answer hangs on whether the batch is one row
    for name, kind in (("a", "ReduceMax"), ("b", "ReduceMin")):
        g.op(kind, ["x"], [name], axes=[1], keepdims=0)
    return Made(g.model("extremes", ["x:f:n,28"], ["a:f:n", "b:f:n"], 13), floats(28, "x", nan=0.2, digits=1))


@case("topk_unsorted", "TopK with sorted = 0", "few of many by a heap, many by selection; smallest ones and ties too")
def unsorted():
    g = Graph(53)
    rounded = g.op("Round", ["x"])
    for i, (x, count, largest) in enumerate([("x", 4, 1), ("x", 17, 1), (rounded, 5, 0), (rounded, 20, 0), (rounded, 2, 1)]):
        g.op("TopK", [x, g.ints(count)], [f"v{i}", f"i{i}"], axis=1, sorted=0, largest=largest)
    outputs = [f"{name}{i}:{kind}:n,{count}" for i, count in enumerate([4, 17, 5, 20, 2]) for name, kind in (("v", "f"), ("i", "i"))]
    return Made(g.model("unsorted", ["x:f:n,24"], outputs, 13), floats(24, "x"))
