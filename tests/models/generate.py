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
import os
import pathlib
import shutil
import sys
import time
import traceback
import warnings

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before the libraries start: sums in one order

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
FAMILIES = ["sk_trees", "sk_plain", "sk_clusters", "boosters"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "corpus")
    parser.add_argument("--only", default="", help="beginnings of names, separated by commas")
    parser.add_argument("--list", action="store_true", help="print the names and kinds, make nothing")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")  # small data: fits that did not converge are meant
    from making import kit

    for family in FAMILIES:
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
    if not args.only:
        (args.out / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in index))
    kinds = {one.kind for one in kit.CASES}
    print(f"{len(index)} models made, {failed} failed; {len(kinds)} kinds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
