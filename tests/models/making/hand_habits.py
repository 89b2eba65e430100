"""Habits of exporters in the shell of a model: element types, batches, names, opsets, functions, weights outside the file."""

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

from making.graph import Graph
from making.graph import strings
from making.kit import Made
from making.kit import case
from making.rows import floats
from making.rows import matrix


def dense(g, x, a, b, dtype=np.float32, out=1):
    return g.op("Add", [g.op("MatMul", [x, g.weight(a, b, dtype=dtype)]), g.weight(b, dtype=dtype)], out)


@case("half_in_out", "float16 input and output", "float16 weights throughout")
def half():
    g = Graph(1)
    x = g.op("Relu", [dense(g, "x", 6, 8, np.float16)])
    g.op("Sigmoid", [dense(g, x, 8, 2, np.float16)], ["y"])
    return Made(g.model("half", ["x:h:n,6"], ["y:h:n,2"]), floats(6, "x", dtype=np.float16))


@case("half_weights", "float16 weights", "float32 outside, cast inside, as converters to float16 with kept io types write it")
def half_weights():
    g = Graph(2)
    x = g.op("Cast", ["x"], to=T.FLOAT16)
    x = g.op("Relu", [dense(g, x, 6, 8, np.float16)])
    g.op("Cast", [dense(g, x, 8, 2, np.float16)], ["y"], to=T.FLOAT)
    return Made(g.model("half", ["x:f:n,6"], ["y:f:n,2"]), floats(6, "x"))


@case("double_net", "float64 network", "float64 through and through")
def double():
    g = Graph(3)
    x = g.op("Tanh", [dense(g, "x", 4, 6, np.float64)])
    g.op("Softmax", [dense(g, x, 6, 3, np.float64)], ["y"], axis=-1)
    return Made(g.model("double", ["x:d:n,4"], ["y:d:n,3"]), lambda n, rng: {"x": rng.normal(size=(n, 4)).round(5)})


@case("int32_in", "int32 input", "whole numbers, Mod, Div and bit operations")
def int32():
    g = Graph(4)
    a = g.op("Mod", ["x", g.const(np.array(7, np.int32))])
    b = g.op("Div", ["x", g.const(np.array(3, np.int32))])
    c = g.op("BitShift", [g.op("Cast", [g.op("Abs", ["x"])], to=T.UINT8), g.const(np.array(1, np.uint8))], direction="RIGHT")
    g.op("Concat", [a, b, g.op("Cast", [c], to=T.INT32)], ["y"], axis=1)
    return Made(g.model("int32", ["x:j:n,3"], ["y:j:n,9"]), lambda n, rng: {"x": rng.integers(-100, 100, (n, 3)).astype(np.int32)})


@case("bool_in_out", "bool input and output")
def bools():
    g = Graph(5)
    y = g.op("Or", [g.op("And", ["a", "b"]), g.op("Not", ["a"])])
    y = g.op("Xor", [y, "b"], ["y"])
    g.op("Where", ["y", g.const(np.float32(1.5)), g.const(np.float32(-1))], ["v"])
    return Made(g.model("bools", ["a:b:n,3", "b:b:n,3"], ["y:b:n,3", "v:f:n,3"]), lambda n, rng: {k: rng.random((n, 3)) < 0.5 for k in "ab"})


@case("rank_one", "inputs and outputs of rank 1", "named features of shape [n]")
def rank_one():
    g = Graph(6)
    parts = [g.op("Unsqueeze", [k, g.ints(1)]) for k in ("a", "b")]
    y = dense(g, g.op("Concat", parts, axis=1), 2, 1)
    g.op("Squeeze", [y, g.ints(1)], ["y"])
    return Made(g.model("rank", ["a:f:n", "b:f:n"], ["y:f:n"]), lambda n, rng: {k: matrix(n, rng, 1)[:, 0] for k in "ab"})


