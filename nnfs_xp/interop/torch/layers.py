"""The table of PyTorch's modules and the layers here: a row has all that PyTorch is told of one.

It needs no PyTorch. Weights differ in layout: biases, scales and shifts are (1, n) here and (n,)
there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from nnfs_xp import layers
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.torch.modules import class_named
from nnfs_xp.interop.translation import Wanted, expect, expect_parameter
from nnfs_xp.layers import Layer

_FAR = 40.0
"""Where log(1 + exp(x)) is x in float64 too: PyTorch's Softplus takes it for x from 20 on."""


class Place(NamedTuple):
    """Where a tensor of PyTorch's lies in a layer of ours, and how."""

    name: str
    theirs: Callable[[Any], Any]
    ours: Callable[[Any], Any]


class Row(NamedTuple):
    """A layer, its module, and how each is made from the other.

    Attributes
    ----------
    ours : type of Layer
    theirs : str
        The name of the module, in `torch.nn` or in `nnfs_xp.interop.torch.modules`.
    read : callable
        Takes the module and what is wanted; returns the layer, without the module's weights.
    write : callable
        Takes `torch.nn` and the layer; returns the module, without the layer's weights.
    note : str
        What differs, for readers of the documentation, in Markdown.
    weights : mapping of str to Place
        All parameters and buffers, by PyTorch's names.
    counter : str, optional
        The name of a tensor of PyTorch's that counts batches, and that no layer here needs.
    differs_in_training : bool
        Whether the module computes something else in training than in evaluation.
    takes_axis_1 : callable, optional
        Takes the module; returns whether it takes axis 1 for the features, so that it does the
        same as the layer for rows alone.
    of_any_shape : str, optional
        The name of the module here that takes the last axis in its place.
    """

    ours: type[Layer]
    theirs: str
    read: Callable[[Any, Wanted], Layer]
    write: Callable[[Any, Any], Any]
    note: str = ""
    weights: Mapping[str, Place] = MappingProxyType({})
    counter: str | None = None
    differs_in_training: bool = False
    takes_axis_1: Callable[[Any], bool] | None = None
    of_any_shape: str | None = None


class Container(NamedTuple):
    """A layer made of layers, the name of its module, and what differs."""

    ours: type[Layer]
    theirs: str
    note: str


def _alike(
    ours: type[Layer],
    theirs: str,
    settings: Mapping[str, str] = MappingProxyType({}),
    **others: Any,
) -> Row:
    """A row with the same settings: the names of ours, and what the module calls them."""

    def read(module: Any, _: Wanted) -> Layer:
        return ours(**{name: getattr(module, other) for name, other in settings.items()})

    def write(_: Any, layer: Any) -> Any:
        values = {other: getattr(layer, name) for name, other in settings.items()}
        return class_named(theirs)(**values)

    return Row(ours, theirs, read, write, **others)


def _vector(name: str) -> Place:
    return Place(name, lambda row: row[0], lambda vector: vector[None, :])


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


def _scale(module: Any, wanted: Wanted) -> layers.Scale:
    shape = tuple(module.scale.shape)
    return layers.Scale(shape[1] if shape[0] == 1 else shape, dtype=wanted.dtype)


def _parametric(module: Any, wanted: Wanted) -> layers.ParametricActivation:
    kind = type(module.activation)
    row = next((row for row in ROWS if class_named(row.theirs) is kind), None)
    if row is None:
        raise ArgumentError(f"its `activation`, a {kind.__name__}, has no counterpart here.")
    activation = row.read(module.activation, wanted)
    return layers.ParametricActivation(activation, module.alpha.shape[0], dtype=wanted.dtype)


def _to_parametric(nn: Any, layer: layers.ParametricActivation) -> Any:
    activation = layer.children[0]
    row = BY_LAYER.get(type(activation))
    if row is None:
        raise ArgumentError(f"{layer!r} has an activation without a counterpart in PyTorch.")
    return class_named("ParametricActivation")(row.write(nn, activation), layer.n_features)


def _periodic(module: Any, wanted: Wanted) -> layers.PeriodicEmbedding:
    n_features, n_frequencies, n_learnt = module.weight.shape
    return layers.PeriodicEmbedding(
        n_features, n_frequencies, n_learnt + 1, dtype=wanted.dtype, seed=0
    )


def _member_dense(module: Any, wanted: Wanted) -> layers.MemberDense:
    return layers.MemberDense(*module.weight.shape, dtype=wanted.dtype, seed=0)


def _as_it_is(name: str) -> Place:
    return Place(name, np.asarray, np.asarray)


_OWN = "PyTorch has none: a class in `nnfs_xp.interop.torch.modules`"

