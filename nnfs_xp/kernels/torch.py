"""The kernels that PyTorch does better than the standard's expressions: convolutions.

Pictures with the channels last are what PyTorch calls ``channels_last``, seen with permuted axes:
nothing is copied but the weights. Nothing is differentiated here; the passes are called by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from nnfs_xp.kernels.standard import StandardKernels, Window
from nnfs_xp.kernels.standard.convolution import padded, without_padding

Array = Any
"""A tensor; PyTorch's own types do not fit the protocol of arrays."""

_aten = torch.ops.aten
_NO_OUTPUT_PADDING = (0, 0)


class TorchKernels(StandardKernels):
    """Convolutions by PyTorch's passes, the rest as the standard has it."""

    def convolve(
        self,
        xp: Any,
        inputs: Array,
        weights: Array,
        biases: Array | None,
        window: Window,
        relu: bool = False,
    ) -> Array:
        inputs, window = _evenly_padded(xp, inputs, window)
        settings = _settings(window, inputs.shape[3], weights.shape[2])
        vector = None if biases is None else biases.reshape(-1)
        with _in_full(inputs):
            found = _aten.convolution(_first(inputs), _filters(weights), vector, *settings)
        output = _last(found)
        return output.relu_() if relu else output

    def convolve_gradients(
        self,
        xp: Any,
        inputs: Array,
        dvalues: Array,
        dweights: Array,
        dbiases: Array | None,
        window: Window,
    ) -> None:
        inputs, window = _evenly_padded(xp, inputs, window)
        settings = _settings(window, inputs.shape[3], dweights.shape[2])
        n_biases = None if dbiases is None else [dweights.shape[3]]
        wanted = [False, True, dbiases is not None]
        # Of the filters, the shape alone is looked at.
        parts = _first(dvalues), _first(inputs), _filters(dweights), n_biases
        with _in_full(inputs):
            _, dfilters, dvector = _aten.convolution_backward(*parts, *settings, wanted)
        dweights[...] = dfilters.permute(2, 3, 1, 0)
        if dbiases is not None:
            dbiases[...] = dvector

    def convolve_backward(
        self, xp: Any, dvalues: Array, weights: Array, window: Window, shape: tuple[int, ...]
    ) -> Array:
        n, height, width, channels = shape
        even, around = window, (n, height, width, channels)
        if not _is_even(window):
            even = window._replace(padding=((0, 0), (0, 0)))
            around = n, *window.padded(height, width), channels
        settings = _settings(even, channels, weights.shape[2])
        inputs = dvalues.new_empty(around)  # whose shape alone is looked at
        parts = _first(dvalues), _first(inputs), _filters(weights), None
        with _in_full(dvalues):
            dinputs, _, _ = _aten.convolution_backward(*parts, *settings, [True, False, False])
        found = _last(dinputs)
        return found if even is window else without_padding(found, window, height, width)


def _first(pictures: Array) -> Array:
    """The same memory with the axes (batch, channels, height, width).

    An axis of length 1 may have any stride, 0 from NumPy's ``x[:, None]`` for example, by which the
    passes are misled about the order in memory. Behind a view as one row it has its usual one.
    """
    return pictures.reshape(-1).view(pictures.shape).permute(0, 3, 1, 2)


def _last(pictures: Array) -> Array:
    """The axes (batch, height, width, channels) again, in memory in that order."""
    return pictures.permute(0, 2, 3, 1).contiguous()


def _filters(weights: Array) -> Array:
    """A copy of the weights with the axes and in the order that the passes are fastest with.

    Of one filter PyTorch cannot tell that order from its usual one, and refuses it.
    """
    order = torch.contiguous_format if weights.shape[3] == 1 else torch.channels_last
    return weights.permute(3, 2, 0, 1).contiguous(memory_format=order)


def _settings(window: Window, channels: int, each: int) -> tuple[Any, ...]:
    """What a pass is told of an evenly padded window, for so many channels a group."""
    (top, _), (left, _) = window.padding
    others = False, _NO_OUTPUT_PADDING, channels // each
    return window.strides, (top, left), window.dilation, *others


def _is_even(window: Window) -> bool:
    return all(before == behind for before, behind in window.padding)


def _evenly_padded(xp: Any, inputs: Array, window: Window) -> tuple[Array, Window]:
    """The pictures and a window of as much padding on both sides, which is all a pass can take."""
    if _is_even(window):
        return inputs, window
    return padded(xp, inputs, window), window._replace(padding=((0, 0), (0, 0)))


@contextmanager
def _in_full(inputs: Array) -> Iterator[None]:
    """Keep cuDNN from rounding the factors of float32 products to TF32, as it does by default."""
    if inputs.device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    kept = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "deterministic")}
    with cudnn.flags(**kept, allow_tf32=False):
        yield
