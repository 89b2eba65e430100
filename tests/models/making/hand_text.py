"""Texts, encoders, look-ups and columns: the operators around models in ai.onnx.ml, the default and the Microsoft domain."""

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

from making.graph import Graph
from making.graph import strings
from making.graph import text_tensor
from making.kit import Made
from making.kit import case
from making.rows import floats
from making.rows import matrix
from making.rows import words

PETS = ["cat", "dog", "eel", "Fox"]


def of(kind, width=2):
    """A sampler of `x`: texts, whole numbers or floats."""
    if kind == "s":
        return lambda n, rng: {"x": words(rng, n, PETS + ["?", ""], width)}
    if kind == "f" or kind == "d":
        dtype = np.float32 if kind == "f" else np.float64
        return lambda n, rng: {"x": rng.choice(np.array([0.5, 1.0, -2.0, 7.25, np.nan], dtype), (n, width))}
    return lambda n, rng: {"x": rng.integers(-2, 9, (n, width)).astype(np.int32 if kind == "j" else np.int64)}


KEYS = {"s": ("keys_strings", PETS), "i": ("keys_int64s", [0, 3, -1, 7]), "f": ("keys_floats", [0.5, 1.0, float("nan"), 7.25])}
VALUES = {"s": ("values_strings", ["A", "b", "C", "d"]), "i": ("values_int64s", [10, 20, 30, 40]), "f": ("values_floats", [0.1, 0.2, 0.3, 0.4])}
DEFAULTS = {"s": ("default_string", "none"), "i": ("default_int64", -9), "f": ("default_float", -0.5)}

for a in "sif":
    for b in "sif":

        @case(f"label_{a}_{b}", "LabelEncoder", f"version 2, keys {a}, values {b}" + (", a NaN is a key" if a == "f" else ""))
        def label(a=a, b=b):
            g = Graph()
            g.ml("LabelEncoder", ["x"], ["y"], **dict([KEYS[a], VALUES[b], DEFAULTS[b]]))
            return Made(g.model("label", [f"x:{a}:n,2"], [f"y:{b}:n,2"], 17, 2), of(a))


@case("label_v1", "LabelEncoder version 1", "classes_strings, text to number")
def label_one():
    g = Graph()
    g.ml("LabelEncoder", ["x"], ["y"], classes_strings=PETS, default_int64=-5)
    return Made(g.model("label", ["x:s:n,2"], ["y:i:n,2"], 8, 1), of("s"))


@case("label_v1_back", "LabelEncoder version 1", "classes_strings, number to text")
def label_one_back():
    g = Graph()
    g.ml("LabelEncoder", ["x"], ["y"], classes_strings=PETS, default_string="?")
    return Made(g.model("label", ["x:i:n,2"], ["y:s:n,2"], 8, 1), of("i"))


for name, key, keys, val, values, default in [
    ("d_d", "d", np.array([0.5, 1.0, -2.0]), "d", np.array([1.5, 2.5, 3.5]), np.array([-1.0])),
    ("s_j", "s", strings(*PETS), None, np.arange(4, dtype=np.int16), np.array([-1], np.int16)),
    ("i_s", "i", np.array([0, 1, 2]), "s", strings("x", "y", "z"), strings("w")),
]:

    @case(f"label_tensor_{name}", "LabelEncoder version 4", "keys, values and default as tensors")
    def label_tensors(key=key, keys=keys, values=values, default=default, val=val):
        g = Graph()
        attributes = {"keys_tensor": keys, "values_tensor": values, "default_tensor": default}
        attributes = {k: text_tensor(k, v) if v.dtype == object else nh.from_array(v, k) for k, v in attributes.items()}
        g.ml("LabelEncoder", ["x"], ["y"], **attributes)
        out = f"y:{val}:n,2" if val else h.make_tensor_value_info("y", T.INT16, ["n", 2])
        return Made(g.model("label", [f"x:{key}:n,2"], [out], 21, 4), of(key))


@case("category_mapper", "CategoryMapper", "texts to numbers and back")
def category_mapper():
    g = Graph()
    kind = dict(cats_strings=PETS, cats_int64s=[4, 3, 2, 1])
    g.ml("CategoryMapper", ["x"], ["y"], default_int64=-1, **kind)
    g.ml("CategoryMapper", ["y"], ["z"], default_string="none", **kind)
    return Made(g.model("mapper", ["x:s:n,2"], ["y:i:n,2", "z:s:n,2"], 17, 1), of("s"))


for kind, cats in (("s", {"cats_strings": PETS}), ("i", {"cats_int64s": [0, 3, -1]}), ("f", {"cats_int64s": [1, 7, -2]})):

    @case(f"onehot_{kind}", "OneHotEncoder", "unknown values are zeros; output of rank 3")
    def onehot(kind=kind, cats=cats):
        g = Graph()
        y = g.ml("OneHotEncoder", ["x"], zeros=1, **cats)
        y = g.op("Identity", [y], ["y"])
        sample = of(kind) if kind != "f" else lambda n, rng: {"x": rng.choice(np.array([1, 7, -2, 0.5, 7.9], np.float32), (n, 2))}
        return Made(g.model("onehot", [f"x:{kind}:n,2"], [f"y:f:n,2,{len(list(cats.values())[0])}"], 17, 1), sample)


