"""Tests of tidemill_bundle.py: python -m unittest discover -s python

Bundles are made of the models in tests/models/corpus and their rows; the golden records must say what the corpus expects.
"""

import json
import locale
import math
import os
import pathlib
import sys
import tempfile
import tomllib
import unittest

HERE = pathlib.Path(__file__).parent
CORPUS = HERE.parent / "tests" / "models" / "corpus"
sys.path.insert(0, str(HERE))
import tidemill_bundle as tb  # noqa: E402

try:
    locale.setlocale(locale.LC_CTYPE, "en_US.UTF-8")
except locale.Error:  # onnxruntime's text operators insist on this name; glibc's own C.utf8 has the same tables
    os.environ["LOCPATH"] = tempfile.mkdtemp()
    (pathlib.Path(os.environ["LOCPATH"]) / "en_US.UTF-8").symlink_to("/usr/lib/locale/C.utf8")


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def event(value):
    """A row of the corpus as an event: NaN becomes null; None if there is an infinity in it."""
    text = json.dumps(value)
    return None if "Infinity" in text else json.loads(text.replace('"NaN"', "null"))


def number(value):
    return {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "inf": math.inf, "-inf": -math.inf}.get(value, value) if isinstance(value, str) else value


def flat(value):
    if isinstance(value, dict):
        return flat(list(value.values()))
    return [x for v in value for x in flat(v)] if isinstance(value, list) else [number(value)]


def close(a, b):
    if isinstance(a, str) or isinstance(b, str):
        return str(a) == str(b)
    return a == b or math.isnan(a) and math.isnan(b) or abs(a - b) <= 1e-5 * max(1, abs(b))


