"""A record of the gradients' norms, which shows whether they vanish or explode."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from math import nan
from operator import itemgetter
from typing import Any

import numpy as np

from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of, to_numpy
from nnfs_xp.training.callbacks import Callback, Training


class GradientFlow(Callback):
    """Records the norm of each parameter's gradient in each step of a training.

    Waits for nothing in a step: the norms stay on the device until `norms` or a checkpoint reads
    them. A further `fit` of the same training adds to them.
    `nnfs_xp.plots.plot_gradient_flow` draws them.

    Notes
    -----
    The norm is the Euclidean one, sqrt(sum(gradient**2)), of the gradient as the optimizer left
    it: of the batch, and clipped if the optimizer clips. In float32 a square below 1e-45 is 0
    and one above 3e38 infinite, so norms outside about 1e-22 to 1e19 are too.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> X, y = nn.data.spiral_data(samples=100, classes=3, seed=0)
    >>> model = nn.Sequential(nn.Dense(2, 64), nn.ReLU(), nn.Dense(64, 3), seed=0)
    >>> trainer = nn.Trainer(
    ...     model, nn.SoftmaxCategoricalCrossentropy(), nn.Adam(0.05), backend="numpy"
    ... )
    >>> flow = nn.GradientFlow()
    >>> for _ in range(3):
    ...     loss = trainer.train_step(X, y)
    ...     flow.on_step_end(trainer)
    >>> {name: len(values) for name, values in flow.norms().items()}
    {'0.weights': 3, '0.biases': 3, '2.weights': 3, '2.biases': 3}
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the steps of another training."""
        self._norms: dict[str, list[float]] = {}
        self._n_steps = 0
        self._rows: list[tuple[list[str], Array]] = []

    def on_step_end(self, trainer: Training) -> None:
        """Compute the norms on the device, of the parameters that are trained."""
        trained = set(trainer.model.flat.layout)
        found = trainer.model.gradients().items()
        if gradients := {name: each for name, each in found if name in trained}:
            xp = trainer.model.xp
            row = xp.stack([xp.sqrt(xp.sum(g * g)) for g in gradients.values()])
            self._rows.append((list(gradients), row))

    def norms(self) -> dict[str, list[float]]:
        """The norms by the parameters' names, one for each step since the training began.

        NaN stands for the steps in which a parameter was not trained.
        """
        for names, rows in groupby(self._rows, key=itemgetter(0)):
            arrays = [row for _, row in rows]
            table = to_numpy(backend_of(arrays[0]).xp.stack(arrays)).T.tolist()
            for name in names:
                self._norms.setdefault(name, [nan] * self._n_steps)
            read = dict(zip(names, table, strict=True))
            for name, values in self._norms.items():
                values += read.get(name, [nan] * len(arrays))
            self._n_steps += len(arrays)
        self._rows = []
        return {name: list(values) for name, values in self._norms.items()}

    def state(self) -> dict[str, Any]:
        norms = self.norms()
        shape = len(norms), self._n_steps
        return {"names": list(norms), "norms": np.array(list(norms.values())).reshape(shape)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.reset()
        if state:  # checkpoints from before it had a state hold none
            norms = state["norms"]
            self._norms = dict(zip(state["names"], norms.tolist(), strict=True))
            self._n_steps = norms.shape[1]
