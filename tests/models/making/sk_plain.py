"""Linear models, support vectors, neighbours, Bayes, discriminants, networks, processes and detectors of scikit-learn."""

import numpy as np
from sklearn import calibration
from sklearn import discriminant_analysis as da
from sklearn import ensemble as e
from sklearn import gaussian_process as gp
from sklearn import linear_model as lm
from sklearn import multiclass
from sklearn import multioutput
from sklearn import naive_bayes as nb
from sklearn import neighbors as nn
from sklearn import neural_network as net
from sklearn import svm
from sklearn import tree

from making.sk import NEW
from making.sk import OLD
from making.sk import classifier
from making.sk import regressor

classifier("sk_logistic_binary", lm.LogisticRegression(), zipmap=True)
classifier("sk_logistic_multi", lm.LogisticRegression(), 4)
classifier("sk_logistic_text", lm.LogisticRegression(), 3, text=True, zipmap=True)
classifier("sk_logistic_ovr", multiclass.OneVsRestClassifier(lm.LogisticRegression()), 3)
classifier("sk_logistic_raw", lm.LogisticRegression(), 3, zipmap=False, raw_scores=True)
classifier("sk_logistic_opset9", lm.LogisticRegression(), 3, opset={"": 9, "ai.onnx.ml": 1}, zipmap=False)
classifier("sk_sgd_hinge", lm.SGDClassifier(random_state=1), 3, zipmap=False, raw_scores=True)
classifier("sk_sgd_log", lm.SGDClassifier(loss="log_loss", random_state=1), 3, text=True)
classifier("sk_perceptron", lm.Perceptron(random_state=1), 3, zipmap=False, raw_scores=True)
classifier("sk_ridge_classifier", lm.RidgeClassifier(), 3, zipmap=False, raw_scores=True)
regressor("sk_linear", lm.LinearRegression())
regressor("sk_linear_targets", lm.LinearRegression(), targets=3, opset=OLD)
regressor("sk_ridge", lm.Ridge(), opset=NEW)
regressor("sk_lasso", lm.Lasso(alpha=0.1))
regressor("sk_huber", lm.HuberRegressor(max_iter=500))
regressor("sk_voting_regressor", e.VotingRegressor([("a", lm.Ridge()), ("b", lm.LinearRegression()), ("c", tree.DecisionTreeRegressor(max_depth=3, random_state=1))]))
classifier("sk_linear_svc", svm.LinearSVC(max_iter=9000, random_state=1), 3, text=True, raw_scores=True)
classifier("sk_linear_svc_binary", svm.LinearSVC(max_iter=9000, random_state=1), raw_scores=True)
regressor("sk_linear_svr", svm.LinearSVR(max_iter=9000, random_state=1))
classifier("sk_svc_rbf", svm.SVC(probability=True, random_state=1), 3)
classifier("sk_svc_binary", svm.SVC(probability=True, random_state=1), text=True, zipmap=True)
classifier("sk_svc_poly", svm.SVC(kernel="poly", degree=3, coef0=0.5), 3, zipmap=False, raw_scores=True)
classifier("sk_svc_sigmoid", svm.SVC(kernel="sigmoid", gamma=0.05), 2, zipmap=False, raw_scores=True)
classifier("sk_svc_linear", svm.SVC(kernel="linear"), 4, zipmap=False, raw_scores=True)
classifier("sk_nu_svc", svm.NuSVC(nu=0.3, probability=True, random_state=1), 3, opset=OLD)
regressor("sk_svr_rbf", svm.SVR())
regressor("sk_svr_poly", svm.SVR(kernel="poly", degree=2))
regressor("sk_nu_svr", svm.NuSVR(kernel="sigmoid", gamma=0.05))
regressor("sk_one_class", svm.OneClassSVM(nu=0.2))
classifier("sk_knn", nn.KNeighborsClassifier(3), 3)
classifier("sk_knn_distance", nn.KNeighborsClassifier(5, weights="distance"), 3, text=True)
regressor("sk_knn_regressor", nn.KNeighborsRegressor(3))
regressor("sk_knn_manhattan", nn.KNeighborsRegressor(4, metric="manhattan", weights="distance"), targets=2)
classifier("sk_knn_cdist", nn.KNeighborsClassifier(3), 3, zipmap=False, optim="cdist")
classifier("sk_gaussian_nb", nb.GaussianNB(), 3)
classifier("sk_multinomial_nb", nb.MultinomialNB(), 3, clean=np.abs)
classifier("sk_bernoulli_nb", nb.BernoulliNB(), 3, text=True)
classifier("sk_complement_nb", nb.ComplementNB(), 3, clean=np.abs)
classifier("sk_lda", da.LinearDiscriminantAnalysis(), 3)
classifier("sk_qda", da.QuadraticDiscriminantAnalysis(), 3, axes={"label": 1, "probabilities": 0})
classifier("sk_mlp", net.MLPClassifier((16, 8), max_iter=60, random_state=1), 3)
classifier("sk_mlp_binary", net.MLPClassifier((8,), activation="tanh", max_iter=60, random_state=1), text=True, zipmap=True)
regressor("sk_mlp_regressor", net.MLPRegressor(hidden_layer_sizes=(16,), activation="logistic", max_iter=60, random_state=1))
regressor("sk_gp_regressor", gp.GaussianProcessRegressor(gp.kernels.RBF(4.0), alpha=0.1, optimizer=None))
regressor("sk_isolation_forest", e.IsolationForest(n_estimators=8, max_samples=32, random_state=1), trees=True, opset={"": 18, "ai.onnx.ml": 3}, score_samples=True)
regressor("sk_local_outlier", nn.LocalOutlierFactor(5, novelty=True), opset={"": 18, "ai.onnx.ml": 3}, score_samples=True)
classifier("sk_voting_soft", e.VotingClassifier([("a", lm.LogisticRegression()), ("b", tree.DecisionTreeClassifier(max_depth=3, random_state=1))], voting="soft", flatten_transform=False), 3)
classifier("sk_voting_hard", e.VotingClassifier([("a", lm.LogisticRegression()), ("b", nb.GaussianNB()), ("c", tree.DecisionTreeClassifier(max_depth=3, random_state=1))], flatten_transform=False), 3)
classifier("sk_stacking", e.StackingClassifier([("a", lm.LogisticRegression()), ("b", tree.DecisionTreeClassifier(max_depth=3, random_state=1))]), 3, text=True)
regressor("sk_stacking_regressor", e.StackingRegressor([("a", lm.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=3, random_state=1))]))
classifier("sk_calibrated", calibration.CalibratedClassifierCV(svm.LinearSVC(max_iter=9000, random_state=1), cv=2), 3)
classifier("sk_calibrated_isotonic", calibration.CalibratedClassifierCV(tree.DecisionTreeClassifier(max_depth=3, random_state=1), cv=2, method="isotonic"), 2)
classifier("sk_one_vs_one", multiclass.OneVsOneClassifier(lm.LogisticRegression()), 3)
regressor("sk_multi_output", multioutput.MultiOutputRegressor(lm.Ridge()), targets=2)
