"""Makes the corpus of exported models with onnxruntime's answers.

    pip install -r requirements.txt && python generate.py            # the committed files, in corpus/
    python generate.py --rows 2048 --out DIR                         # the same models with many rows
    python generate.py --only sk_forest --out DIR                    # those whose name begins so

For each model NAME.onnx, NAME.rows.jsonl (graph input -> the row's value without the batch axis) and
NAME.expected.jsonl (graph output -> the row's value); index.jsonl has a line for each. See README.md.
Deterministic: seeded by the model's name, one thread.
"""

import argparse
import importlib
import json
import locale
import os
import pathlib
import shutil
import sys
import tempfile
import time
import traceback
import warnings

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before the libraries start: sums in one order


def prepare():
    """Starts over with what must be there before the interpreter and onnxruntime start."""
    more = {"PYTHONHASHSEED": "0"}  # the converters walk over sets
    try:
        locale.setlocale(locale.LC_CTYPE, "en_US.UTF-8")
    except locale.Error:  # onnxruntime insists on this name; the same tables of characters are in glibc's own C.utf8
        folder = pathlib.Path(tempfile.gettempdir()) / f"locales-{os.getuid()}"
        folder.mkdir(exist_ok=True)
        if not (folder / "en_US.UTF-8").exists():
            (folder / "en_US.UTF-8").symlink_to("/usr/lib/locale/C.utf8")
        more["LOCPATH"] = str(folder)
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **more})


if __name__ == "__main__" and os.environ.get("PYTHONHASHSEED") != "0":
    prepare()

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
FAMILIES = ["sk_trees", "sk_plain", "sk_clusters", "sk_pipelines", "sk_mixed", "sk_more", "boosters", "hand_nets", "hand_ml", "hand_text", "hand_habits", "hand_half", "hand_weights", "hand_attention", "hand_holes", "hand_ends", "hand_zeros", "quantized", "optimized"]


def write_index(path, made, order):
    """Lines of the models made now, and of those made before."""
    old = map(json.loads, path.read_text().splitlines()) if path.exists() else []
    lines = {line["name"]: line for line in [*old, *made]}
    path.write_text("".join(json.dumps(lines[name], separators=(",", ":")) + "\n" for name in order if name in lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "corpus")
    parser.add_argument("--only", default="", help="beginnings of names, separated by commas")
    parser.add_argument("--list", action="store_true", help="print the names and kinds, make nothing")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")  # small data: fits that did not converge are meant
    from making import kit

    for family in FAMILIES + ["large"] * (args.rows >= 1000):
        importlib.import_module(f"making.{family}")
    if args.list:
        for one in kit.CASES:
            print(one.name, one.kind, one.note)
        return 0
    if not args.only:
        shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True, exist_ok=True)
    index, failed = [], 0
    for one in kit.CASES:
        if not one.name.startswith(tuple(args.only.split(","))):
            continue
        start = time.time()
        try:
            index.append(kit.write(one, args.out, args.rows))
            print(f"{one.name:32} {time.time() - start:5.1f} s", flush=True)
        except Exception as error:  # every failure is told, and the exit code says that there was one
            failed += 1
            print(f"{one.name:32} FAILED: {error}", flush=True)
            if os.environ.get("TRACE"):
                traceback.print_exc()
    write_index(args.out / "index.jsonl", index, [one.name for one in kit.CASES])
    kinds = {one.kind for one in kit.CASES}
    print(f"{len(index)} models made, {failed} failed; {len(kinds)} kinds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
