"""The table of PyTorch's modules and the layers here: a row has all that PyTorch is told of one.

It needs no PyTorch. Weights differ in layout: biases, scales and shifts are (1, n) here and (n,)
there.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from nnfs_xp import layers
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.torch.modules import class_named
from nnfs_xp.interop.torch.pictures import OWN, PICTURE_ROWS
from nnfs_xp.interop.torch.rows import (
    ANYWHERE,
    Container,
    Fits,
    Place,
    Row,
    alike,
    as_is,
    as_it_is,
    check_present,
    scale_and_center,
    turned_into,
    vector,
    without,
)
from nnfs_xp.interop.translation import Wanted, expect, expect_parameter

_FAR = 40.0
"""Where log(1 + exp(x)) is x in float64 too: PyTorch's Softplus takes it for x from 20 on."""


def _dense(linear: Any, wanted: Wanted) -> layers.Dense:
    check_present(linear, "weight")
    expect_parameter(linear.bias is not None, "bias", wanted)
    return layers.Dense(linear.in_features, linear.out_features, dtype=wanted.dtype, seed=0)


def _batch_norm(module: Any, wanted: Wanted) -> layers.BatchNorm:
    expect(module, track_running_stats=(True,))
    check_present(module, "running_mean", "running_var")
    if module.momentum is None:
        raise ArgumentError(
            "its `momentum` is None, a mean over all batches; the running averages here need one."
        )
    if not 0 < module.momentum <= 1:
        raise ArgumentError(
            f"its `momentum` must be above 0 and at most 1; got {module.momentum!r}."
        )
    return layers.BatchNorm(
        module.num_features,
        momentum=_complement(module.momentum),
        epsilon=module.eps,
        dtype=wanted.dtype,
        **scale_and_center(module, wanted),
    )


def _to_batch_norm(nn: Any, layer: layers.BatchNorm) -> Any:
    module = nn.BatchNorm1d(
        layer.n_features,
        eps=layer.epsilon,
        momentum=_complement(layer.momentum),
        affine=layer.scale or layer.center,
    )
    return without(module, layer)


def _batch_norm_first(module: Any, n_axes: int) -> Any:
    if n_axes != 2:
        return module
    module.__class__ = class_named("BatchNorm2d")  # which differs in the shapes that it takes
    return module


def _batch_norm_last(module: Any, n_axes: int) -> Any:
    return turned_into("BatchNorm")(module, n_axes) if n_axes else module


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
    return layers.LayerNorm(
        module.normalized_shape[0],
        epsilon=module.eps,
        dtype=wanted.dtype,
        **scale_and_center(module, wanted),
    )


def _to_layer_norm(nn: Any, layer: layers.LayerNorm) -> Any:
    affine = layer.scale or layer.center
    module = nn.LayerNorm(layer.n_features, eps=layer.epsilon, elementwise_affine=affine)
    return without(module, layer)


def _embedding(module: Any, wanted: Wanted) -> layers.Embedding:
    expect(module, padding_idx=(None,), max_norm=(None,), scale_grad_by_freq=(False,))
    check_present(module, "weight")
    return layers.Embedding(module.num_embeddings, module.embedding_dim, dtype=wanted.dtype, seed=0)


def _softmax(module: Any, _: Wanted) -> layers.Softmax:
    expect(module, dim=(1, -1))
    return layers.Softmax()


def _softmax_first(module: Any, n_axes: int) -> Any:
    del n_axes
    module.dim = 1
    return module


def _softplus(module: Any, _: Wanted) -> layers.Softplus:
    expect(module, beta=(1,))
    if module.threshold < 20:
        raise ArgumentError(
            f"its `threshold` must be at least 20, where the error is below 3e-9; got "
            f"{module.threshold!r}."
        )
    return layers.Softplus()


def _flatten(module: Any, _: Wanted) -> layers.Flatten:
    if hasattr(module, "start_dim"):
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


