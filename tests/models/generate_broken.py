"""Writes the broken and hostile files into broken/, with what each should be told in broken/broken.jsonl.

    python generate_broken.py [--out DIR] [--try]

With --try onnxruntime is given each of them too, in a process of its own with bounded memory and time,
and the manifest's `onnxruntime` says how it ended; else the committed answers are kept.
"""

import argparse
import json
import pathlib
import resource
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
TRY = """
import json, sys, numpy as np, onnxruntime as o
options = o.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 4
try:
    s = o.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
except Exception as e:
    sys.exit(print("load"))
row = json.loads(sys.argv[2])
if row is None:
    sys.exit(print("accepts"))
kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(string)": object}
feed = {i.name: np.array([row[i.name]], kinds.get(i.type, np.float32)) for i in s.get_inputs()}
try:
    s.run(None, feed)
    print("accepts")
except Exception as e:
    print("run")
"""


def bounded():
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def tried(path, row):
    """How onnxruntime ends: it refuses to `load` or to `run`, `accepts`, takes too much `time`, or dies by a signal."""
    command = [sys.executable, "-c", TRY, str(path), json.dumps(row)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, preexec_fn=bounded, check=False)
    except subprocess.TimeoutExpired:
        return "time"
    return done.stdout.strip() or f"died ({done.returncode})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "broken")
    parser.add_argument("--try", dest="tries", action="store_true")
    args = parser.parse_args()
    from making import broken
    from making import broken_files  # noqa: F401
    from making import broken_graphs  # noqa: F401
    from making import broken_numbers  # noqa: F401
    from making import broken_trees  # noqa: F401

    manifest = args.out / "broken.jsonl"
    old = {o["file"]: o for o in map(json.loads, manifest.read_text().splitlines())} if manifest.exists() else {}
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    (args.out.parent / "outside.bin").write_bytes(broken_files.SIDE)
    lines = []
    for one in broken.BAD:
        path = args.out / f"{one.name}.onnx"
        path.write_bytes(one.data)
        for name, data in one.files.items():
            (args.out / name).write_bytes(data)
        for name, target in one.links.items():
            (args.out / name).symlink_to(target)
        line = {"file": path.name, "wrong": one.wrong, "words": one.words}
        if one.row is not None:
            line["row"] = one.row
        if one.harmless:
            line["harmless"] = True
        line["onnxruntime"] = tried(path, one.row) if args.tries else old.get(path.name, {}).get("onnxruntime", "?")
        if args.tries:
            print(f"{one.name:32} {line['onnxruntime']}", flush=True)
        lines.append(json.dumps(line, separators=(",", ":")) + "\n")
    manifest.write_text("".join(lines))
    print(f"{len(lines)} files")


if __name__ == "__main__":
    main()
