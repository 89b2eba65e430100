"""Models for bench_models with their rows: models.py OUT [abcdefgh]. 32 features mostly; random but the same in every run.

a: regressor of scikit-learn, 100 trees of depth 6; b: the same as a classifier of two classes; c: a forest of 100 trees of
depth 12, 5 classes; d: xgboost, 500 trees of depth 8, with NaN; e: lightgbm, 1,000 trees of 31 leaves, with NaN. f: layers of a network, small,
wide and large; g: StandardScaler and a linear model, of one and of ten classes; h: five convolutions on 32 x 32 x 3.
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


def node(*args, **attributes):
    return onnx.helper.make_node(*args, **attributes)


def graph(name, nodes, weights, shape, rows):
    value = lambda n, s: onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s)
    weights = [onnx.numpy_helper.from_array(w.astype(np.float32), n) for n, w in weights.items()]
    made = onnx.helper.make_graph(nodes, name, [value("x", ["N", *shape])], [value("y", ["N", None])], weights)
    save(name, onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), rows)


def network(name, widths):
    nodes, weights, at = [], {}, "x"
    for i, (k, n) in enumerate(zip(widths, widths[1:])):
        weights |= {f"w{i}": RNG.normal(size=(n, k)) / k**0.5, f"b{i}": RNG.normal(size=n) * 0.1}
        last = i == len(widths) - 2
        nodes.append(node("Gemm", [at, f"w{i}", f"b{i}"], ["y" if last else f"g{i}"], transB=1))
        if not last:
            nodes.append(node("Relu", [f"g{i}"], [f"r{i}"]))
        at = f"r{i}"
    graph(name, nodes, weights, [widths[0]], RNG.normal(size=(2048, widths[0])))


def convolutions(name):
    nodes, weights, at = [], {}, "x"
    for i, (k, n) in enumerate([(3, 16), (16, 32), (32, 32), (32, 64), (64, 64)]):
        weights |= {f"w{i}": RNG.normal(size=(n, k, 3, 3)) / (9 * k) ** 0.5, f"b{i}": RNG.normal(size=n) * 0.1}
        nodes.append(node("Conv", [at, f"w{i}", f"b{i}"], [f"c{i}"], pads=[1] * 4, strides=[1 + i % 2] * 2))
        nodes.append(node("Relu", [f"c{i}"], [f"r{i}"]))
        at = f"r{i}"
    weights |= {"w": RNG.normal(size=(64, 10)) / 8}
    nodes += [node("GlobalAveragePool", [at], ["p"]), node("Flatten", ["p"], ["f"]), node("MatMul", ["f", "w"], ["y"])]
    graph(name, nodes, weights, [3, 32, 32], RNG.normal(size=(256, 3, 32, 32)))


def main():
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType
    from skl2onnx import to_onnx
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier

    OUT.mkdir(parents=True, exist_ok=True)
    which = sys.argv[2] if len(sys.argv) > 2 else "abcdefgh"
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
    if "f" in which:
        network("f_mlp_small", [32, 128, 64, 1])
        network("f_mlp_wide", [784, 256, 10])
        network("f_mlp_large", [32, 1024, 1024, 1])
    if "g" in which:
        from sklearn.linear_model import LinearRegression, LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        sk("g_linear", make_pipeline(StandardScaler(), LinearRegression()).fit(x, s))
        logistic = make_pipeline(StandardScaler(), LogisticRegression())
        sk("g_logistic", logistic.fit(x, s > 0), zipmap=False)
        ten = make_pipeline(StandardScaler(), LogisticRegression())
        sk("g_ten", ten.fit(x, np.digitize(s, np.quantile(s, np.linspace(0.1, 0.9, 9)))), zipmap=False)
    if "h" in which:
        convolutions("h_conv")


if __name__ == "__main__":
    main()
