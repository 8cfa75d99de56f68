"""Device time of each kernel of the network for CIFAR-10, of convolutions by the size of a piece.

The gradient of a first convolution's weights is timed by itself too: the library's own product of
two tall matrices beside that of cuBLASLt.

Usage: python -m benchmarks.gpu.pictures [--seconds 40]
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import cupy
import numpy as np

import nnfs_xp as nn
from benchmarks.cifar_network import SIDE, WHITENING
from benchmarks.gpu.products import device_us
from benchmarks.gpu.results import Results, Setting, part_parser, results_of
from nnfs_xp.kernels.cupy import CuPyKernels, cublaslt
from nnfs_xp.kernels.cupy.layers import column_sums
from nnfs_xp.kernels.cupy.tall import tall_product
from nnfs_xp.kernels.standard import Window

WIDTHS, BATCH = (WHITENING, 64, 256, 256), 1024

SIDES = (31, 15, 7, 3)
"""Of the pictures that each group gets, and of what the last one gives."""

PIECES = (2**22, 2**23, 2**24, 2**25, 2**27)
"""Numbers that the patches of a piece have at most."""

SAME = Window((3, 3), (1, 1), ((1, 1), (1, 1)))

FIRST = {
    f"3 to {WHITENING}, windows of 2 x 2": (Window((2, 2)), WHITENING),
    "3 to 64, windows of 3 x 3": (SAME, 64),
}
"""Windows and filters of first convolutions."""

Work = Callable[[], Any]


def convolutions(batch: int, widths: tuple[int, ...]) -> Iterator[tuple[int, int, int, int]]:
    """Batch, side, channels and filters of each convolution of the three groups."""
    for (n_channels, n_filters), (before, behind) in zip(
        pairwise(widths), pairwise(SIDES), strict=False
    ):
        yield batch, before, n_channels, n_filters
        yield batch, behind, n_filters, n_filters


def passes(
    backend: Any, dtype: str, batch: int, side: int, n_channels: int, n_filters: int
) -> dict[str, Work]:
    """Those of a convolution, and the kernels that they consist of besides products."""
    xp, kernels = backend.xp, backend.kernels
    shape = (batch, side, side, n_channels)

    def place(*of: int) -> Any:
        generator = np.random.default_rng(0)
        return backend.asarray(generator.standard_normal(of, dtype=np.float32), dtype)

    x, weights = place(*shape), place(3, 3, n_channels, n_filters)
    dvalues, dweights = place(batch, side, side, n_filters), place(3, 3, n_channels, n_filters)
    room = [xp.empty((batch * side * side, 9 * n_channels), dtype=x.dtype)]
    return {
        "forward": lambda: kernels.convolve(xp, x, weights, None, SAME),
        "gradients": lambda: kernels.convolve_gradients(xp, x, dvalues, dweights, None, SAME),
        "backward": lambda: kernels.convolve_backward(xp, dvalues, weights, SAME, shape),
        "patches": lambda: (kernels.patches(xp, x, SAME), None)[1],
        "add_patches": lambda: kernels.add_patches(xp, room[0], SAME, shape),
    }


def first_passes(
    backend: Any, dtype: str, batch: int, window: Window, n_filters: int
) -> dict[str, Work]:
    """Those of a first convolution, whose inputs get no gradient, and what the weights' takes."""
    xp, kernels = backend.xp, backend.kernels

    def place(*of: int) -> Any:
        generator = np.random.default_rng(0)
        return backend.asarray(generator.standard_normal(of, dtype=np.float32), dtype)

    x, weights = place(batch, SIDE, SIDE, 3), place(*window.size, 3, n_filters)
    dvalues = place(batch, *window.places(SIDE, SIDE), n_filters)
    dweights, dbiases = xp.empty_like(weights), place(1, n_filters)
    rows, matrix = dvalues.reshape(-1, n_filters), dweights.reshape(-1, n_filters)
    patches = kernels.patches(xp, x, window)
    factors = patches.T, rows, matrix
    arrays = xp, x, dvalues, dweights
    works = {
        "forward": lambda: kernels.convolve(xp, x, weights, dbiases, window),
        "gradients": lambda: kernels.convolve_gradients(*arrays, None, window),
        "with dbiases": lambda: kernels.convolve_gradients(*arrays, dbiases, window),
        "patches": lambda: (kernels.patches(xp, x, window), None)[1],
        "own product": lambda: tall_product(*factors),
        "column sums": lambda: column_sums(xp, rows, dbiases),
    }
    if cublaslt.product(*factors, tf32=False):
        works["cuBLASLt's product"] = lambda: cublaslt.product(*factors, tf32=False)
    return works


