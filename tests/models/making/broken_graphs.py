"""Graphs that contradict themselves or the specification."""

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h

from making.broken import bad
from making.graph import Graph

ROW = {"x": [0.5, -1.0, 2.0, 0.0]}
X, Y = ["x:f:n,4"], ["y:f:n,4"]


def graph(name, wrong, words, build, ins=X, outs=Y, row=ROW, opset=17, harmless=False, **more):
    """`build(g)` adds the nodes; `change` takes the finished model."""
    g = Graph(70)
    change = more.pop("change", None)
    build(g)
    model = g.model(name, ins, outs, opset, **more)
    if change:
        change(model)
    bad(name, wrong, words, model, row, harmless=harmless)


def op(kind, inputs, **attributes):
    return lambda g: g.op(kind, inputs, ["y"], **attributes)


def chain(*nodes):
    def build(g):
        for kind, inputs, outs, *attributes in nodes:
            g.op(kind, inputs, outs, **(attributes[0] if attributes else {}))

    return build


graph("cycle", "two nodes that wait for each other", ("cycl", "a", "order"), chain(("Add", ["x", "b"], ["a"]), ("Relu", ["a"], ["b"]), ("Neg", ["b"], ["y"])))
graph("cycle_self", "a node that reads its own output", ("cycl", "a", "order"), chain(("Add", ["x", "a"], ["a"]), ("Neg", ["a"], ["y"])))
graph("input_missing", "a node reads a tensor that nobody makes", "nowhere", op("Add", ["x", "nowhere"]))
graph("output_missing", "an output that nobody makes", "never", op("Relu", ["x"]), outs=[*Y, "never:f:n,4"])
graph("order", "nodes in no topological order", ("order", "a"), chain(("Neg", ["a"], ["y"]), ("Relu", ["x"], ["a"])), harmless=True)
graph("output_twice", "two nodes make one tensor", ("y", "twice", "duplicate"), chain(("Relu", ["x"], ["y"]), ("Neg", ["x"], ["y"])))
graph("output_over_input", "a node overwrites an input", ("x", "twice", "duplicate"), chain(("Relu", ["x"], ["x"]), ("Neg", ["x"], ["y"])))
graph("input_twice", "two inputs of one name", ("x", "twice", "duplicate"), op("Relu", ["x"]), ins=X + X)
graph("initializer_twice", "two initializers of one name", ("w", "twice", "duplicate"), lambda g: g.op("Add", ["x", g.weight(4, name="w")], ["y"]), change=lambda m: m.graph.initializer.append(m.graph.initializer[0]), harmless=True)
graph("operator_unknown", "an operator that the default domain does not have", "FlyToTheMoon", op("FlyToTheMoon", ["x"]))
graph("operator_empty", "a node without operator", ("operator", "op_type", "y"), op("", ["x"]))
graph("domain_unknown", "an operator of an unknown domain", "com.example", op("Relu", ["x"], domain="com.example"), more=[("com.example", 1)])
graph("domain_ml_unknown", "an operator that ai.onnx.ml does not have", "Oracle", op("Oracle", ["x"], domain="ai.onnx.ml"), ml=3)
graph("opset_absurd", "an opset of the future", ("opset", "999"), op("Relu", ["x"]), opset=999)
graph("opset_zero", "opset 0", ("opset", "version"), op("Relu", ["x"]), change=lambda m: setattr(m.opset_import[0], "version", 0), harmless=True)
graph("ir_absurd", "a version of the format that does not exist", ("IR version",), op("Relu", ["x"]), change=lambda m: setattr(m, "ir_version", 2**40))
graph("opset_twice", "two opsets for one domain", ("opset", "domain"), op("Relu", ["x"]), more=[("", 9)], harmless=True)
graph("operator_too_new", "an operator that the opset does not have yet", ("Gelu", "opset"), op("Gelu", ["x"]), opset=13, harmless=True)
graph("inputs_few", "a node with too few inputs", ("Gemm", "input"), op("Gemm", ["x"]))
graph("inputs_many", "a node with too many inputs", ("Relu", "input"), op("Relu", ["x", "x", "x"]))
graph("outputs_many", "a node with too many outputs", ("Relu", "output"), chain(("Relu", ["x"], ["y", "z", "w"])))
graph("input_empty", "a required input left empty", ("Add", "input"), op("Add", ["x", ""]))
graph("attribute_type", "an attribute of the wrong type", ("alpha", "LeakyRelu"), op("LeakyRelu", ["x"], alpha="steep"))
graph("attribute_list", "a list where one number is expected", ("axis", "Softmax"), op("Softmax", ["x"], axis=[1, 0]))
graph("attribute_unknown", "an attribute that the operator does not have", ("colour", "Relu"), op("Relu", ["x"], colour="red"), harmless=True)
graph("attribute_missing", "a required attribute is missing", ("to", "Cast"), op("Cast", ["x"]))
graph("attribute_value", "a word that is no choice", ("sideways", "direction", "auto_pad", "Conv"), lambda g: g.op("Conv", ["x", g.weight(2, 1, 2)], ["y"], auto_pad="sideways"), ins=["x:f:n,1,4"], outs=["y:f:n,2,3"], row={"x": [[1.0, 2.0, 3.0, 4.0]]})
graph("attribute_empty", "an attribute without name and value", ("attribute", "Relu"), op("Relu", ["x"]), change=lambda m: m.graph.node[0].attribute.add(), harmless=True)
graph("cast_unknown", "a cast to an element type that nobody knows", ("Cast", "type", "999"), op("Cast", ["x"], to=999))
graph("graph_attribute_missing", "an If without a branch", ("else_branch", "If"), lambda g: g.op("If", [g.const(np.array(True))], ["y"], then_branch=h.make_graph([], "t", [], [])))
graph("matmul_shapes", "a product of shapes that do not fit", ("MatMul", "shape", "dim"), lambda g: g.op("MatMul", ["x", g.weight(5, 4)], ["y"]))
graph("add_shapes", "a sum of shapes that do not broadcast", ("Add", "shape", "broadcast", "dim"), lambda g: g.op("Add", ["x", g.weight(3)], ["y"]))
graph("types_mixed", "a sum of float and int64", ("Add", "type"), lambda g: g.op("Add", ["x", g.ints(1, 2, 3, 4)], ["y"]))
graph("type_of_output", "an output declared as text that is a number", ("y", "type"), op("Relu", ["x"]), outs=["y:s:n,4"])
graph("type_complex", "an input of complex numbers", ("x", "type", "complex"), op("Identity", ["x"]), ins=[h.make_tensor_value_info("x", T.COMPLEX64, ["n", 4])], outs=[h.make_tensor_value_info("y", T.COMPLEX64, ["n", 4])])
graph("type_none", "an input without a type", ("x", "type"), op("Relu", ["x"]), change=lambda m: m.graph.input[0].ClearField("type"))
graph("dimension_negative", "an input with a negative dimension", ("x", "dim", "negative", "-7"), op("Relu", ["x"]), ins=["x:f:n,-7"], row=None, harmless=True)
graph("dimension_absurd", "an input of 2^50 columns", ("x", "dim", "large", "elements", "shape"), op("Relu", ["x"]), ins=[f"x:f:n,{1 << 50}"], outs=["y:f"])
graph("batch_absurd", "a fixed batch of 2^50 rows", ("x", "batch", "large", "elements", "rows", "shape"), op("Relu", ["x"]), ins=[f"x:f:{1 << 50},4"], outs=["y:f"])
graph("rows_summed", "an output without a row a record", ("y", "row", "batch"), op("ReduceSum", ["x"], keepdims=0), outs=["y:f:"], harmless=True)
graph("scalar_input", "an input without a batch axis", ("x", "batch", "axis", "rank", "scalar"), op("Exp", ["x"]), ins=["x:f:"], outs=["y:f:"], row={"x": 1.0}, harmless=True)

