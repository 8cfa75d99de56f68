"""Normalization: features, or samples, brought to mean 0 and variance 1, then scaled anew."""

from __future__ import annotations

from math import prod
from typing import Any, Unpack

from nnfs_xp import _checks
from nnfs_xp._rows import as_before, as_rows
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.errors import ArgumentError, ShapeError
from nnfs_xp.layers.base import Layer, Shape
from nnfs_xp.layers.footprint import Footprint
from nnfs_xp.parameters import Buffer, Gradient, Options, Parameter


class NormalizationOptions(Options, total=False):
    """What can be said of the parameters of a normalization: see `Layer`."""

    gamma_regularizer_l1: float
    gamma_regularizer_l2: float
    beta_regularizer_l1: float
    beta_regularizer_l2: float


class Normalization(Layer):
    """Base class of the normalizations: the scale and the shift of each feature."""

    footprint = Footprint(keeps_inputs=False, keeps_output=False)

    gamma = Parameter()
    beta = Parameter()
    dgamma = Gradient()
    dbeta = Gradient()

    def __init__(
        self,
        n_features: int,
        epsilon: float,
        scale: bool,
        center: bool,
        dtype: str,
        **options: Unpack[NormalizationOptions],
    ) -> None:
        super().__init__(**options)
        self.n_features = _checks.check_count("n_features", n_features)
        self.epsilon = _checks.check_range("epsilon", epsilon, 0, open_low=True)
        self.scale = _checks.check_bool("scale", scale)
        self.center = _checks.check_bool("center", center)
        shapes = {}
        for name, option, wanted in (
            ("gamma", "scale", self.scale),
            ("beta", "center", self.center),
        ):
            if wanted:
                shapes[name] = (1, self.n_features)
            elif vars(self)[f"{name}_regularizer_l1"] or vars(self)[f"{name}_regularizer_l2"]:
                raise ArgumentError(f"there is no {name} to be penalised, as `{option}` is False.")
        self.create_parameters(dtype, **shapes)

    def config(self) -> dict[str, Any]:
        """As of any layer; what has both parameters is described as when there was no choice."""
        config = super().config()
        return {k: v for k, v in config.items() if k not in ("scale", "center") or not v}

    def _does_without(self, name: str) -> bool:
        return not vars(self).get({"gamma": "scale", "beta": "center"}[name], True)

    def initialize(self, generator: Any) -> None:
        del generator  # nothing is drawn
        if self.scale:
            self.gamma[...] = 1.0
        if self.center:
            self.beta[...] = 0.0

    def factors(self, xp: Namespace, like: Array) -> tuple[Array, Array]:
        """Gamma and beta; ones and zeros in the place of what is left out."""
        shape, kind = (1, self.n_features), {"dtype": like.dtype, "device": like.device}
        return (
            self.gamma if self.scale else xp.ones(shape, **kind),
            self.beta if self.center else xp.zeros(shape, **kind),
        )

    def dfactors(self, xp: Namespace, like: Array) -> tuple[Array, Array]:
        """Their gradients, to be written to; those of what is left out are for nobody."""
        shape, kind = (1, self.n_features), {"dtype": like.dtype, "device": like.device}
        return (
            self.dgamma if self.scale else xp.empty(shape, **kind),
            self.dbeta if self.center else xp.empty(shape, **kind),
        )

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.n_features,)

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_features(input_shape, self.n_features)
        return input_shape

    def kept_bytes(self, input_shape: Shape, n_bytes: int) -> int:
        return n_bytes * prod(input_shape)  # normalized


