"""The pairs of PyTorch's modules and the layers here, and how each is made from the other."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.torch.modules import modules
from nnfs_xp.interop.translation import Wanted, expect, expect_parameter
from nnfs_xp.layers import (
    ELU,
    GELU,
    SELU,
    AlphaDropout,
    BatchNorm,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    Layer,
    LayerNorm,
    LeakyReLU,
    Linear,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)

_FAR = 40.0
"""Where log(1 + exp(x)) is x in float64 too: PyTorch's Softplus takes it for x from 20 on."""


class Pair(NamedTuple):
    """A layer, the name of its module, and the functions that make each from the other.

    `read` takes the module and what is wanted, `write` takes `torch.nn` and the layer; neither
    moves weights.
    """

    ours: type[Layer]
    theirs: str
    read: Callable[[Any, Wanted], Layer]
    write: Callable[[Any, Any], Any]


def _plain(ours: type[Layer], theirs: str) -> Pair:
    """A pair without settings."""
    return Pair(ours, theirs, lambda *_: ours(), lambda nn, _: getattr(nn, theirs)())


def _check_present(module: Any, *names: str) -> None:
    """Refuse a module without an attribute that each of its kind has."""
    for name in names:
        if getattr(module, name) is None:
            raise ArgumentError(f"its `{name}` is None.")


def _dense(linear: Any, wanted: Wanted) -> Dense:
    _check_present(linear, "weight")
    expect_parameter(linear.bias is not None, "bias", wanted)
    return Dense(linear.in_features, linear.out_features, dtype=wanted.dtype, seed=0)


def _batch_norm(module: Any, wanted: Wanted) -> BatchNorm:
    expect(module, track_running_stats=(True,))
    _check_present(module, "running_mean", "running_var")
    if module.momentum is None:
        raise ArgumentError(
            "its `momentum` is None, a mean over all batches; the running averages here need one."
        )
    if not 0 < module.momentum <= 1:
        raise ArgumentError(
            f"its `momentum` must be above 0 and at most 1; got {module.momentum!r}."
        )
    expect_parameter(module.weight is not None, "weight", wanted)
    expect_parameter(module.bias is not None, "bias", wanted)
    return BatchNorm(
        module.num_features,
        momentum=_complement(module.momentum),
        epsilon=module.eps,
        dtype=wanted.dtype,
    )


def _complement(momentum: float) -> float:
    """1 - momentum, in decimal, so that 0.1 becomes 0.9 and that 0.1 again.

    PyTorch's momentum is the weight of the new batch; that here, of the past.
    """
    return float(1 - Decimal(repr(float(momentum))))


def _layer_norm(module: Any, wanted: Wanted) -> LayerNorm:
    if len(module.normalized_shape) != 1:
        raise ArgumentError(
            "its `normalized_shape` must have one axis, the features; got "
            f"{tuple(module.normalized_shape)}."
        )
    expect_parameter(module.weight is not None, "weight", wanted)
    expect_parameter(module.bias is not None, "bias", wanted)
    return LayerNorm(module.normalized_shape[0], epsilon=module.eps, dtype=wanted.dtype)


def _embedding(module: Any, wanted: Wanted) -> Embedding:
    expect(module, padding_idx=(None,), max_norm=(None,), scale_grad_by_freq=(False,))
    _check_present(module, "weight")
    return Embedding(module.num_embeddings, module.embedding_dim, dtype=wanted.dtype, seed=0)


def _softmax(module: Any, _: Wanted) -> Softmax:
    expect(module, dim=(1, -1))
    return Softmax()


def _softplus(module: Any, _: Wanted) -> Softplus:
    expect(module, beta=(1,))
    if module.threshold < 20:
        raise ArgumentError(
            f"its `threshold` must be at least 20, where the error is below 3e-9; got "
            f"{module.threshold!r}."
        )
    return Softplus()


def _flatten(module: Any, _: Wanted) -> Flatten:
    expect(module, start_dim=(1,), end_dim=(-1,))
    return Flatten()


PAIRS = (
    Pair(Dense, "Linear", _dense, lambda nn, la: nn.Linear(la.n_inputs, la.n_neurons)),
    Pair(
        BatchNorm,
        "BatchNorm1d",
        _batch_norm,
        lambda nn, la: nn.BatchNorm1d(
            la.n_features, eps=la.epsilon, momentum=_complement(la.momentum)
        ),
    ),
    Pair(
        LayerNorm,
        "LayerNorm",
        _layer_norm,
        lambda nn, la: nn.LayerNorm(la.n_features, eps=la.epsilon),
    ),
    Pair(
        Embedding,
        "Embedding",
        _embedding,
        lambda nn, la: nn.Embedding(la.n_values, la.n_dimensions),
    ),
    _plain(ReLU, "ReLU"),
    Pair(
        LeakyReLU,
        "LeakyReLU",
        lambda module, _: LeakyReLU(module.negative_slope),
        lambda nn, la: nn.LeakyReLU(la.negative_slope),
    ),
    Pair(ELU, "ELU", lambda module, _: ELU(module.alpha), lambda nn, la: nn.ELU(la.alpha)),
    _plain(SELU, "SELU"),
    Pair(
        GELU,
        "GELU",
        lambda module, _: GELU(module.approximate),
        lambda nn, la: nn.GELU(la.approximate),
    ),
    _plain(SiLU, "SiLU"),
    _plain(Sigmoid, "Sigmoid"),
    _plain(Tanh, "Tanh"),
    Pair(Softplus, "Softplus", _softplus, lambda nn, _: nn.Softplus(threshold=_FAR)),
    Pair(Softmax, "Softmax", _softmax, lambda nn, _: nn.Softmax(dim=1)),
    _plain(Linear, "Identity"),
    Pair(Flatten, "Flatten", _flatten, lambda nn, _: nn.Flatten()),
    Pair(
        Dropout, "Dropout", lambda module, _: Dropout(module.p), lambda nn, la: nn.Dropout(la.rate)
    ),
    Pair(
        AlphaDropout,
        "AlphaDropout",
        lambda module, _: AlphaDropout(module.p),
        lambda nn, la: nn.AlphaDropout(la.rate),
    ),
    Pair(
        GaussianNoise,
        "GaussianNoise",
        lambda module, _: GaussianNoise(module.deviation),
        lambda _, la: modules()["GaussianNoise"](la.deviation),
    ),
)
"""All pairs but those of containers, which `nnfs_xp.interop.torch.models` takes apart."""
