"""Large numbers: nothing overflows, and what is small stays exact."""

from __future__ import annotations

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.kernels import standard

BEYOND = np.array([[1e4, -1e4, 0.0], [-1e30, 1e30, -1e30], [-2e4, -2e4 + 1, -2e4]])
"""Logits whose exponentials no float32 or float64 holds."""


def shifted(logits):
    return np.array(logits) - np.max(logits, axis=1, keepdims=True)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


def test_softmax_of_large_logits(backend, dtype):
    expected = np.exp(shifted(BEYOND)) / np.exp(shifted(BEYOND)).sum(axis=1, keepdims=True)
    found = nn.to_numpy(nn.Softmax().forward(backend.asarray(BEYOND, dtype)))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == dtype


def test_log_softmax_of_large_logits(backend, dtype):
    found = nn.to_numpy(standard.log_softmax(backend.xp, backend.asarray(BEYOND, dtype)))
    expected = shifted(BEYOND) - np.log(np.exp(shifted(BEYOND)).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.dtype == dtype


def test_softmax_crossentropy_of_large_logits(backend, dtype):
    loss = nn.SoftmaxCategoricalCrossentropy()
    pair = backend.asarray(BEYOND, dtype), backend.asarray(np.array([1, 1, 1]))
    np.testing.assert_allclose(
        nn.to_numpy(loss.forward(*pair)), [2e4, 0.0, 0.551444713932], rtol=1e-5
    )
    dinputs = nn.to_numpy(loss.backward(*pair))
    np.testing.assert_allclose(dinputs[:2], [[1 / 3, -1 / 3, 0.0], [0.0, 0.0, 0.0]], rtol=1e-6)


# Where exp(x) is subnormal its last digits are gone, so the tail ends before that.
TAIL = {"float32": 80.0, "float64": 700.0}


def test_sigmoid_is_exact_at_both_tails(backend, dtype):
    tail = TAIL[dtype]
    z = np.array([[-tail, -20.0, -1.0, 0.0], [1.0, 20.0, tail, -1e6], [1e6, -1e30, 1e30, 0.5]])
    found = nn.to_numpy(nn.Sigmoid().forward(backend.asarray(z, dtype)))
    small = np.exp(-np.abs(z))
    expected = np.where(z >= 0, 1.0, small) / (1 + small)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(found, expected, rtol=tail * eps)
    assert found.dtype == dtype


def test_sigmoid_crossentropy_is_exact_at_both_tails(backend, dtype):
    loss, tail = nn.SigmoidBinaryCrossentropy(), TAIL[dtype]
    z = np.array([[-tail], [tail], [-1e6], [1e6], [-1e6], [1e6], [-30.0], [30.0]])
    y = np.array([0, 1, 0, 1, 1, 0, 1, 0])
    pair = backend.asarray(z, dtype), backend.asarray(y)
    small, eps = np.exp(-tail), np.finfo(dtype).eps
    losses = [small, small, 0.0, 0.0, 1e6, 1e6, 30.0, 30.0]
    found = nn.to_numpy(loss.forward(*pair))
    np.testing.assert_allclose(found, losses, rtol=tail * eps)
    dinputs = np.array([[small], [-small], [0], [0], [-1], [1], [-1], [1]]) / 8
    found = nn.to_numpy(loss.backward(*pair))
    # 1 is subtracted from what rounds to 1.
    np.testing.assert_allclose(found, dinputs, rtol=tail * eps, atol=eps)


def test_probabilities_are_clipped_at_1e_7(backend):
    p, y = backend.asarray([[0.0, 1.0], [1e-9, 1.0 - 1e-9], [1e-6, 1.0]]), [0, 0, 0]
    losses = nn.CategoricalCrossentropy().forward(p, backend.asarray(y))
    assert nn.to_numpy(losses) == pytest.approx([-np.log(1e-7)] * 2 + [-np.log(1e-6)])
    truth = backend.asarray([[1, 0], [1, 0], [1, 1]])
    losses = nn.BinaryCrossentropy().forward(p, truth)
    assert nn.to_numpy(losses) == pytest.approx([-np.log(1e-7)] * 2 + [-np.log(1e-6) / 2], rel=1e-6)


def test_thresholds_are_exclusive(backend):
    """An output on the threshold counts as no, in predictions and in the accuracy."""
    for loss, middle in ((nn.BinaryCrossentropy(), 0.5), (nn.SigmoidBinaryCrossentropy(), 0.0)):
        outputs = backend.asarray([[middle - 0.01, middle, middle + 0.01]])
        assert nn.to_numpy(loss.predictions(outputs)).tolist() == [[0, 0, 1]]
        for truth, share in (([[0, 0, 1]], 1.0), ([[0, 1, 1]], 2 / 3), ([[1, 0, 0]], 1 / 3)):
            accuracy = loss.accuracy().forward(loss.decisions(outputs), backend.asarray(truth))
            assert nn.to_numpy(accuracy) == pytest.approx([share])


def test_a_gradient_from_probabilities_leaves_them_alone(backend):
    z = backend.asarray([[0.5, -1.0, 2.0], [0.0, 1.0, 0.0]])
    labels, loss = backend.asarray(np.array([0, 2])), nn.SoftmaxCategoricalCrossentropy()
    probabilities = loss.probabilities(z)
    before = nn.to_numpy(probabilities).copy()
    found = loss.backward_from_probabilities(probabilities, labels)
    np.testing.assert_array_equal(nn.to_numpy(found), nn.to_numpy(loss.backward(z, labels)))
    np.testing.assert_array_equal(nn.to_numpy(probabilities), before)


def test_logits_stand_for_probabilities(backend):
    z = np.array([[0.5, -1.0, 2.0]])
    for loss, expected in (
        (nn.SoftmaxCategoricalCrossentropy(), np.exp(z) / np.exp(z).sum()),
        (nn.SigmoidBinaryCrossentropy(), 1 / (1 + np.exp(-z))),
        (nn.CategoricalCrossentropy(), z),
        (nn.BinaryCrossentropy(), z),
    ):
        found = nn.to_numpy(loss.probabilities(backend.asarray(z)))
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_slopes_at_the_kinks(backend):
    """Where there is no derivative: that of the formula's other branch, as in PyTorch."""
    zeros = backend.asarray(np.zeros((1, 2)))
    dvalues = backend.asarray([[1.0, -2.0]])
    for layer, expected in ((nn.ReLU(), 0.0), (nn.LeakyReLU(0.25), 0.25)):
        layer.forward(zeros, training=True)
        assert nn.to_numpy(layer.backward(dvalues)).tolist() == [[expected, -2 * expected]]
    dinputs = nn.MeanAbsoluteError().backward(zeros, zeros)
    assert nn.to_numpy(dinputs).tolist() == [[0.0, 0.0]]
    dense = nn.Dense(2, 1, initializer=None, weight_regularizer_l1=0.1, dtype="float64")
    dense.to(backend).forward(zeros, training=True)
    dense.backward(backend.asarray([[1.0]]))
    assert not nn.to_numpy(dense.dweights).any()


def test_a_regressions_precision_is_exclusive_and_stays_as_given(backend):
    metric = nn.RegressionAccuracy(0.5)
    y_true = backend.asarray([[0.0, 0.0, 0.0, 0.0]])
    metric.prepare(backend.asarray([[1e6, -1e6]]))
    y_pred = backend.asarray([[0.25, 0.5, -0.5, 0.75]])
    assert nn.to_numpy(metric.forward(y_pred, y_true)).tolist() == [0.25]


def test_defaults_are_those_of_the_sources():
    found = [nn.SGD(), nn.Adagrad(), nn.RMSprop(), nn.Adam(), nn.AdamW(), nn.Lion()]
    rates = [optimizer.learning_rate for optimizer in found]
    assert rates == [1.0, 1.0, 0.001, 0.001, 0.001, 1e-4]
    assert [optimizer.weight_decay for optimizer in found] == [0, 0, 0, 0, 0.01, 0]
    assert [optimizer.epsilon for optimizer in found[1:5]] == [1e-7] * 4
    adam, lion = found[3], found[5]
    assert (adam.beta_1, adam.beta_2, lion.beta_1, lion.beta_2) == (0.9, 0.999, 0.9, 0.99)
    assert (found[2].rho, nn.LeakyReLU().negative_slope) == (0.9, 0.01)
    assert nn.BinaryAccuracy().threshold == 0.5