ROWS = (
    Row(
        layers.Dense,
        "Linear",
        _dense,
        lambda nn, la: nn.Linear(la.n_inputs, la.n_neurons),
        note="weights are (inputs, neurons) here, (neurons, inputs) there; biases are (1, n) here, "
        "(n,) there; always with biases here",
        weights={
            "weight": Place("weights", np.transpose, np.transpose, along=0),
            "bias": vector("biases"),
        },
        also=("LinearOverChannels",),
        layout=Fits(first=turned_into("LinearOverChannels"), last=as_is, flat="ends"),
    ),
    Row(
        layers.BatchNorm,
        "BatchNorm1d",
        _batch_norm,
        _to_batch_norm,
        note="`momentum` is the weight of the past here, of the new batch there: 0.9 is 0.1; "
        "`epsilon` is `eps`; `scale` and `center` together are `affine`; among layers for pictures "
        "`BatchNorm2d`; for other samples that are no rows, a class in "
        "`nnfs_xp.interop.torch.modules`; frozen, it also keeps its running averages here",
        weights={
            "weight": vector("gamma", along=1),
            "bias": vector("beta", along=1),
            "running_mean": vector("running_mean", along=1),
            "running_var": vector("running_variance", along=1),
        },
        counter="num_batches_tracked",  # only a module without a momentum needs it
        differs_in_training=True,
        also=("BatchNorm", "BatchNorm2d"),
        layout=Fits(first=_batch_norm_first, last=_batch_norm_last, flat="keeps"),
    ),
    Row(
        layers.LayerNorm,
        "LayerNorm",
        _layer_norm,
        _to_layer_norm,
        note="one axis, the features; `epsilon` is `eps`; `scale` and `center` together are "
        "`elementwise_affine`",
        weights={"weight": vector("gamma", along=1), "bias": vector("beta", along=1)},
        also=("LayerNormOverChannels",),
        layout=Fits(first=turned_into("LayerNormOverChannels"), last=as_is, flat="keeps"),
    ),
    Row(
        layers.Embedding,
        "Embedding",
        _embedding,
        lambda nn, la: nn.Embedding(la.n_values, la.n_dimensions),
        note="here codes may also be whole numbers of the weights' data type",
        weights={"weight": as_it_is("weights")},
    ),
    alike(layers.ReLU, "ReLU"),
    alike(layers.LeakyReLU, "LeakyReLU", {"negative_slope": "negative_slope"}),
    alike(layers.ELU, "ELU", {"alpha": "alpha"}),
    alike(layers.SELU, "SELU"),
    alike(layers.GELU, "GELU", {"approximate": "approximate"}),
    alike(layers.SiLU, "SiLU"),
    alike(layers.Mish, "Mish"),
    alike(layers.Sigmoid, "Sigmoid"),
    alike(layers.Tanh, "Tanh"),
    Row(
        layers.Softplus,
        "Softplus",
        _softplus,
        lambda nn, _: nn.Softplus(threshold=_FAR),
        note="from `threshold` on, PyTorch's is a straight line; `to_torch` sets `threshold` to 40",
        layout=ANYWHERE,
    ),
    Row(
        layers.Softmax,
        "Softmax",
        _softmax,
        lambda nn, _: nn.Softmax(dim=-1),
        note="`dim` is -1; for rows, 1 is taken, too; where the channels come first, it is 1",
        layout=Fits(first=_softmax_first, last=as_is, flat="keeps"),
    ),
    Row(
        layers.Scale,
        "Scale",
        _scale,
        lambda _, la: class_named("Scale")(*la._shapes["scale"]),
        note=OWN,
        weights={"scale": as_it_is("scale")._replace(along=1)},
        also=("ScaleOverChannels",),
        layout=Fits(first=turned_into("ScaleOverChannels"), last=as_is, flat="keeps"),
    ),
    Row(
        layers.ParametricActivation,
        "ParametricActivation",
        _parametric,
        _to_parametric,
        note=OWN,
        weights={"alpha": vector("alpha", along=1)},
        also=("ParametricActivationOverChannels",),
        layout=Fits(
            first=turned_into("ParametricActivationOverChannels"), last=as_is, flat="keeps"
        ),
    ),
    Row(
        layers.PeriodicEmbedding,
        "PeriodicEmbedding",
        _periodic,
        lambda _, la: class_named("PeriodicEmbedding")(
            la.n_features, la.n_frequencies, la.n_dimensions
        ),
        note=OWN,
        weights={
            "frequencies": as_it_is("frequencies"),
            "phases": as_it_is("phases"),
            "weight": as_it_is("weights"),
            "bias": as_it_is("biases"),
        },
        also=("PeriodicEmbeddingOverChannels",),
        layout=Fits(first=turned_into("PeriodicEmbeddingOverChannels"), last=as_is),
    ),
    Row(
        layers.MemberDense,
        "MemberDense",
        _member_dense,
        lambda _, la: class_named("MemberDense")(la.n_members, la.n_inputs, la.n_neurons),
        note=OWN,
        weights={"weight": as_it_is("weights"), "bias": as_it_is("biases")},
    ),
    alike(layers.Repeat, "Repeat", {"n_members": "n_members"}, note=OWN, layout=None),
    alike(
        layers.Columns,
        "Columns",
        {"start": "start", "stop": "stop"},
        note=OWN,
        also=("ColumnsOverChannels",),
        layout=Fits(first=turned_into("ColumnsOverChannels"), last=as_is),
    ),
    alike(layers.Linear, "Identity"),
    Row(
        layers.Flatten,
        "Flatten",
        _flatten,
        lambda nn, _: nn.Flatten(),
        note="behind layers for pictures, features lie channel by channel there, and the weights "
        "of the `Linear` that takes them, too",
        also=("FlattenPlaces",),
        layout=Fits(first=as_is, last=as_is, flat="keeps"),
    ),
    *PICTURE_ROWS,
    alike(
        layers.Dropout,
        "Dropout",
        {"rate": "p"},
        note="`rate` is `p`; each library draws its own masks",
        differs_in_training=True,
    ),
    alike(
        layers.AlphaDropout,
        "AlphaDropout",
        {"rate": "p"},
        note="as `Dropout`",
        differs_in_training=True,
    ),
    alike(
        layers.GaussianNoise,
        "GaussianNoise",
        {"deviation": "deviation"},
        note=OWN,
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
    Container(layers.Residual, "Residual", OWN),
    Container(layers.Concatenate, "Concatenate", OWN),
)
"""The layers made of layers, which `reading` and `writing` take apart."""

BY_LAYER = {row.ours: row for row in ROWS}
