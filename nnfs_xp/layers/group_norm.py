"""Group normalization: groups of channels brought to mean 0 and variance 1, sample by sample."""

from __future__ import annotations

from typing import Unpack

from nnfs_xp import _checks
from nnfs_xp._typing import Array
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers.normalization import Normalization, NormalizationOptions


class GroupNorm(Normalization):
    """Brings groups of each sample's channels to mean 0 and variance 1, then scales and shifts.

    It looks at all places of a sample, and at no other sample: batches may be small.

    Parameters
    ----------
    n_features : int
        Channels.
    n_groups : int
        How many groups they fall into, those of one side by side. One group of all is a layer
        normalization over places and channels; as many as there are channels, an instance
        normalization.
    epsilon : float
        Added to the variance.
    scale, center : bool
        Whether there is gamma, and beta.
    dtype : {"float32", "float64"}
    **options
        Of gamma and beta: `trainable`, `learning_rate_scale`, `gamma_regularizer_l2` and the like.
        `Layer` says what they mean.

    Attributes
    ----------
    gamma, dgamma : array, shape (1, n_features)
        The scale, 1 at first. None without `scale`.
    beta, dbeta : array, shape (1, n_features)
        The shift, 0 at first. None without `center`.
    dinputs : array, shape (batch, …, n_features)

    Raises
    ------
    ArgumentError
        `n_groups` does not divide `n_features`, or a setting is none.
    ShapeError, DTypeError, BackendError
        From `forward` and `backward`: arrays that do not fit the layer.
    NotReadyError
        From `backward` without a training `forward` before it.

    Notes
    -----
    Forward: normalized = (inputs - mean) / sqrt(variance + epsilon), with mean and variance over
    all places of a sample and the channels of a group; output = gamma * normalized + beta. Shapes
    (batch, …, n_features), where the axes between are places.

    Backward: dbeta = the sum of dvalues over batch and places, dgamma = that of
    dvalues * normalized, dinputs = (g - mean(g) - normalized * mean(g * normalized)) /
    sqrt(variance + epsilon), with g = gamma * dvalues and the means over places and group.

    Source: Wu and He 2018, *Group Normalization*, equations 1, 2, 6 and 7.

    Examples
    --------
    >>> import numpy as np
    >>> import nnfs_xp as nn
    >>> pictures = np.arange(16.0).reshape(1, 2, 2, 4)
    >>> output = nn.GroupNorm(4, 2, dtype="float64").forward(pictures)
    >>> bool(abs(output[..., :2].mean()) < 1e-12), round(float(output[..., :2].std()), 4)
    (True, 1.0)
    """

    def __init__(
        self,
        n_features: int,
        n_groups: int,
        *,
        epsilon: float = 1e-5,
        scale: bool = True,
        center: bool = True,
        dtype: str = "float32",
        **options: Unpack[NormalizationOptions],
    ) -> None:
        super().__init__(n_features, epsilon, scale, center, dtype, **options)
        self.n_groups = _checks.check_count("n_groups", n_groups)
        if self.n_features % self.n_groups:
            raise ArgumentError(
                f"`n_groups` must divide `n_features`, {self.n_features}; got {self.n_groups}."
            )
        self.initialize(None)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs, self.n_features)
        gamma, beta = self.factors(xp, inputs)
        places = xp.reshape(inputs, (inputs.shape[0], -1, self.n_features))
        scaled, normalized, inverse = self.kernels_for(inputs).group_norm(
            xp, places, gamma, beta, self.n_groups, self.epsilon
        )
        output: Array = xp.reshape(scaled, inputs.shape)
        if training:
            self.keep(output, normalized, inverse)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, normalized, inverse = self.recall(dvalues)
        gamma, _ = self.factors(xp, dvalues)
        dgamma, dbeta = self.dfactors(xp, dvalues)
        dinputs = self.kernels_for(dvalues).group_norm_backward(
            xp, xp.reshape(dvalues, normalized.shape), normalized, inverse, gamma, dgamma, dbeta
        )
        self.dinputs = xp.reshape(dinputs, dvalues.shape)
        self.add_penalties()
        return self.dinputs
