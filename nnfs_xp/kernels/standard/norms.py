"""Normalizations: over the batch, and over the features of each sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nnfs_xp.kernels.standard.functions import is_narrow

if TYPE_CHECKING:
    from nnfs_xp._typing import Array, Namespace


class NormKernels(Protocol):
    """Both normalizations, forward and backward."""

    def batch_norm(
        self, xp: Namespace, inputs: Array, gamma: Array, beta: Array, epsilon: float
    ) -> tuple[Array, Array, Array, Array, Array]:
        """Each feature brought to mean 0 and variance 1 over the batch, then scaled and shifted.

        Parameters
        ----------
        inputs : array, shape (batch, n_features)
        gamma, beta : array, shape (1, n_features)
        epsilon : float

        Returns
        -------
        output, normalized : array, shape (batch, n_features)
        inverse, mean, variance : array, shape (1, n_features)
            `inverse` is 1 / sqrt(variance + epsilon). These three are float32 where the inputs are
            of a narrower type.
        """
        if is_narrow(xp, inputs):
            rows, g, b = (xp.astype(each, xp.float32) for each in (inputs, gamma, beta))
            output, z, inverse, mean, variance = self.batch_norm(xp, rows, g, b, epsilon)
            dtype = inputs.dtype
            return xp.astype(output, dtype), xp.astype(z, dtype), inverse, mean, variance
        mean = xp.mean(inputs, axis=0, keepdims=True)
        normalized: Array = inputs - mean
        variance = xp.mean(normalized * normalized, axis=0, keepdims=True)
        inverse = 1 / xp.sqrt(variance + epsilon)
        normalized *= inverse
        return gamma * normalized + beta, normalized, inverse, mean, variance

    def batch_norm_backward(
        self,
        xp: Namespace,
        dvalues: Array,
        normalized: Array,
        scale: Array,
        dgamma: Array,
        dbeta: Array,
    ) -> Array:
        """The gradient of the inputs, given scale = gamma * inverse. Writes to dgamma and dbeta."""
        if is_narrow(xp, dvalues):
            d, z, s = (xp.astype(each, xp.float32) for each in (dvalues, normalized, scale))
            sums = xp.empty_like(s), xp.empty_like(s)
            dinputs: Array = xp.astype(self.batch_norm_backward(xp, d, z, s, *sums), dvalues.dtype)
            dgamma[...], dbeta[...] = (xp.astype(each, dvalues.dtype) for each in sums)
            return dinputs
        n = dvalues.shape[0]
        dgamma[...] = xp.sum(dvalues * normalized, axis=0, keepdims=True)
        dbeta[...] = xp.sum(dvalues, axis=0, keepdims=True)
        rest = dvalues - dbeta / n - normalized * (dgamma / n)
        rest *= scale
        return rest

    def layer_norm(
        self, xp: Namespace, inputs: Array, gamma: Array, beta: Array, epsilon: float
    ) -> tuple[Array, Array, Array]:
        """Each sample brought to mean 0 and variance 1 over its features, then scaled and shifted.

        Returns
        -------
        output, normalized : array, shape (batch, n_features)
        inverse : array, shape (batch, 1)
            1 / sqrt(variance + epsilon).
        """
        normalized: Array = inputs - xp.mean(inputs, axis=1, keepdims=True)
        variance = xp.mean(normalized * normalized, axis=1, keepdims=True)
        inverse: Array = 1 / xp.sqrt(variance + epsilon)
        normalized *= inverse
        return gamma * normalized + beta, normalized, inverse

    def layer_norm_backward(
        self,
        xp: Namespace,
        dvalues: Array,
        normalized: Array,
        inverse: Array,
        gamma: Array,
        dgamma: Array,
        dbeta: Array,
    ) -> Array:
        """The gradient of the inputs. Writes to dgamma and dbeta."""
        dgamma[...] = xp.sum(dvalues * normalized, axis=0, keepdims=True)
        dbeta[...] = xp.sum(dvalues, axis=0, keepdims=True)
        g = gamma * dvalues
        rest: Array = g - xp.mean(g, axis=1, keepdims=True)
        rest -= normalized * xp.mean(g * normalized, axis=1, keepdims=True)
        rest *= inverse
        return rest
