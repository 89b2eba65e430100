"""Models for bench_models with their rows: models.py OUT [abcde]. 32 features; random but the same in every run.

a: regressor of scikit-learn, 100 trees of depth 6; b: the same as a classifier of two classes; c: a forest of 100 trees of
depth 12, 5 classes; d: xgboost, 500 trees of depth 8, with NaN; e: lightgbm, 1,000 trees of 31 leaves, with NaN.
"""
import sys
from pathlib import Path

import numpy as np
import onnx

OUT, FEATURES = Path(sys.argv[1]), 32
RNG = np.random.default_rng(7)


def target(x):
    s = x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]) + 0.5 * x[:, 3:11].sum(1) + np.abs(x[:, 11]) * x[:, 12]
    return s + 0.3 * (x[:, 13:] ** 2 @ np.linspace(-1, 1, FEATURES - 13))


def data(n):
    x = RNG.normal(size=(n, FEATURES)).astype(np.float32)
    return x, (target(x) + 0.3 * RNG.normal(size=n)).astype(np.float32)


def holes(x):
    return np.where(RNG.random(x.shape) < 0.05, np.float32(np.nan), x)


def save(name, model, rows):
    for o in model.graph.output:  # with a declared batch of 1 onnxruntime would log a warning in every call
        o.type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.save(model, OUT / f"{name}.onnx")
    rows.astype("<f4").tofile(OUT / f"{name}.rows")


def main():
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType
    from skl2onnx import to_onnx
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier

    OUT.mkdir(parents=True, exist_ok=True)
    which = sys.argv[2] if len(sys.argv) > 2 else "abcde"
    (x, s), (t, _) = data(6000), data(2048)

    def sk(name, model, **options):
        opsets = {"": 17, "ai.onnx.ml": 3}
        save(name, to_onnx(model, x[:1], target_opset=opsets, options={id(model): options} if options else None), t)

    if "a" in which:
        sk("a_gbr", GradientBoostingRegressor(n_estimators=100, max_depth=6, max_features=0.5, random_state=0).fit(x, s))
    if "b" in which:
        model = GradientBoostingClassifier(n_estimators=100, max_depth=6, max_features=0.5, random_state=0)
        sk("b_gbc", model.fit(x, s > 0), zipmap=False)
    if "c" in which:
        model = RandomForestClassifier(100, max_depth=12, random_state=0, n_jobs=1)
        sk("c_rf", model.fit(x, np.digitize(s, [-2, -0.7, 0.7, 2])), zipmap=False)
    big, goal = data(20000)
    big, rows, kind = holes(big), holes(t), [("x", FloatTensorType([None, FEATURES]))]
    if "d" in which:
        import xgboost

        model = xgboost.XGBRegressor(n_estimators=500, max_depth=8, learning_rate=0.05, n_jobs=1).fit(big, goal)
        save("d_xgb", convert_xgboost(model, initial_types=kind, target_opset=15), rows)
    if "e" in which:
        import lightgbm

        model = lightgbm.LGBMClassifier(n_estimators=1000, num_leaves=31, learning_rate=0.03, n_jobs=1, verbose=-1)
        model.fit(big, (goal > 0).astype(int))
        save("e_lgb", convert_lightgbm(model, initial_types=kind, target_opset=15, zipmap=False), rows)


if __name__ == "__main__":
    main()
