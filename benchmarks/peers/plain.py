"""Written by hand in NumPy for just this network, with no library around it."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.work import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Contestant, Work


def build(work: Work, batch: int) -> Contestant:
    """The work for one batch size."""
    first = work.weights()
    shapes = [shape for w in first for shape in (w.shape, (w.shape[1],))]
    stops = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    values = np.zeros(stops[-1], np.float32)
    gradients, m, c = np.zeros_like(values), np.zeros_like(values), np.zeros_like(values)

    def views(flat: Any) -> list[Any]:
        pairs = zip(stops, stops[1:], shapes, strict=False)
        return [flat[i:j].reshape(shape) for i, j, shape in pairs]

    W, b = views(values)[::2], views(values)[1::2]
    dW, db = views(gradients)[::2], views(gradients)[1::2]
    for w, start in zip(W, first, strict=True):
        w[...] = start
    # For one sample: NumPy's product of a column and a row is slower than multiplying them.
    outer_or_matmul = np.multiply if batch == 1 else np.matmul
    rows = np.arange(batch)
    last = len(W) - 1
    t = 0

    def infer(x: Any) -> Any:
        for n in range(last):
            x = x @ W[n]
            x += b[n]
            np.maximum(x, 0, out=x)
        x = x @ W[last]
        x += b[last]
        return x

    def step(x: Any, y: Any) -> Any:
        nonlocal t
        inputs = [x]
        for n in range(last):
            x = x @ W[n]
            x += b[n]
            np.maximum(x, 0, out=x)
            inputs.append(x)
        x = x @ W[last]
        x += b[last]
        if work.classes:
            x -= x.max(axis=1, keepdims=True)
            d = np.exp(x)
            sums = d.sum(axis=1, keepdims=True)
            loss = (np.log(sums[:, 0]) - x[rows, y]).mean()
            d /= sums
            d[rows, y] -= 1
            d /= batch
        else:
            d = x - y
            loss = (d * d).mean()
            d *= 2 / d.size
        for n in range(last, -1, -1):
            outer_or_matmul(inputs[n].T, d, out=dW[n])
            d.sum(axis=0, out=db[n])
            if n:
                d = d @ W[n].T
                d *= inputs[n] > 0
        t += 1
        m.__imul__(BETA_1)
        m.__iadd__((1 - BETA_1) * gradients)
        c.__imul__(BETA_2)
        np.multiply(gradients, gradients, out=gradients)
        gradients.__imul__(1 - BETA_2)
        c.__iadd__(gradients)
        denominator = c / (1 - BETA_2**t)
        np.sqrt(denominator, out=denominator)
        denominator += EPSILON
        np.divide(m, denominator, out=denominator)
        denominator *= LEARNING_RATE / (1 - BETA_1**t)
        values.__isub__(denominator)
        return loss

    return Contestant(step, infer, work.data(batch))
