"""Optimizers that scale each parameter's step by the size of its past gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from nnfs_xp import _checks
from nnfs_xp._typing import Namespace
from nnfs_xp.flat_parameters import Part
from nnfs_xp.optimizers.base import Optimizer, Options, OtherOptions, State
from nnfs_xp.schedules import Schedule


class Adagrad(Optimizer):
    """Divides each step by the root of the sum of all squared gradients so far.

    Parameters
    ----------
    learning_rate, decay, **options
        See `Optimizer`. A learning rate of 1 is the book's default.
    epsilon : float
        Keeps the division from zero.

    Notes
    -----
    c = c + gradients**2; values -= learning_rate * gradients / (sqrt(c) + epsilon).

    Source: Duchi, Hazan and Singer 2011, *Adaptive Subgradient Methods*; *Neural Networks from
    Scratch*, chapter 10.
    """

    state_names = ("cache",)

    def __init__(
        self,
        learning_rate: float | Schedule = 1.0,
        decay: float = 0.0,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, decay, **options)
        self.epsilon = _checks.check_range("epsilon", epsilon, 0, open_low=True)

    def apply(self, xp: Namespace, flat: Part, state: State) -> None:
        rate = self.current_learning_rate
        flat.backend.kernels.adagrad(
            xp, flat.values, flat.gradients, state["cache"], rate, self.epsilon
        )


class RMSprop(Optimizer):
    """Divides each step by the root of a running mean of the squared gradients.

    Parameters
    ----------
    learning_rate, decay, **options
        See `Optimizer`.
    epsilon : float
        Keeps the division from zero.
    rho : float
        The weight of the past in the running mean, in [0, 1).

    Notes
    -----
    c = rho * c + (1 - rho) * gradients**2;
    values -= learning_rate * gradients / (sqrt(c) + epsilon).

    Source: Hinton, Srivastava and Swersky 2012, *Neural Networks for Machine Learning*,
    lecture 6e; *Neural Networks from Scratch*, chapter 10.
    """

    state_names = ("cache",)

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        decay: float = 0.0,
        epsilon: float = 1e-7,
        rho: float = 0.9,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, decay, **options)
        self.epsilon = _checks.check_range("epsilon", epsilon, 0, open_low=True)
        self.rho = _checks.check_range("rho", rho, 0, 1)

    def apply(self, xp: Namespace, flat: Part, state: State) -> None:
        rate = self.current_learning_rate
        flat.backend.kernels.rmsprop(
            xp, flat.values, flat.gradients, state["cache"], rate, self.rho, self.epsilon
        )


class Adam(Optimizer):
    """Momentum and a running mean of squares, both corrected for having started at 0.

    Parameters
    ----------
    learning_rate, decay, **options
        See `Optimizer`.
    epsilon : float
        Keeps the division from zero. The book's default; PyTorch's is 1e-8.
    beta_1, beta_2 : float
        The weight of the past in the running means of the gradient and of its square.
    amsgrad : bool
        Divide by the largest mean of squares so far instead of the present one.

    Notes
    -----
    m = beta_1 * m + (1 - beta_1) * gradients; c = beta_2 * c + (1 - beta_2) * gradients**2;
    values -= learning_rate * m̂ / (sqrt(ĉ) + epsilon), with m̂ = m / (1 - beta_1**t) and
    ĉ = c / (1 - beta_2**t) at step t = 1, 2, … With `amsgrad`, ĉ = max(c so far) /
    (1 - beta_2**t), as in PyTorch.

    Source: Kingma and Ba 2015, *Adam*, algorithm 1; *Neural Networks from Scratch*, chapter 10;
    Reddi, Kale and Kumar 2018, *On the Convergence of Adam and Beyond*, algorithm 2.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        decay: float = 0.0,
        epsilon: float = 1e-7,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        *,
        amsgrad: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, decay, **options)
        self.epsilon = _checks.check_range("epsilon", epsilon, 0, open_low=True)
        self.beta_1 = _checks.check_range("beta_1", beta_1, 0, 1)
        self.beta_2 = _checks.check_range("beta_2", beta_2, 0, 1)
        self.amsgrad = _checks.check_bool("amsgrad", amsgrad)
        self.state_names = ("momentum", "cache", *(("largest_cache",) if amsgrad else ()))

    def apply(self, xp: Namespace, flat: Part, state: State) -> None:
        kernels = flat.backend.kernels
        step: Callable[..., None] = kernels.amsgrad if self.amsgrad else kernels.adam
        step(
            xp,
            flat.values,
            flat.gradients,
            *(state[name] for name in self.state_names),
            self.iterations + 1,
            self.current_learning_rate,
            self.beta_1,
            self.beta_2,
            self.epsilon,
        )


class AdamW(Adam):
    """Adam with weight decay apart from the gradient, on weights and not on biases.

    Parameters
    ----------
    learning_rate, decay, epsilon, beta_1, beta_2, amsgrad
        See `Adam`.
    weight_decay : float or Schedule
        See `Optimizer`, whose default is 0.

    Notes
    -----
    values -= learning_rate * weight_decay * values for the parameters that decay, then Adam's
    step.

    Source: Loshchilov and Hutter 2019, *Decoupled Weight Decay Regularization*, algorithm 2.
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        decay: float = 0.0,
        epsilon: float = 1e-7,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        *,
        amsgrad: bool = False,
        weight_decay: float | Schedule = 0.01,
        **options: Unpack[OtherOptions],
    ) -> None:
        super().__init__(
            learning_rate,
            decay,
            epsilon,
            beta_1,
            beta_2,
            amsgrad=amsgrad,
            weight_decay=weight_decay,
            **options,
        )


class Lion(Optimizer):
    """Steps of one size, in the direction of an interpolated momentum's sign.

    A learning rate a third to a tenth of Adam's, and a weight decay as much larger, are usual.

    Parameters
    ----------
    learning_rate, decay, **options
        See `Optimizer`.
    beta_1 : float
        The weight of the momentum in the direction.
    beta_2 : float
        The weight of the past in the momentum.

    Notes
    -----
    values -= learning_rate * sign(beta_1 * m + (1 - beta_1) * gradients), then
    m = beta_2 * m + (1 - beta_2) * gradients.

    Source: Chen et al. 2023, *Symbolic Discovery of Optimization Algorithms*, algorithm 2.
    """

    state_names = ("momentum",)

    def __init__(
        self,
        learning_rate: float | Schedule = 1e-4,
        decay: float = 0.0,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, decay, **options)
        self.beta_1 = _checks.check_range("beta_1", beta_1, 0, 1)
        self.beta_2 = _checks.check_range("beta_2", beta_2, 0, 1)

    def apply(self, xp: Namespace, flat: Part, state: State) -> None:
        rate = self.current_learning_rate
        flat.backend.kernels.lion(
            xp, flat.values, flat.gradients, state["momentum"], rate, self.beta_1, self.beta_2
        )
