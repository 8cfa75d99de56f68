"""
What a network gets wrong
=========================

The accuracy says how often a network is wrong. The confusion matrix says which class it took for
which, and pictures of the mistakes show why.
"""

# %%
# A small network on the bundled digits
# -------------------------------------

import nnfs_xp as nn

X, y, X_test, y_test = nn.data.load_digits()
model = nn.Sequential(nn.Dense(64, 16), nn.ReLU(), nn.Dense(16, 10), nn.Softmax(), seed=0)
trainer = nn.Trainer(
    model,
    nn.CategoricalCrossentropy(),
    nn.Adam(0.005),
    metrics=("accuracy", nn.TopKAccuracy(2), nn.F1()),
    backend="numpy",
    seed=0,
)
trainer.fit(X, y, epochs=12, progress=False)
for name, value in trainer.evaluate(X_test, y_test).items():
    print(f"{name}: {value:.3f}")

# %%
# Which class for which
# ---------------------
# Rows are true classes, columns are what the network said.

y_pred = trainer.predict(X_test)
nn.plots.plot_confusion_matrix(y_test, y_pred)

# %%
# And why
# -------
# Some of these images would be hard for anyone.

nn.plots.plot_misclassified(X_test, y_test, y_pred, n=15)
