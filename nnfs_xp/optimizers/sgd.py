"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Unpack

from nnfs_xp import _checks
from nnfs_xp._typing import Namespace
from nnfs_xp.errors import ArgumentError
from nnfs_xp.flat_parameters import Part
from nnfs_xp.optimizers.base import Optimizer, Options, State
from nnfs_xp.schedules import Schedule


class SGD(Optimizer):
    """Steps against the gradient, with momentum if asked.

    Parameters
    ----------
    learning_rate, decay, **options
        See `Optimizer`. A learning rate of 1 is the book's default.
    momentum : float
        The share of the last step that is made again, in [0, 1).
    nesterov : bool
        Step from where the momentum is about to lead. Needs momentum.

    Notes
    -----
    v = momentum * v - learning_rate * gradients; values += v. With Nesterov's momentum,
    values += momentum * v - learning_rate * gradients, with the new v.

    Source: *Neural Networks from Scratch*, chapter 10; Sutskever et al. 2013, *On the
    importance of initialization and momentum in deep learning*, equations 1 to 4.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 1.0,
        decay: float = 0.0,
        momentum: float = 0.0,
        *,
        nesterov: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, decay, **options)
        self.momentum = _checks.check_range("momentum", momentum, 0, 1)
        if nesterov and not momentum:
            raise ArgumentError("Nesterov's momentum needs a momentum above 0.")
        self.nesterov = _checks.check_bool("nesterov", nesterov)
        self.state_names = ("velocity",) if self.momentum else ()

    def apply(self, xp: Namespace, flat: Part, state: State) -> None:
        kernels, rate = flat.backend.kernels, self.current_learning_rate
        values, g = flat.values, flat.gradients
        if self.momentum:
            kernels.momentum(xp, values, g, state["velocity"], rate, self.momentum, self.nesterov)
        else:
            kernels.sgd(xp, values, g, rate)
