"""What dense layers and the activations behind them do besides multiplying matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnfs_xp._typing import Array, Namespace


def matmul_into(xp: Namespace, a: Array, b: Array, out: Array) -> None:
    """Write a @ b to `out`."""
    del xp
    out[...] = a @ b


def bias_relu(xp: Namespace, products: Array, biases: Array) -> Array:
    """max(products + biases, 0), shape (batch, neurons). May write to `products`."""
    products += biases
    output: Array = xp.maximum(products, 0.0)
    return output


def relu_backward(xp: Namespace, dvalues: Array, output: Array) -> Array:
    """Dvalues where output > 0, else 0."""
    dinputs: Array = xp.where(output > 0, dvalues, 0.0)
    return dinputs


def relu_backward_biases(xp: Namespace, dvalues: Array, output: Array, dbiases: Array) -> Array:
    """The same, of shape (batch, neurons); its sum over the batch is written to `dbiases`."""
    dinputs = relu_backward(xp, dvalues, output)
    dbiases[...] = xp.sum(dinputs, axis=0, keepdims=True)
    return dinputs
