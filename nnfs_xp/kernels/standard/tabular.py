"""What the layers for tables do: factors of features, periods of numbers, members of ensembles.

The layers in `nnfs_xp.layers` say what the names mean, and where the formulas are from.
"""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING, Protocol

from nnfs_xp.kernels.standard.layers import DenseKernels

if TYPE_CHECKING:
    from nnfs_xp._typing import Array, Namespace


class TabularKernels(DenseKernels, Protocol):
    """The passes of `Scale`, `ParametricActivation`, `PeriodicEmbedding` and `MemberDense`."""

    def scale_gradient(self, xp: Namespace, dvalues: Array, inputs: Array, dscale: Array) -> None:
        """Write the sum of dvalues * inputs over the rows to `dscale`, shape (1, features)."""
        dscale[...] = xp.sum(dvalues * inputs, axis=0, keepdims=True)

    def blend(self, xp: Namespace, inputs: Array, bent: Array, alpha: Array) -> Array:
        """Compute inputs + alpha * (bent - inputs), shape (rows, features)."""
        output: Array = bent - inputs
        output *= alpha
        output += inputs
        return output

    def blend_backward(
        self, xp: Namespace, dvalues: Array, inputs: Array, bent: Array, alpha: Array, dalpha: Array
    ) -> Array:
        """The gradient of `bent`, dvalues * alpha.

        Writes the sum of dvalues * (bent - inputs) over the rows to `dalpha`.
        """
        dalpha[...] = xp.sum(dvalues * (bent - inputs), axis=0, keepdims=True)
        dbent: Array = dvalues * alpha
        return dbent

    def periodic(
        self,
        xp: Namespace,
        inputs: Array,
        frequencies: Array,
        phases: Array,
        weights: Array,
        biases: Array,
    ) -> tuple[Array, Array, Array]:
        """Each feature's cosines, weighted; then the feature itself.

        Parameters
        ----------
        inputs : array, shape (rows, n_features)
        frequencies, phases : array, shape (n_features, n_frequencies)
        weights : array, shape (n_features, n_frequencies, n_dimensions - 1)
        biases : array, shape (n_features, n_dimensions - 1)

        Returns
        -------
        output : array, shape (rows, n_features * n_dimensions)
        angles, cosines : array, shape (n_features, n_frequencies, rows)
            For `periodic_gradients`.
        """
        x = inputs.T[:, None, :]
        angles = (2 * pi * frequencies)[:, :, None] * x
        angles += phases[:, :, None]
        cosines = xp.cos(angles)
        learnt = self.batched_product(xp, xp.permute_dims(weights, (0, 2, 1)), cosines)
        learnt += biases[:, :, None]
        output = xp.permute_dims(xp.concat([learnt, x], axis=1), (2, 0, 1))
        return xp.reshape(output, (inputs.shape[0], -1)), angles, cosines

    def periodic_gradients(
        self,
        xp: Namespace,
        dvalues: Array,
        inputs: Array,
        angles: Array,
        cosines: Array,
        weights: Array,
        dfrequencies: Array,
        dphases: Array,
        dweights: Array,
        dbiases: Array,
    ) -> Array:
        """Write the gradients of `periodic`'s parameters to the last four arrays.

        Parameters
        ----------
        dvalues : array, shape (rows, n_features * n_dimensions)
        inputs, angles, cosines, weights : array
            As in `periodic`.
        dfrequencies, dphases, dweights, dbiases : array

        Returns
        -------
        dangles : array, shape (n_features, n_frequencies, rows)
            For `periodic_backward`.
        """
        n_features, _, n_learnt = weights.shape
        dlearnt = xp.reshape(dvalues, (-1, n_features, n_learnt + 1))[:, :, :-1]
        dlearnt = xp.permute_dims(dlearnt, (1, 2, 0))
        dweights[...] = self.batched_product(xp, cosines, xp.permute_dims(dlearnt, (0, 2, 1)))
        dbiases[...] = xp.sum(dlearnt, axis=2)
        dangles: Array = self.batched_product(xp, weights, dlearnt)
        dangles *= -xp.sin(angles)
        dphases[...] = xp.sum(dangles, axis=2)
        products = self.batched_product(xp, dangles, inputs.T[:, :, None])
        dfrequencies[...] = 2 * pi * products[:, :, 0]
        return dangles

    def periodic_backward(
        self, xp: Namespace, dvalues: Array, dangles: Array, frequencies: Array
    ) -> Array:
        """The gradient of `periodic`'s inputs, shape (rows, n_features).

        Each feature's is that of itself at the end of its dimensions, and that of its angles.
        """
        dinputs = self.batched_product(xp, 2 * pi * frequencies[:, None, :], dangles)[:, 0, :]
        itself = xp.reshape(dvalues, (dangles.shape[2], dangles.shape[0], -1))[:, :, -1]
        gradient: Array = itself + dinputs.T
        return gradient

    def member_dense(self, xp: Namespace, inputs: Array, weights: Array, biases: Array) -> Array:
        """Each member's inputs @ weights + biases.

        Parameters
        ----------
        inputs : array, shape (rows, n_members, n_inputs)
        weights : array, shape (n_members, n_inputs, n_neurons)
        biases : array, shape (n_members, n_neurons)

        Returns
        -------
        output : array, shape (rows, n_members, n_neurons)
        """
        products = self.batched_product(xp, xp.permute_dims(inputs, (1, 0, 2)), weights)
        output: Array = xp.permute_dims(products, (1, 0, 2)) + biases
        return output

    def member_dense_gradients(
        self, xp: Namespace, inputs: Array, dvalues: Array, dweights: Array, dbiases: Array
    ) -> None:
        """Write each member's inputs.T @ dvalues, and the sum of dvalues over the rows."""
        dweights[...] = self.batched_product(
            xp, xp.permute_dims(inputs, (1, 2, 0)), xp.permute_dims(dvalues, (1, 0, 2))
        )
        dbiases[...] = xp.sum(dvalues, axis=0)

    def member_dense_backward(self, xp: Namespace, dvalues: Array, weights: Array) -> Array:
        """Each member's dvalues @ weights.T, shape (rows, n_members, n_inputs)."""
        products = self.batched_product(
            xp, xp.permute_dims(dvalues, (1, 0, 2)), xp.permute_dims(weights, (0, 2, 1))
        )
        dinputs: Array = xp.permute_dims(products, (1, 0, 2))
        return dinputs