for kind, attributes, words in [
    ("Concat", {"axis": 9}, "axis"),
    ("Softmax", {"axis": -5}, "axis"),
    ("Flatten", {"axis": 4}, "axis"),
    ("Transpose", {"perm": [0, 0]}, "perm"),
    ("Transpose", {"perm": [0, 7]}, "perm"),
    ("Transpose", {"perm": [-1, 0]}, "perm"),
    ("Gather", {"axis": 3}, "axis"),
    ("ArgMax", {"axis": 6}, "axis"),
    ("LayerNormalization", {"axis": 5}, "axis"),
]:
    name = f"{kind.lower()}_{words}_{'_'.join(str(v) for v in np.atleast_1d(next(iter(attributes.values()))))}".replace("-", "minus_")

    def build(g, kind=kind, attributes=attributes):
        more = {"Concat": ["x"], "Gather": [g.ints(0)], "LayerNormalization": [g.weight(4)]}.get(kind, []) if kind in ("Concat", "Gather", "LayerNormalization") else []
        g.op(kind, ["x", *more], ["y"], **attributes)

    graph(name, f"{kind} with {attributes}", (kind, words), build, outs=["y:f"])

for name, kind, inputs, words in [
    ("squeeze_wide", "Squeeze", [1], "axis"),
    ("squeeze_axis", "Squeeze", [8], "axis"),
    ("unsqueeze_axis", "Unsqueeze", [-9], "axis"),
    ("unsqueeze_twice", "Unsqueeze", [1, 1], "axis"),
    ("reshape_two", "Reshape", [-1, -1], "-1"),
    ("reshape_size", "Reshape", [3, 7], "shape"),
    ("reshape_negative", "Reshape", [-3, 4], "shape"),
    ("expand_shape", "Expand", [2, 3], "shape"),
    ("reduce_axis", "ReduceSum", [5], "axis"),
    ("tile_rank", "Tile", [1, 2, 3], "repeats"),
    ("tile_negative", "Tile", [1, -2], "repeats"),
    ("split_sum", "Split", [1, 9], "split"),
    ("gather_index", "Gather", [77], "index"),
    ("gather_nd_index", "GatherND", [[0, 9]], "index"),
    ("pad_negative", "Pad", [0, -9, 0, 0], "pad"),
    ("pad_length", "Pad", [1, 2, 3], "pad"),
    ("topk_large", "TopK", [9], "k"),
    ("topk_negative", "TopK", [-1], "k"),
    ("cumsum_axis", "CumSum", [9], "axis"),
    ("gather_elements_index", "GatherElements", [[9, 9, 9, 9]], "index"),
]:

    def build(g, kind=kind, inputs=inputs):
        value = np.array(inputs, np.int64)
        attributes = {"axis": 1} if kind in ("Split", "Gather") else {}
        outs = ["y", "z"] if kind in ("Split", "TopK") else ["y"]
        g.op(kind, ["x", g.const(value.reshape(()) if kind == "CumSum" else value)], outs, **attributes)

    graph(name, f"{kind} with {inputs} over rows of 4", (kind, words), build, outs=["y:f"])


