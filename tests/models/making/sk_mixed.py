"""Pipelines over tables: many named inputs of mixed types, categories, texts, maps."""

import numpy as np
import pandas as pd
from skl2onnx import to_onnx
from skl2onnx.common.data_types import BooleanTensorType
from skl2onnx.common.data_types import DictionaryType
from skl2onnx.common.data_types import FloatTensorType
from skl2onnx.common.data_types import Int64TensorType
from skl2onnx.common.data_types import StringTensorType
from sklearn import ensemble as e
from sklearn import feature_extraction as fe
from sklearn import linear_model as lm
from sklearn import naive_bayes as nb
from sklearn import preprocessing as p
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline

from making.kit import Made
from making.kit import case
from making.rows import words

COUNTRIES = ["DE", "FR", "US", "GB", "NL"]
KINDS = ["ios", "android", "web", "pos"]
VOCABULARY = "the cat dog sat on a mat and ran far away from big small house tree bird sang Loud song".split()


def table(n, rng):
    return {
        "amount": np.round(rng.gamma(2, 40, (n, 1)), 2).astype(np.float32),
        "age": rng.integers(0, 3000, (n, 1)),
        "risk": np.round(rng.random((n, 1)), 3).astype(np.float32),
        "hour": rng.integers(0, 24, (n, 1)),
        "country": words(rng, n, COUNTRIES),
        "device": words(rng, n, KINDS),
        "prepaid": rng.random((n, 1)) < 0.3,
    }


TYPES = {
    "amount": FloatTensorType, "age": Int64TensorType, "risk": FloatTensorType, "hour": Int64TensorType,
    "country": StringTensorType, "device": StringTensorType, "prepaid": BooleanTensorType,
}  # fmt: skip


def frame(columns):
    rng = np.random.default_rng(7)
    data = table(300, rng)
    x = pd.DataFrame({k: data[k][:, 0] for k in columns})
    score = data["amount"][:, 0] / 80 - data["risk"][:, 0] * 2 + (data["country"][:, 0] == "US") + data["prepaid"][:, 0]
    return x, (score > np.median(score)).astype(np.int64), score


def mixed(name, columns, parts, last, regression=False, holes=(), unknown=False, opset=None, note="", **options):
    """A ColumnTransformer over named [n, 1] inputs."""

    @case(name, "ColumnTransformer + " + type(last).__name__, note)
    def make():
        x, y, score = frame(columns)
        model = make_pipeline(ColumnTransformer(parts), last).fit(x, score if regression else y)
        given = {id(model): options} if options else None
        types = [(c, TYPES[c]([None, 1])) for c in columns]
        onx = to_onnx(model, initial_types=types, options=given, target_opset=opset)

        def rows(n, rng):
            feed = {k: v for k, v in table(n, rng).items() if k in columns}
            for column in holes:
                feed[column][rng.random((n, 1)) < 0.2] = np.nan
            if unknown:
                for column in ("country", "device"):
                    feed[column][rng.random((n, 1)) < 0.1] = "elsewhere"
            return feed

        return Made(onx, rows)


NUMBERS, ALL = ["amount", "risk"], ["amount", "age", "risk", "hour", "country", "device"]
ONEHOT = p.OneHotEncoder(handle_unknown="ignore")
TABLE = [("n", p.StandardScaler(), ["amount", "risk"]), ("i", p.StandardScaler(), ["age", "hour"]), ("c", ONEHOT, ["country", "device"])]
mixed("mixed_logistic", ALL, TABLE, lm.LogisticRegression(), unknown=True, zipmap=False)
mixed("mixed_gb_zipmap", ALL, TABLE, e.GradientBoostingClassifier(n_estimators=8, random_state=1), unknown=True, zipmap=True)
mixed("mixed_forest_old", ALL, TABLE, e.RandomForestClassifier(5, max_depth=4, random_state=1), opset={"": 11, "ai.onnx.ml": 1}, zipmap=False)
mixed("mixed_imputed", ALL, [("n", make_pipeline(SimpleImputer(), p.StandardScaler()), NUMBERS), ("c", ONEHOT, ["country"]), ("p", "passthrough", ["hour"])], lm.LogisticRegression(), holes=NUMBERS, zipmap=False, note="an input that nothing reads")
mixed("mixed_ordinal", ["amount", "country", "device"], [("o", p.OrdinalEncoder(), ["country", "device"]), ("n", "passthrough", ["amount"])], e.GradientBoostingRegressor(n_estimators=8, random_state=1), regression=True)
mixed("mixed_ordinal_unknown", ["amount", "country", "device"], [("o", p.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["country", "device"]), ("n", "passthrough", ["amount"])], e.RandomForestRegressor(6, max_depth=4, random_state=1), regression=True, unknown=True)
mixed("mixed_onehot_int", ["hour", "amount"], [("h", ONEHOT, ["hour"]), ("n", p.MinMaxScaler(), ["amount"])], lm.Ridge(), regression=True)
mixed("mixed_onehot_drop", ["country", "device"], [("h", p.OneHotEncoder(drop="first", sparse_output=False), ["country", "device"])], lm.Ridge(), regression=True)
mixed("mixed_one_string", ["country"], [("h", ONEHOT, ["country"])], nb.BernoulliNB(), unknown=False, zipmap=True)


