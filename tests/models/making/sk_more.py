"""The rest of scikit-learn that skl2onnx knows: rarer regressors, selections, searches, thresholds."""

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import Int64TensorType
from skl2onnx.common.data_types import StringTensorType
from sklearn import decomposition as d
from sklearn import ensemble as e
from sklearn import feature_selection as fs
from sklearn import linear_model as lm
from sklearn import model_selection as ms
from sklearn import multiclass
from sklearn import naive_bayes as nb
from sklearn import neighbors as nn
from sklearn import preprocessing as p
from sklearn import svm
from sklearn import tree
from sklearn.pipeline import make_pipeline

from making.kit import Made
from making.kit import case
from making.rows import whole
from making.rows import words
from making.sk import classifier
from making.sk import regressor

positive = lambda x: np.abs(x) + np.float32(0.1)  # noqa: E731
regressor("more_elastic_net", lm.ElasticNet(alpha=0.1))
regressor("more_bayesian_ridge", lm.BayesianRidge())
regressor("more_bayesian_ridge_std", lm.BayesianRidge(), return_std=True)
regressor("more_ard", lm.ARDRegression())
regressor("more_lars", lm.Lars())
regressor("more_omp", lm.OrthogonalMatchingPursuit())
regressor("more_theil_sen", lm.TheilSenRegressor(random_state=1, max_subpopulation=200))
regressor("more_ransac", lm.RANSACRegressor(random_state=1))
regressor("more_quantile", lm.QuantileRegressor(alpha=0.01))
regressor("more_tweedie", lm.TweedieRegressor(power=0, max_iter=500))
regressor("more_sgd_regressor", lm.SGDRegressor(random_state=1))
regressor("more_multi_task", lm.MultiTaskLasso(alpha=0.1), targets=2)
classifier("more_passive", lm.SGDClassifier(loss="modified_huber", random_state=1), 3)
classifier("more_logistic_cv", lm.LogisticRegressionCV(Cs=3, cv=2, l1_ratios=(0.0,), use_legacy_attributes=False), 3)
classifier("more_tuned_threshold", ms.TunedThresholdClassifierCV(lm.LogisticRegression(), cv=2), 2)
classifier("more_grid_search", ms.GridSearchCV(tree.DecisionTreeClassifier(random_state=1), {"max_depth": [3, 4]}, cv=2), 3, trees=True)
classifier("more_ovr_trees", multiclass.OneVsRestClassifier(e.GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=1)), 3, text=True)
classifier("more_nu_svc_linear", svm.NuSVC(kernel="linear", nu=0.3), 2, zipmap=False, raw_scores=True)
classifier("more_svc_ovo", svm.SVC(decision_function_shape="ovo"), 4, text=True, zipmap=False, raw_scores=True)
regressor("more_sgd_one_class", lm.SGDOneClassSVM(random_state=1))
regressor("more_neighbors", nn.NearestNeighbors(n_neighbors=3, radius=None))
regressor("more_incremental_pca", d.IncrementalPCA(3))
regressor("more_variance", fs.VarianceThreshold(0.01))
regressor("more_rfe", fs.RFE(lm.LinearRegression(), n_features_to_select=3))
regressor("more_from_model", fs.SelectFromModel(tree.DecisionTreeRegressor(max_depth=4, random_state=1)))
regressor("more_fpr", fs.SelectFpr(fs.f_regression))
regressor("more_embedding", e.RandomTreesEmbedding(3, max_depth=3, sparse_output=False, random_state=1))
regressor("more_power_box_cox", p.PowerTransformer("box-cox", standardize=False), clean=positive)
regressor("more_polynomial_small", make_pipeline(p.PolynomialFeatures(2, include_bias=False), p.StandardScaler(), lm.Lasso(alpha=0.1)))


@case("more_categorical_nb", "CategoricalNB")
def categorical_nb():
    x = np.random.default_rng(1).integers(0, 4, (120, 4))
    model = nb.CategoricalNB().fit(x, (x.sum(1) % 3))
    onx = to_onnx(model, initial_types=[("X", Int64TensorType([None, 4]))], options={id(model): {"zipmap": False}})
    return Made(onx, whole(4, 0, 4))


@case("more_target_encoder", "TargetEncoder")
def target_encoder():
    rng = np.random.default_rng(2)
    x = words(rng, 200, ["a", "b", "c", "d"], 2)
    model = p.TargetEncoder(random_state=1).fit(x, rng.normal(size=200) + (x[:, 0] == "a"))
    onx = to_onnx(model, initial_types=[("X", StringTensorType([None, 2]))])
    return Made(onx, lambda n, rng: {"X": words(rng, n, ["a", "b", "c", "d", "zz"], 2)})