def others(backend: Any, dtype: str, batch: int, side: int, width: int) -> dict[str, Work]:
    """What stands between convolutions, over so many channels."""
    xp, kernels = backend.xp, backend.kernels
    shape, pool = (batch, side, side, width), Window((2, 2), (2, 2))

    def place(*of: int) -> Any:
        generator = np.random.default_rng(0)
        return backend.asarray(generator.standard_normal(of, dtype=np.float32), dtype)

    x = place(*shape)
    rows, one = x.reshape(-1, width), place(1, width)
    output, which = kernels.max_pool(xp, x, pool)
    sums = xp.empty_like(one), xp.empty_like(one)
    return {
        "max_pool": lambda: kernels.max_pool(xp, x, pool)[0],
        "max_pool_backward": lambda: kernels.max_pool_backward(xp, output, which, pool, shape),
        "batch_norm": lambda: kernels.batch_norm(xp, rows, one, one, 1e-5)[0],
        "batch_norm_backward": lambda: kernels.batch_norm_backward(xp, rows, rows, one, *sums),
        "gelu": lambda: kernels.gelu(xp, rows, False)[0],
        "gelu_backward": lambda: kernels.gelu_backward(xp, rows, rows, rows, False),
        "column sums": lambda: kernels.relu_backward_biases(xp, rows, rows, one),
        "copy": lambda: xp.asarray(rows, copy=True),
    }


def measure(results: Results, setting: Setting, seconds: float) -> None:
    """What there is time for."""
    end = time.monotonic() + seconds
    backend = nn.get_backend(setting.backend)
    batch, widths = (2, (8, 16)) if setting.quick else (BATCH, WIDTHS)
    first_batch = 32 if setting.quick else BATCH  # enough for the library's own product
    pieces, repeats = ((2**10, 2**20), 1) if setting.quick else (PIECES, 3)
    dtypes = ("bfloat16", "float32")[: 1 if setting.quick else 2]
    usual = CuPyKernels.most_patch_numbers
    for dtype in dtypes:
        for name, (window, n_filters) in FIRST.items():
            title = f"{dtype}, {first_batch} of {SIDE} x {SIDE}, {name}"
            with results.attempt(f"{title}: it runs"):
                works = first_passes(backend, dtype, first_batch, window, n_filters)
                cells = {name: f"{device_us(work, repeats):.0f}" for name, work in works.items()}
                results.row("µs of a first convolution", of=title, **cells)
        for sizes in convolutions(batch, widths):
            title = f"{dtype}, {sizes[0]} of {sizes[1]} x {sizes[1]}, {sizes[2]} to {sizes[3]}"
            if time.monotonic() > end:
                results.absent(title, "not begun: the time was over")
                continue
            with results.attempt(f"{title}: it runs"):
                works = passes(backend, dtype, *sizes)
                for name in ("forward", "gradients", "backward"):
                    cells = {}
                    for piece in pieces:
                        CuPyKernels.most_patch_numbers = piece
                        cells[f"{piece:,}"] = f"{device_us(works[name], repeats):.0f}"
                    CuPyKernels.most_patch_numbers = usual
                    table = "µs of a convolution, by the numbers of a piece's patches"
                    results.row(table, of=title, what=name, **cells)
                cells = {
                    name: f"{device_us(works[name], repeats):.0f}"
                    for name in ("patches", "add_patches")
                }
                results.row("µs of the kernels around the products", of=title, **cells)
            works.clear()
            gc.collect()  # streams, and what products work in
            cupy.get_default_memory_pool().free_all_blocks()
        for side, width in zip(SIDES, widths[1:], strict=False):
            title = f"{dtype}, {batch} of {side} x {side}, {width}"
            with results.attempt(f"{title}: it runs"):
                works = others(backend, dtype, batch, side, width)
                cells = {name: f"{device_us(work, repeats):.0f}" for name, work in works.items()}
                results.row("µs of what stands between convolutions", of=title, **cells)


def main() -> None:
    """Measure."""
    options = part_parser("pictures").parse_args()
    logging.basicConfig(level=logging.WARNING)
    measure(results_of(options, "pictures"), Setting.here(), options.seconds - 3.0)


if __name__ == "__main__":
    main()
