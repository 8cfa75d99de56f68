"""What layers share that go over pictures, or sequences, with windows."""

from __future__ import annotations

from math import ceil
from typing import Any, TypeAlias

from nnfs_xp import _checks
from nnfs_xp._typing import Array, Namespace
from nnfs_xp.errors import ArgumentError, ShapeError
from nnfs_xp.kernels.standard.windows import Pair, Window
from nnfs_xp.layers.base import Layer, Shape

Padding: TypeAlias = "str | tuple[Pair, Pair]"
"""``"valid"``, ``"same"``, or rows above and below, and columns left and right."""


class OnPictures(Layer):
    """Base class of the layers for pictures, (batch, height, width, channels), or for sequences.

    A sequence, (batch, length, channels), is worked on as a picture of one row.

    Attributes
    ----------
    n_axes : int
        2 of layers for pictures, 1 of those for sequences.
    """

    n_axes = 2

    def as_pictures(self, xp: Namespace, array: Array) -> Array:
        """Pictures as they are; sequences as pictures of one row."""
        if self.n_axes == 1:
            array = xp.reshape(array, (array.shape[0], 1, *array.shape[1:]))
        return array

    def as_given(self, xp: Namespace, pictures: Array) -> Array:
        """Pictures as they are, or the sequences that they stand for."""
        if self.n_axes == 1:
            pictures = xp.reshape(pictures, (pictures.shape[0], *pictures.shape[2:]))
        return pictures

    def check_pictures(self, inputs: Array, n_channels: int | None = None) -> Namespace:
        """Refuse inputs that are no pictures, or sequences, of so many channels."""
        shape = tuple(inputs.shape)
        if len(shape) != self.n_axes + 2 or n_channels not in (None, shape[-1]):
            axes = f"batch, {self._axes(n_channels)}"
            text = f"`inputs` must have shape ({axes}); got {shape}"
            raise ShapeError(text + self._hint(shape[1:], n_channels))
        return self.check_inputs(inputs)

    def check_sample(self, shape: Shape, n_channels: int | None = None) -> Shape:
        """Refuse the shape of a sample that is none; return that of the picture."""
        if len(shape) != self.n_axes + 1 or n_channels not in (None, shape[-1] or n_channels):
            text = f"{self!r} takes samples of shape ({self._axes(n_channels)}); got {shape}"
            raise ShapeError(text + self._hint(shape, n_channels))
        return shape if self.n_axes == 2 else (1, *shape)

    def _axes(self, n_channels: int | None) -> str:
        axes = "height, width" if self.n_axes == 2 else "length"
        return f"{axes}, {'channels' if n_channels is None else n_channels}"

    def _hint(self, sample: Shape, n_channels: int | None) -> str:
        if len(sample) == self.n_axes + 1 and sample[0] == n_channels:
            return "; did you mean channels last?"
        if len(sample) == self.n_axes:
            what = "picture" if self.n_axes == 2 else "sequence"
            return f". One {what} needs the axis of the batch, and grey ones that of the channels."
        return "."

    @property
    def input_shape(self) -> Shape:
        return (None,) * (self.n_axes + 1)

    def _said(self, pair: Any) -> Any:
        """A setting in its shortest form."""
        if isinstance(pair, str) or (self.n_axes == 2 and pair[0] != pair[1]):
            return pair
        return pair[1] if isinstance(pair[1], int) or self.n_axes == 1 else pair

    def _pair(self, name: str, value: Any, least: int = 1) -> Pair:
        """A setting as one for the height and one for the width."""
        pair = value if isinstance(value, (tuple, list)) and self.n_axes == 2 else (value, value)
        if len(pair) != 2:
            raise ArgumentError(f"`{name}` must be a whole number or two; got {value!r}.")
        down, across = (_checks.check_count(name, each, least=least) for each in pair)
        return (down, across) if self.n_axes == 2 else (least, across)


