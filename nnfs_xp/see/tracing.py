"""All that one pass through a network computes: values forward, derivatives back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnfs_xp._finite import check_finite
from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, backend_of, get_backend, to_numpy
from nnfs_xp.errors import ArgumentError, DTypeError, ShapeError
from nnfs_xp.interop.beneath import HasNetwork, layer_of
from nnfs_xp.layers import Layer
from nnfs_xp.layers.composite import Composite
from nnfs_xp.layers.stochastic import StochasticLayer
from nnfs_xp.learning import Chain
from nnfs_xp.losses import Loss
from nnfs_xp.training.preparation import (
    check_lengths,
    check_shape,
    prepare_inputs,
    prepare_targets,
)


def gradient_name(name: str) -> str:
    """What the gradient of a parameter is called.

    Examples
    --------
    >>> gradient_name("weights"), gradient_name("1.biases")
    ('dweights', '1.dbiases')
    """
    owner, dot, short = name.rpartition(".")
    return f"{owner}{dot}d{short}"


@dataclass(frozen=True)
class LayerTrace:
    """What went through one layer, on the device that it ran on.

    Attributes
    ----------
    name : str
        The layer's place in the model: ``"0"``, or ``"1.0"`` for one within another.
    layer : Layer
    inputs, output : array, shape (batch, …)
    dvalues, dinputs : array or None
        The gradients of `output` and `inputs`; None where there was no backward pass.
    parameters, gradients : dict of str to array
        By name, ``"weights"`` say: those of `layer`. There are no gradients without a backward
        pass.
    """

    name: str
    layer: Layer
    inputs: Array
    output: Array
    dvalues: Array | None
    dinputs: Array | None
    parameters: dict[str, Array]
    gradients: dict[str, Array]


@dataclass(frozen=True)
class Trace:
    """One pass through a network, layer by layer: what `nnfs_xp.see.trace` gives.

    Attributes
    ----------
    layers : tuple of LayerTrace
        In the order of the forward pass. None of them ran fused with another.
    loss : Loss or None
    y_true : array or None
        The targets, as the loss took them.
    losses : array or None, shape (batch, …)
        The loss of each sample.
    mean : float or None
        The loss: what the gradients are the gradients of, penalties left out.
    """

    layers: tuple[LayerTrace, ...]
    loss: Loss | None = None
    y_true: Array | None = None
    losses: Array | None = None
    mean: float | None = None

    @property
    def inputs(self) -> Array:
        """What went into the first layer, shape (batch, …)."""
        return self.layers[0].inputs

    @property
    def output(self) -> Array:
        """What came out of the last layer, shape (batch, …)."""
        return self.layers[-1].output

    @property
    def n_samples(self) -> int:
        """How many samples went through the network together."""
        return int(self.inputs.shape[0])


def trace(
    model: Layer | HasNetwork,
    X: Any,
    y: Any = None,
    *,
    loss: Loss | None = None,
    dvalues: Any = None,
) -> Trace:
    """Run samples forward through a model, and derivatives back; keep everything on the way.

    The layers run one by one, none fused, by the methods that their classes show. The model, its
    gradients, its running averages and its random numbers are left as they are: a copy runs.

    Parameters
    ----------
    model : Layer
        The layers of a `Sequential`, and of those within it, run one by one.
    X : array of any backend, shape (n, …)
        Samples. Cast to the model's data type, and moved to its device.
    y : array of any backend, optional
        Targets, as `Trainer.fit` takes them. With `loss`.
    loss : Loss, optional
        Starts the way back with the gradient of its mean.
    dvalues : array, optional
        Starts the way back with this, of the output's shape, in the place of a loss.

    Returns
    -------
    Trace
        Without `loss` and `dvalues`, of a forward pass alone, as in inference.

    Raises
    ------
    ShapeError, DTypeError, LabelError, DataError
        The data do not fit the model or the loss.
    ArgumentError
        The model is none; `y` comes without `loss` or the other way round; or `dvalues` beside
        them.

    Examples
    --------
    >>> import numpy as np
    >>> import nnfs_xp as nn
    >>> neuron = nn.Sequential(nn.Dense(3, 1, dtype="float64"), nn.ReLU())
    >>> neuron.layers[0].weights, neuron.layers[0].biases = [[-3.0], [-1.0], [2.0]], [[1.0]]
    >>> seen = nn.see.trace(neuron, [[1.0, -2.0, 3.0]], dvalues=[[1.0]])
    >>> seen.output, seen.layers[0].gradients["weights"].T
    (array([[6.]]), array([[ 1., -2.,  3.]]))
    """
    model = layer_of(model)
    backend = model.backend or (backend_of(X) if hasattr(X, "dtype") else get_backend("numpy"))
    with backend.active():
        model = copy.deepcopy(model)
        X = inputs_for(model, X, backend)
        if loss is None and y is None:
            return trace_here(model, X, dvalues=_prepared(dvalues, model, X, backend))
        if loss is None or y is None or dvalues is not None:
            raise ArgumentError(
                "give `y` and `loss` together, or `dvalues` in their place, or none of them."
            )
        if not isinstance(loss, Loss):
            raise ArgumentError(f"`loss` must be a Loss; got {loss!r}.")
        y = backend.asarray(y)
        check_lengths(X, y)
        return trace_here(model, X, targets_for(model, loss, X, y), loss=loss)


def inputs_for(model: Layer, X: Any, backend: Backend) -> Array:
    """The samples as the model takes them, on its device; one without parameters keeps float64.

    Raises
    ------
    ShapeError, DTypeError, DataError
        They are unfit for the model.
    """
    if model.dtype is None:
        X = backend.asarray(X)
        inputs = X if backend.is_floating(X.dtype) else backend.asarray(X, "float32")
        check_shape(tuple(inputs.shape), model)
        check_finite("X", inputs, X)
        return inputs
    return backend.asarray(prepare_inputs(X, model, backend)[:, ...])


def targets_for(model: Layer, loss: Loss, X: Array, y: Array) -> Array:
    """The targets as the loss takes them from this model; see `prepare_targets`."""
    output = model.forward(X[:1, ...])
    return prepare_targets(loss, y, (X.shape[0], *output.shape[1:]), output.dtype)


def trace_here(
    model: Layer, X: Array, y: Array | None = None, *, loss: Loss | None = None, dvalues: Any = None
) -> Trace:
    """What `trace` gives, of the model itself and of data that are ready for it.

    As in a training step, gradients and running averages are set, and random numbers are drawn.
    The parameters and gradients that the trace holds are the model's own.
    """
    chain = Chain(model.links(), fuse=False)
    losses, mean = None, None

    def gradient(output: Array) -> Any:
        nonlocal losses, mean
        if loss is None or y is None:
            return dvalues
        losses = loss.forward(output, y)
        mean = float(to_numpy(loss.calculate(output, y)))
        return loss.backward(output, y)

    back = loss is not None or dvalues is not None
    if isinstance(model, Composite):
        model.gather_ties()
    passes = chain.trace(X, gradient if back else None)
    places = {id(layer): prefix[:-1] for prefix, layer in model.walk()}
    layers = []
    for each in passes:
        layer = each.layer
        assert isinstance(layer, Layer)  # none is fused
        layers.append(
            LayerTrace(
                places[id(layer)] or "0",
                layer,
                *each[1:],
                dict(layer.parameters()),
                _own_gradients(layer) if back else {},
            )
        )
    if back and isinstance(model, Composite):
        model.sum_ties()
    return Trace(tuple(layers), loss, y, losses, mean)


def _own_gradients(layer: Layer) -> dict[str, Array]:
    """What went back through this layer alone, also where others are tied to it."""
    within = dict(layer.walk())
    found = {}
    for name in layer.parameters():
        owner, dot, short = name.rpartition(".")
        found[name] = getattr(within[owner + dot], gradient_name(short))
    return found


def _prepared(dvalues: Any, model: Layer, X: Array, backend: Backend) -> Array | None:
    """The derivatives of the output, checked."""
    if dvalues is None:
        return None
    output = model.forward(X)
    dvalues = backend.asarray(dvalues)
    if tuple(dvalues.shape) != tuple(output.shape):
        raise ShapeError(
            f"`dvalues` must have the output's shape {tuple(output.shape)}; got "
            f"{tuple(dvalues.shape)}."
        )
    kind = np.asarray(to_numpy(dvalues)).dtype.kind
    if kind not in "fiub":
        raise DTypeError(f"`dvalues` must hold numbers; got {dvalues.dtype}.")
    return backend.asarray(dvalues, output.dtype)


def keep_state(model: Layer) -> Callable[[], None]:
    """Keep what a training forward changes beside the weights; call the result to bring it back.

    That is running averages, and which random numbers are drawn next.
    """
    kept = [
        (array, backend_of(array).xp.asarray(array, copy=True))
        for array in model.buffers().values()
    ]
    drawn = [
        (each, each.seed, each.stream, each.step)
        for _, each in model.walk()
        if isinstance(each, StochasticLayer)
    ]

    def bring_back() -> None:
        for array, before in kept:
            array[...] = before
        for layer, *where in drawn:
            layer.reseed(*where)

    return bring_back


@contextmanager
def left_as_it_is(model: Layer) -> Iterator[None]:
    """Let a training forward change neither running averages nor what is drawn next."""
    bring_back = keep_state(model)
    try:
        yield
    finally:
        bring_back()