class OfTheCorpus(unittest.TestCase):
    def bundle(self, model, samples, **more):
        folder = pathlib.Path(tempfile.mkdtemp())
        notes = tb.write_bundle(folder, model, samples, **more)
        return tomllib.loads((folder / "model.toml").read_text(encoding="utf-8")), lines(folder / "golden.jsonl"), notes

    def check(self, line):
        """Makes a bundle of a model and compares its golden records; returns how many values were compared."""
        name = line["name"]
        rows = lines(CORPUS / f"{name}.rows.jsonl")
        pairs = [(event(r), e) for r, e in zip(rows, lines(CORPUS / f"{name}.expected.jsonl"))]
        pairs = [(e, want) for e, want in pairs if e is not None][:12]
        events = [{part: value for part, value in e.items()} for e, _ in pairs]
        # A name with a dot is a path to people, a key of its own to the samples.
        toml, golden, _ = self.bundle(CORPUS / f"{name}.onnx", events)
        self.assertEqual([g["event"] for g in golden], events)
        compared = 0
        for record, (_, want) in zip(golden, pairs):
            for column in toml["output"]:
                whole = flat(want[column["tensor"]])
                got = record["outputs"][column["name"]]
                if "class" in column:
                    expected = [number(want[column["tensor"]][column["class"]])]
                elif column["kind"] == "reals":
                    expected = whole
                else:
                    expected = [whole[column.get("index", 0)]]
                for a, b in zip(flat(got), expected, strict=True):
                    self.assertTrue(close(a, b), f"{name}: {column['name']} is {a}, the corpus has {b}")
                    compared += 1
        return compared

    def test_every_model(self):
        made, refused = 0, []
        for line in lines(CORPUS / "index.jsonl"):
            with self.subTest(line["name"]):
                try:
                    self.assertGreater(self.check(line), 0)
                    made += 1
                except tb.BundleError as error:
                    refused.append((line["name"], str(error)))
        print(f"{made} bundles made; refused: {refused}")
        self.assertGreater(made, 300)
        for name, why in refused:
            self.assertRegex(why, "takes|is missing|null in a sample|only tensors|makes tensors|makes a column|infinity", name)

    def test_matrix_of_fields(self):
        samples = [{"a": 0.5, "card": {"age": 3, "new": True, "x.y": -1.5}, "b": 2.0, "country": "FR"}, {"a": None, "card": {"age": 1, "new": False, "x.y": 0.0}, "b": 1, "country": "??"}]
        toml, golden, notes = self.bundle(
            CORPUS / "sk_forest_binary.onnx", samples, name="risk", version=7,
            features=["a", "card.age", "card.new", 'card."x.y"', "b", "country"], categories={"country": ["DE", "FR"]},
        )  # fmt: skip
        self.assertEqual((toml["name"], toml["version"], notes), ("risk", "7", []))
        self.assertEqual([f["type"] for f in toml["feature"]], ["number", "integer", "boolean", "number", "number", "category"])
        self.assertEqual([f.get("missing") for f in toml["feature"]], ["nan", None, None, None, None, None])
        self.assertEqual(toml["feature"][3]["field"], 'card."x.y"')
        self.assertEqual({o["name"]: o["kind"] for o in toml["output"]}, {"label": "integer", "probabilities": "float"})
        feed = {"X": [[0.5, 3, 1, -1.5, 2.0, 1], [math.nan, 1, 0, 0.0, 1, -1]]}
        session = tb.start(CORPUS / "sk_forest_binary.onnx")
        _, scores = session.run(["label", "probabilities"], {"X": tb.np.array(feed["X"], tb.np.float32)})
        for record, score in zip(golden, scores):
            self.assertTrue(close(record["outputs"]["probabilities"], float(score[1])))

    def test_chosen_outputs(self):
        samples = [{"text": "the cat sat"}, {"text": "a dog"}]
        outputs = {"spam": ("probabilities", 1, "float"), "all": ("probabilities", None, "reals"), "kind": ("label", None, "integer")}
        toml, golden, _ = self.bundle(CORPUS / "text_tfidf.onnx", samples, outputs=outputs)
        self.assertEqual(toml["feature"], [{"field": "text", "type": "text"}])
        for record in golden:
            self.assertAlmostEqual(record["outputs"]["spam"], record["outputs"]["all"][1], places=6)

    def test_bytes_and_frames(self):
        data = (CORPUS / "mixed_ordinal.onnx").read_bytes()

        class Frame:
            def to_dict(self, orient):
                assert orient == "records"
                return [{"amount": tb.np.float32(10.1), "country": "DE", "device": "web"}, {"amount": math.nan, "country": "US", "device": "ios"}]

        class Model:
            def SerializeToString(self):
                return data

        toml, golden, _ = self.bundle(Model(), Frame())
        self.assertEqual([f["input"] for f in toml["feature"]], ["amount", "country", "device"])
        self.assertEqual(golden[0]["event"]["amount"], 10.1)
        self.assertIsNone(golden[1]["event"]["amount"])
        self.assertEqual(len(toml["version"]), 12)

    def test_refusals(self):
        forest = CORPUS / "sk_forest_binary.onnx"
        row = {k: 1.0 for k in "abcdef"}
        for model, samples, more, why in [
            (forest, [], {}, "one at least"),
            (forest, [{"a": 1.0}], {}, "its fields make 1 values"),
            (forest, [row], {"features": ["a", "zzz"]}, "no field `zzz`"),
            (forest, [{**row, "a": "DE"}], {}, "by categories="),
            (forest, [{**row, "a": object()}], {}, "no event can hold"),
            (forest, [row], {"outputs": {"x": ("nothing", 0, "float")}}, "no output `nothing`"),
            (CORPUS / "mixed_ordinal.onnx", [{"amount": 1.0}], {}, "country, device"),
            (CORPUS / "mixed_ordinal.onnx", [{"amount": 1.0, "country": "DE", "device": "web"}, {"amount": 1.0, "device": "web"}], {}, "is missing in some samples"),
            ((CORPUS / "external_data.onnx").read_bytes(), [{"x": [0.0] * 8}], {}, "give the path"),
        ]:
            with self.subTest(why), self.assertRaisesRegex(tb.BundleError, why):
                self.bundle(model, samples, **more)

    def test_command(self):
        folder = pathlib.Path(tempfile.mkdtemp())
        samples = folder / "samples.jsonl"
        samples.write_text("".join(json.dumps({"x": [i / 4] * 8}) + "\n" for i in range(3)))
        self.assertEqual(tb.main([str(CORPUS / "external_data.onnx"), str(samples), str(folder / "out"), "--version", "2"]), 0)
        self.assertEqual(sorted(p.name for p in (folder / "out").iterdir()), ["external_data.onnx.data", "golden.jsonl", "model.onnx", "model.toml"])
        self.assertEqual(tb.main([str(CORPUS / "external_data.onnx"), str(samples) + "?", str(folder / "out")]), 2)


if __name__ == "__main__":
    unittest.main()
