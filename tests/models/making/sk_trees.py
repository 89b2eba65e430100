"""Trees and ensembles of scikit-learn."""

from sklearn import ensemble as e
from sklearn import tree as t

from making.sk import NEW
from making.sk import OLD
from making.sk import classifier
from making.sk import regressor

classifier("sk_tree_binary", t.DecisionTreeClassifier(max_depth=5, random_state=1), trees=True)
classifier("sk_tree_text", t.DecisionTreeClassifier(max_depth=6, random_state=1), 4, text=True, trees=True, zipmap=True)
classifier("sk_extra_tree", t.ExtraTreeClassifier(max_depth=6, random_state=1), 3, trees=True, opset=OLD)
regressor("sk_tree_regressor", t.DecisionTreeRegressor(max_depth=6, random_state=1), trees=True)
regressor("sk_tree_targets", t.DecisionTreeRegressor(max_depth=5, random_state=1), targets=3, trees=True)
regressor("sk_extra_tree_regressor", t.ExtraTreeRegressor(max_depth=6, random_state=1), trees=True)
classifier("sk_forest_binary", e.RandomForestClassifier(12, max_depth=5, random_state=1), trees=True)
classifier("sk_forest_five", e.RandomForestClassifier(10, max_depth=6, random_state=1), 4, trees=True, opset=NEW)
classifier("sk_forest_text_zipmap", e.RandomForestClassifier(8, max_depth=5, random_state=1), 3, text=True, trees=True, zipmap=True)
classifier("sk_forest_columns", e.RandomForestClassifier(8, max_depth=4, random_state=1), 3, trees=True, zipmap="columns")
classifier("sk_forest_leaf", e.RandomForestClassifier(4, max_depth=4, random_state=1), 3, trees=True, zipmap=False, decision_leaf=True)
classifier("sk_forest_path", e.RandomForestClassifier(4, max_depth=4, random_state=1), 2, trees=True, zipmap=False, decision_path=True)
regressor("sk_forest_regressor", e.RandomForestRegressor(10, max_depth=6, random_state=1), trees=True)
regressor("sk_forest_targets", e.RandomForestRegressor(6, max_depth=5, random_state=1), targets=2, trees=True)
classifier("sk_extra_trees", e.ExtraTreesClassifier(10, max_depth=5, random_state=1), 3, trees=True)
regressor("sk_extra_trees_regressor", e.ExtraTreesRegressor(10, max_depth=5, random_state=1), trees=True)
classifier("sk_gb_binary", e.GradientBoostingClassifier(n_estimators=15, max_depth=3, random_state=1), trees=True)
classifier("sk_gb_multi", e.GradientBoostingClassifier(n_estimators=8, max_depth=3, random_state=1), 3, text=True, trees=True)
classifier("sk_gb_raw", e.GradientBoostingClassifier(n_estimators=12, max_depth=3, random_state=1), trees=True, zipmap=False, raw_scores=True)
regressor("sk_gb_regressor", e.GradientBoostingRegressor(n_estimators=15, max_depth=3, random_state=1), trees=True, opset={"": 11, "ai.onnx.ml": 1})
regressor("sk_gb_huber", e.GradientBoostingRegressor(loss="huber", n_estimators=15, max_depth=3, random_state=1), trees=True)
classifier("sk_hist_gb", e.HistGradientBoostingClassifier(max_iter=10, max_leaf_nodes=12, random_state=1), trees=True)
classifier("sk_hist_gb_multi", e.HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=8, random_state=1), 3, trees=True)
regressor("sk_hist_gb_regressor", e.HistGradientBoostingRegressor(max_iter=12, max_leaf_nodes=10, random_state=1), trees=True)
classifier("sk_adaboost", e.AdaBoostClassifier(t.DecisionTreeClassifier(max_depth=2, random_state=1), n_estimators=8, random_state=1), 3, trees=True)
regressor("sk_adaboost_regressor", e.AdaBoostRegressor(t.DecisionTreeRegressor(max_depth=3, random_state=1), n_estimators=5, random_state=1), trees=True)
classifier("sk_bagging", e.BaggingClassifier(t.DecisionTreeClassifier(max_depth=4), n_estimators=5, random_state=1), 3, trees=True)
regressor("sk_bagging_regressor", e.BaggingRegressor(t.DecisionTreeRegressor(max_depth=4), n_estimators=5, random_state=1), trees=True)