class Windowed(OnPictures):
    """Base class of the layers that go over pictures or sequences with windows.

    Parameters
    ----------
    size, strides, dilation : int or pair of int
        Of pictures, a number stands for a pair of it. Of sequences they are numbers.
    padding : {"valid", "same"} or tuple
        ((top, bottom), (left, right)) of pictures, (before, behind) of sequences.
    **options
        As of `Layer`.

    Raises
    ------
    ArgumentError
        They cannot be these.
    """

    strides: Any
    padding: Any
    dilation: Any

    def __init__(self, size: Any, strides: Any, padding: Any, dilation: Any, **options: Any):
        super().__init__(**options)
        self._size = self._pair(self.size_name, size)
        self._strides = self._pair("strides", strides)
        self._dilation = self._pair("dilation", dilation)
        self._padding = self._sides(padding)
        self.strides = self._said(self._strides)
        self.dilation = self._said(self._dilation)
        self.padding = self._said(self._padding)

    size_name = "size"
    """What the class calls the size of its windows."""

    def _sides(self, padding: Any) -> Padding:
        if isinstance(padding, str) and padding in ("valid", "same"):
            return padding
        sides = padding if self.n_axes == 2 else ((0, 0), padding)
        if not isinstance(padding, str) and are_pairs(sides):
            return checked_sides(sides)
        pairs = "((top, bottom), (left, right))" if self.n_axes == 2 else "(before, behind)"
        raise ArgumentError(f"`padding` must be 'valid', 'same' or {pairs}; got {padding!r}.")

    def window(self, height: int, width: int) -> Window:
        """The window over pictures of that height and width.

        Raises
        ------
        ShapeError
            It is larger than they are with their padding.

        Notes
        -----
        ``"same"`` pads so that there are ceil(height / stride) windows from top to bottom. An odd
        row goes below: as in Keras, and as ``SAME_UPPER`` in ONNX.
        """
        sides = self._sides_of(height, width)
        window = Window(self._size, self._strides, sides, self._dilation)
        if min(window.places(height, width)) < 1:
            (down, across), around = window.reach, window.padded(height, width)
            if self.n_axes == 1:
                what = f"{across} steps, which is more than the padded sequence has, {around[1]}"
            else:
                what = (
                    f"{down} x {across}, larger than the padded picture, {around[0]} x {around[1]}"
                )
            raise ShapeError(f"{self!r} looks at {what}.")
        return window

    def _sides_of(self, height: int, width: int) -> tuple[Pair, Pair]:
        if self._padding == "valid":
            return (0, 0), (0, 0)
        if self._padding == "same":
            return self._same(0, height), self._same(1, width)
        assert not isinstance(self._padding, str)
        return self._padding

    def _same(self, axis: int, length: int) -> Pair:
        stride, reach = self._strides[axis], self._dilation[axis] * (self._size[axis] - 1) + 1
        total = max((ceil(length / stride) - 1) * stride + reach - length, 0)
        return total // 2, total - total // 2

    def window_of(self, pictures: Array) -> Window:
        """The window over these pictures."""
        return self.window(pictures.shape[1], pictures.shape[2])

    def output_places(self, picture: Shape) -> Shape:
        """How many windows there are in such a picture, None along an axis of any length."""
        height, width, _ = picture
        # An axis that is not known takes the place of one that surely fits.
        down, across = self.window(height or self._fits(0), width or self._fits(1)).places(
            height or self._fits(0), width or self._fits(1)
        )
        places = None if height is None else down, None if width is None else across
        return places if self.n_axes == 2 else places[1:]

    def _fits(self, axis: int) -> int:
        return self._dilation[axis] * self._size[axis]


def are_pairs(sides: Any) -> bool:
    """Whether it is a pair of pairs."""
    return (
        isinstance(sides, (tuple, list))
        and len(sides) == 2
        and all(isinstance(each, (tuple, list)) and len(each) == 2 for each in sides)
    )


def checked_sides(sides: Any) -> tuple[Pair, Pair]:
    """Refuse pairs of what are no numbers of rows and columns."""
    (top, bottom), (left, right) = (
        tuple(_checks.check_count("padding", each, least=0) for each in pair) for pair in sides
    )
    return (top, bottom), (left, right)
