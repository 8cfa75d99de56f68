"""The floor: the matrix products of a step alone, into arrays that are there already.

What they compute is of no use; it is what no step on the same BLAS can do without.
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

    # For one sample: NumPy's product of a column and a row is slower than multiplying them.
    outer_or_matmul = np.multiply if batch == 1 else np.matmul

    def infer(x: Any) -> Any:
        for w, output in zip(weights, outputs, strict=True):
            x = np.matmul(x, w, out=output)
        return x

    def step(x: Any, y: Any) -> float:
        del y
        infer(x)
        inputs = [x, *outputs[:-1]]
        for n in range(len(weights) - 1, -1, -1):
            outer_or_matmul(inputs[n].T, outputs[n], out=gradients[n])
            if n:
                np.matmul(outputs[n], weights[n].T, out=dinputs[n])
        return float("nan")

    return Contestant(step, infer, work.data(batch))
