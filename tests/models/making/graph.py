"""A small writer of ONNX graphs."""

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

KINDS = {"f": T.FLOAT, "d": T.DOUBLE, "h": T.FLOAT16, "i": T.INT64, "j": T.INT32, "b": T.BOOL, "s": T.STRING, "u": T.UINT8}
IR = 8


def value(text):
    """`x:f:n,3` -> a value of float32 and shape [n, 3]; `x:f:` is a scalar and `x:f` has no shape."""
    name, kind, *shape = text.split(":")
    if not shape:
        return h.make_tensor_value_info(name, KINDS[kind], None)
    dims = [int(d) if d.lstrip("-").isdigit() else d for d in shape[0].split(",") if d]
    return h.make_tensor_value_info(name, KINDS[kind], dims)


class Graph:
    """Nodes and weights in the order of the calls; every call gives the names of its outputs."""

    def __init__(self, seed=1, prefix=""):
        self.nodes, self.weights, self.rng, self.prefix = [], {}, np.random.default_rng(seed), prefix

    def op(self, kind, inputs, out=1, domain="", **attributes):
        """`out`: how many outputs, or their names."""
        names = out if isinstance(out, list) else [f"{self.prefix}{kind.lower()}_{len(self.nodes)}_{i}" for i in range(out)]
        self.nodes.append(h.make_node(kind, list(inputs), names, name=f"{self.prefix}{kind}_{len(self.nodes)}", domain=domain, **attributes))
        return names[0] if len(names) == 1 else names

    def ml(self, kind, inputs, out=1, **attributes):
        return self.op(kind, inputs, out, "ai.onnx.ml", **attributes)

    def ms(self, kind, inputs, out=1, **attributes):
        return self.op(kind, inputs, out, "com.microsoft", **attributes)

    def const(self, array, name=None):
        name = name or f"{self.prefix}c{len(self.weights)}"
        self.weights[name] = np.asarray(array)
        return name

    def ints(self, *values):
        return self.const(np.array(values, np.int64))

    def weight(self, *shape, scale=0.4, name=None, dtype=np.float32):
        return self.const((self.rng.normal(size=shape) * scale).round(3).astype(dtype), name)

    def graph(self, name, inputs, outputs, listed=False):
        weights = [text_tensor(k, v) if v.dtype == object else nh.from_array(v, k) for k, v in self.weights.items()]
        ins = [i if not isinstance(i, str) else value(i) for i in inputs]
        if listed:
            ins += [h.make_tensor_value_info(w.name, w.data_type, list(w.dims)) for w in weights]
        return h.make_graph(self.nodes, name, ins, [o if not isinstance(o, str) else value(o) for o in outputs], weights)

    def model(self, name, inputs, outputs, opset=17, ml=None, ms=None, ir=IR, listed=False, functions=(), more=()):
        """`opset` None: no default domain is declared."""
        sets = [("", opset), ("ai.onnx.ml", ml), ("com.microsoft", ms), *more]
        sets = [h.make_opsetid(d, v) for d, v in sets if v]
        return h.make_model(
            self.graph(name, inputs, outputs, listed), opset_imports=sets, ir_version=ir, functions=list(functions), producer_name="hand"
        )


def text_tensor(name, values):
    return h.make_tensor(name, T.STRING, values.shape, [str(v).encode() for v in values.reshape(-1)])


def strings(*values):
    return np.array(values, object)


def shorter(model):
    onnx.checker.check_model(model)
    return model
