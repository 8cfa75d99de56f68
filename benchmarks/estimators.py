"""`nnfs_xp.sklearn` against scikit-learn's own MLPs: scores over seeds, and times in pairs.

Usage: python -m benchmarks estimators [california|digits|mnist|sparse|sparse32] [--seeds 5]
       [--max-iter 200]

Both with the same settings, their defaults but for --max-iter, on the same split, one after the
other for each seed, the first one changing. California housing is looked for in ``NNFS_XP_DATA``,
else fetched by scikit-learn; MNIST in ``NNFS_XP_DATA``. MNIST is in float32, the others in float64.
The sparse samples, 4,000 of 10,000 features with one value in 200 stored, are drawn; sparse32 has
them in float32.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.datasets import fetch_california_housing, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import mnist
from benchmarks.machine import describe_run
from nnfs_xp.sklearn import MLPClassifier, MLPRegressor

PAIRS = {
    "california": (MLPRegressor, TheirRegressor),
    "digits": (MLPClassifier, TheirClassifier),
    "mnist": (MLPClassifier, TheirClassifier),
    "sparse": (MLPClassifier, TheirClassifier),
    "sparse32": (MLPClassifier, TheirClassifier),
}


def main() -> None:
    """Train with each seed and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks estimators")
    parser.add_argument("data", nargs="?", default="california", choices=PAIRS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--max-iter", type=int, default=200)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"{describe_run()}\n")
    _warm_up(options.data)
    print("| seed | ours: score | s | epochs | scikit-learn's: score | s | epochs | time of it |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for seed in range(options.seeds):
        split = _split(options.data, seed)
        runs = [
            _run(PAIRS[options.data][which], split, seed, options.max_iter)
            for which in (0, 1)[:: -1 if seed % 2 else 1]
        ]
        ours, theirs = runs[:: -1 if seed % 2 else 1]
        rows.append((ours, theirs))
        cells = [f"{score:.4f} | {seconds:.2f} | {epochs}" for score, seconds, epochs in rows[-1]]
        print(f"| {seed} | {cells[0]} | {cells[1]} | {ours[1] / theirs[1]:.2f} |", flush=True)
    _summarize(rows)


def _summarize(rows: list[Any]) -> None:
    scores = [[run[0] for run in side] for side in zip(*rows, strict=True)]
    for name, mine in zip(("ours", "scikit-learn's"), scores, strict=True):
        spread = statistics.stdev(mine) if len(mine) > 1 else 0.0
        print(f"\n{name}: mean score {statistics.mean(mine):.4f}, deviation {spread:.4f}", end="")
    ratio = statistics.median(ours[1] / theirs[1] for ours, theirs in rows)
    total = sum(ours[1] for ours, _ in rows) / sum(theirs[1] for _, theirs in rows)
    by_epoch = statistics.median(
        (ours[1] / ours[2]) / (theirs[1] / theirs[2]) for ours, theirs in rows
    )
    print(
        f"\nours take {total:.2f} of its time in all, {ratio:.2f} in the median, and "
        f"{by_epoch:.2f} an epoch"
    )


def _warm_up(data: str) -> None:
    """Have what is compiled ready, and the libraries' threads started."""
    dtype = np.float32 if data in ("mnist", "sparse32") else np.float64
    X = np.random.default_rng(0).normal(size=(400, 8)).astype(dtype)
    for kind in PAIRS[data]:
        kind(max_iter=3).fit(X, (X[:, 0] > 0).astype(dtype))


def _split(data: str, seed: int) -> tuple[Any, ...]:
    """X_train, X_test, y_train, y_test."""
    if data == "mnist":
        mnist.need()
        X, y, X_test, y_test = mnist.read()
        return X, X_test, y, y_test
    if data == "digits":
        X, y = load_digits(return_X_y=True)
        return tuple(train_test_split(X / 16, y, random_state=seed))
    if data.startswith("sparse"):
        X, y = _sparse(seed, np.float32 if data == "sparse32" else np.float64)
        return tuple(train_test_split(X, y, random_state=seed))
    return tuple(train_test_split(*_california(), random_state=seed))


def _sparse(seed: int, dtype: Any) -> tuple[Any, np.ndarray[Any, Any]]:
    """Samples as those of texts are, by the words in them, and one of two classes for each."""
    rng = np.random.default_rng(seed)
    X = scipy.sparse.random_array((4_000, 10_000), density=1 / 200, format="csr", rng=rng)
    X = X.astype(dtype)
    return X, (X @ rng.normal(size=10_000) > 0).astype(np.int64)


def _california() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    path = Path(os.environ.get("NNFS_XP_DATA", "."), "california-housing/california_housing.csv.gz")
    if not path.exists():
        X, y = fetch_california_housing(return_X_y=True)
        return X, y
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    return table[:, :-1], table[:, -1]


def _run(kind: Any, split: tuple[Any, ...], seed: int, max_iter: int) -> tuple[float, float, int]:
    """Score, seconds and epochs."""
    X, X_test, y, y_test = split
    model = kind(random_state=seed, max_iter=max_iter)
    scales = kind in PAIRS["california"]
    estimator = make_pipeline(StandardScaler(), model) if scales else model
    start = time.perf_counter()
    estimator.fit(X, y)
    seconds = time.perf_counter() - start
    return float(estimator.score(X_test, y_test)), seconds, model.n_iter_


if __name__ == "__main__":
    main()