class BatchNorm(Normalization):
    """Brings each feature to mean 0 and variance 1 over the batch, then scales and shifts it.

    Outside of training it uses running averages of the means and variances of the batches, so
    that what a sample gives does not depend on the samples beside it. So it does in training where
    it is frozen, and then the running averages stay as they are.

    Parameters
    ----------
    n_features : int
    momentum : float
        The weight of the past in the running averages, in [0, 1). PyTorch's momentum is 1
        minus this.
    epsilon : float
        Added to the variance.
    scale, center : bool
        Whether there is gamma, and beta. Before a ReLU and a further layer with weights, a scale
        changes nothing that these could not.
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
    running_mean, running_variance : array, shape (1, n_features)
        Kept and saved but not trained.

    Raises
    ------
    ArgumentError
        A setting is none, or what is left out is penalised.
    ShapeError
        From `forward`: the inputs do not fit, or training was asked for on a single row.

    Notes
    -----
    Forward, training: normalized = (inputs - mean) / sqrt(variance + epsilon), with mean and
    variance over the batch; output = gamma * normalized + beta. All axes before the last are
    batch, of n rows. The running averages become momentum * themselves + (1 - momentum) * the
    batch's mean, or its variance times n / (n - 1), an unbiased estimate. Otherwise normalized is
    taken with the running averages.

    Backward: dbeta = the sum of dvalues over the batch, dgamma = that of dvalues * normalized,
    dinputs = gamma / sqrt(variance + epsilon) * (dvalues - dbeta / n - normalized * dgamma / n).
    Where it is frozen, mean and variance are constants: dinputs = gamma /
    sqrt(variance + epsilon) * dvalues. Where several processes train on a batch together, all sums
    are over the rows of all of them.

    Source: Ioffe and Szegedy 2015, *Batch Normalization*, algorithms 1 and 2 and the equations
    of section 3.
    """

    smallest_batch = 2
    works_in_half = True
    first_in_float32 = True

    running_mean = Buffer()
    running_variance = Buffer()

    def __init__(
        self,
        n_features: int,
        *,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        scale: bool = True,
        center: bool = True,
        dtype: str = "float32",
        **options: Unpack[NormalizationOptions],
    ) -> None:
        super().__init__(n_features, epsilon, scale, center, dtype, **options)
        self.momentum = _checks.check_range("momentum", momentum, 0, 1)
        like, shape = self.flat.all_values, (1, self.n_features)
        zeros = self.xp.zeros(shape, dtype=like.dtype, device=like.device)
        self.create_buffers(running_mean=zeros, running_variance=zeros)
        self.initialize(None)

    def initialize(self, generator: Any) -> None:
        super().initialize(generator)
        self.running_mean[...] = 0.0
        self.running_variance[...] = 1.0

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs, self.n_features)
        gamma, beta = self.factors(xp, inputs)
        if not training:
            scale = gamma / xp.sqrt(self.running_variance + self.epsilon)
            output: Array = (inputs - self.running_mean) * scale + beta
            return output
        rows = as_rows(xp, inputs)
        if not self.trainable:
            inverse = 1 / xp.sqrt(self.running_variance + self.epsilon)
            normalized = (rows - self.running_mean) * inverse
            output = as_before(xp, _like(xp, gamma * normalized + beta, inputs), inputs)
            self.keep(output, normalized, inverse)
            return output
        n = rows.shape[0] if self.share is None else self.share.rows(rows.shape[0])
        if n == 1:
            raise ShapeError(
                "BatchNorm cannot be trained on a batch of 1 sample, whose variance is 0. Choose "
                "a batch size that leaves no single sample over."
            )
        output, normalized, inverse, mean, variance = self._normalized(xp, rows, gamma, beta)
        weight = 1 - self.momentum
        self.running_mean += weight * (mean - self.running_mean)
        self.running_variance += weight * (n / (n - 1) * variance - self.running_variance)
        output = as_before(xp, output, inputs)
        self.keep(output, normalized, inverse)
        return output

    def _normalized(
        self, xp: Namespace, rows: Array, gamma: Array, beta: Array
    ) -> tuple[Array, ...]:
        """What the kernel gives; over the rows of all processes, where several train together."""
        share = self.share
        if share is None:
            return self.kernels_for(rows).batch_norm(xp, rows, gamma, beta, self.epsilon)
        n, wide = share.rows(rows.shape[0]), _like(xp, rows, self.running_mean)
        mean = share.sum(xp.sum(wide, axis=0, keepdims=True)) / n
        normalized = wide - mean
        variance = share.sum(xp.sum(normalized * normalized, axis=0, keepdims=True)) / n
        inverse = 1 / xp.sqrt(variance + self.epsilon)
        normalized *= inverse
        output = _like(xp, gamma * normalized + beta, rows)
        return output, _like(xp, normalized, rows), inverse, mean, variance

    def backward(self, dvalues: Array) -> Array:
        xp, normalized, inverse = self.recall(dvalues)
        gamma, _ = self.factors(xp, dvalues)
        dgamma, dbeta = self.dfactors(xp, dvalues)
        rows, scale = as_rows(xp, dvalues), gamma * inverse
        share = self.share if self.trainable else None
        if share is None:
            dinputs = self.kernels_for(dvalues).batch_norm_backward(
                xp, rows, normalized, scale, dgamma, dbeta
            )
        else:  # the gradients are those of these rows; what goes back needs those of all
            rows, normalized = (_like(xp, each, inverse) for each in (rows, normalized))
            products = xp.sum(rows * normalized, axis=0, keepdims=True)
            total = xp.sum(rows, axis=0, keepdims=True)
            dgamma[...], dbeta[...] = (_like(xp, each, dgamma) for each in (products, total))
            n = share.rows(rows.shape[0])
            sums = share.sum(xp.concat([products, total], axis=0)) / n
            dinputs = _like(xp, scale * (rows - sums[1:, :] - normalized * sums[:1, :]), dvalues)
            if not share.n:  # these rows stand in for none
                dinputs = dinputs * 0.0
        if not self.trainable:
            dinputs = _like(xp, rows * scale, dvalues)
        self.dinputs = as_before(xp, dinputs, dvalues)
        self.add_penalties()
        return self.dinputs


