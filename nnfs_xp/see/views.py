"""What the page shows beside the network: its decisions, the sample, a lens on a heat map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnfs_xp._checks import shown
from nnfs_xp.backend import to_numpy
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import Layer
from nnfs_xp.losses import Loss
from nnfs_xp.plots._figure import COLORS
from nnfs_xp.see.scene import data_url
from nnfs_xp.see.setups import Setup
from nnfs_xp.see.tracing import LayerTrace, Trace

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
    n_classes : int
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
        return {"image": data_url(_decisions(np.asarray(to_numpy(scores), np.float64)))}


def _decisions(scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The colour of the class that is chosen at each cell, the fuller the surer."""
    if scores.shape[1] == 1:  # yes or no
        scores = np.concatenate([1 - scores, scores], axis=1)
    scores = np.nan_to_num(scores)
    colors = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in COLORS], np.uint8)
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


def lens(seen: Trace, name: object, row: int, column: int) -> dict[str, Any]:
    """Numbers of a heat map around one of its squares.

    Parameters
    ----------
    seen : Trace
    name : str
        As the picture calls the image: ``"0.weights"``, ``"2.dvalues"``.
    row, column : int

    Returns
    -------
    dict
        ``row`` and ``column`` of the first number of ``values``, a list of rows.

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
    xp_table = array.reshape(-1, shape[-1]) if len(shape) != 2 else array
    n_rows, n_columns = xp_table.shape
    if not (0 <= row < n_rows and 0 <= column < n_columns):
        raise ArgumentError(f"{name} has {n_rows} rows and {n_columns} columns.")
    top, left = max(0, row - _REACH), max(0, column - _REACH)
    part = xp_table[top : row + _REACH + 1, left : column + _REACH + 1]
    values = np.asarray(to_numpy(part), np.float64).tolist()
    return {"name": name, "row": top, "column": left, "at": [row, column], "values": values}


def _array_of(each: LayerTrace, name: str) -> Any:
    if name in ("output", "dvalues"):
        return getattr(each, name)
    if name in each.parameters:
        return each.parameters[name]
    owner, _, short = name.rpartition(".")
    return each.gradients.get(f"{owner and owner + '.'}{short[1:]}") if short[:1] == "d" else None
