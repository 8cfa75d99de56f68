"""Windows of layers as other libraries take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnfs_xp.kernels.standard.windows import Pair
from nnfs_xp.layers.transposed import TransposedConvolution
from nnfs_xp.layers.windowed import OnPictures, Windowed

Sides = tuple[Pair, Pair]
"""Rows above and below pictures, and columns left and right of them."""


def of_axes(layer: OnPictures, pair: Sequence[Any]) -> list[Any]:
    """What a layer has for the height and the width, for those axes that its samples have."""
    return list(pair)[2 - layer.n_axes :]


def sides_for(layer: Windowed, sample: Sequence[int | None] | None = None) -> Sides | None:
    """The padding; None where it follows from a size that the shape of a sample does not tell."""
    if layer._padding != "same" or layer._strides == (1, 1):
        return layer._sides_of(1, 1)  # the same for pictures of any size
    if not sample or None in sample[:-1]:
        return None
    height, width = (1, *sample)[-3:-1]
    assert height is not None
    assert width is not None
    return layer._sides_of(height, width)


def cut_off(layer: TransposedConvolution) -> tuple[Sides, Pair]:
    """What is cut off the output of a transposed convolution, and what it has more behind."""
    down, across = layer._strides
    if layer._padding != "same":
        return layer._sides_of(1, 1), layer._more
    (rows, columns) = (
        max(stride - dilation * (size - 1) - 1, 0)
        for stride, dilation, size in zip(layer._strides, layer._dilation, layer._size, strict=True)
    )
    return layer._sides_of(down, across), (rows, columns)  # those for an input of one pixel