def fixed(name, batch, note):
    @case(name, f"fixed batch of {batch}", note)
    def make():
        g = Graph(7)
        x = g.op("Relu", [dense(g, g.op("Reshape", ["x", g.ints(batch, 6)]), 6, 5)])
        g.op("Softmax", [dense(g, x, 5, 2)], ["y"], axis=1)
        return Made(g.model(name, [f"x:f:{batch},2,3"], [f"y:f:{batch},2"]), lambda n, rng: {"x": matrix(n, rng, 6).reshape(n, 2, 3)}, batch=batch)


fixed("batch_fixed_1", 1, "torch's exporter without dynamic_axes")
fixed("batch_fixed_4", 4, "rows in pieces of four, the last one padded")


@case("batch_reshape", "a batch that only the weights know", "the input's axis is symbolic, a Reshape inside says 1")
def reshape():
    g = Graph(8)
    x = g.op("Reshape", ["x", g.ints(1, 6)])
    dense(g, x, 6, 2, out=["y"])
    return Made(g.model("reshape", ["x:f:n,2,3"], ["y:f:m,2"]), lambda n, rng: {"x": matrix(n, rng, 6).reshape(n, 2, 3)}, batch=1)


@case("batch_no_shapes", "inputs and outputs without shapes")
def shapeless():
    g = Graph(9)
    dense(g, "x", 4, 2, out=["y"])
    return Made(g.model("shapeless", ["x:f"], ["y:f"]), floats(4, "x"))


@case("batch_unnamed", "inputs with unnamed dimensions", "every dimension is symbolic and unnamed; no output shape")
def unnamed():
    g = Graph(10)
    dense(g, "x", 4, 2, out=["y"])
    return Made(g.model("unnamed", [h.make_tensor_value_info("x", T.FLOAT, [None, None])], ["y:f"]), floats(4, "x"))


@case("batch_statistics", "statistics over the batch", "a Softmax over axis 0 and a mean over the rows: one row a run")
def statistics():
    g = Graph(11)
    y = dense(g, "x", 4, 3)
    y = g.op("Sub", [y, g.op("ReduceMean", [y], axes=[0], keepdims=1)])
    top = g.op("Softmax", [g.op("Gather", ["x", g.ints(0)], axis=1)], axis=0)
    g.op("Add", [g.op("Add", [y, top]), dense(g, "x", 4, 3)], ["y"])
    return Made(g.model("statistics", ["x:f:n,4"], ["y:f:n,3"], 13), floats(4, "x"), alone=True)


@case("initializers_listed", "initializers listed as inputs", "IR version 3, opset 8")
def listed():
    g = Graph(12)
    x = g.op("Relu", [g.op("Gemm", ["x", g.weight(4, 5), g.weight(5)])])
    g.op("Softmax", [g.op("Gemm", [x, g.weight(5, 3), g.weight(3)])], ["y"], axis=1)
    return Made(g.model("listed", ["x:f:n,4"], ["y:f:n,3"], 8, ir=3, listed=True), floats(4, "x"))


for opset in (7, 9, 10, 11, 12):

    @case(f"opset_{opset}", f"operators as opset {opset} has them", "Clip, Pad, Squeeze, ReduceSum, Softmax, Dropout, Slice with attributes or inputs by version")
    def old(opset=opset):
        g = Graph(13)
        x = g.op("Unsqueeze", ["x"], axes=[1])
        if opset < 11:
            x = g.op("Clip", [x], min=-1.5, max=2.0)
            x = g.op("Pad", [x], pads=[0, 0, 1, 0, 0, 2], value=0.5, mode="constant")
        else:
            x = g.op("Clip", [x, g.const(np.float32(-1.5)), g.const(np.float32(2))])
            x = g.op("Pad", [x, g.ints(0, 0, 1, 0, 0, 2), g.const(np.float32(0.5))])
        x = g.op("Squeeze", [x], axes=[1])
        if opset < 10:
            x = g.op("Slice", [x], axes=[1], starts=[1], ends=[6])
            x = g.op("Dropout", [x], ratio=0.3)
        else:
            x = g.op("Slice", [x, g.ints(6), g.ints(0), g.ints(1), g.ints(-1)])
        total = g.op("ReduceSum", [x], axes=[1], keepdims=1)
        y = g.op("Softmax", [g.op("Concat", [x, total], axis=1)], axis=1) if opset < 11 else g.op("Softmax", [g.op("Concat", [x, total], axis=1)])
        g.op("Identity", [y], ["y"])
        g.op("ArgMax", [y], ["best"], axis=1, keepdims=0)
        width = 6 if opset < 10 else 7
        return Made(g.model("old", ["x:f:n,4"], [f"y:f:n,{width}", "best:i:n"], opset, ir=4), floats(4, "x"))


