"""Layers that are too large for their numbers: heat maps, and means, norms and histograms."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of, to_numpy
from nnfs_xp.see.pen import Event, Numbers, Pen, Port
from nnfs_xp.see.scene import Pixels, pixels_of
from nnfs_xp.see.tracing import LayerTrace, gradient_name

MOST_CELLS = 64
"""Rows and columns of an image, where not each number has a square of its own."""

_BINS = 32
_SIDE, _CELL = 168.0, 20.0
_HISTOGRAM = 60.0


class Field:
    """A layer as images: its parameters and their gradients, its output and that one's.

    Parameters
    ----------
    traced : LayerTrace
    whole : bool
        Whether each number has a square of its own; else a square is the mean of some, and there
        are histograms of the outputs, all worked out on the layer's device.
    """

    def __init__(self, traced: LayerTrace, *, whole: bool) -> None:
        self._name, self._kind = traced.name, traced.layer.kind
        self.values: dict[str, float] = {}
        self._images: list[tuple[str, str, Pixels]] = []
        self._counts: list[tuple[str, Numbers]] = []
        most = None if whole else MOST_CELLS
        for name, value in traced.parameters.items():
            self._add(name, value, most)
            if name in traced.gradients:
                self._add(gradient_name(name), traced.gradients[name], most)
        for name in ("output", "dvalues"):
            array = getattr(traced, name)
            if array is None:
                continue
            self._add(name, array, most or 2 * MOST_CELLS)
            if not whole:
                self._counts.append((name, _counts(array)))
        self._shape = "×".join(str(n) for n in traced.output.shape[1:])
        self._sizes = [_size(pixels) for _, _, pixels in self._images]
        self.width = 2 * _SIDE + 56
        self.height = 44 + sum(height + 22 for height in self._heights())
        self.height += (_HISTOGRAM + 24) * ((len(self._counts) + 1) // 2)

    def _add(self, name: str, array: Array, most: int | None) -> None:
        table = _table(array, most)
        norm = _norm(array)
        self.values[f"{self._name}.{name}"] = norm
        shape = " × ".join(map(str, array.shape))
        self._images.append((name, f"{name} of layer {self._name}, {shape}", pixels_of(table)))

    def _heights(self) -> list[float]:
        """The heights of the rows of two images."""
        heights = [height for _, height in self._sizes]
        return [max(heights[n : n + 2]) for n in range(0, len(heights), 2)]

    def _keys(self, back: bool) -> tuple[str, ...]:
        """The images of the way forward, or back."""
        names = (name for name, _, _ in self._images)
        return tuple(f"{self._name}.{n}" for n in names if _is_derivative(n) == back)

    def forward(self) -> list[Event]:
        return [Event(f"Layer {self._name}, {self._kind}.", self._keys(back=False))]

    def backward(self) -> list[Event]:
        return [Event(f"Back through layer {self._name}, {self._kind}.", self._keys(back=True))]

    def draw(self, pen: Pen, x: float, middle: float, ports: list[Port]) -> list[Port]:
        left, top = x + 28, middle - self.height / 2
        for port in ports:
            pen.line(port.x, port.y, left, middle, "see-wire")
        pen.box(left, top, self.width - 28, self.height)
        pen.words(left + 12, top + 20, f"{self._name} {self._kind}", "see-title", "start")
        pen.words(x + self.width - 12, top + 20, f"{self._shape} out", "see-quiet", "end")
        y = top + 44
        heights = self._heights()
        for n, (name, label, pixels) in enumerate(self._images):
            at = left + 12 + (n % 2) * (_SIDE + 4)
            key = f"{self._name}.{name}"
            kind = "see-derivative" if _is_derivative(name) else "see-value"
            pen.words(at, y - 6, f"{name}  ‖·‖", "see-name", "start", since=key)
            pen.number(at + _SIDE - 6, y - 6, key, kind, "end")
            pen.image(at, y, *_size(pixels), pixels, f"{key}:image", label, since=key)
            if n % 2 or n == len(self._images) - 1:
                y += heights[n // 2] + 22
        for n, (name, counts) in enumerate(self._counts):
            at = left + 12 + (n % 2) * (_SIDE + 4)
            key, label = f"{self._name}.{name}", f"histogram of the {name} of layer {self._name}"
            color = (179, 38, 30) if _is_derivative(name) else (110, 118, 128)
            pen.words(at, y - 6, f"histogram of {name}", "see-name", "start", since=key)
            bars = _bars(counts, color)
            pen.image(at, y, _SIDE - 6, _HISTOGRAM, bars, f"{key}:histogram", label, since=key)
        return [Port(x + self.width, middle)]


def _is_derivative(name: str) -> bool:
    return name.rpartition(".")[2].startswith("d")


def _table(array: Array, most: int | None) -> Numbers:
    """The numbers as rows and columns on the host, at most so many of both: means of the rest."""
    xp = backend_of(array).xp
    columns = array.shape[-1] if array.ndim else 1
    table = xp.reshape(array, (-1, columns))
    if most is not None and table.shape[0] > most:
        table = _mean_rows(xp, table, most)
    if most is not None and columns > most:
        table = xp.permute_dims(_mean_rows(xp, xp.permute_dims(table, (1, 0)), most), (1, 0))
    return np.asarray(to_numpy(table), np.float64)


def _mean_rows(xp: Any, table: Array, most: int) -> Array:
    """Means of neighbouring rows, `most` of them, on the table's device."""
    n = table.shape[0]
    ends = [round(n * (k + 1) / most) for k in range(most)]
    starts = [0, *ends[:-1]]
    parts = [xp.mean(table[a:b, ...], axis=0) for a, b in zip(starts, ends, strict=True)]
    means: Array = xp.stack(parts)
    return means


def _norm(array: Array) -> float:
    """The Euclidean norm, one number from the device."""
    xp = backend_of(array).xp
    a = array if backend_of(array).is_floating(array.dtype) else xp.astype(array, xp.float32)
    return float(xp.sqrt(xp.sum(a * a)))


def _counts(array: Array) -> Numbers:
    """How many numbers lie in each of the bins between the least and the largest."""
    xp = backend_of(array).xp
    flat = xp.reshape(array, (-1,))
    if not backend_of(array).is_floating(flat.dtype):
        flat = xp.astype(flat, xp.float32)
    low, high = float(xp.min(flat)), float(xp.max(flat))
    if not np.isfinite([low, high]).all() or low == high:
        return np.asarray(np.bincount([_BINS // 2], minlength=_BINS) * flat.shape[0])
    places = xp.minimum(xp.floor((flat - low) * (_BINS / (high - low))), float(_BINS - 1))
    counts = [xp.sum(xp.astype(places == float(k), xp.int64)) for k in range(_BINS)]
    return np.asarray(to_numpy(xp.stack(counts)))


def _bars(counts: Numbers, color: tuple[int, int, int]) -> Pixels:
    """A histogram as an image."""
    rows = 30
    heights = np.ceil(rows * counts / max(int(counts.max()), 1)).astype(int)
    filled = np.arange(rows)[::-1, None] < heights
    pixels = np.zeros((rows, len(counts), 4), np.uint8)
    pixels[filled] = (*color, 255)
    return pixels


def _size(pixels: Pixels) -> tuple[float, float]:
    """The width and height of an image: squares, or thinner where there are many."""
    rows, columns, _ = pixels.shape
    return min(_SIDE - 6, columns * _CELL), min(_SIDE - 6, rows * _CELL)
