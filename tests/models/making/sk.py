"""scikit-learn's share: training data and the call of skl2onnx."""

import contextlib
import re
import warnings
from unittest import mock

import numpy as np
import onnx.helper
from skl2onnx import to_onnx
from sklearn.datasets import make_classification
from sklearn.datasets import make_regression

from making.kit import Made
from making.kit import case
from making.rows import at_thresholds
from making.rows import floats

# The oldest pair of opsets that today's exporter still writes well, and the newest.
OLD, NEW = {"": 12, "ai.onnx.ml": 2}, {"": 22, "ai.onnx.ml": 3}


def labelled(classes=2, width=6, seed=1, text=False, n=240):
    x, y = make_classification(n, width, n_informative=width - 2, n_redundant=0, n_classes=classes, n_clusters_per_class=1, random_state=seed)
    if text:
        y = np.array(["low", "mid", "high", "top", "out"])[y]
    return (np.round(x, 3) * 2).astype(np.float32), y


def measured(width=6, seed=1, targets=1, n=240):
    x, y = make_regression(n, width, n_targets=targets, noise=5.0, random_state=seed)
    return (np.round(x, 3) * 2).astype(np.float32), y / 50


make_attribute = onnx.helper.make_attribute


def plain_attribute(key, value, *more, **named):
    """The exporter leaves the booleans and narrow integers of histogram trees in lists that onnx refuses."""
    if isinstance(value, list) and value and isinstance(value[0], (bool, np.bool_, np.integer)):
        value = [int(v) for v in value]
    return make_attribute(key, value, *more, **named)


def exported(model, x, opset=None, **options):
    """The ONNX file that `to_onnx` makes of a fitted model."""
    with contextlib.ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stack.enter_context(mock.patch("onnx.helper.make_attribute", plain_attribute))
        given = {id(model): options} if options else None
        onx = to_onnx(model, x[:1], options=given, target_opset=opset)
    steady(onx.graph)
    return onx


def steady(graph):
    """Some converters put the address of an object into names; here such a number becomes the same one each time."""

    def clean(names):
        return [re.sub(r"\d{13,}", "1", name) for name in names]

    for node in graph.node:
        node.name = clean([node.name])[0]
        node.input[:], node.output[:] = clean(node.input), clean(node.output)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                steady(attribute.g)
    for value in [*graph.initializer, *graph.input, *graph.output, *graph.value_info]:
        value.name = clean([value.name])[0]


def classifier(name, model, classes=2, text=False, trees=False, opset=None, note="", width=6, clean=lambda x: x, axes=None, **options):
    """Registers a classifier; without options ZipMap is left out, as most exports for servers do."""
    options = options or {"zipmap": False}

    @case(name, type(model).__name__, note)
    def make():
        x, y = labelled(classes, width, text=text)
        x = clean(x)
        onx = exported(model.fit(x, y), x, opset, **options)
        return Made(onx, at_thresholds(onx, width) if trees else cleaned(floats(width), clean), axes or {})


def regressor(name, model, targets=1, trees=False, opset=None, note="", width=6, clean=lambda x: x, **options):
    @case(name, type(model).__name__, note)
    def make():
        x, y = measured(width, targets=targets)
        x = clean(x)
        onx = exported(model.fit(x, y), x, opset, **options)
        return Made(onx, at_thresholds(onx, width) if trees else cleaned(floats(width), clean))


def cleaned(sampler, clean):
    return lambda n, rng: {k: clean(v) for k, v in sampler(n, rng).items()}
