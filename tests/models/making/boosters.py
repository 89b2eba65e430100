"""xgboost, lightgbm and catboost through their exporters."""

import lightgbm
import numpy as np
import onnx
import xgboost
from catboost import CatBoostClassifier
from catboost import CatBoostRegressor
from onnxmltools import convert_lightgbm
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import update_registered_converter
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm as lightgbm_operator
from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost as xgboost_operator
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.preprocessing import StandardScaler

from making.kit import Made
from making.kit import case
from making.rows import at_thresholds
from making.rows import matrix
from making.sk_mixed import TYPES
from making.sk_mixed import frame
from making.sk_mixed import table
from making.sk import exported
from making.sk import labelled
from making.sk import measured

WIDTH = 6


def with_holes(x):
    x = x.copy()
    x[np.random.default_rng(3).random(x.shape) < 0.15] = np.nan
    return x


def xgb(name, model, classes=0, opset=15, holes=True, **fit):
    """An xgboost model; `classes` 0 is a regression."""

    @case(name, f"xgboost {type(model).__name__}")
    def make():
        x, y = labelled(classes, WIDTH) if classes else measured(WIDTH)
        x = with_holes(x) if holes else x
        model.fit(x, y, **fit)
        onx = convert_xgboost(model, name, [("input", FloatTensorType([None, WIDTH]))], target_opset=opset)
        return Made(onx, at_thresholds(onx, WIDTH, "input"))


xgb("xgb_binary", xgboost.XGBClassifier(n_estimators=12, max_depth=4, n_jobs=1, random_state=1), 2)
xgb("xgb_binary_base", xgboost.XGBClassifier(n_estimators=8, max_depth=4, base_score=0.3, n_jobs=1, random_state=1), 2)
xgb("xgb_multi", xgboost.XGBClassifier(n_estimators=6, max_depth=4, n_jobs=1, random_state=1), 4)
xgb("xgb_forest", xgboost.XGBRFClassifier(n_estimators=8, max_depth=4, n_jobs=1, random_state=1), 2, opset=12)
xgb("xgb_regressor", xgboost.XGBRegressor(n_estimators=15, max_depth=4, n_jobs=1, random_state=1))
xgb("xgb_regressor_base", xgboost.XGBRegressor(n_estimators=10, max_depth=4, base_score=2.5, n_jobs=1, random_state=1), holes=False)
xgb("xgb_poisson", xgboost.XGBRegressor(n_estimators=10, max_depth=3, objective="reg:absoluteerror", n_jobs=1, random_state=1))
xgb("xgb_logistic_regressor", xgboost.XGBRegressor(n_estimators=10, max_depth=3, objective="reg:logistic", n_jobs=1, random_state=1), 2)
xgb("xgb_lossguide", xgboost.XGBClassifier(n_estimators=6, max_leaves=12, max_depth=0, grow_policy="lossguide", n_jobs=1, random_state=1), 3)


@case("xgb_ranker", "xgboost XGBRanker")
def ranker():
    x, y = labelled(4, WIDTH)
    model = xgboost.XGBRanker(n_estimators=10, max_depth=3, n_jobs=1, random_state=1).fit(with_holes(x), y, qid=np.arange(len(x)) // 10)
    model.__class__ = xgboost.XGBRegressor  # the converter knows no rankers, and their trees are a regression's
    model.set_params(objective="reg:squarederror")
    onx = convert_xgboost(model, "xgb_ranker", [("input", FloatTensorType([None, WIDTH]))], target_opset=15)
    return Made(onx, at_thresholds(onx, WIDTH, "input"))


@case("xgb_pipeline", "Pipeline of StandardScaler and XGBClassifier")
def pipeline():
    shape = calculate_linear_classifier_output_shapes
    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    update_registered_converter(xgboost.XGBClassifier, "XGBoostXGBClassifier", shape, xgboost_operator, options=options)
    x, y = labelled(3, WIDTH)
    model = make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=6, max_depth=3, n_jobs=1, random_state=1)).fit(x, y)
    onx = exported(model, x, {"": 17, "ai.onnx.ml": 3}, zipmap=False)
    return Made(onx, lambda n, rng: {"X": matrix(n, rng, WIDTH, nan=0.1)})


@case("lgb_mixed", "ColumnTransformer and LGBMClassifier")
def mixed():
    shape = calculate_linear_classifier_output_shapes
    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    update_registered_converter(lightgbm.LGBMClassifier, "LightGbmLGBMClassifier", shape, lightgbm_operator, options=options)
    columns = ["amount", "hour", "country", "device"]
    x, y, _ = frame(columns)
    parts = [("c", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["country", "device"]), ("n", "passthrough", ["amount", "hour"])]
    last = lightgbm.LGBMClassifier(n_estimators=8, num_leaves=8, verbose=-1, n_jobs=1, random_state=1, deterministic=True)
    model = make_pipeline(ColumnTransformer(parts, sparse_threshold=0), last).fit(x, y)
    types = [(c, TYPES[c]([None, 1])) for c in columns]
    onx = to_onnx(model, initial_types=types, options={id(last): {"zipmap": False}}, target_opset={"": 17, "ai.onnx.ml": 3})
    return Made(onx, lambda n, rng: {k: v for k, v in table(n, rng).items() if k in columns})