@case("opset_newest", "operators as opset 23 has them", "RMSNormalization, Swish by hand, Gelu, ReduceMean with axes as input")
def newest():
    g = Graph(14)
    x = g.op("RMSNormalization", ["x", g.weight(6)], axis=-1, epsilon=1e-5)
    x = g.op("Gelu", [x], approximate="tanh")
    g.op("ReduceMean", [x, g.ints(1)], ["y"], keepdims=1)
    return Made(g.model("newest", ["x:f:n,6"], ["y:f:n,1"], 23, ir=10), floats(6, "x"))


def function(name, inputs, outputs, nodes, opsets, domain="pkg.onnxscript.torch_lib", attributes=(), protos=(), overload=""):
    sets = [h.make_opsetid(d, v) for d, v in opsets.items()]
    made = h.make_function(domain, name, inputs, outputs, nodes, sets, attributes, protos)
    if overload:
        made.overload = overload
    return made


@case("functions_nested", "model-local functions (torch dynamo)", "functions that call functions, attributes passed on with and without default")
def functions():
    lib, torch = "pkg.onnxscript.torch_lib", "pkg.torch.2.6.0"
    sets = {"": 18, lib: 1, torch: 1}
    leaky = h.make_node("LeakyRelu", ["x"], ["y"])
    leaky.attribute.append(onnx.AttributeProto(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="slope"))
    act = function("aten_leaky_relu", ["x"], ["y"], [leaky], sets, protos=[h.make_attribute("slope", 0.25)])
    transpose = function("aten_t", ["w"], ["t"], [h.make_node("Transpose", ["w"], ["t"], perm=[1, 0])], sets)
    nodes = [h.make_node("aten_t", ["w"], ["wt"], domain=lib), h.make_node("MatMul", ["x", "wt"], ["mm"]), h.make_node("Add", ["mm", "b"], ["y"])]
    linear = function("torch_nn_modules_linear_Linear_1", ["x", "w", "b"], ["y"], nodes, sets, torch)
    body = [
        h.make_node("torch_nn_modules_linear_Linear_1", ["x", "w1", "b1"], ["h"], domain=torch),
        h.make_node("aten_leaky_relu", ["h"], ["mm"], domain=lib, slope=0.05),
        h.make_node("aten_leaky_relu", ["mm"], ["hh"], domain=lib),
        h.make_node("torch_nn_modules_linear_Linear_1", ["hh", "w2", "b2"], ["out"], domain=torch),
    ]
    net = function("Net_1", ["x", "w1", "b1", "w2", "b2"], ["out"], body, sets, torch)
    g = Graph(15)
    weights = [g.weight(8, 5, name="net.0.weight"), g.weight(8, name="net.0.bias"), g.weight(2, 8, name="net.1.weight"), g.weight(2, name="net.1.bias")]
    g.op("Net_1", ["x", *weights], ["y"], torch)
    model = g.model("main_graph", ["x:f:s0,5"], ["y:f:s0,2"], 18, functions=[act, transpose, linear, net], more=[(lib, 1), (torch, 1)])
    return Made(model, floats(5, "x"))