@case("feature_vectorizer", "FeatureVectorizer", "three named inputs of different widths")
def feature_vectorizer():
    g = Graph()
    g.ml("FeatureVectorizer", ["a", "b", "c"], ["y"], inputdimensions=[2, 1, 3])
    ins = ["a:f:n,2", "b:f:n,1", "c:f:n,3"]
    return Made(g.model("features", ins, ["y:f:n,6"], 17, 1), lambda n, rng: {k: matrix(n, rng, w) for k, w in (("a", 2), ("b", 1), ("c", 3))})


@case("array_extractor", "ArrayFeatureExtractor", "columns by a constant index, one of them twice")
def extractor():
    g = Graph()
    g.ml("ArrayFeatureExtractor", ["x", g.const(np.array([[3, 0, 3]]))], ["y"])
    return Made(g.model("extract", ["x:f:n,4"], ["y:f:n,3"], 17, 1), floats(4, "x"))


@case("zipmap_int", "ZipMap", "integer labels")
def zipmap():
    g = Graph()
    y = g.op("Softmax", [g.op("MatMul", ["x", g.weight(3, 3)])], axis=1)
    g.ml("ZipMap", [y], ["p"], classlabels_int64s=[-1, 0, 12])
    kind = h.make_sequence_type_proto(h.make_map_type_proto(T.INT64, h.make_tensor_type_proto(T.FLOAT, [])))
    return Made(g.model("zip", ["x:f:n,3"], [h.make_value_info("p", kind)], 17, 1), floats(3, "x"))


@case("dict_vectorizer_int", "DictVectorizer", "a map of integers to floats, one a run")
def dict_ints():
    g = Graph()
    g.ml("DictVectorizer", ["m"], ["y"], int64_vocabulary=[5, 1, 9])
    kind = h.make_value_info("m", h.make_map_type_proto(T.INT64, h.make_tensor_type_proto(T.FLOAT, [])))
    model = g.model("dict", [kind], ["y:f:1,3"], 17, 1)
    return Made(model, lambda n, rng: {"m": [{int(k): float(v) for k, v in zip(rng.choice([1, 5, 9, 7], 2, False), matrix(2, rng, 1, low=0.5)[:, 0])} for _ in range(n)]}, alone=True)


def sentence(width=6):
    vocabulary = ["the", "cat", "sat", "on", "mat", "dog", "ran", "The"]
    return lambda n, rng: {"x": words(rng, n, vocabulary, width)}


for mode in ("TF", "IDF", "TFIDF"):

    @case(f"tfidf_{mode.lower()}_strings", "TfIdfVectorizer", "1- and 2-grams with one skip")
    def tfidf(mode=mode):
        g = Graph()
        pool = ["cat", "dog", "mat", "the", "cat", "sat", "the", "mat", "on", "the"]
        more = {} if mode == "TF" else {"weights": [0.5, 2.0, 1.5, 0.25, 3.0, 1.0, 0.75]}
        g.op("TfIdfVectorizer", ["x"], ["y"], mode=mode, min_gram_length=1, max_gram_length=2, max_skip_count=1, ngram_counts=[0, 4], ngram_indexes=[0, 1, 2, 6, 3, 4, 5], pool_strings=pool, **more)
        return Made(g.model("tfidf", ["x:s:n,6"], ["y:f:n,7"], 17), sentence())


@case("tfidf_ints", "TfIdfVectorizer", "grams of numbers, 2-grams only")
def tfidf_ints():
    g = Graph()
    g.op("TfIdfVectorizer", ["x"], ["y"], mode="TF", min_gram_length=2, max_gram_length=2, max_skip_count=0, ngram_counts=[0, 3], ngram_indexes=[0, 1, 2, 3, 4, 5], pool_int64s=[2, 3, 5, 5, 6, 7, 8, 6, 7])
    return Made(g.model("tfidf", ["x:i:n,6"], ["y:f:n,6"], 17), lambda n, rng: {"x": rng.integers(2, 9, (n, 6))})


@case("strings_normalized", "StringNormalizer", "one row a run: stop words change the length; made fixed by an outer vectorizer")
def normalized():
    g = Graph()
    x = g.op("StringNormalizer", ["x"], case_change_action="LOWER", is_case_sensitive=0, stopwords=["the", "on"])
    g.op("TfIdfVectorizer", [x], ["y"], mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0, ngram_counts=[0], ngram_indexes=[0, 1, 2], pool_strings=["cat", "dog", "mat"])
    return Made(g.model("normal", ["x:s:1,6"], ["y:f:1,3"], 17), sentence(), batch=1)


@case("strings_upper", "StringNormalizer", "upper case, rank 1, no stop words")
def upper():
    g = Graph()
    g.op("StringNormalizer", ["x"], ["y"], case_change_action="UPPER", is_case_sensitive=1)
    return Made(g.model("upper", ["x:s:n"], ["y:s:n"], 10), lambda n, rng: {"x": words(rng, n, ["cat", "Dog", "straße", "éa", "", "ñandú", "жук"])[:, 0]})


