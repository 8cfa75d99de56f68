"""Dense layers and the ReLU behind them, run as one: the same numbers in fewer passes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from nnfs_xp._typing import Array
from nnfs_xp.layers.activations import ReLU
from nnfs_xp.layers.base import Layer
from nnfs_xp.layers.dense import Dense


class Stage(Protocol):
    """What is run of a model: a layer, or several as one."""

    def forward(self, inputs: Array, training: bool = False) -> Array: ...
    def backward(self, dvalues: Array) -> Array: ...
    def backward_parameters(self, dvalues: Array) -> None: ...


class DenseReLU:
    """A dense layer and a ReLU: the biases and the ReLU are one pass over the products.

    So are the ReLU's gradient and the biases'. What the two layers keep and set in running, they
    keep and set here too.

    Notes
    -----
    Forward: output = max(inputs @ weights + biases, 0).

    Backward: dz = dvalues where output > 0, else 0; dweights = inputs.T @ dz, dbiases = the sum of
    dz over the batch, dinputs = dz @ weights.T.
    """

    def __init__(self, dense: Dense, relu: ReLU) -> None:
        self.dense = dense
        self.relu = relu

    def forward(self, inputs: Array, training: bool = False) -> Array:
        dense = self.dense
        xp = dense.check_inputs(inputs, dense.n_inputs)
        products = inputs @ dense.weights
        output: Array = dense.kernels_for(inputs).bias_relu(xp, products, dense.biases)
        if training:
            dense.keep(output, inputs)
            self.relu.keep(output, output)
        return output

    def backward(self, dvalues: Array) -> Array:
        self.backward_parameters(dvalues)
        dense = self.dense
        dense.dinputs = self.relu.dinputs @ dense.weights.T
        return dense.dinputs

    def backward_parameters(self, dvalues: Array) -> None:
        dense, relu = self.dense, self.relu
        xp, output = relu.recall(dvalues)
        _, inputs = dense.recall(dvalues)  # the ReLU may have been called for others since
        kernels = dense.kernels_for(dvalues)
        dz = relu.dinputs = kernels.relu_backward_biases(xp, dvalues, output, dense.dbiases)
        kernels.matmul_into(xp, inputs.T, dz, dense.dweights)
        dense.add_penalties()


def fused(layers: Iterable[Layer]) -> tuple[Stage, ...]:
    """The layers in order, those that run as one together."""
    stages: list[Stage] = []
    for layer in layers:
        before = stages[-1] if stages else None
        if type(layer) is ReLU and type(before) is Dense:
            stages[-1] = DenseReLU(before, layer)
        else:
            stages.append(layer)
    return tuple(stages)
