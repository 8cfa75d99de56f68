"""Dense layers and the ReLUs behind them, run as one: the same numbers in fewer passes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from nnfs_xp._typing import Array
from nnfs_xp.layers.activations import ReLU
from nnfs_xp.layers.base import Layer
from nnfs_xp.layers.dense import Dense


class Stage(Protocol):
    """What is run of a model: a layer, or several as one."""

    def forward(self, inputs: Array, training: bool = False) -> Array: ...
    def backward(self, dvalues: Array) -> Array: ...
    def backward_parameters(self, dvalues: Array) -> None: ...


class Pair(NamedTuple):
    """A dense layer and the ReLU behind it."""

    dense: Dense
    relu: ReLU | None  # None behind the last one, perhaps


class DenseRow:
    """Dense layers with ReLUs between them: biases and ReLUs are part of the products.

    What the layers keep and set in running, they keep and set here too, but for the `dinputs` of
    dense layers behind a ReLU, where they are not asked for: they are then masked by the ReLU as
    they leave the product.

    Parameters
    ----------
    pairs : list of Pair
    keeps_dinputs : bool
        Whether all layers get their `dinputs`.

    Notes
    -----
    Forward, for each pair: output = max(inputs @ weights + biases, 0), the next one's inputs.

    Backward, from the last to the first, with dz the gradient behind the biases: dweights =
    inputs.T @ dz, dbiases = the sum of dz over the batch, dinputs = dz @ weights.T; the dz of the
    pair before it = dinputs where inputs > 0, else 0.
    """

    def __init__(self, pairs: list[Pair], keeps_dinputs: bool) -> None:
        self.pairs = pairs
        self.keeps_dinputs = keeps_dinputs

    def forward(self, inputs: Array, training: bool = False) -> Array:
        for dense, relu in self.pairs:
            xp, kernels = dense.check_inputs(inputs, dense.n_inputs), dense.kernels_for(inputs)
            if relu is None:
                output = kernels.dense(xp, inputs, dense.weights, dense.biases)
            else:
                output = kernels.dense_relu(xp, inputs, dense.weights, dense.biases)
            if training:
                dense.keep(output, inputs)
                if relu is not None:
                    relu.keep(output, output)
            inputs = output
        return inputs

    def backward(self, dvalues: Array) -> Array:
        dz = self._backward(dvalues)
        dense = self.pairs[0].dense
        dense.dinputs = dense.kernels_for(dz).dense_backward(dense.xp, dz, dense.weights)
        return dense.dinputs

    def backward_parameters(self, dvalues: Array) -> None:
        self._backward(dvalues)

    def _backward(self, dvalues: Array) -> Array:
        """All gradients of parameters; returns the first pair's dz."""
        dz, inputs, following = dvalues, dvalues, None  # of and for the dense layer behind
        for dense, relu in reversed(self.pairs):
            kernels = dense.kernels_for(dz)
            if relu is None:
                xp, inputs = dense.recall(dz)
                kernels.dense_gradients(xp, inputs, dz, dense.dweights, dense.dbiases)
            else:
                if following is None:
                    dz = self._through(relu, dense, dz)
                elif self.keeps_dinputs:
                    xp, weights = following.xp, following.weights
                    following.dinputs = kernels.dense_backward(xp, dz, weights)
                    dz = self._through(relu, dense, following.dinputs)
                else:
                    xp, output = relu.recall(inputs)  # of the shape of their gradient
                    weights, dbiases = following.weights, dense.dbiases
                    dz = kernels.dense_backward_relu(xp, dz, weights, output, dbiases)
                relu.dinputs = dz
                xp, inputs = dense.recall(dz)
                kernels.matmul_into(xp, inputs.T, dz, dense.dweights)
            dense.add_penalties()
            following = dense
        return dz

    @staticmethod
    def _through(relu: ReLU, dense: Dense, dvalues: Array) -> Array:
        """The gradient behind the biases, given that of the ReLU's output; and the biases'."""
        xp, output = relu.recall(dvalues)
        dense.recall(dvalues)  # the ReLU may have been called for others since
        kernels = dense.kernels_for(dvalues)
        dz: Array = kernels.relu_backward_biases(xp, dvalues, output, dense.dbiases)
        return dz


def fused(layers: Iterable[Layer], *, keep_dinputs: bool = True) -> tuple[Stage, ...]:
    """The layers in order, those that run as one together."""
    stages: list[Stage] = []
    pairs: list[Pair] = []  # of the row that is growing

    def close() -> None:
        if len(pairs) == 1 and pairs[0].relu is None:
            stages.append(pairs[0].dense)
        elif pairs:
            stages.append(DenseRow(pairs.copy(), keep_dinputs))
        pairs.clear()

    for layer in layers:
        if type(layer) is Dense:
            if pairs and pairs[-1].relu is None:
                close()
            pairs.append(Pair(layer, None))
        elif type(layer) is ReLU and pairs and pairs[-1].relu is None:
            pairs[-1] = Pair(pairs[-1].dense, layer)
        else:
            close()
            stages.append(layer)
    close()
    return tuple(stages)