@case("strings_tokenizer", "Tokenizer (com.microsoft)", "separators, marks, padding; the count of tokens is made fixed")
def tokenizer():
    g = Graph()
    x = g.ms("Tokenizer", ["x"], mark=0, mincharnum=1, pad_value="#", separators=[" ", ","])
    g.op("TfIdfVectorizer", [g.op("Squeeze", [x, g.ints(1)])], ["y"], mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0, ngram_counts=[0], ngram_indexes=[0, 1, 2], pool_strings=["cat", "dog", "mat"])

    def rows(n, rng):
        return {"x": np.array([[" ".join(rng.choice(["cat", "dog,mat", "on", "mat"], rng.integers(1, 6)))] for _ in range(n)], object)}

    return Made(g.model("tokens", ["x:s:n,1"], ["y:f:n,3"], 13, ms=1), rows)


@case("strings_gather", "Gather on strings", "the label is looked up by ArgMax, as skl2onnx and hand-made exports do")
def gather():
    g = Graph()
    y = g.op("MatMul", ["x", g.weight(4, 3)])
    best = g.op("ArgMax", [y], axis=1, keepdims=0)
    g.op("Gather", [g.const(strings("red", "green", "blue")), best], ["label"])
    g.op("Softmax", [y], ["p"], axis=-1)
    return Made(g.model("gather", ["x:f:n,4"], ["label:s:n", "p:f:n,3"], 13), floats(4, "x"))


@case("strings_cast", "Cast to and from strings", "numbers to texts and texts to numbers")
def casts():
    g = Graph()
    g.op("Cast", ["number"], ["as_text"], to=T.STRING)
    g.op("Cast", ["whole"], ["whole_text"], to=T.STRING)
    g.op("Cast", ["text"], ["as_number"], to=T.FLOAT)
    g.op("Cast", ["digits"], ["as_whole"], to=T.INT64)

    def rows(n, rng):
        number = matrix(n, rng, 1, {0: [1e-7, 1e10, 3.0, 123456.789]}, inf=0.05)
        return {
            "number": number,
            "whole": rng.integers(-(2**40), 2**40, (n, 1)),
            "text": words(rng, n, ["1", "-2.5", "1e3", "0.1", "nan", "inf", "-inf", "3.14159274"]),
            "digits": words(rng, n, ["1", "-25", "1000000000000", "0"]),
        }

    ins = ["number:f:n,1", "whole:i:n,1", "text:s:n,1", "digits:s:n,1"]
    outs = ["as_text:s:n,1", "whole_text:s:n,1", "as_number:f:n,1", "as_whole:i:n,1"]
    return Made(g.model("casts", ins, outs, 17), rows)


@case("strings_equal", "Equal, Where and Concat on strings")
def equal():
    g = Graph()
    same = g.op("Equal", ["a", "b"])
    g.op("Cast", [same], ["same"], to=T.FLOAT)
    g.op("Where", [same, g.const(strings("same")), "a"], ["where"])
    g.op("Concat", ["a", "b"], ["both"], axis=1)
    ins, outs = ["a:s:n,1", "b:s:n,1"], ["same:f:n,1", "where:s:n,1", "both:s:n,2"]
    return Made(g.model("equal", ins, outs, 19), lambda n, rng: {k: words(rng, n, PETS) for k in "ab"})


@case("strings_split", "StringConcat, RegexFullMatch")
def concat():
    g = Graph()
    g.op("StringConcat", ["a", g.const(strings("@")), ], ["at"])
    g.op("RegexFullMatch", ["a"], ["match"], pattern="[a-d].*")
    return Made(g.model("concat", ["a:s:n,1"], ["at:s:n,1", "match:b:n,1"], 20), lambda n, rng: {"a": words(rng, n, PETS + [""])})


@case("strings_copied", "Identity, Reshape and Slice on strings")
def copied():
    g = Graph()
    x = g.op("Reshape", ["x", g.ints(-1, 2, 2)])
    x = g.op("Slice", [x, g.ints(0), g.ints(1), g.ints(2)])
    x = g.op("Transpose", [g.op("Squeeze", [x, g.ints(2)])], perm=[0, 1])
    g.op("Identity", [x], ["y"])
    return Made(g.model("copied", ["x:s:n,4"], ["y:s:n,2"], 17), of("s", 4))


@case("cdist_nearest", "CDist (com.microsoft)", "k nearest neighbours by hand")
def cdist():
    g = Graph()
    d = g.ms("CDist", ["x", g.weight(9, 3, scale=2)], metric="euclidean")
    values, nearest = g.op("TopK", [d, g.ints(3)], 2, axis=1, largest=0, sorted=1)
    g.op("ReduceMean", [g.op("Gather", [g.weight(9), nearest])], ["y"], axes=[1], keepdims=1)
    g.op("Identity", [values], ["distances"])
    return Made(g.model("cdist", ["x:f:n,3"], ["y:f:n,1", "distances:f:n,3"], 13, ms=1), floats(3, "x"))