@case("functions_overload", "model-local functions with overloads", "IR version 10: two functions of one name told apart by `overload`; a subgraph inside a function")
def overloads():
    dom, sets = "pkg.torch", {"": 18}
    scale = [h.make_node("Constant", [], ["two"], value_float=2.0), h.make_node("Mul", ["x", "two"], ["y"])]
    shift = [h.make_node("Constant", [], ["one"], value_float=1.0), h.make_node("Add", ["x", "one"], ["y"])]
    a, b = function("step", ["x"], ["y"], scale, sets, dom), function("step", ["x"], ["y"], shift, sets, dom, overload="shift")
    then = h.make_graph([h.make_node("Neg", ["x"], ["t"])], "then", [], [h.make_tensor_value_info("t", T.FLOAT, None)])
    other = h.make_graph([h.make_node("Exp", ["x"], ["e"])], "else", [], [h.make_tensor_value_info("e", T.FLOAT, None)])
    choose = function("choose", ["x", "flag"], ["y"], [h.make_node("If", ["flag"], ["y"], then_branch=then, else_branch=other)], sets, dom)
    g = Graph(16)
    first = g.op("step", ["x"], domain=dom)
    second = g.op("step", [first], domain=dom)
    g.nodes[-1].overload = "shift"
    g.op("choose", [second, g.const(np.array(True))], ["y"], dom)
    model = g.model("overloads", ["x:f:n,3"], ["y:f:n,3"], 18, ir=10, functions=[a, b, choose], more=[(dom, 1)])
    return Made(model, floats(3, "x"))


def aside(name, tensors, location, note):
    """A network whose large weights lie in a file beside it."""

    @case(name, "external data", note)
    def make():
        g = Graph(17)
        x = g.op("Relu", [dense(g, "x", 8, 16)])
        dense(g, x, 16, 2, out=["y"])
        model = g.model(name, ["x:f:n,8"], ["y:f:n,2"])
        data = bytearray()
        for tensor in model.graph.initializer:
            if len(tensor.raw_data) >= tensors:
                data += b"\0" * (-len(data) % 64)
                start, raw = len(data), tensor.raw_data
                data += raw
                tensor.ClearField("raw_data")
                tensor.data_location = T.EXTERNAL
                for key, v in (("location", location), ("offset", start), ("length", len(raw))):
                    tensor.external_data.add(key=key, value=str(v))
        return Made(model, floats(8, "x"), files={location: bytes(data)})


aside("external_data", 0, "external_data.onnx.data", "every weight in one file, offsets and lengths")
aside("external_some", 200, "external_some.bin", "only the large weights lie outside")


@case("external_plain", "external data", "neither offset nor length: the whole file is the tensor")
def external_plain():
    g = Graph(18)
    g.op("MatMul", ["x", g.weight(4, 3, name="w")], ["y"])
    model = g.model("plain", ["x:f:n,4"], ["y:f:n,3"])
    (w,) = model.graph.initializer
    data = w.raw_data
    w.ClearField("raw_data")
    w.data_location = T.EXTERNAL
    w.external_data.add(key="location", value="external_plain.w")
    return Made(model, floats(4, "x"), files={"external_plain.w": data})


@case("typed_data", "weights in typed fields", "float_data, int64_data, int32_data as float16 and bool, double_data, string_data")
def typed():
    g = Graph(19)
    half = np.array([0.5, -1.5, 2.0, 0.25], np.float16)
    y = g.op("MatMul", ["x", "w"])
    y = g.op("Add", [y, g.op("Cast", ["h"], to=T.FLOAT)])
    y = g.op("Where", ["mask", y, g.op("Cast", ["d"], to=T.FLOAT)])
    g.op("Gather", [y, "order"], ["y"], axis=1)
    g.op("Gather", ["names", g.op("ArgMin", ["y"], axis=1, keepdims=0)], ["name"])
    model = g.model("typed", ["x:f:n,3"], ["y:f:n,4", "name:s:n"], 15)
    add = model.graph.initializer.extend
    add([h.make_tensor("w", T.FLOAT, [3, 4], [i / 8 - 0.6 for i in range(12)]), h.make_tensor("order", T.INT64, [4], [3, 1, 0, 2])])
    add([h.make_tensor("h", T.FLOAT16, [4], half.tolist()), h.make_tensor("mask", T.BOOL, [4], [1, 0, 1, 1])])
    add([h.make_tensor("d", T.DOUBLE, [1], [7.5]), h.make_tensor("names", T.STRING, [4], [b"a", b"b", "ü".encode(), b""])])
    return Made(model, floats(3, "x"))


