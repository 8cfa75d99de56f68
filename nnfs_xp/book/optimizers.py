"""The book's optimizers, over those of the library: one step made of many layers."""

from __future__ import annotations

from nnfs_xp.layers import Layer
from nnfs_xp.optimizers import SGD, Adagrad, Adam, Optimizer, RMSprop


class _BookOptimizer(Optimizer):
    """Counts the steps where the script says so."""

    _rate: float | None = None

    @property
    def current_learning_rate(self) -> float:
        """The learning rate of the step that `pre_update_params` began."""
        return super().current_learning_rate if self._rate is None else self._rate

    def pre_update_params(self) -> None:
        """Begin a step: work out its learning rate."""
        self._rate = super().current_learning_rate

    def update_params(self, layer: Layer) -> None:
        """Update the parameters of one layer by its gradients."""
        self.update(layer)

    def post_update_params(self) -> None:
        """End the step: count it."""
        self.iterations += 1


class Optimizer_SGD(_BookOptimizer, SGD):
    """`SGD`: ``Optimizer_SGD(learning_rate=1., decay=0., momentum=0.)``."""


class Optimizer_Adagrad(_BookOptimizer, Adagrad):
    """`Adagrad`: ``Optimizer_Adagrad(learning_rate=1., decay=0., epsilon=1e-7)``."""


class Optimizer_RMSprop(_BookOptimizer, RMSprop):
    """`RMSprop`: ``Optimizer_RMSprop(learning_rate=0.001, decay=0., epsilon=1e-7, rho=0.9)``."""


class Optimizer_Adam(_BookOptimizer, Adam):
    """`Adam`: the book's order of arguments, ``(0.001, 0., 1e-7, 0.9, 0.999)`` by default.

    They are the learning rate, decay, epsilon, beta_1 and beta_2.
    """
