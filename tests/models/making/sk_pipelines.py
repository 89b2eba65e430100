"""Pipelines of scikit-learn with preparation of numbers, and other element types than float32."""

import numpy as np
from skl2onnx.common.data_types import BooleanTensorType
from skl2onnx.common.data_types import DoubleTensorType
from skl2onnx.common.data_types import Int64TensorType
from sklearn import ensemble as e
from sklearn import linear_model as lm
from sklearn import neighbors
from sklearn import preprocessing as p
from sklearn import svm
from sklearn import tree
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import KNNImputer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion
from sklearn.pipeline import make_pipeline

from making.kit import Made
from making.kit import case
from making.rows import at_thresholds
from making.rows import matrix
from making.rows import whole
from making.sk import exported
from making.sk import labelled
from making.sk import measured

WIDTH = 6


def steps(model):
    return " + ".join(type(s).__name__ for _, s in model.steps)


def pipeline(name, model, classes=3, nan=0.0, at=None, opset=None, low=None, empty=True, note="", **options):
    """A pipeline over float32; `classes` 0 is a regression, `at` gives pools of exact values by column, `empty` allows a row of NaN."""

    @case(name, "Pipeline: " + steps(model), note)
    def make():
        x, y = labelled(classes, WIDTH) if classes else measured(WIDTH)
        if nan:
            x[np.random.default_rng(2).random(x.shape) < 0.1] = np.nan
        if low is not None:
            x = np.abs(x) + low
        last = {k: v for k, v in {"zipmap": False, **options}.items()} if classes else options
        model.fit(x, y)
        onx = exported(model, x, opset, **last)
        pools = at(model) if at else None

        def rows(n, rng):
            x = matrix(n, rng, WIDTH, pools, nan, low=low)
            if not empty:
                x[np.isnan(x).all(1), 0] = 1.0
            return {"X": x}

        return Made(onx, rows)


FOREST = e.RandomForestClassifier(5, max_depth=4, random_state=1)
pipeline("pipe_standard_logistic", make_pipeline(p.StandardScaler(), lm.LogisticRegression()))
pipeline("pipe_minmax_svc", make_pipeline(p.MinMaxScaler(), svm.SVC()), raw_scores=True)
pipeline("pipe_minmax_clip", make_pipeline(p.MinMaxScaler(clip=True), lm.Ridge()), 0)
pipeline("pipe_robust_knn", make_pipeline(p.RobustScaler(), neighbors.KNeighborsClassifier(3)))
pipeline("pipe_maxabs_ridge", make_pipeline(p.MaxAbsScaler(), lm.Ridge()), 0)
pipeline("pipe_normalizer_l1", make_pipeline(p.Normalizer("l1"), lm.LogisticRegression()), opset={"": 10, "ai.onnx.ml": 1})
pipeline("pipe_normalizer_l2", make_pipeline(p.Normalizer("l2"), lm.Ridge()), 0)
pipeline("pipe_normalizer_max", make_pipeline(p.Normalizer("max"), lm.Ridge()), 0)
pipeline("pipe_binarizer", make_pipeline(p.Binarizer(threshold=0.5), lm.LogisticRegression()), at=lambda m: {i: [0.5] for i in range(WIDTH)})
pipeline("pipe_kbins", make_pipeline(p.KBinsDiscretizer(5, encode="onehot-dense", quantile_method="averaged_inverted_cdf"), lm.LogisticRegression()), at=lambda m: dict(enumerate(m[0].bin_edges_)))
pipeline("pipe_kbins_ordinal", make_pipeline(p.KBinsDiscretizer(4, encode="ordinal", strategy="uniform"), FOREST), at=lambda m: dict(enumerate(m[0].bin_edges_)))
pipeline("pipe_polynomial", make_pipeline(p.PolynomialFeatures(2), lm.Ridge()), 0)
pipeline("pipe_imputer_mean", make_pipeline(SimpleImputer(), p.StandardScaler(), lm.LogisticRegression()), nan=0.2)
pipeline("pipe_imputer_median_forest", make_pipeline(SimpleImputer(strategy="median"), FOREST), nan=0.2, zipmap=True)
pipeline("pipe_imputer_indicator", make_pipeline(SimpleImputer(strategy="constant", fill_value=-1.0), e.GradientBoostingRegressor(n_estimators=8, random_state=1)), 0, nan=0.2)
pipeline("pipe_knn_imputer", make_pipeline(KNNImputer(n_neighbors=3), lm.Ridge()), 0, nan=0.1, empty=False)
pipeline("pipe_pca_svc", make_pipeline(p.StandardScaler(), PCA(3, random_state=1), svm.SVC(probability=True, random_state=1)))
pipeline("pipe_union", make_pipeline(FeatureUnion([("a", PCA(2, random_state=1)), ("b", p.StandardScaler())]), FOREST))
pipeline("pipe_kmeans_features", make_pipeline(p.StandardScaler(), KMeans(3, n_init=1, random_state=1)), 0)
pipeline("pipe_power_ridge", make_pipeline(p.PowerTransformer("box-cox"), lm.Ridge()), 0, low=0.25)
pipeline("pipe_scaled_forest", make_pipeline(p.StandardScaler(), FOREST), nan=0.0, opset={"": 9, "ai.onnx.ml": 1}, zipmap=True)


def typed(name, kind, model, wanted, sample, classes=3, opset=None, note="", **options):
    """A model whose graph input has another element type than float32."""

    @case(name, kind, note)
    def make():
        x, y = labelled(classes, WIDTH) if classes else measured(WIDTH)
        x = np.round(x).astype(np.int64) if wanted is Int64TensorType else x.astype(np.float64)
        x = x > 0 if wanted is BooleanTensorType else x
        onx = exported(model.fit(x, y), x, opset, **options)
        return Made(onx, sample(onx))


def double(onx):
    return lambda n, rng: {"X": np.round(rng.normal(size=(n, WIDTH)) * 2, 6)}


def plain_tree(onx):
    return at_thresholds(onx, WIDTH, inf=0.0, dtype=np.float64)


typed("double_logistic", "LogisticRegression on float64", lm.LogisticRegression(), DoubleTensorType, double, zipmap=False)
typed("double_ridge", "Ridge on float64", lm.Ridge(), DoubleTensorType, double, 0)
typed("double_gp", "GaussianProcessRegressor on float64", GaussianProcessRegressor(alpha=0.1, optimizer=None), DoubleTensorType, double, 0)
typed("double_pipeline", "Pipeline of StandardScaler and Ridge on float64", make_pipeline(p.StandardScaler(), lm.Ridge()), DoubleTensorType, double, 0)
typed("double_forest", "RandomForestClassifier on float64", FOREST, DoubleTensorType, plain_tree, 3, zipmap=False)
typed("int_forest", "RandomForestClassifier on int64", FOREST, Int64TensorType, lambda onx: whole(WIDTH, -5, 6), zipmap=False)
typed("int_logistic", "LogisticRegression on int64", lm.LogisticRegression(), Int64TensorType, lambda onx: whole(WIDTH, -5, 6), zipmap=False)
