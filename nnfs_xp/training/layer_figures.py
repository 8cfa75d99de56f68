"""Figures of each layer at one moment: worked out on the device, brought to the host in one go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import gcd, prod
from typing import Any

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.backend import Backend, to_numpy
from nnfs_xp.flat_parameters import FlatParameters
from nnfs_xp.layers import Layer
from nnfs_xp.layers.chain import Pass

BINS = 30
"""Of each histogram."""

_MOST = 2_000
"""Values that a histogram is made of at most: as many, taken evenly."""


def names_of(model: Layer) -> dict[int, str]:
    """The name of each layer within the model by its id, as in the names of its parameters."""
    return {id(layer): prefix.removesuffix(".") for prefix, layer in model.walk()}


def figures_of(
    model: Layer,
    passes: Sequence[tuple[Layer, Pass]],
    before: tuple[FlatParameters, Array] | None,
    *,
    gradients: bool,
) -> dict[str, dict[str, Any]]:
    """The figures of each layer that has parameters or an output, by the layer's name.

    Parameters
    ----------
    model : Layer
    passes : sequence of (layer, Pass)
        What the layers that run make, in inference, of the samples that are looked at.
    before : tuple of FlatParameters and array, optional
        The trained parameters from before the last step, in an array that may be written to.
    gradients : bool
        Whether the gradients are those of the last step.

    Returns
    -------
    dict
        ``weight_norm``, ``gradient_norm`` and ``update_size``: Euclidean norms, of all parameters
        of the layer together. ``gradients`` and ``outputs``: a histogram each, as the lowest value,
        the highest one and the counts between them. ``units``: how many outputs there are.
        ``dead``, of an elementwise layer: how many of them are exactly 0 for all samples. What does
        not apply is left out.

    Notes
    -----
    A layer that hands its inputs on, as `Dropout` does in inference, has no dead units of its own.
    `LeakyReLU`, `Tanh` and others give 0 for an input of 0 alone. So a count of 0 does not say that
    they learn: units that are saturated show in the histograms.
    """
    names = names_of(model)
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    gathered = _Gathered(model.flat.backend, model.flat.dtype)
    squares = _squares(model, before, gathered, gradients=gradients)
    samples: dict[tuple[str, str], list[slice]] = defaultdict(list)
    if gradients:
        _sample_gradients(model, gathered, samples)
    dead: dict[str, slice] = {}
    for layer, each in passes:
        name, output = names[id(layer)], each.output
        if output.ndim < 2 or not prod(output.shape):
            continue
        found[name]["units"] = output.shape[-1]
        samples[name, "outputs"].append(gathered.sample(output, prod(output.shape)))
        if layer.elementwise and output is not each.inputs:
            dead[name] = gathered.put(_count_of_dead(gathered.xp, output, gathered.dtype))
    values = gathered.read()
    for (name, figure), places in squares.items():
        found[name][figure] = float(np.sqrt(sum(values[place][0] for place in places)))
    for (name, figure), places in samples.items():
        histogram = _histogram(np.concatenate([values[place] for place in places]))
        if histogram is not None:
            found[name][figure] = histogram
    for name, place in dead.items():
        found[name]["dead"] = int(values[place][0])
    return {name: found[name] for name in names.values() if name in found}


class _Gathered:
    """Numbers of a device that go to the host together."""

    def __init__(self, backend: Backend, dtype: str) -> None:
        self.xp = backend.xp
        self.dtype = backend.dtype(dtype)
        self._parts: list[Array] = []
        self._size = 0

    def put(self, array: Array) -> slice:
        """Take an array along; return where its values will be."""
        size = prod(array.shape)
        flat = self.xp.reshape(self.xp.astype(array, self.dtype, copy=False), (size,))
        self._parts.append(flat)
        self._size += size
        return slice(self._size - size, self._size)

    def put_square(self, array: Array) -> slice:
        """Take the sum of the squares of an array along."""
        flat = self.xp.reshape(array, (prod(array.shape),))
        return self.put(flat @ flat)

    def sample(self, array: Array, n: int) -> slice:
        """Take values of an array along, evenly taken, as if it had n of which `_MOST` go."""
        stride = max(1, -(-n // _MOST))
        while gcd(stride, array.shape[-1]) > 1:  # else some columns would never be seen
            stride += 1
        flat = self.xp.reshape(array, (prod(array.shape),))
        return self.put(flat[::stride])

    def read(self) -> np.ndarray[Any, Any]:
        """All of them, on the host."""
        return to_numpy(self.xp.concat(self._parts)).astype(np.float64)


def _squares(
    model: Layer,
    before: tuple[FlatParameters, Array] | None,
    gathered: _Gathered,
    *,
    gradients: bool,
) -> Mapping[tuple[str, str], list[slice]]:
    """Where the sums of squares are, by layer and figure: one for each parameter of the layer."""
    places: dict[tuple[str, str], list[slice]] = defaultdict(list)
    parameters, found = model.parameters(), model.gradients()
    for name, values in parameters.items():
        places[layer_of(name), "weight_norm"].append(gathered.put_square(values))
    if gradients:
        for name in model.flat.layout:
            places[layer_of(name), "gradient_norm"].append(gathered.put_square(found[name]))
    if before is not None and before[0] is model.flat:
        change, start = before[1], 0
        change -= model.flat.values
        for name in model.flat.layout:
            stop = start + prod(parameters[name].shape)
            square = gathered.put_square(change[start:stop])
            places[layer_of(name), "update_size"].append(square)
            start = stop
    return places


def _sample_gradients(
    model: Layer, gathered: _Gathered, samples: dict[tuple[str, str], list[slice]]
) -> None:
    found = model.gradients()
    sizes: dict[str, int] = defaultdict(int)
    for name in model.flat.layout:
        sizes[layer_of(name)] += prod(found[name].shape)
    for name in model.flat.layout:
        place = gathered.sample(found[name], sizes[layer_of(name)])
        samples[layer_of(name), "gradients"].append(place)


def layer_of(name: str) -> str:
    """The name of the layer that a parameter belongs to."""
    return name.rpartition(".")[0]


def _count_of_dead(xp: Any, output: Array, dtype: Any) -> Array:
    axes = tuple(range(output.ndim - 1))
    count: Array = xp.sum(xp.astype(xp.all(output == 0.0, axis=axes), dtype))
    return count


def _histogram(values: np.ndarray[Any, Any]) -> list[Any] | None:
    """The lowest of these, the highest one, and the counts between; None where none is finite."""
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    low, high = float(values.min()), float(values.max())
    with np.errstate(over="ignore", invalid="ignore"):
        places = (values - low) * (BINS / ((high - low) or 1.0))
    places = np.minimum(np.nan_to_num(places), BINS - 1).astype(np.int64)
    return [low, high, np.bincount(places, minlength=BINS).tolist()]
