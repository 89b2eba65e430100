"""Ensembles of the size that people train: only made with many rows, and not committed."""

import lightgbm
import numpy as np
import xgboost
from onnxmltools import convert_lightgbm
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn import ensemble as e
from sklearn import linear_model as lm
from sklearn import neighbors
from sklearn import neural_network
from sklearn import svm
from sklearn.datasets import make_classification
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from making.kit import Made
from making.kit import case
from making.rows import at_thresholds
from making.rows import floats
from making.sk import exported

WIDTH = 32
INPUT = [("input", FloatTensorType([None, WIDTH]))]


def data(classes, n=6000):
    x, y = make_classification(n, WIDTH, n_informative=12, n_classes=classes, random_state=5)
    x = x.astype(np.float32)
    x[np.random.default_rng(6).random(x.shape) < 0.02] = np.nan
    return x, y


def sk(name, model, classes=2, trees=True):
    @case(name, f"large {type(model).__name__}")
    def make():
        x, y = data(classes)
        x = np.nan_to_num(x)
        onx = exported(model.fit(x, y), x, {"": 17, "ai.onnx.ml": 3}, **({"zipmap": False} if hasattr(model, "predict_proba") else {}))
        return Made(onx, at_thresholds(onx, WIDTH, nan=0.02, inf=0.005) if trees else floats(WIDTH))


def boosted(name, model, convert, classes=2):
    @case(name, f"large {type(model).__name__}")
    def make():
        onx = convert(model.fit(*data(classes)), name, INPUT, target_opset=15)
        return Made(onx, at_thresholds(onx, WIDTH, "input", nan=0.05, inf=0.005))


sk("large_gb", e.GradientBoostingClassifier(n_estimators=100, max_depth=6, subsample=0.5, max_features=0.3, random_state=1))
sk("large_gb_regressor", e.GradientBoostingRegressor(n_estimators=100, max_depth=6, subsample=0.5, max_features=0.3, random_state=1))
sk("large_forest", e.RandomForestClassifier(100, max_depth=12, max_features=6, random_state=1), 5)
sk("large_forest_regressor", e.RandomForestRegressor(100, max_depth=12, max_features=6, random_state=1))
sk("large_mlp", make_pipeline(StandardScaler(), neural_network.MLPClassifier((128, 64), max_iter=5, random_state=1)), 3, trees=False)
sk("large_svc", make_pipeline(StandardScaler(), svm.SVC(C=0.5)), 3, trees=False)
sk("large_knn", make_pipeline(StandardScaler(), neighbors.KNeighborsRegressor(9)), trees=False)
sk("large_logistic", make_pipeline(StandardScaler(), lm.LogisticRegression()), 5, trees=False)
boosted("large_xgb", xgboost.XGBClassifier(n_estimators=500, max_depth=8, n_jobs=1, random_state=1), convert_xgboost)
boosted("large_xgb_multi", xgboost.XGBClassifier(n_estimators=60, max_depth=6, n_jobs=1, random_state=1), convert_xgboost, 5)
LEAVES = dict(num_leaves=31, n_jobs=1, random_state=1, deterministic=True, verbose=-1)
boosted("large_lgb", lightgbm.LGBMClassifier(n_estimators=1000, **LEAVES), convert_lightgbm)
boosted("large_lgb_multi", lightgbm.LGBMClassifier(n_estimators=60, **LEAVES), convert_lightgbm, 5)
boosted("large_lgb_regressor", lightgbm.LGBMRegressor(n_estimators=300, **LEAVES), convert_lightgbm)
