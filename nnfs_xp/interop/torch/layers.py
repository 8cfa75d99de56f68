"""The pairs of PyTorch's modules and the layers here, and how each is made from the other."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from nnfs_xp import layers
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.torch.modules import modules
from nnfs_xp.interop.translation import Wanted, expect, expect_parameter
from nnfs_xp.layers import Layer

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


def _alike(ours: type[Layer], theirs: str, **settings: str) -> Pair:
    """A pair with the same settings: the names of ours, and what the module calls them."""

    def read(module: Any, _: Wanted) -> Layer:
        return ours(**{name: getattr(module, other) for name, other in settings.items()})

    def write(nn: Any, layer: Any) -> Any:
        build = getattr(nn, theirs, None) or modules()[theirs]
        return build(**{other: getattr(layer, name) for name, other in settings.items()})

    return Pair(ours, theirs, read, write)


def _check_present(module: Any, *names: str) -> None:
    """Refuse a module without an attribute that each of its kind has."""
    for name in names:
        if getattr(module, name) is None:
            raise ArgumentError(f"its `{name}` is None.")


def _dense(linear: Any, wanted: Wanted) -> layers.Dense:
    _check_present(linear, "weight")
    expect_parameter(linear.bias is not None, "bias", wanted)
    return layers.Dense(linear.in_features, linear.out_features, dtype=wanted.dtype, seed=0)


def _batch_norm(module: Any, wanted: Wanted) -> layers.BatchNorm:
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
    return layers.BatchNorm(
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


def _layer_norm(module: Any, wanted: Wanted) -> layers.LayerNorm:
    if len(module.normalized_shape) != 1:
        raise ArgumentError(
            "its `normalized_shape` must have one axis, the features; got "
            f"{tuple(module.normalized_shape)}."
        )
    expect_parameter(module.weight is not None, "weight", wanted)
    expect_parameter(module.bias is not None, "bias", wanted)
    return layers.LayerNorm(module.normalized_shape[0], epsilon=module.eps, dtype=wanted.dtype)


def _embedding(module: Any, wanted: Wanted) -> layers.Embedding:
    expect(module, padding_idx=(None,), max_norm=(None,), scale_grad_by_freq=(False,))
    _check_present(module, "weight")
    return layers.Embedding(module.num_embeddings, module.embedding_dim, dtype=wanted.dtype, seed=0)


def _softmax(module: Any, _: Wanted) -> layers.Softmax:
    expect(module, dim=(1, -1))
    return layers.Softmax()


def _softplus(module: Any, _: Wanted) -> layers.Softplus:
    expect(module, beta=(1,))
    if module.threshold < 20:
        raise ArgumentError(
            f"its `threshold` must be at least 20, where the error is below 3e-9; got "
            f"{module.threshold!r}."
        )
    return layers.Softplus()


def _flatten(module: Any, _: Wanted) -> layers.Flatten:
    expect(module, start_dim=(1,), end_dim=(-1,))
    return layers.Flatten()


PAIRS = (
    Pair(layers.Dense, "Linear", _dense, lambda nn, la: nn.Linear(la.n_inputs, la.n_neurons)),
    Pair(
        layers.BatchNorm,
        "BatchNorm1d",
        _batch_norm,
        lambda nn, la: nn.BatchNorm1d(
            la.n_features, eps=la.epsilon, momentum=_complement(la.momentum)
        ),
    ),
    Pair(
        layers.LayerNorm,
        "LayerNorm",
        _layer_norm,
        lambda nn, la: nn.LayerNorm(la.n_features, eps=la.epsilon),
    ),
    Pair(
        layers.Embedding,
        "Embedding",
        _embedding,
        lambda nn, la: nn.Embedding(la.n_values, la.n_dimensions),
    ),
    _alike(layers.ReLU, "ReLU"),
    _alike(layers.LeakyReLU, "LeakyReLU", negative_slope="negative_slope"),
    _alike(layers.ELU, "ELU", alpha="alpha"),
    _alike(layers.SELU, "SELU"),
    _alike(layers.GELU, "GELU", approximate="approximate"),
    _alike(layers.SiLU, "SiLU"),
    _alike(layers.Sigmoid, "Sigmoid"),
    _alike(layers.Tanh, "Tanh"),
    Pair(layers.Softplus, "Softplus", _softplus, lambda nn, _: nn.Softplus(threshold=_FAR)),
    Pair(layers.Softmax, "Softmax", _softmax, lambda nn, _: nn.Softmax(dim=1)),
    _alike(layers.Linear, "Identity"),
    Pair(layers.Flatten, "Flatten", _flatten, lambda nn, _: nn.Flatten()),
    _alike(layers.Dropout, "Dropout", rate="p"),
    _alike(layers.AlphaDropout, "AlphaDropout", rate="p"),
    _alike(layers.GaussianNoise, "GaussianNoise", deviation="deviation"),
)
"""All pairs but those of containers, which `nnfs_xp.interop.torch.models` takes apart."""
