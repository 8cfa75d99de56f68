"""What the page shows beside the network: its decisions, the sample, a lens on a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp.backend import backend_of, to_numpy
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import Layer
from nnfs_xp.losses import Loss
from nnfs_xp.see.scene import COLORS, data_url
from nnfs_xp.see.setups import Setup
from nnfs_xp.see.tracing import LayerTrace, Trace, gradient_name

_CELLS = 48
_REACH = 2
"""Rows and columns that a lens shows on each side."""

_MOST_POINTS = 2000
_MARGIN = 0.15


@dataclass(frozen=True)
class Ground:
    """The plane, or line, that the samples lie in, and the grid that it is looked at on.

    Attributes
    ----------
    points : dict
        ``x``, ``y`` and ``label`` of each sample; ``low`` and ``high`` of both axes.
    grid : ndarray, shape (cells, features)
    is_plane : bool
        Whether samples have two features, and classes; else one, and a value.
    """

    points: dict[str, Any]
    grid: np.ndarray[Any, Any]
    is_plane: bool

    @classmethod
    def of(cls, setup: Setup) -> Ground | None:
        """That of a setup; None where its samples have other features or targets."""
        X, y = to_numpy(setup.X), to_numpy(setup.y)
        rows = X.ndim == 2
        if rows and X.shape[1] == 2 and setup.loss.has_classes:
            return cls._plane(X, y)
        if rows and X.shape[1] == 1 and y.ndim == 2 and y.shape[1] == 1:
            return cls._line(X, y)
        return None

    @classmethod
    def _plane(cls, X: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> Ground:
        low, high = X.min(axis=0), X.max(axis=0)
        margin = _MARGIN * np.maximum(high - low, 1e-6)
        low, high = low - margin, high + margin
        across, down = (np.linspace(low[k], high[k], _CELLS) for k in (0, 1))
        grid = np.stack(np.meshgrid(across, down[::-1]), axis=-1).reshape(-1, 2)
        labels = y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else y.ravel()
        points = {
            "x": X[:_MOST_POINTS, 0].tolist(),
            "y": X[:_MOST_POINTS, 1].tolist(),
            "label": labels[:_MOST_POINTS].astype(int).tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
        }
        return cls(points, grid, is_plane=True)

    @classmethod
    def _line(cls, X: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> Ground:
        grid = np.linspace(float(X.min()), float(X.max()), 2 * _CELLS)[:, None]
        points = {"x": X[:_MOST_POINTS, 0].tolist(), "y": y[:_MOST_POINTS, 0].tolist()}
        return cls(points, grid, is_plane=False)

    def seen(self, model: Layer, loss: Loss) -> dict[str, Any]:
        """What the model says of the grid: an image of its decisions, or the line of its values."""
        backend = model.backend
        assert backend is not None
        output = model.forward(backend.asarray(self.grid, model.dtype or "float64"))
        if not self.is_plane:
            return {"x": self.grid[:, 0].tolist(), "y": to_numpy(output)[:, 0].tolist()}
        scores = loss.probabilities(output) if loss.has_probabilities else output
        numbers = np.asarray(to_numpy(scores), np.float64)
        if numbers.shape[1] == 1:  # yes or no: a probability, or a score of either sign
            no = 1 - numbers if loss.has_probabilities else -numbers
            numbers = np.concatenate([no, numbers], axis=1)
        return {"image": data_url(_decisions(numbers))}


def _decisions(scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The colour of the class that is chosen at each cell, the fuller the surer."""
    scores = np.nan_to_num(scores)
    colors = np.array(COLORS, np.uint8)
    chosen = scores.argmax(axis=1)
    pixels = np.empty((len(scores), 4), np.uint8)
    pixels[:, :3] = colors[chosen % len(colors)]
    surer = (scores.max(axis=1) - 1 / scores.shape[1]) / max(1 - 1 / scores.shape[1], 1e-9)
    pixels[:, 3] = np.round(150 * np.clip(0.15 + 0.85 * surer, 0, 1))
    return pixels.reshape(_CELLS, _CELLS, 4)


def sample_image(setup: Setup, row: int) -> dict[str, Any] | None:
    """The pixels of a sample as an image, where its features are some."""
    if setup.image_shape is None:
        return None
    values = np.asarray(to_numpy(setup.X[row, ...]), np.float64).reshape(setup.image_shape)
    low, high = float(values.min()), float(values.max())
    grey = np.round(255 * (values - low) / ((high - low) or 1.0)).astype(np.uint8)
    pixels = np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=-1)
    target = np.asarray(to_numpy(setup.y[row : row + 1, ...])).ravel()
    return {"href": data_url(pixels), "target": target.tolist()}


def first_telling(setup: Setup) -> int:
    """The first sample with a feature other than 0, for 0 times a weight shows little."""
    X = np.asarray(to_numpy(setup.X[: setup.batch_size, ...])).reshape(setup.batch_size, -1)
    telling = np.flatnonzero((X != 0).any(axis=1))
    return int(telling[0]) if len(telling) else 0


def lens(
    seen: Trace, name: object, at: tuple[int, int], drawn: Sequence[int | None] = (None, None)
) -> dict[str, Any]:
    """Numbers of a heat map around one of its squares.

    Parameters
    ----------
    seen : Trace
    name : str
        As the picture calls the image: ``"0.weights"``, ``"2.dvalues"``.
    at : tuple of int
        Row and column of a square.
    drawn : sequence of int or None
        The rows and columns of the image, where its squares are means of several numbers.

    Returns
    -------
    dict
        ``row`` and ``column`` of the first number of ``values``, a list of rows; ``at``, the number
        that the lens is on.

    Raises
    ------
    ArgumentError
        There is no such image, or square.
    """
    array = None
    for each in seen.layers:
        if isinstance(name, str) and name.startswith(each.name + "."):
            array = _array_of(each, name.removeprefix(each.name + "."))
    if array is None:
        raise ArgumentError(f"there is no heat map called {shown(str(name))}.")
    shape = tuple(array.shape)
    table = backend_of(array).xp.reshape(array, (-1, shape[-1]))
    sizes = tuple(table.shape)
    places = [
        place if n is None else (2 * place + 1) * size // (2 * n)
        for place, n, size in zip(at, drawn, sizes, strict=True)
    ]
    if not all(place < size for place, size in zip(places, sizes, strict=True)):
        raise ArgumentError(f"{name} has {sizes[0]} rows and {sizes[1]} columns.")
    row, column = places
    top, left = max(0, row - _REACH), max(0, column - _REACH)
    bottom, right = min(sizes[0], row + _REACH + 1), min(sizes[1], column + _REACH + 1)
    values = np.asarray(to_numpy(table[top:bottom, left:right]), np.float64).tolist()
    return {"name": name, "row": top, "column": left, "at": places, "values": values}


def _array_of(each: LayerTrace, name: str) -> Any:
    gradients = {gradient_name(n): gradient for n, gradient in each.gradients.items()}
    arrays = {"output": each.output, "dvalues": each.dvalues, **each.parameters, **gradients}
    return arrays.get(name)
