"""The floor: the matrix products of a step alone, into arrays that are there already.

What they compute is of no use; no peer with these shapes can be faster on the same BLAS.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.work import Contestant, Work


def build(work: Work, batch: int) -> Contestant:
    """The work for one batch size."""
    weights = work.weights()
    outputs = [np.zeros((batch, w.shape[1]), np.float32) for w in weights]
    gradients = [np.zeros_like(w) for w in weights]
    dinputs = [np.zeros((batch, w.shape[0]), np.float32) for w in weights]

    def infer(x: Any) -> Any:
        for w, output in zip(weights, outputs, strict=True):
            x = np.matmul(x, w, out=output)
        return x

    def step(x: Any, y: Any) -> float:
        del y
        infer(x)
        inputs = [x, *outputs[:-1]]
        for n in range(len(weights) - 1, -1, -1):
            np.matmul(inputs[n].T, outputs[n], out=gradients[n])
            if n:
                np.matmul(outputs[n], weights[n].T, out=dinputs[n])
        return float("nan")

    return Contestant(step, infer, work.data(batch))
