"""The numbers that the chapter on backpropagation prints, on every backend."""

from __future__ import annotations

import numpy as np
import pytest

import nnfs_xp as nn

INPUTS = [[1.0, 2.0, 3.0, 2.5], [2.0, 5.0, -1.0, 2.0], [-1.5, 2.7, 3.3, -0.8]]
WEIGHTS = np.array([[0.2, 0.8, -0.5, 1], [0.5, -0.91, 0.26, -0.5], [-0.26, -0.27, 0.17, 0.87]]).T
DVALUES = [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [3.0, 3.0, 3.0]]


def equal(actual, expected):
    np.testing.assert_allclose(nn.to_numpy(actual), expected, rtol=1e-12, atol=1e-12)


@pytest.fixture
def array(backend):
    return lambda values: backend.asarray(np.asarray(values, dtype=np.float64))


@pytest.fixture
def dense(backend):
    layer = nn.Dense(4, 3, seed=0, dtype="float64").to(backend)
    layer.weights = WEIGHTS
    return layer


def test_single_neuron(array, backend):
    neuron = nn.Sequential(nn.Dense(3, 1, dtype="float64"), nn.ReLU()).to(backend)
    layer = neuron.layers[0]
    layer.weights, layer.biases = [[-3.0], [-1.0], [2.0]], [[1.0]]
    x = array([[1.0, -2.0, 3.0]])
    equal(neuron.forward(x, training=True), [[6.0]])
    equal(neuron.backward(array([[1.0]])), [[-3.0, -1.0, 2.0]])
    equal(layer.dweights, [[1.0], [-2.0], [3.0]])
    equal(layer.dbiases, [[1.0]])
    nn.SGD(0.001).step(neuron)
    equal(layer.weights, [[-3.001], [-0.998], [1.997]])
    equal(layer.biases, [[0.999]])
    equal(neuron.forward(x), [[5.985]])


def test_layer_of_neurons(array, dense):
    dense.forward(array([[1.0, 2.0, 3.0, 2.5]]), training=True)
    equal(dense.backward(array([[1.0, 1.0, 1.0]])), [[0.44, -0.38, -0.07, 1.37]])


def test_batch(array, dense):
    dense.forward(array(INPUTS), training=True)
    dense.backward(array(DVALUES))
    equal(dense.dweights, [[0.5] * 3, [20.1] * 3, [10.9] * 3, [4.1] * 3])
    equal(dense.dbiases, [[6.0, 6.0, 6.0]])


def test_gradient_of_the_batchs_inputs(array, dense):
    weights = WEIGHTS.copy()
    weights[3, 2] = 0.0
    dense.weights = weights
    dense.forward(array(INPUTS), training=True)
    equal(
        dense.backward(array(DVALUES)),
        [[0.44, -0.38, -0.07, 0.5], [0.88, -0.76, -0.14, 1.0], [1.32, -1.14, -0.21, 1.5]],
    )


def test_relu(array):
    relu = nn.ReLU()
    relu.forward(array([[1, 2, -3, -4], [2, -7, -1, 3], [-1, 2, 5, -1]]), training=True)
    dvalues = array(np.arange(1.0, 13.0).reshape(3, 4))
    equal(relu.backward(dvalues), [[1, 2, 0, 0], [5, 0, 0, 8], [0, 10, 11, 0]])


def test_dense_and_relu_and_a_step(array, dense, backend):
    dense.biases = [[2.0, 3.0, 0.5]]
    model = nn.Sequential(dense, nn.ReLU()).to(backend)
    output = model.forward(array(INPUTS), training=True)
    model.backward(output)
    nn.SGD(0.001).step(model)
    equal(
        dense.weights,
        [
            [0.179515, 0.5003665, -0.262746],
            [0.742093, -0.9152577, -0.2758402],
            [-0.510153, 0.2529017, 0.1629592],
            [0.971328, -0.5021842, 0.8636583],
        ],
    )
    equal(dense.biases, [[1.98489, 2.997739, 0.497389]])


PROBABILITIES = np.array([[0.7, 0.1, 0.2], [0.1, 0.5, 0.4], [0.02, 0.9, 0.08]])
LABELS = np.array([0, 1, 1])


@pytest.mark.parametrize("labels", [LABELS, np.eye(3)[LABELS]], ids=["indices", "one-hot"])
def test_cross_entropy_and_softmax_apart_and_together(array, backend, labels):
    one_hot = np.eye(3)[LABELS]
    y_true = backend.asarray(labels)
    logits = array(np.log(PROBABILITIES))
    softmax = nn.Softmax()
    y_pred = softmax.forward(logits, training=True)
    equal(y_pred, PROBABILITIES)

    dvalues = nn.CategoricalCrossentropy().backward(y_pred, y_true)
    equal(dvalues, -one_hot / PROBABILITIES / 3)
    apart = softmax.backward(dvalues)
    for row, s in enumerate(PROBABILITIES):
        jacobian = np.diag(s) - np.outer(s, s)
        equal(apart[row, :], jacobian @ nn.to_numpy(dvalues)[row])

    together = nn.SoftmaxCategoricalCrossentropy().backward(logits, y_true)
    equal(together, (PROBABILITIES - one_hot) / 3)
    equal(apart, nn.to_numpy(together))
