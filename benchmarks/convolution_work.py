"""A convolution in a process of its own, forward and backward: see `benchmarks.convolution`.

A line asks: ``build 32x16x16-64 64``, then ``run 10``, or ``memory``. A line of JSON answers.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

KERNEL = 3
"""Taps of a window, each way."""


class Shape:
    """Of pictures, and how many filters there are: ``3x32x32-32`` in words.

    Pictures of three channels are what a network is shown: their gradient is not asked for.
    """

    def __init__(self, text: str) -> None:
        sizes, _, filters = text.partition("-")
        self.channels, self.height, self.width = map(int, sizes.split("x"))
        self.filters = int(filters)
        self.is_first = self.channels == 3

    def small(self) -> Shape:
        """As many channels and filters, and few pixels."""
        return Shape(f"{self.channels}x6x6-{self.filters}")

    def arrays(self, batch: int) -> tuple[Any, Any]:
        """Pictures, channels last, and the gradient of the output."""
        generator = np.random.default_rng(0)
        places = batch, self.height, self.width
        inputs = generator.standard_normal((*places, self.channels), dtype=np.float32)
        dvalues = generator.standard_normal((*places, self.filters), dtype=np.float32)
        return inputs, dvalues


def nnfs_xp(shape: Shape, batch: int, backend: str = "numpy") -> Callable[[], Any]:
    """Our layer on one of our backends."""
    import nnfs_xp as nn

    device = nn.get_backend(backend)
    device.prepare("float32")
    threads = device.kernels.threads
    if threads is not None and _threads() > 1:
        threads.use()
        threads.number = _threads()
    layer = nn.Conv2D(shape.channels, shape.filters, KERNEL, padding="same", seed=0).to(backend)
    inputs, dvalues = map(device.asarray, shape.arrays(batch))
    back = layer.backward_parameters if shape.is_first else layer.backward

    def run() -> None:
        layer.forward(inputs, training=True)
        back(dvalues)

    return run


def nnfs_xp_torch(shape: Shape, batch: int) -> Callable[[], Any]:
    """Our layer on PyTorch's tensors."""
    import torch

    torch.set_num_threads(_threads())
    return nnfs_xp(shape, batch, "torch")


def torch(shape: Shape, batch: int, *, last: bool = False) -> Callable[[], Any]:
    """PyTorch's layer, in its default layout or with channels last."""
    import torch

    torch.set_num_threads(_threads())
    layout = torch.channels_last if last else torch.contiguous_format
    layer = torch.nn.Conv2d(shape.channels, shape.filters, KERNEL, padding="same")
    layer = layer.to(memory_format=layout)  # type: ignore[call-overload] # its stubs lack it
    inputs, dvalues = (
        torch.asarray(each).permute(0, 3, 1, 2).contiguous(memory_format=layout)
        for each in shape.arrays(batch)
    )
    inputs.requires_grad_(not shape.is_first)

    def run() -> None:
        layer.zero_grad()
        inputs.grad = None
        layer(inputs).backward(dvalues)

    return run


def torch_last(shape: Shape, batch: int) -> Callable[[], Any]:
    """PyTorch's layer with channels last."""
    return torch(shape, batch, last=True)


def _threads() -> int:
    return int(os.environ.get("NNFS_XP_BENCHMARK_CORES", "1"))


def main() -> None:
    """Answer until the input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    build = globals()[sys.argv[1]]
    try:
        __import__("torch" if "torch" in sys.argv[1] else "nnfs_xp")
    except ImportError as error:
        print(json.dumps(str(error)), file=answers, flush=True)
        return
    print(json.dumps("ready"), file=answers, flush=True)
    run: Callable[[], Any] = list  # as good as nothing, until a layer is built
    before: float | None = None
    for line in sys.stdin:
        command, *words = line.split()
        answer: Any = None
        if command == "build":
            shape = Shape(words[0])
            build(shape.small(), 1)()  # what libraries load at their first run is not counted
            run = build(shape, int(words[1]))
            before = _forget_peak()
        elif command == "run":
            begin = time.perf_counter()
            for _ in range(int(words[0])):
                run()
            answer = time.perf_counter() - begin
        elif command == "memory" and before is not None:
            answer = _megabytes("VmHWM") - before
        print(json.dumps(answer), file=answers, flush=True)


def _forget_peak() -> float | None:
    """The memory that is used now, in MB, from which on a new peak counts; None without Linux."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _megabytes("VmRSS")
    except OSError:
        return None


def _megabytes(name: str) -> float:
    """A figure of the kernel's account of this process, in MB."""
    with open("/proc/self/status", encoding="utf-8") as file:
        figures = dict(line.split(":", 1) for line in file)
    return int(figures[name].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    main()
