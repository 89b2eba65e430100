"""Clusters, mixtures and decompositions of scikit-learn."""

from sklearn import cluster
from sklearn import decomposition as d
from sklearn import feature_selection
from sklearn import mixture
from sklearn import multioutput
from sklearn import preprocessing as p
from sklearn import tree
from sklearn import cross_decomposition
from sklearn import random_projection

import numpy as np

from making.kit import Made
from making.kit import case
from making.rows import at_thresholds
from making.rows import floats
from making.sk import exported
from making.sk import labelled
from making.sk import regressor

regressor("sk_kmeans", cluster.KMeans(5, n_init=1, random_state=1))
regressor("sk_kmeans_old", cluster.KMeans(4, n_init=1, random_state=1), opset={"": 10, "ai.onnx.ml": 1})
regressor("sk_mini_kmeans", cluster.MiniBatchKMeans(5, n_init=1, random_state=1))
regressor("sk_mixture", mixture.GaussianMixture(3, random_state=1), score_samples=True)
regressor("sk_mixture_diag", mixture.GaussianMixture(3, covariance_type="diag", random_state=1))
regressor("sk_mixture_bayes", mixture.BayesianGaussianMixture(n_components=3, covariance_type="tied", random_state=1))
regressor("sk_pca", d.PCA(3))
regressor("sk_pca_whiten", d.PCA(3, whiten=True, random_state=1))
regressor("sk_svd", d.TruncatedSVD(3, random_state=1))
regressor("sk_kernel_pca", d.KernelPCA(3, kernel="rbf", gamma=0.05, random_state=1))
regressor("sk_pls", cross_decomposition.PLSRegression(2), targets=2)
regressor("sk_projection", random_projection.GaussianRandomProjection(3, random_state=1))
regressor("sk_select", feature_selection.SelectKBest(feature_selection.f_regression, k=3))
regressor("sk_power", p.PowerTransformer())
regressor("sk_quantile", p.QuantileTransformer(n_quantiles=20, random_state=1))
regressor("sk_spline_poly", p.PolynomialFeatures(3, interaction_only=True))


@case("sk_multi_output_classifier", "MultiOutputClassifier", "probabilities are a sequence of one tensor for each target")
def multi_output():
    x, y = labelled(3)
    y = np.stack([y, (x[:, 0] > 0).astype(np.int64)], 1)
    model = multioutput.MultiOutputClassifier(tree.DecisionTreeClassifier(max_depth=4, random_state=1)).fit(x, y)
    onx = exported(model, x, None, zipmap=False)
    return Made(onx, at_thresholds(onx, 6, nan=0.1))


@case("sk_label_binarizer", "LabelBinarizer")
def label_binarizer():
    model = p.LabelBinarizer().fit(np.arange(5).reshape(-1, 1))
    onx = exported(model, np.arange(5).reshape(-1, 1))
    return Made(onx, lambda n, rng: {"X": rng.integers(-1, 7, (n, 1))})