@case("onehot_matrix", "OneHotEncoder", "one [n, 2] string input")
def onehot_matrix():
    x = words(np.random.default_rng(1), 60, COUNTRIES, 2)
    model = make_pipeline(p.OneHotEncoder(handle_unknown="ignore"), lm.LogisticRegression()).fit(x, np.arange(60) % 3)
    onx = to_onnx(model, initial_types=[("x", StringTensorType([None, 2]))], options={id(model): {"zipmap": False}})
    return Made(onx, lambda n, rng: {"x": words(rng, n, COUNTRIES + ["??", ""], 2)})


@case("label_encoder_text", "LabelEncoder (scikit-learn)", "an input of rank 1")
def label_encoder():
    onx = to_onnx(p.LabelEncoder().fit(COUNTRIES), initial_types=[("x", StringTensorType([None]))])
    return Made(onx, lambda n, rng: {"x": words(rng, n, COUNTRIES)[:, 0]})


def sentences(n, rng):
    texts = [" ".join(rng.choice(VOCABULARY, rng.integers(0, 9))) for _ in range(n)]
    for i, odd in enumerate(["", "CAT, dog; MAT!", "über-straße 東京", "a  b\tc", "x" * 40]):
        if i < n:
            texts[i] = odd
    return np.array(texts, object).reshape(-1, 1)


def text(name, vectorizer, last=None, opset=None, note="", options=None):
    @case(name, type(vectorizer).__name__ + (" + " + type(last).__name__ if last else ""), note)
    def make():
        x = sentences(200, np.random.default_rng(5))[:, 0]
        y = np.array(["cat" in t for t in x]).astype(int) + np.array(["song" in t for t in x])
        model = make_pipeline(vectorizer, last).fit(x, y) if last else vectorizer.fit(x)
        given = {id(model): {"zipmap": False}} if last else None
        if options:
            given = {**(given or {}), type(vectorizer): options}
        onx = to_onnx(model, initial_types=[("text", StringTensorType([None, 1]))], options=given, target_opset=opset)
        return Made(onx, lambda n, rng: {"text": sentences(n, rng)})


WORD = r"\b[a-zA-Z]+\b"
text("text_count", CountVectorizer(token_pattern="[a-zA-Z]+"))
text("text_tfidf", TfidfVectorizer(token_pattern="[a-zA-Z]+"), lm.LogisticRegression())
text("text_tfidf_ngram", TfidfVectorizer(ngram_range=(1, 2), token_pattern="[a-zA-Z]+", max_features=60), nb.MultinomialNB())
text("text_tfidf_log", TfidfVectorizer(sublinear_tf=True, norm="l1", token_pattern="[a-zA-Z]+", lowercase=False))
text("text_binary", CountVectorizer(binary=True, token_pattern="[a-zA-Z]+"), lm.LogisticRegression())
text("text_char", CountVectorizer(analyzer="char", ngram_range=(1, 2), max_features=50))
text("text_stop", CountVectorizer(stop_words=["the", "a"], token_pattern="[a-zA-Z]+"), lm.LogisticRegression())
text("text_separators", TfidfVectorizer(), lm.LogisticRegression(), options={"separators": [" ", "[.]", "\\?", ",", ";", "!"]})


@case("mixed_text_table", "ColumnTransformer with TfidfVectorizer")
def text_table():
    rng = np.random.default_rng(6)
    data = {**table(200, rng), "text": sentences(200, rng)}
    x = pd.DataFrame({k: data[k][:, 0] for k in ("amount", "country", "text")})
    parts = [("n", p.StandardScaler(), ["amount"]), ("c", ONEHOT, ["country"]), ("t", TfidfVectorizer(token_pattern="[a-zA-Z]+"), "text")]
    model = make_pipeline(ColumnTransformer(parts, sparse_threshold=0), lm.LogisticRegression()).fit(x, np.arange(200) % 2)
    types = [("amount", FloatTensorType([None, 1])), ("country", StringTensorType([None, 1])), ("text", StringTensorType([None, 1]))]
    onx = to_onnx(model, initial_types=types, options={id(model): {"zipmap": False}})

    def rows(n, rng):
        data = table(n, rng)
        return {"amount": data["amount"], "country": data["country"], "text": sentences(n, rng)}

    return Made(onx, rows)


@case("dict_vectorizer", "DictVectorizer", "one map a run, no batch")
def dict_vectorizer():
    rng = np.random.default_rng(8)
    model = fe.DictVectorizer(sparse=False).fit(maps(40, rng))
    onx = to_onnx(model, initial_types=[("m", DictionaryType(StringTensorType([1]), FloatTensorType([1])))])
    return Made(onx, lambda n, rng: {"m": maps(n, rng)}, alone=True)


def maps(n, rng):
    return [{k: float(np.float32(np.round(rng.normal(), 3))) for k in rng.choice(KINDS + COUNTRIES, rng.integers(1, 6), replace=False)} for _ in range(n)]


@case("feature_hasher", "FeatureHasher")
def feature_hasher():
    model = fe.FeatureHasher(n_features=16, input_type="string").fit([["a"]])
    onx = to_onnx(model, initial_types=[("x", StringTensorType([None, 2]))])
    return Made(onx, lambda n, rng: {"x": words(rng, n, COUNTRIES + KINDS, 2)})
