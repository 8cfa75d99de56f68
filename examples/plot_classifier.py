"""
A classifier with dropout and class weights, for scikit-learn
=============================================================

`nnfs_xp.sklearn.MLPClassifier` has the parameters of scikit-learn's `MLPClassifier`, and besides
dropout and class weights. It goes into pipelines and searches like any other classifier. This
example needs the extra ``sklearn``.
"""

# %%
# One class is rare
# -----------------
# Of five eights, the training keeps about one; the test has all of them.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import nnfs_xp as nn
from nnfs_xp.sklearn import MLPClassifier

X, y, X_test, y_test = nn.data.load_digits()
random = np.random.default_rng(0)
kept = (y != 8) | (random.random(len(y)) < 0.2)
X, y = X[kept][:500], y[kept][:500]
print(f"{(y == 8).sum()} eights among {len(y)} images")

# %%
# Three classifiers
# -----------------
# The same network is trained in three ways: with scikit-learn's defaults, with dropout, and with
# weights that make all classes count the same.

settings = {
    "plain": {},
    "dropout": {"dropout": 0.5},
    "dropout and class weights": {"dropout": 0.5, "class_weight": "balanced"},
}
shares = {}
for name, options in settings.items():
    classifier = MLPClassifier((128,), max_iter=200, batch_size=32, random_state=0, **options)
    model = make_pipeline(StandardScaler(), classifier).fit(X, y)
    predicted = model.predict(X_test)
    shares[name] = np.mean(predicted[y_test == 8] == 8)
    score = balanced_accuracy_score(y_test, predicted)
    print(f"{name}: balanced accuracy {score:.3f}, {shares[name]:.0%} of the eights found")

# %%
# What each does for the rare class
# ---------------------------------

figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
bars = axes.barh(list(shares), list(shares.values()), color="#0072B2")
axes.bar_label(bars, fmt="{:.0%}", padding=3)
axes.set(xlabel="share of the eights that are found", xlim=(0, 1.1))
axes.invert_yaxis()
plt.show()

# %%
# The mistakes of the last classifier
# -----------------------------------

nn.plots.plot_confusion_matrix(y_test, predicted)
