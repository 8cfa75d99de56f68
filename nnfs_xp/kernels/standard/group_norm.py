"""Group normalization: over groups of channels, at all places of a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nnfs_xp._typing import Array, Namespace


class GroupNormKernels(Protocol):
    """The passes of `GroupNorm`."""

    def group_norm(
        self,
        xp: Namespace,
        inputs: Array,
        gamma: Array,
        beta: Array,
        n_groups: int,
        epsilon: float,
    ) -> tuple[Array, Array, Array]:
        """Each group of a sample brought to mean 0 and variance 1, then scaled and shifted.

        Parameters
        ----------
        inputs : array, shape (batch, places, n_features)
        gamma, beta : array, shape (1, n_features)
        n_groups : int
            A group is n_features / n_groups features that lie side by side.
        epsilon : float

        Returns
        -------
        output, normalized : array, shape (batch, places, n_features)
        inverse : array, shape (batch, n_groups)
            1 / sqrt(variance + epsilon).
        """
        grouped = _grouped(xp, inputs, n_groups)
        normalized = grouped - xp.mean(grouped, axis=(1, 3), keepdims=True)
        variance = xp.mean(normalized * normalized, axis=(1, 3), keepdims=True)
        inverse = 1 / xp.sqrt(variance + epsilon)
        normalized *= inverse
        normalized = xp.reshape(normalized, inputs.shape)
        return gamma * normalized + beta, normalized, xp.reshape(inverse, (-1, n_groups))

    def group_norm_backward(
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
        dgamma[...] = xp.reshape(xp.sum(dvalues * normalized, axis=(0, 1)), (1, -1))
        dbeta[...] = xp.reshape(xp.sum(dvalues, axis=(0, 1)), (1, -1))
        n_groups = inverse.shape[1]
        g, z = _grouped(xp, gamma * dvalues, n_groups), _grouped(xp, normalized, n_groups)
        rest = g - xp.mean(g, axis=(1, 3), keepdims=True)
        rest -= z * xp.mean(g * z, axis=(1, 3), keepdims=True)
        rest *= inverse[:, None, :, None]
        dinputs: Array = xp.reshape(rest, dvalues.shape)
        return dinputs


def _grouped(xp: Namespace, array: Array, n_groups: int) -> Array:
    """The array in shape (batch, places, n_groups, features of each)."""
    grouped: Array = xp.reshape(array, (*array.shape[:2], n_groups, -1))
    return grouped
