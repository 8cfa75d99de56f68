"""Weights of samples and classes, as they are prepared on the host before training."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, DTypeError, LabelError
from nnfs_xp.training.weights import prepare_weights

Y = np.array([0, 2, 2, 1, 2, 0])


class Labelled:
    """Has what a Series of pandas has: values, and their labels as an index."""

    dtype = np.dtype("float64")

    def __init__(self, index, values):
        self._index, self._values = index, values

    @property
    def index(self):
        return self._index

    def to_dict(self):
        return dict(zip(self._index, self._values, strict=True))

    def __len__(self):
        return len(self._values)

    def __array__(self, dtype=None, copy=None):
        return np.array(self._values, dtype)


def test_nothing_to_weigh():
    assert prepare_weights(Y, 3) is None


def test_samples():
    weights = prepare_weights(Y, 3, [1, 2, 3, 0, 3, 3])
    np.testing.assert_allclose(weights, np.array([1, 2, 3, 0, 3, 3]) / 2, rtol=1e-15)
    assert weights.dtype == np.float64
    np.testing.assert_array_equal(prepare_weights(Y, 3, np.full(6, 17)), np.ones(6))
    # without classes too, and as a mask
    mask = prepare_weights(Y / 7, 1, [True, False, True, True, False, True], has_classes=False)
    np.testing.assert_allclose(mask, np.array([1, 0, 1, 1, 0, 1]) * 1.5)


@pytest.mark.parametrize(
    ("class_weight", "of_samples"),
    [
        ({0: 4, 2: 0.5}, [4, 0.5, 0.5, 1, 0.5, 4]),
        ({np.int64(1): 3}, [1, 1, 1, 3, 1, 1]),
        ({}, [1] * 6),
        ([4, 1, 0.5], [4, 0.5, 0.5, 1, 0.5, 4]),
        (np.array([0, 1, 0]), [0, 0, 0, 1, 0, 0]),
        ("balanced", [6 / 6, 6 / 9, 6 / 9, 6 / 3, 6 / 9, 6 / 6]),
        (Labelled([2, 0, 1], [0.5, 4, 1]), [4, 0.5, 0.5, 1, 0.5, 4]),
        (Labelled([2], [0.5]), [1, 0.5, 0.5, 1, 0.5, 1]),
    ],
)
@pytest.mark.parametrize("kind", ["indices", "one-hot", "uint8", "floats one-hot"])
def test_classes(backend, class_weight, of_samples, kind):
    y = {
        "indices": Y,
        "one-hot": np.eye(3, dtype=int)[Y],
        "uint8": Y.astype(np.uint8),
        "floats one-hot": np.eye(3)[Y],
    }[kind]
    weights = prepare_weights(backend.asarray(y), 3, class_weight=class_weight)
    np.testing.assert_allclose(weights, np.array(of_samples) / np.mean(of_samples), rtol=1e-14)
    both = prepare_weights(y, 3, np.arange(6), class_weight)
    product = np.array(of_samples) * np.arange(6)
    np.testing.assert_allclose(both, product / np.mean(product), rtol=1e-14)


@pytest.mark.parametrize("class_weight", [{1: 3}, [1, 3], {True: 3}])
@pytest.mark.parametrize(
    "y", [[0, 1, 1, 0], [[0.0], [1.0], [1.0], [0.0]], [False, True, True, False]]
)
def test_one_yes_or_no_output(class_weight, y):
    weights = prepare_weights(np.array(y), 1, class_weight=class_weight)
    np.testing.assert_allclose(weights, [0.5, 1.5, 1.5, 0.5])


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    seed=st.integers(0, 9),
)
def test_balanced_is_that_of_sklearn(labels, seed):
    y = np.array(labels)
    weights = prepare_weights(y, 4, class_weight="balanced")
    counts = np.bincount(y, minlength=4)
    np.testing.assert_allclose(weights.mean(), 1)
    totals = np.array([weights[y == label].sum() for label in set(labels)])
    np.testing.assert_allclose(totals, totals[0])  # each class weighs as much as the others
    assert np.count_nonzero(counts) == len(totals)
    given_weights = np.random.default_rng(seed).uniform(0.1, 1, y.size)
    np.testing.assert_allclose(prepare_weights(y, 4, given_weights).mean(), 1)
    utils = pytest.importorskip("sklearn.utils.class_weight")
    np.testing.assert_allclose(weights, utils.compute_sample_weight("balanced", y))


def test_the_largest_numbers():
    weights = prepare_weights(Y, 3, np.full(6, 1.7e308), [1.7e308, 1.0, 1.7e308])
    np.testing.assert_allclose(weights, np.array([1, 1, 1, 0, 1, 1]) * 6 / 5, atol=1e-300)


@pytest.mark.parametrize(
    ("sample_weight", "class_weight", "error", "message"),
    [
        (np.ones(5), None, ArgumentError, r"shape \(6,\), one weight for each sample; got \(5,\)"),
        (np.ones((6, 1)), None, ArgumentError, r"got \(6, 1\)"),
        (1.0, None, ArgumentError, r"got \(\)"),
        ([1, 1, 1, 1, 1, -1], None, ArgumentError, "`sample_weight` .* at least 0; got -1"),
        ([1, 1, 1, 1, 1, np.nan], None, ArgumentError, "finite .*; got nan"),
        ([1, 1, 1, 1, 1, np.inf], None, ArgumentError, "finite"),
        (np.zeros(6), None, ArgumentError, "all samples are 0"),
        (["a"] * 6, None, DTypeError, "expected numbers"),
        (None, [1, 2], ArgumentError, r"shape \(3,\), one weight for each class"),
        (None, [1, 2, -1], ArgumentError, "`class_weight` .* at least 0; got -1"),
        (None, Labelled([0, 5], [1, 2]), ArgumentError, r"weights for \[5\]; classes are 0 to 2"),
        (None, Labelled(["a"], [1]), ArgumentError, "classes are 0 to 2"),
        (None, Labelled([1, 1], [1, 2]), ArgumentError, "one weight for each label"),
        (None, {0: np.nan}, ArgumentError, "finite"),
        (None, {0: "much"}, DTypeError, "expected numbers"),
        (None, {0: None}, DTypeError, "expected numbers"),
        (None, {3: 1.0}, ArgumentError, r"weights for \[3\]; classes are 0 to 2"),
        (None, {-1: 1.0}, ArgumentError, "classes are 0 to 2"),
        (None, {"cat": 1.0}, ArgumentError, "classes are 0 to 2"),
        (None, {0.5: 1.0}, ArgumentError, "classes are 0 to 2"),
        (None, "balance", ArgumentError, "must be 'balanced', a mapping"),
        (None, {0: 0, 1: 0, 2: 0}, ArgumentError, "all samples are 0"),
        ([1, 0, 0, 0, 0, 1], [0, 1, 1], ArgumentError, "all samples are 0"),
    ],
)
def test_weights_that_cannot_be(sample_weight, class_weight, error, message):
    with pytest.raises(error, match=message):
        prepare_weights(Y, 3, sample_weight, class_weight)


@pytest.mark.parametrize(
    ("y", "n_outputs"),
    [
        (Y, 2),
        (Y - 1, 3),
        (Y + 0.5, 3),
        (Y, 1),
        (np.eye(3)[Y], 4),
        (np.eye(3)[Y] * 2, 3),
        (np.ones((6, 3)), 3),
        (np.zeros((6, 3, 1)), 3),
        (np.array([0, 1, 1, 0, 1, np.nan]), 1),
    ],
)
def test_targets_that_are_no_classes(y, n_outputs):
    with pytest.raises(LabelError, match="`class_weight` needs"):
        prepare_weights(y, n_outputs, class_weight="balanced")


def test_the_label_that_is_no_class_is_said():
    with pytest.raises(LabelError, match=r"from 0 to 2; got 2\.5"):
        prepare_weights(Y + 0.5 * (Y == 2), 3, class_weight="balanced")


def test_a_mapping_is_no_list_of_weights():
    for alpha in ({0: 1.0, 1: 2.0}, "12", 0.25):
        with pytest.raises(ArgumentError, match="`alpha` must be a list of weights"):
            nn.FocalLoss(alpha=alpha)


def test_a_loss_without_classes():
    with pytest.raises(ArgumentError, match="needs a loss on classes"):
        prepare_weights(Y, 1, class_weight="balanced", has_classes=nn.MeanSquaredError.has_classes)
