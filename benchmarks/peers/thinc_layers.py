"""thinc: its layers, its Adam, and the gradient of the loss by hand, as its users do it."""

from __future__ import annotations

from typing import Any

import numpy as np
from thinc.api import Adam, Linear, NumpyOps, Relu, chain

from benchmarks.work import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Contestant, Work


def build(work: Work, batch: int) -> Contestant:
    """The work for one batch size."""
    n_inputs, *hidden, outputs = work.sizes
    del n_inputs
    model = chain(*(Relu(n) for n in hidden), Linear(outputs))
    data = work.data(batch)
    one_hot = np.eye(outputs, dtype=np.float32)
    pairs = [(x, one_hot[y] if work.classes else y) for x, y in data]
    model.initialize(*(each[:1] for each in pairs[0]))
    for layer, weights in zip(model.layers, work.weights(), strict=True):
        layer.set_param("W", np.ascontiguousarray(weights.T))
        layer.set_param("b", np.zeros(weights.shape[1], np.float32))
    optimizer = Adam(LEARNING_RATE, beta1=BETA_1, beta2=BETA_2, eps=EPSILON, L2=0.0, grad_clip=0.0)
    ops = NumpyOps()

    def step(x: Any, y: Any) -> Any:
        output, backprop = model.begin_update(x)
        if work.classes:
            probabilities = ops.softmax(output)
            loss = -np.log((probabilities * y).sum(axis=1)).mean()
            d = (probabilities - y) / batch
        else:
            d = output - y
            loss = (d * d).mean()
            d *= 2 / d.size
        backprop(d)
        model.finish_update(optimizer)
        return loss

    return Contestant(step, model.predict, pairs)
