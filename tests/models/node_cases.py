"""Writes the ONNX project's own test cases, from the pinned onnx package, as files.

    python node_cases.py OUT [--onnxruntime]

OUT/KIND/NAME/model.onnx with test_data_set_N/input_I.pb and output_I.pb, as the package lays them out: TensorProto, or
SequenceProto, OptionalProto and MapProto where the graph says so. Kinds are node, simple, pytorch-operator,
pytorch-converted and light. OUT/cases.jsonl has a line for each case:

    {"name", "kind", "operator", "domain", "expanded", "operators", "path", "sets", "inputs", "outputs", "rtol", "atol"}

`operator` is the one that the case is about: of a node case its only node (of an `expanded` one, where the operator is
written out in simpler ones, the operator it stands for), of the others the only operator or "". `inputs` and `outputs`
are the kinds of values: tensor, sequence, optional or map. With --onnxruntime, `onnxruntime` says how that runtime does:
"pass", "differs", "refused". Takes about a minute; nothing is fetched.
"""

import argparse
import json
import pathlib
import shutil
import sys
import warnings

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test import loader
from onnx.backend.test.case import node as node_cases

DATA = pathlib.Path(loader.DATA_DIR)
KINDS = ["simple", "pytorch-operator", "pytorch-converted"]
RTOL, ATOL = 1e-3, 1e-7


def kind_of(value):
    """What a graph's input or output is."""
    return value.type.WhichOneof("value").removesuffix("_type")


def message(value, info):
    """A value as the protobuf message that the package writes."""
    if isinstance(value, onnx.TensorProto):
        return value
    make = {"map": numpy_helper.from_dict, "sequence": numpy_helper.from_list, "optional": numpy_helper.from_optional}
    return make.get(kind_of(info), numpy_helper.from_array)(value, info.name)


def operators(model):
    found = set()

    def walk(graph_or_function):
        for node in graph_or_function.node:
            found.add((node.domain, node.op_type))
            for a in node.attribute:
                for graph in [a.g, *a.graphs] if a.type in (a.GRAPH, a.GRAPHS) else []:
                    walk(graph)

    walk(model.graph)
    for function in model.functions:
        walk(function)
    return found


def inputs_of(model):
    """The inputs that must be given: older files list the weights as inputs too."""
    weights = {w.name for w in model.graph.initializer}
    return [i for i in model.graph.input if i.name not in weights]


class Index:
    def __init__(self, out):
        self.out, self.lines = out, []

    def add(self, kind, name, model, sets, operator=None, expanded=False, rtol=RTOL, atol=ATOL):
        """Writes a case; `sets` is a list of (inputs, outputs), each a list of messages."""
        folder = self.out / kind / name
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
        for i, (inputs, outputs) in enumerate(sets):
            part = folder / f"test_data_set_{i}"
            part.mkdir()
            for word, values in (("input", inputs), ("output", outputs)):
                for j, value in enumerate(values):
                    (part / f"{word}_{j}.pb").write_bytes(value.SerializeToString(deterministic=True))
        found = operators(model)
        domain, operator = operator or (next(iter(found)) if len(found) == 1 else ("", ""))
        line = {"name": name, "kind": kind, "operator": operator, "domain": domain or "ai.onnx", "expanded": expanded}
        line["operators"] = sorted(f"{d}.{o}" if d else o for d, o in found)
        line |= {"path": f"{kind}/{name}", "sets": len(sets)}
        line |= {"inputs": [kind_of(i) for i in inputs_of(model)], "outputs": [kind_of(o) for o in model.graph.output]}
        self.lines.append(line | {"rtol": rtol, "atol": atol})

    def finish(self):
        (self.out / "cases.jsonl").write_text("".join(json.dumps(line) + "\n" for line in self.lines))


def nodes(index):
    """The node cases; an expanded case comes right after the one that it expands."""
    plain = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = node_cases.collect_testcases()
    for case in cases:
        name, base = case.name, case.name.split("_expanded")[0]
        if name not in node_cases._existing_names and base in plain:
            about, expanded = plain[base], True
        else:
            node = case.model.graph.node[0]
            about, expanded = (node.domain, node.op_type), False
            plain[name] = about
        graph = case.model.graph
        sets = [
            ([message(v, i) for v, i in zip(ins, graph.input)], [message(v, o) for v, o in zip(outs, graph.output)])
            for ins, outs in case.data_sets
        ]
        index.add("node", name, case.model, sets, about, expanded, case.rtol, case.atol)