ROWS = (
    Row(
        layers.Dense,
        "Linear",
        _dense,
        lambda nn, la: nn.Linear(la.n_inputs, la.n_neurons),
        note="weights are (inputs, neurons) here, (neurons, inputs) there; biases are (1, n) here, "
        "(n,) there; always with biases here",
        weights={
            "weight": Place("weights", np.transpose, np.transpose),
            "bias": _vector("biases"),
        },
    ),
    Row(
        layers.BatchNorm,
        "BatchNorm1d",
        _batch_norm,
        lambda nn, la: nn.BatchNorm1d(
            la.n_features, eps=la.epsilon, momentum=_complement(la.momentum)
        ),
        note="`momentum` is the weight of the past here, of the new batch there: 0.9 is 0.1; "
        "`epsilon` is `eps`; for samples that are no rows, a class in "
        "`nnfs_xp.interop.torch.modules`; frozen, it also keeps its running averages here",
        weights={
            "weight": _vector("gamma"),
            "bias": _vector("beta"),
            "running_mean": _vector("running_mean"),
            "running_var": _vector("running_variance"),
        },
        counter="num_batches_tracked",  # only a module without a momentum needs it
        differs_in_training=True,
        takes_axis_1=lambda _: True,
        of_any_shape="BatchNorm",
    ),
    Row(
        layers.LayerNorm,
        "LayerNorm",
        _layer_norm,
        lambda nn, la: nn.LayerNorm(la.n_features, eps=la.epsilon),
        note="one axis, the features; `epsilon` is `eps`",
        weights={"weight": _vector("gamma"), "bias": _vector("beta")},
    ),
    Row(
        layers.Embedding,
        "Embedding",
        _embedding,
        lambda nn, la: nn.Embedding(la.n_values, la.n_dimensions),
        note="here codes may also be whole numbers of the weights' data type",
        weights={"weight": _as_it_is("weights")},
    ),
    _alike(layers.ReLU, "ReLU"),
    _alike(layers.LeakyReLU, "LeakyReLU", {"negative_slope": "negative_slope"}),
    _alike(layers.ELU, "ELU", {"alpha": "alpha"}),
    _alike(layers.SELU, "SELU"),
    _alike(layers.GELU, "GELU", {"approximate": "approximate"}),
    _alike(layers.SiLU, "SiLU"),
    _alike(layers.Mish, "Mish"),
    _alike(layers.Sigmoid, "Sigmoid"),
    _alike(layers.Tanh, "Tanh"),
    Row(
        layers.Softplus,
        "Softplus",
        _softplus,
        lambda nn, _: nn.Softplus(threshold=_FAR),
        note="from `threshold` on, PyTorch's is a straight line; `to_torch` sets `threshold` to 40",
    ),
    Row(
        layers.Softmax,
        "Softmax",
        _softmax,
        lambda nn, _: nn.Softmax(dim=-1),
        note="`dim` is -1; for rows, 1 is taken, too",
        takes_axis_1=lambda module: module.dim == 1,
    ),
    Row(
        layers.Scale,
        "Scale",
        _scale,
        lambda _, la: class_named("Scale")(*la._shapes["scale"]),
        note=_OWN,
        weights={"scale": _as_it_is("scale")},
    ),
    Row(
        layers.ParametricActivation,
        "ParametricActivation",
        _parametric,
        _to_parametric,
        note=_OWN,
        weights={"alpha": _vector("alpha")},
    ),
    Row(
        layers.PeriodicEmbedding,
        "PeriodicEmbedding",
        _periodic,
        lambda _, la: class_named("PeriodicEmbedding")(
            la.n_features, la.n_frequencies, la.n_dimensions
        ),
        note=_OWN,
        weights={
            "frequencies": _as_it_is("frequencies"),
            "phases": _as_it_is("phases"),
            "weight": _as_it_is("weights"),
            "bias": _as_it_is("biases"),
        },
    ),
    Row(
        layers.MemberDense,
        "MemberDense",
        _member_dense,
        lambda _, la: class_named("MemberDense")(la.n_members, la.n_inputs, la.n_neurons),
        note=_OWN,
        weights={"weight": _as_it_is("weights"), "bias": _as_it_is("biases")},
    ),
    _alike(layers.Repeat, "Repeat", {"n_members": "n_members"}, note=_OWN),
    _alike(layers.Columns, "Columns", {"start": "start", "stop": "stop"}, note=_OWN),
    _alike(layers.Linear, "Identity"),
    Row(layers.Flatten, "Flatten", _flatten, lambda nn, _: nn.Flatten()),
    _alike(
        layers.Dropout,
        "Dropout",
        {"rate": "p"},
        note="`rate` is `p`; each library draws its own masks",
        differs_in_training=True,
    ),
    _alike(
        layers.AlphaDropout,
        "AlphaDropout",
        {"rate": "p"},
        note="as `Dropout`",
        differs_in_training=True,
    ),
    _alike(
        layers.GaussianNoise,
        "GaussianNoise",
        {"deviation": "deviation"},
        note=_OWN,
        differs_in_training=True,
    ),
)
"""All layers but containers. A layer of its own has a row here, and is told of nowhere else."""

CONTAINERS = (
    Container(
        layers.Sequential,
        "Sequential",
        "also classes that derive from PyTorch's without a `forward` of their own; a `Block` "
        "becomes one, too",
    ),
    Container(layers.Residual, "Residual", _OWN),
    Container(layers.Concatenate, "Concatenate", _OWN),
)
"""The layers made of layers, which `nnfs_xp.interop.torch.models` takes apart."""

BY_LAYER = {row.ours: row for row in ROWS}
