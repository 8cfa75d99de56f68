"""Dense layers, and the activations behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nnfs_xp._typing import Array, Namespace


class DenseKernels(Protocol):
    """What dense layers and the activations behind them do, products included."""

    def dense(self, xp: Namespace, inputs: Array, weights: Array, biases: Array) -> Array:
        """Compute inputs @ weights + biases, shape (batch, neurons)."""
        output: Array = self.product(xp, inputs, weights)
        output += biases
        return output

    def dense_relu(self, xp: Namespace, inputs: Array, weights: Array, biases: Array) -> Array:
        """Compute max(inputs @ weights + biases, 0), shape (batch, neurons)."""
        return self.bias_relu(xp, self.product(xp, inputs, weights), biases)

    def dense_backward(self, xp: Namespace, dvalues: Array, weights: Array) -> Array:
        """Compute dvalues @ weights.T, the gradient of a dense layer's inputs."""
        return self.product(xp, dvalues, weights.T)

    def dense_backward_relu(
        self, xp: Namespace, dvalues: Array, weights: Array, output: Array, dbiases: Array
    ) -> Array:
        """Go back through a dense layer and then through the `dense_relu` before it.

        Returns dz = (dvalues @ weights.T where that ReLU's output was above 0, else 0), and writes
        its sum over the batch to that layer's `dbiases`.
        """
        return self.relu_backward_biases(xp, self.product(xp, dvalues, weights.T), output, dbiases)

    def dense_gradients(
        self, xp: Namespace, inputs: Array, dvalues: Array, dweights: Array, dbiases: Array
    ) -> None:
        """Write inputs.T @ dvalues to `dweights`, and the sum of dvalues to `dbiases`."""
        self.matmul_into(xp, inputs.T, dvalues, dweights)
        dbiases[...] = xp.sum(dvalues, axis=0, keepdims=True)

    def product(self, xp: Namespace, a: Array, b: Array) -> Array:
        """The matrices' product a @ b."""
        product: Array = a @ b
        return product

    def batched_product(self, xp: Namespace, a: Array, b: Array) -> Array:
        """The products a[i] @ b[i] of many matrices, shape (matrices, rows, columns)."""
        products: Array = xp.matmul(a, b)
        return products

    def matmul_into(self, xp: Namespace, a: Array, b: Array, out: Array) -> None:
        """Write a @ b to `out`."""
        out[...] = a @ b

    def bias_relu(self, xp: Namespace, products: Array, biases: Array) -> Array:
        """Compute max(products + biases, 0), shape (batch, neurons). May write to `products`."""
        products += biases
        output: Array = xp.maximum(products, 0.0)
        return output

    def relu_backward(self, xp: Namespace, dvalues: Array, output: Array) -> Array:
        """The gradient of a ReLU's inputs: dvalues where output > 0, else 0."""
        dinputs: Array = xp.where(output > 0, dvalues, 0.0)
        return dinputs

    def relu_backward_biases(
        self, xp: Namespace, dvalues: Array, output: Array, dbiases: Array
    ) -> Array:
        """Dvalues where output > 0, else 0; writes the sum of that over the batch to `dbiases`."""
        dinputs = self.relu_backward(xp, dvalues, output)
        dbiases[...] = xp.sum(dinputs, axis=0, keepdims=True)
        return dinputs