@case("sparse_weights", "sparse initializer and constants of every kind")
def sparse():
    g = Graph(20)
    y = g.op("MatMul", ["x", "w"])
    ints_ = g.op("Constant", [], value_ints=[2, 0])
    some = g.op("Constant", [], value_floats=[0.5, 1.5, -1.0])
    one = g.op("Constant", [], value_float=3.0)
    text = g.op("Constant", [], value_strings=[b"lo", b"hi"])
    y = g.op("Mul", [g.op("Add", [y, some]), one])
    g.op("Gather", [y, ints_], ["y"], axis=1)
    big = g.op("Cast", [g.op("Greater", [g.op("ReduceMax", [y], axes=[1], keepdims=0), g.const(np.float32(0))])], to=T.INT64)
    g.op("Gather", [text, big], ["size"])
    model = g.model("sparse", ["x:f:n,4"], ["y:f:n,2", "size:s:n"], 15)
    values, places = nh.from_array(np.array([1.0, -2.0, 0.5], np.float32), "w"), nh.from_array(np.array([1, 5, 10], np.int64), "w_at")
    model.graph.sparse_initializer.append(h.make_sparse_tensor(values, places, [4, 3]))
    return Made(model, floats(4, "x"))


@case("outputs_many", "several outputs", "an input that is an output, one output twice used, ranks 1 to 3, a constant that does not depend on the rows")
def outputs():
    g = Graph(21)
    dense(g, "x", 4, 3, out=["logits"])
    g.op("Softmax", ["logits"], ["p"], axis=1)
    g.op("ArgMax", ["p"], ["label"], axis=1, keepdims=0)
    g.op("Unsqueeze", ["logits", g.ints(1)], ["cube"])
    g.op("Identity", ["x"], ["echo"])
    g.op("TopK", ["p", g.ints(2)], ["best", "which"], axis=-1)
    outs = ["label:i:n", "p:f:n,3", "cube:f:n,1,3", "echo:f:n,4", "best:f:n,2", "which:i:n,2"]
    return Made(g.model("outputs", ["x:f:n,4"], outs), floats(4, "x"))


@case("optional_input", "an input with a default", "an initializer of the same name: it may be left out")
def optional():
    g = Graph(22)
    y = g.op("Mul", [dense(g, "x", 4, 2), "temperature"])
    g.op("Softmax", [y], ["y"], axis=1)
    g.const(np.array([0.5], np.float32), "temperature")
    model = g.model("optional", ["x:f:n,4", "temperature:f:1"], ["y:f:n,2"])
    return Made(model, floats(4, "x"))


@case("names_odd", "odd names", "spaces, dots, brackets, non-ASCII letters, an empty node name, a docstring")
def names():
    g = Graph(23)
    y = g.op("MatMul", ["Größe [cm]", g.weight(3, 2, name="w/ 1.0:0")], ["hidden state"])
    g.op("Tanh", [y], ["output.0 (probability)"])
    for node in g.nodes:
        node.name, node.doc_string = "", "several\nlines"
    return Made(g.model("names", ["Größe [cm]:f:n,3"], ["output.0 (probability):f:n,2"]), floats(3, "Größe [cm]"))


@case("unused_parts", "parts that nothing needs", "unused initializers, dead nodes, an unused input, value_info, metadata")
def unused():
    g = Graph(24)
    g.weight(50, name="dead")
    g.op("Exp", ["unread"])
    dense(g, "x", 4, 2, out=["y"])
    model = g.model("unused", ["unread:f:n,2", "x:f:n,4"], ["y:f:n,2"])
    model.graph.value_info.append(h.make_tensor_value_info(g.nodes[1].output[0], T.FLOAT, ["n", 2]))
    onnx.helper.set_model_props(model, {"note": "a text", "more": "of it"})
    return Made(model, lambda n, rng: {"unread": matrix(n, rng, 2), "x": matrix(n, rng, 4)})
