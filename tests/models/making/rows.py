"""Samplers of rows: ordinary values, values exactly at thresholds and beside them, NaN, infinities."""

import numpy as np
import onnx


def thresholds(model):
    """Feature -> sorted thresholds of every tree in the graph, as float32."""
    found = {}
    for node in model.graph.node:
        a = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}
        modes = a.get("nodes_modes")
        if modes is None or not isinstance(modes, list):
            continue
        values = a.get("nodes_values") or onnx.numpy_helper.to_array(a["nodes_values_as_tensor"])
        for feature, value, mode in zip(a["nodes_featureids"], values, modes):
            if mode != b"LEAF":
                found.setdefault(feature, set()).add(float(np.float32(value)))
    return {k: np.array(sorted(v), np.float32) for k, v in found.items()}


def matrix(n, rng, width, at=None, nan=0.0, inf=0.0, scale=2.0, dtype=np.float32, low=None, digits=3):
    """[n, width]: half normal values of few decimals, half from the pools `at[column]`; then holes by chance."""
    x = np.round(rng.normal(size=(n, width)) * scale, digits).astype(np.float32)
    for column, pool in (at or {}).items():
        pool = np.asarray(pool, np.float32)
        beside = [np.nextafter(pool, np.float32(s)) for s in (np.inf, -np.inf)]
        pick = rng.choice(np.concatenate([pool, pool] + beside), n)
        x[:, column] = np.where(rng.random(n) < 0.5, pick, x[:, column])
    if low is not None:
        x = np.maximum(np.abs(x), low).astype(np.float32)
    x[0] = low or 0.0
    x = np.where(rng.random((n, width)) < inf, rng.choice(np.array([np.inf, -np.inf], np.float32), (n, width)), x)
    x = np.where(rng.random((n, width)) < nan, np.float32(np.nan), x)
    if nan and n > 1:
        x[1] = np.nan
    return x.astype(dtype)


def at_thresholds(model, width, name="X", nan=0.2, inf=0.02, dtype=np.float32):
    """A sampler for a graph whose trees read its one input."""
    at = thresholds(model)
    assert at, "no tree in the graph"
    return lambda n, rng: {name: matrix(n, rng, width, at, nan, inf, dtype=dtype)}


def floats(width, name="X", **more):
    """A sampler of ordinary values."""
    return lambda n, rng: {name: matrix(n, rng, width, **more)}


def whole(width, low, high, name="X", dtype=np.int64):
    """A sampler of whole numbers, `high` excluded."""
    return lambda n, rng: {name: rng.integers(low, high, (n, width)).astype(dtype)}


def words(rng, n, vocabulary, width=1):
    """[n, width] of texts."""
    return rng.choice(np.array(vocabulary, object), (n, width))