def parse(path, info):
    made = {"sequence": onnx.SequenceProto, "optional": onnx.OptionalProto, "map": onnx.MapProto}.get(kind_of(info), onnx.TensorProto)()
    made.ParseFromString(path.read_bytes())
    return made


def shipped(index, kind):
    """The cases that the package ships as files."""
    for folder in sorted(p for p in (DATA / kind).iterdir() if (p / "model.onnx").exists()):
        model = onnx.load(folder / "model.onnx")
        options = json.loads((folder / "data.json").read_text()) if (folder / "data.json").exists() else {}
        sets = []
        for part in sorted(folder.glob("test_data_set_*")):
            values = []
            for word, infos in (("input", inputs_of(model)), ("output", model.graph.output)):
                files = sorted(part.glob(f"{word}_*.pb"), key=lambda p: int(p.stem.split("_")[1]))
                values.append([parse(f, i) for f, i in zip(files, infos)])
            sets.append(tuple(values))
        index.add(kind, folder.name, model, sets, rtol=options.get("rtol", RTOL), atol=options.get("atol", ATOL))


def light(index):
    """Well-known image models with made-up weights; the input is the one that the package's runner makes."""
    for path in sorted((DATA / "light").glob("*.onnx")):
        model = onnx.load(path)
        (image,) = inputs_of(model)
        shape = [d.dim_value or 1 for d in image.type.tensor_type.shape.dim]
        size = int(np.prod(shape))
        x = (np.arange(size).reshape(shape) / size).astype(np.float32)
        outputs = [parse(path.with_name(f"{path.stem}_output_{i}.pb"), o) for i, o in enumerate(model.graph.output)]
        index.add("light", path.stem, model, [([numpy_helper.from_array(x, image.name)], outputs)])


def back(value):
    """A message as onnxruntime takes and gives it."""
    if isinstance(value, onnx.SequenceProto):
        return numpy_helper.to_list(value)
    if isinstance(value, onnx.OptionalProto):
        return numpy_helper.to_optional(value)
    if isinstance(value, onnx.MapProto):
        return numpy_helper.to_dict(value)
    return numpy_helper.to_array(value)


def close(got, want, line):
    if isinstance(want, list):
        return isinstance(got, list) and len(got) == len(want) and all(close(a, b, line) for a, b in zip(got, want))
    if want is None or isinstance(want, dict):
        return got == want
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    if want.dtype.kind in "OSU":
        return got.tolist() == want.tolist()
    return bool(np.allclose(got.astype(np.float64), want.astype(np.float64), line["rtol"], line["atol"], equal_nan=True))


def onnxruntime_says(out, line):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    folder = out / line["path"]
    try:
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
        model = onnx.load(folder / "model.onnx")
        for part in sorted(folder.glob("test_data_set_*")):
            names = inputs_of(model)
            feed = {i.name: back(parse(part / f"input_{j}.pb", i)) for j, i in enumerate(names)}
            want = [back(parse(part / f"output_{j}.pb", o)) for j, o in enumerate(model.graph.output)]
            if not close(session.run(None, feed), want, line):
                return "differs"
    except Exception:  # whatever it is, the runtime does not run this case
        return "refused"
    return "pass"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--onnxruntime", action="store_true", help="note how onnxruntime does")
    args = parser.parse_args()
    shutil.rmtree(args.out, ignore_errors=True)
    index = Index(args.out)
    nodes(index)
    for kind in KINDS:
        shipped(index, kind)
    light(index)
    if args.onnxruntime:
        for line in index.lines:
            line["onnxruntime"] = onnxruntime_says(args.out, line)
    index.finish()
    counts = {kind: sum(line["kind"] == kind for line in index.lines) for kind in ["node", *KINDS, "light"]}
    print(f"{len(index.lines)} cases: " + ", ".join(f"{n} {k}" for k, n in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
