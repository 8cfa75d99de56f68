"""A record of the gradients' norms, which shows whether they vanish or explode."""

from __future__ import annotations

from nnfs_xp._typing import Array
from nnfs_xp.backend import backend_of, to_numpy
from nnfs_xp.training.callbacks import Callback, Training


class GradientFlow(Callback):
    """Records the norm of each parameter's gradient in each step of a training.

    Waits for nothing in a step: the norms stay on the device until `norms` reads them.
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
        self._names: list[str] = []
        self._rows: list[Array] = []

    def on_train_begin(self, trainer: Training) -> None:
        """Forget the steps of a training before."""
        del trainer
        self._names, self._rows = [], []

    def on_step_end(self, trainer: Training) -> None:
        """Compute the norms on the device, of the parameters that are trained."""
        gradients = trainer.model.gradients()
        if gradients:
            trained = set(trainer.model.flat.layout)
            gradients = {name: each for name, each in gradients.items() if name in trained}
            xp = trainer.model.xp
            self._names = list(gradients)
            self._rows.append(xp.stack([xp.sqrt(xp.sum(g * g)) for g in gradients.values()]))

    def norms(self) -> dict[str, list[float]]:
        """The norms by the parameters' names, one for each step since the training began."""
        if not self._rows:
            return {}
        table = to_numpy(backend_of(self._rows[0]).xp.stack(self._rows))
        return dict(zip(self._names, table.T.tolist(), strict=True))
