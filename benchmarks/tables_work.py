"""What `benchmarks.tables` measures: methods on one split of a table, in a process of its own.

Usage: python -m benchmarks.tables_work TABLE SEED METHOD...

It writes a line of JSON for the table, then one for each method.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skrub import DatetimeEncoder, TableVectorizer, ToCategorical, tabular_pipeline

from benchmarks.machine import describe_run
from benchmarks.tables_data import TABLES


def _ours(classes: bool, seed: int) -> Any:
    from nnfs_xp.tables import TableClassifier, TableRegressor

    kind = TableClassifier if classes else TableRegressor
    return kind(random_state=seed, backend="numpy", progress=False)


def _realmlp(classes: bool, seed: int) -> Any:
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    kind = RealMLP_TD_Classifier if classes else RealMLP_TD_Regressor
    model = kind(
        random_state=seed,
        device="cpu",
        n_threads=int(os.environ.get("OMP_NUM_THREADS", 2)),
        verbosity=0,
    )
    return make_pipeline(_for_realmlp(), model)


def _for_realmlp() -> Any:
    """Numbers without gaps, columns that tell where gaps were, and categories, in a frame."""
    filled = SimpleImputer(strategy="constant", fill_value="(missing)")
    categories = make_pipeline(filled, ToCategorical())
    return TableVectorizer(
        low_cardinality=categories,
        high_cardinality=categories,
        numeric=SimpleImputer(strategy="median", add_indicator=True),
        datetime=DatetimeEncoder(add_weekday=True),
    )


def _mlp(classes: bool, seed: int) -> Any:
    kind = MLPClassifier if classes else MLPRegressor
    pipeline = tabular_pipeline(kind(random_state=seed))
    pipeline.set_params(tablevectorizer__high_cardinality__random_state=seed)
    if classes:
        return pipeline
    return TransformedTargetRegressor(pipeline, transformer=StandardScaler())


def _boosting(classes: bool, seed: int) -> Any:
    """``tabular_pipeline("classifier")`` or ``("regressor")``, with a seed."""
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    pipeline = tabular_pipeline(kind(categorical_features="from_dtype", random_state=seed))
    return pipeline.set_params(tablevectorizer__high_cardinality__random_state=seed)


MODELS: dict[str, Callable[[bool, int], Any]] = {
    "nnfs_xp": _ours,
    "RealMLP": _realmlp,
    "MLP": _mlp,
    "HistGradientBoosting": _boosting,
}
"""What gives a method's model, by the name in `benchmarks.tables_scores.METHODS`."""


def main() -> None:
    """Learn the table with each method; what libraries print goes to standard error."""
    name, seed, *methods = sys.argv[1:]
    warnings.simplefilter("ignore")
    answers = sys.stdout
    with redirect_stdout(sys.stderr):
        for answer in work(name, int(seed), methods):
            print(json.dumps(answer), file=answers, flush=True)


def work(name: str, seed: int, methods: list[str]) -> Iterator[dict[str, Any]]:
    """The table's facts, then the run of each method, or why there is none."""
    table = TABLES[name]
    frame = table.read()
    yield {"facts": table.facts(frame)}
    X, y = frame.drop(columns=table.target), frame[table.target]
    split = train_test_split(
        X, y, test_size=0.2, random_state=seed, stratify=y if table.classes else None
    )
    machine = describe_run()
    for method in methods:
        run = {"table": name, "seed": seed, "method": method}
        try:
            MODELS[method](table.classes, seed)
        except ImportError as error:
            yield {"absent": method, "why": str(error)}
            continue
        try:
            _warm_up(method, table.classes)
            found = measure(MODELS[method](table.classes, seed), split, table.classes)
        except Exception as error:  # whatever it is, the other methods have their turn
            traceback.print_exc()
            found = {"error": f"{type(error).__name__}: {error}"}
        yield {"run": {**run, **found, "machine": machine}}


def _warm_up(method: str, classes: bool) -> None:
    """Learn a small table, so that modules are imported and what is compiled is ready."""
    numbers = np.random.default_rng(0).normal(size=200)
    X = pd.DataFrame({"number": numbers, "text": np.where(numbers > 1, "high", "low")})
    y = pd.Series(np.where(numbers > 0, "yes", "no") if classes else 2 * numbers, name="y")
    MODELS[method](classes, 0).fit(X, y).predict(X)


def measure(model: Any, split: list[Any], classes: bool) -> dict[str, Any]:
    """Seconds and figures of one method, and the accuracy of the most frequent class.

    Parameters
    ----------
    model : estimator
        Not fitted yet.
    split : list
        Features to train on and to test with, then the targets of both.
    classes : bool
        Whether the target holds classes.
    """
    X, X_test, y, y_test = (part.copy() for part in split)  # nobody writes to another's
    begin = time.perf_counter()
    model.fit(X, y)
    fitted = time.perf_counter()
    predicted = model.predict(X_test)
    seconds = {"fit": fitted - begin, "predict": time.perf_counter() - fitted}
    if not classes:
        return {"seconds": seconds, "figures": number_figures(y_test, predicted)}
    probabilities = model.predict_proba(X_test)
    figures = class_figures(y_test, predicted, probabilities, model.classes_)
    baseline = float(np.mean(y_test == y.mode()[0]))
    return {"seconds": seconds, "figures": figures, "baseline": baseline}


def class_figures(y_true: Any, predicted: Any, probabilities: Any, labels: Any) -> dict[str, float]:
    """Accuracy, area under the curve (mean of each class against the rest) and log loss in nats.

    Parameters
    ----------
    y_true, predicted : array_like, shape (rows,)
    probabilities : array_like, shape (rows, classes)
        Brought to a sum of one, which float32 misses by more than scikit-learn allows.
    labels : array_like, shape (classes,)
        The classes of the columns.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    truth = np.asarray(y_true)[:, None] == np.asarray(labels)
    return {
        "accuracy": float(metrics.accuracy_score(y_true, predicted)),
        "roc_auc": float(metrics.roc_auc_score(truth, probabilities, average="macro")),
        "log_loss": float(metrics.log_loss(y_true, probabilities, labels=labels)),
    }


def number_figures(y_true: Any, predicted: Any) -> dict[str, float]:
    """R², and the root of the mean squared and the mean absolute error, in the target's unit."""
    return {
        "r2": float(metrics.r2_score(y_true, predicted)),
        "rmse": float(metrics.root_mean_squared_error(y_true, predicted)),
        "mae": float(metrics.mean_absolute_error(y_true, predicted)),
    }


if __name__ == "__main__":
    main()