def _like(xp: Namespace, values: Array, other: Array) -> Array:
    """The values in the other's type: what is summed up in half precision is float32 meanwhile."""
    same: Array = xp.astype(values, other.dtype, copy=False)
    return same


class LayerNorm(Normalization):
    """Brings each sample to mean 0 and variance 1 over its features, then scales and shifts.

    Parameters
    ----------
    n_features : int
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

    Raises
    ------
    ArgumentError
        A setting is none, or what is left out is penalised.
    ShapeError, DTypeError, BackendError
        From `forward` and `backward`: arrays that do not fit the layer.

    Notes
    -----
    Forward: normalized = (inputs - mean) / sqrt(variance + epsilon), with mean and variance
    over the features of each sample; output = gamma * normalized + beta. Shapes (batch, …,
    n_features), where all axes before the last are batch.

    Backward: dbeta = the sum of dvalues over the batch, dgamma = that of dvalues * normalized,
    dinputs = (g - mean(g) - normalized * mean(g * normalized)) / sqrt(variance + epsilon),
    with g = gamma * dvalues and the means over the features.

    Source: Ba, Kiros and Hinton 2016, *Layer Normalization*, equations 3 and 4.
    """

    def __init__(
        self,
        n_features: int,
        *,
        epsilon: float = 1e-5,
        scale: bool = True,
        center: bool = True,
        dtype: str = "float32",
        **options: Unpack[NormalizationOptions],
    ) -> None:
        super().__init__(n_features, epsilon, scale, center, dtype, **options)
        self.initialize(None)

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs, self.n_features)
        gamma, beta = self.factors(xp, inputs)
        rows, normalized, inverse = self.kernels_for(inputs).layer_norm(
            xp, as_rows(xp, inputs), gamma, beta, self.epsilon
        )
        output = as_before(xp, rows, inputs)
        if training:
            self.keep(output, normalized, inverse)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, normalized, inverse = self.recall(dvalues)
        gamma, _ = self.factors(xp, dvalues)
        dgamma, dbeta = self.dfactors(xp, dvalues)
        dinputs = self.kernels_for(dvalues).layer_norm_backward(
            xp, as_rows(xp, dvalues), normalized, inverse, gamma, dgamma, dbeta
        )
        self.dinputs = as_before(xp, dinputs, dvalues)
        self.add_penalties()
        return self.dinputs
