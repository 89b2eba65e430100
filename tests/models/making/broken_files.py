"""Files that are no models, cut models, and weights that are not what their headers say."""

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h

from making.broken import bad
from making.graph import Graph

NOT = ("not", "onnx", "decode", "parse", "protobuf", "empty", "truncated", "graph")
ROW = {"x": [0.5, -1.0, 2.0, 0.0]}


def mlp():
    g = Graph(60)
    x = g.op("Relu", [g.op("Gemm", ["x", g.weight(4, 8, name="w1"), g.weight(8, name="b1")])])
    g.op("Gemm", [x, g.weight(8, 2, name="w2"), g.weight(2, name="b2")], ["y"])
    return g.model("mlp", ["x:f:n,4"], ["y:f:n,2"])


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def message(number, content):
    """A field of the wire format that holds bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def nested(levels):
    """If inside If, deeper than a decoder's or an analyser's stack: graph > node > attribute > graph …"""
    graph = message(2, b"inner")
    for _ in range(levels):
        attribute = message(1, b"then_branch") + message(6, graph) + varint(20 << 3) + varint(5)
        graph = message(1, message(1, b"c") + message(2, b"y") + message(4, b"If") + message(5, attribute)) + message(2, b"g")
    return varint(8) + varint(8) + message(7, graph) + message(8, varint(16) + varint(17))


GOOD = mlp().SerializeToString(deterministic=True)
bad("empty", "no bytes", NOT, b"")
bad("text", "a text", NOT, "This is a note about the model, not the model.\n")
bad("lfs_pointer", "the pointer that git leaves where large files are not fetched", NOT, "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n")
bad("html", "a page of a server that answered with an error", NOT, "<!DOCTYPE html><html><head><title>404 Not Found</title></head></html>\n")
bad("json", "JSON", NOT, '{"ir_version": 8, "graph": {"node": []}}\n')
bad("random", "random bytes", NOT, np.random.default_rng(1).bytes(4096))
bad("zeros", "zero bytes", NOT, bytes(512))
bad("zip", "the beginning of an archive", NOT, b"PK\x03\x04" + np.random.default_rng(2).bytes(300))
bad("pickle", "a pickle", NOT, b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x07sklearn\x94\x8c\x08Pipeline\x94\x93\x94.")
bad("tensor", "a TensorProto where a model is expected", NOT, onnx.numpy_helper.from_array(np.arange(6.0), "t").SerializeToString())
for percent in (3, 25, 50, 75, 90, 99):
    bad(f"truncated_{percent}", f"cut after {percent} % of its bytes", NOT + ("missing", "w1", "b1", "w2", "b2", "output", "input"), GOOD[: len(GOOD) * percent // 100])
bad("flipped", "one byte in twenty is another", NOT + ("unknown", "w1", "opset", "type", "utf"), bytes(b ^ 0x55 if i % 20 == 7 else b for i, b in enumerate(GOOD)))
bad("length_lies", "a field that says it has 2^40 bytes", NOT, GOOD + varint(7 << 3 | 2) + varint(1 << 40) + b"abc")
bad("varint_endless", "a varint without end", NOT, GOOD + b"\x80" * 64)
bad("no_graph", "a model without a graph", NOT, onnx.ModelProto(ir_version=8, opset_import=[h.make_opsetid("", 17)]))
bad("no_outputs", "a graph without outputs", ("output", "graph"), h.make_model(h.make_graph([], "nothing", [h.make_tensor_value_info("x", T.FLOAT, ["n", 4])], [])))
bad("nested_200", "200 levels of If", NOT + ("nest", "deep", "recursion", "if"), nested(200))
bad("nested_4000", "4,000 levels of If", NOT + ("nest", "deep", "recursion", "if"), nested(4000))


def weights(name, wrong, words, change, files=None, links=None, harmless=False):
    """The network with its first weight changed by `change(tensor)`."""
    model = mlp()
    change(model.graph.initializer[0])
    bad(name, wrong, ("w1", *words), model, ROW, files=files or {}, links=links or {}, harmless=harmless)


def dims(*values):
    def change(tensor):
        tensor.dims[:] = values

    return change


def fields(**values):
    def change(tensor):
        for key, value in values.items():
            setattr(tensor, key, value)

    return change


weights("weights_short", "fewer bytes than the shape says", ("byte", "data"), lambda t: setattr(t, "raw_data", t.raw_data[:-5]))
weights("weights_long", "more bytes than the shape says", ("byte", "data"), lambda t: setattr(t, "raw_data", t.raw_data + b"\0\0\0\0"))
weights("weights_none", "a shape without data", ("byte", "data"), lambda t: t.ClearField("raw_data"))
weights("weights_negative", "a negative dimension", ("dim", "shape", "negative"), dims(-4, -8))
weights("weights_absurd", "2^40 by 2^20 elements", ("dim", "size", "elements", "large"), dims(1 << 40, 1 << 20))
weights("weights_overflow", "a product of dimensions beyond 64 bits that wraps to the true size", ("dim", "overflow", "large", "shape"), dims(1 << 32, 1 << 32, 32))
weights("weights_zero_absurd", "2^62 times 0 elements", ("dim", "byte", "data", "shape"), dims(1 << 62, 0))
weights("weights_many_dims", "4,000 dimensions", ("dim", "rank", "shape", "byte"), dims(4, 8, *[1] * 4000))
weights("weights_type", "an element type that nobody knows", ("type", "999"), fields(data_type=999))
weights("weights_undefined", "element type 0", ("type", "undefined"), fields(data_type=0))
weights("weights_text_raw", "texts as raw bytes", ("string", "type", "raw"), fields(data_type=T.STRING))
weights("weights_wrong_type", "int64 where the node takes floats", ("gemm", "type", "byte", "data"), lambda t: (setattr(t, "data_type", T.INT64), t.dims.__setitem__(slice(None), [4, 4])))
weights("weights_segment", "a part of a tensor (`segment`)", ("segment", "data", "byte"), lambda t: (setattr(t.segment, "begin", 0), setattr(t.segment, "end", 8)), harmless=True)


def outside(name, wrong, words, files=None, links=None, **values):
    def change(tensor):
        tensor.ClearField("raw_data")
        tensor.data_location = T.EXTERNAL
        for key, value in values.items():
            tensor.external_data.add(key=key, value=str(value))

    weights(name, wrong, ("external", *words), change, files, links)


SIDE = np.arange(32, dtype=np.float32).tobytes()
outside("external_parent", "weights in the folder above", ("outside", "..", "location"), location="../outside.bin")
outside("external_winding", "weights above by way of a folder", ("outside", "..", "location"), location="sub/../../outside.bin")
outside("external_absolute", "weights by an absolute path", ("outside", "absolute", "/etc"), location="/etc/hostname")
outside("external_device", "weights from a device without end", ("outside", "absolute", "/dev"), location="/dev/zero", length=128)
outside("external_link", "a symbolic link to a file outside", ("outside", "link"), links={"external_link.bin": "../outside.bin"}, location="external_link.bin")
outside("external_linked_folder", "a symbolic link to a folder outside", ("outside", "link"), links={"external_folder": ".."}, location="external_folder/outside.bin")
outside("external_missing", "a file that is not there", ("no such", "missing", "not found"), location="external_is_not_there.bin")
outside("external_short", "a file that is too short", ("short", "byte", "beyond"), {"external_short.bin": SIDE[:60]}, location="external_short.bin")
outside("external_offset", "an offset beyond the end", ("offset", "beyond", "byte", "short"), {"external_offset.bin": SIDE}, location="external_offset.bin", offset=4096)
outside("external_offset_negative", "a negative offset", ("offset",), {"external_offset_negative.bin": SIDE}, location="external_offset_negative.bin", offset=-8)
outside("external_length", "a length that the shape contradicts", ("length", "byte"), {"external_length.bin": SIDE}, location="external_length.bin", length=64)
outside("external_length_absurd", "a length of 2^63 - 1 and an offset that wraps", ("length", "offset", "byte", "beyond"), {"external_length_absurd.bin": SIDE}, location="external_length_absurd.bin", offset=128, length=(1 << 63) - 1)
outside("external_words", "an offset that is no number", ("offset", "number"), {"external_words.bin": SIDE}, location="external_words.bin", offset="first")
outside("external_no_location", "no location", ("location",), offset=0)
outside("external_empty_location", "an empty location", ("location",), location="")
outside("external_dot", "the folder itself as location", ("location", "folder", "directory", "file"), location=".")
outside("external_nul", "a zero byte in the location", ("location", "nul", "no such"), location="external\0.bin")