def lgb(name, model, classes=0, opset=15, text=False, zipmap=True, note=""):
    @case(name, f"lightgbm {type(model).__name__}", note)
    def make():
        x, y = labelled(classes, WIDTH, text=text) if classes else measured(WIDTH)
        model.set_params(verbose=-1, n_jobs=1, random_state=1, deterministic=True).fit(with_holes(x), y)
        onx = convert_lightgbm(model, name, [("input", FloatTensorType([None, WIDTH]))], target_opset=opset, zipmap=zipmap)
        return Made(onx, at_thresholds(onx, WIDTH, "input"))


lgb("lgb_binary", lightgbm.LGBMClassifier(n_estimators=10, num_leaves=12), 2)
lgb("lgb_binary_plain", lightgbm.LGBMClassifier(n_estimators=10, num_leaves=12), 2, zipmap=False)
lgb("lgb_multi", lightgbm.LGBMClassifier(n_estimators=5, num_leaves=10), 4, text=True)
lgb("lgb_forest", lightgbm.LGBMClassifier(boosting_type="rf", n_estimators=8, num_leaves=10, subsample=0.6, subsample_freq=1), 2)
lgb("lgb_regressor", lightgbm.LGBMRegressor(n_estimators=15, num_leaves=12))
lgb("lgb_poisson", lightgbm.LGBMRegressor(objective="huber", n_estimators=10, num_leaves=12))
lgb("lgb_dart", lightgbm.LGBMClassifier(boosting_type="dart", n_estimators=8, num_leaves=8), 3, zipmap=False, opset=9)


@case("lgb_categorical", "lightgbm LGBMRegressor with categorical splits")
def categorical():
    x, y = measured(WIDTH)
    x[:, 0] = np.random.default_rng(4).integers(0, 7, len(x))
    y = y + np.array([3, -2, 5, 0, 1, -4, 2])[x[:, 0].astype(int)]
    model = lightgbm.LGBMRegressor(n_estimators=8, num_leaves=10, verbose=-1, n_jobs=1, random_state=1, deterministic=True)
    model.fit(x, y, categorical_feature=[0])
    onx = convert_lightgbm(model, "lgb_categorical", [("input", FloatTensorType([None, WIDTH]))], target_opset=15)
    plain = at_thresholds(onx, WIDTH, "input", inf=0.0)

    def rows(n, rng):
        feed = plain(n, rng)
        feed["input"][:, 0] = rng.choice(np.array([0, 1, 2, 3, 4, 5, 6, 7, 9, -1, np.nan], np.float32), n)
        return feed

    return Made(onx, rows)


@case("lgb_split", "lightgbm LGBMRegressor in parts", "the converter's `split` sums parts of the ensemble in double")
def split():
    x, y = measured(WIDTH)
    model = lightgbm.LGBMRegressor(n_estimators=16, num_leaves=8, verbose=-1, n_jobs=1, random_state=1, deterministic=True).fit(x, y)
    onx = convert_lightgbm(model, "lgb_split", [("input", FloatTensorType([None, WIDTH]))], target_opset=15, split=4)
    return Made(onx, at_thresholds(onx, WIDTH, "input"))


def cat(name, model, classes=0, text=False):
    """catboost writes its ONNX files itself: no default-domain opset unless operators of it are there."""

    @case(name, f"catboost {type(model).__name__}")
    def make():
        import tempfile

        x, y = labelled(classes, WIDTH, text=text) if classes else measured(WIDTH)
        model.fit(with_holes(x), y)
        with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
            model.save_model(file.name, format="onnx", export_parameters={"onnx_domain": "ai.catboost", "onnx_graph_name": name})
            onx = onnx.load(file.name)
        del onx.metadata_props[:]  # the time and a random name of the training
        return Made(onx, at_thresholds(onx, WIDTH, "features"))


CAT = {"iterations": 8, "depth": 4, "random_seed": 1, "thread_count": 1, "verbose": False, "allow_writing_files": False}
cat("cat_binary", CatBoostClassifier(**CAT), 2)
cat("cat_binary_text", CatBoostClassifier(**CAT), 2, text=True)
cat("cat_multi", CatBoostClassifier(loss_function="MultiClass", **CAT), 3)
cat("cat_multi_text", CatBoostClassifier(loss_function="MultiClass", **CAT), 4, text=True)
cat("cat_regressor", CatBoostRegressor(**CAT))