def function(name, body, inputs=("x",), outputs=("y",), domain="local", **more):
    made = h.make_function(domain, name, list(inputs), list(outputs), body, [h.make_opsetid("", 17), h.make_opsetid("local", 1)])
    for key, value in more.items():
        setattr(made, key, value)
    return made


def call(name, a="x", b="y"):
    return h.make_node(name, [a], [b], domain="local")


def functions(name, wrong, words, made, start="f", harmless=False):
    graph(name, wrong, words, lambda g: g.nodes.append(call(start)), functions=made, more=[("local", 1)], harmless=harmless)


functions("function_itself", "a function that calls itself", ("f", "recurs", "itself"), [function("f", [call("f")])])
functions("function_round", "two functions that call each other", ("f", "g", "recurs"), [function("f", [call("g")]), function("g", [call("f")])])
functions("function_twice", "two functions of one name", ("f", "twice", "duplicate"), [function("f", [h.make_node("Relu", ["x"], ["y"])])] * 2, harmless=True)
functions("function_missing", "a call of a function that is not there", ("f", "local"), [function("other", [h.make_node("Relu", ["x"], ["y"])])])
functions("function_unbound", "a function that reads a tensor of the graph around it", ("hidden", "f"), [function("f", [h.make_node("Add", ["x", "hidden"], ["y"])])])
laughs = [function("f0", [h.make_node("Relu", ["x"], ["y"])])]
for i in range(1, 31):
    calls = [call(f"f{i - 1}", "x" if k == 0 else f"t{k}", "y" if k == 9 else f"t{k + 1}") for k in range(10)]
    laughs.append(function(f"f{i}", calls))
functions("function_laughs", "thirty functions that each call the one before ten times: 10^30 nodes", ("function", "nodes", "large", "many", "f"), laughs, start="f30")
functions("function_chain", "800 functions, each calls the next", ("function", "deep", "nest", "f"), [function(f"f{i}" if i else "f", [call(f"f{i + 1}") if i < 799 else h.make_node("Relu", ["x"], ["y"])]) for i in range(800)], harmless=True)
