"""Launch kernels that go over pictures with windows."""

from __future__ import annotations

from math import prod
from typing import Any

import cupy
import numpy as np

from nnfs_xp.kernels.cupy.compilation import (
    ALIGNED,
    OPTIONS,
    THREADS,
    Array,
    blocks_for,
    launch,
)
from nnfs_xp.kernels.standard.windows import Window

_MOST = 2**31
"""Numbers that the kernels' counts reach."""


def pitch_of(pictures: Array) -> int:
    """Elements from one pixel to the next, or 0 where the pixels do not lie evenly.

    They do in pictures that are contiguous, and where those are only some of their channels.
    """
    _, height, width, channels = pictures.shape
    size = pictures.itemsize
    pitch = int(pictures.strides[2]) // size if width > 1 else channels
    if height > 1 and width == 1:
        pitch = int(pictures.strides[1]) // size
    steps = height * width * pitch, width * pitch, pitch, 1
    lies_so = pitch >= channels and all(
        stride == step * size or length == 1
        for stride, step, length in zip(pictures.strides, steps, pictures.shape, strict=True)
    )
    return pitch if lies_so else 0


def fits(window: Window, pictures: Array, *others: Array) -> bool:
    """Whether kernels take these pictures, and other arrays that have to be contiguous."""
    dtype = pictures.dtype
    return (
        dtype.name in OPTIONS
        and pitch_of(pictures) > 0
        and all(other.dtype == dtype and other.flags.c_contiguous for other in others)
        and is_countable(window, pictures.shape)
    )


def is_countable(window: Window, shape: tuple[int, ...]) -> bool:
    """Whether the pictures' numbers, and those of as many windows, can be counted."""
    n, height, width, channels = shape
    return n * channels * max(height * width, prod(window.places(height, width))) < _MOST


def numbers_of(window: Window, shape: tuple[int, ...], pitch: int | None = None) -> tuple[Any, ...]:
    """The sources' ``WINDOW_ARGUMENTS``."""
    _, height, width, channels = shape
    (top, _), (left, _) = window.padding
    places = window.places(height, width)
    sizes = height, width, channels, channels if pitch is None else pitch, *places
    return tuple(
        map(np.int32, (*sizes, *window.size, *window.strides, top, left, *window.dilation))
    )


def go_over(
    source: str,
    kernel: str,
    window: Window,
    shape: tuple[int, ...],
    *arguments: Any,
    pitch: int | None = None,
    pixels: bool = False,
    filters: int = 1,
) -> None:
    """Run a kernel with a thread for each window, or each pixel, and some channels.

    Parameters
    ----------
    source, kernel : str
    window : Window
    shape : tuple of int
        Of the pictures.
    *arguments : array or number
    pitch : int, optional
        Elements from one pixel to the next, where those are more than the channels.
    pixels : bool
        Whether there is a thread for each pixel.
    filters : int
        Of each channel. Where there are several, a thread takes one number at a time.
    """
    n, height, width, channels = shape
    arrays = [each for each in arguments if isinstance(each, cupy.ndarray)]
    first = arrays[0]
    several = ALIGNED // first.itemsize
    packed = (
        filters == 1
        and not any(size * first.itemsize % ALIGNED for size in (channels, pitch or channels))
        and not any(array.data.ptr % ALIGNED for array in arrays)
    )
    places = (height, width) if pixels else window.places(height, width)
    count = n * prod(places) * channels // (several if packed else 1)
    count *= 1 if pixels else filters
    numbers = np.uint32(count), np.int32(packed), *numbers_of(window, shape, pitch)
    grid = (blocks_for(count),)
    launch(source, kernel, first.dtype, grid, (THREADS,), *numbers, *arguments)
