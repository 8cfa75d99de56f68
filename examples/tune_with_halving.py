"""
Hyperparameters with scikit-learn
=================================

Successive halving trains many settings a little, keeps the best third, and trains these three times
as long, until one is left (Jamieson and Talwalkar 2016, *Non-stochastic Best Arm Identification and
Hyperparameter Optimization*). The example needs the extra ``sklearn``.

Usage: python examples/tune_with_halving.py [CANDIDATES]
"""

# %%
# What is searched
# ----------------
# The values of a parameter may be a list or a distribution. Optimizers are values like any other.
# The pipeline scales the images anew in each fold, by what the fold trains on.

import sys
import warnings

from scipy.stats import uniform
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 # scikit-learn asks for it
from sklearn.model_selection import HalvingRandomSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import nnfs_xp as nn
from nnfs_xp.sklearn import MLPClassifier

X, y, X_test, y_test = nn.data.load_digits()
pipeline = make_pipeline(StandardScaler(), MLPClassifier(batch_size=64, random_state=0))
settings = {
    "hidden_layer_sizes": [(16,), (32,), (64,), (32, 32)],
    "activation": ["relu", "tanh", nn.GELU()],
    "dropout": uniform(0.0, 0.5),
    "optimizer": [
        *(nn.Adam(rate) for rate in (1e-4, 1e-3, 1e-2)),
        *(nn.AdamW(rate, weight_decay=0.1) for rate in (1e-3, 1e-2)),
        *(nn.SGD(rate, momentum=0.9) for rate in (1e-3, 1e-2, 1e-1)),
    ],
}

# %%
# The search
# ----------
# What grows from round to round is the number of epochs. Most trainings end before they have
# converged, as they are meant to; the warnings that say so are of no use here.

n_candidates = int(sys.argv[1]) if len(sys.argv) > 1 else 27
search = HalvingRandomSearchCV(
    pipeline,
    {f"mlpclassifier__{name}": values for name, values in settings.items()},
    n_candidates=n_candidates,
    resource="mlpclassifier__max_iter",
    min_resources=2,
    max_resources=18,
    factor=3,
    cv=3,
    random_state=0,
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    search.fit(X, y)

rounds = zip(search.n_candidates_, search.n_resources_, strict=True)
print("; ".join(f"{n} candidates, {epochs} epochs each" for n, epochs in rounds))
for name, value in search.best_params_.items():
    print(f"{name.removeprefix('mlpclassifier__')}: {value}")
print(f"accuracy in cross-validation {search.best_score_:.3f}")

# %%
# The best settings
# -----------------
# The search has trained them again, on all training images.

print(f"test accuracy {search.score(X_test, y_test):.3f}")
