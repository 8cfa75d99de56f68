"""Optimizers that scale each parameter's step by the size of its past gradients."""

from __future__ import annotations

from nnfs_xp import _checks
from nnfs_xp._typing import Namespace
from nnfs_xp.optimizers.base import Optimizer, State
from nnfs_xp.parameters import FlatParameters


class Adagrad(Optimizer):
    """Divides each step by the root of the sum of all squared gradients so far.

    Parameters
    ----------
    learning_rate : float
        The book's default of 1.
    decay : float
        See `Optimizer`.
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
        self, learning_rate: float = 1.0, decay: float = 0.0, epsilon: float = 1e-7
    ) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon = _checks.check_range("epsilon", epsilon, 0, open_low=True)

    def apply(self, xp: Namespace, flat: FlatParameters, state: State) -> None:
        g, c = flat.gradients, state["cache"]
        c += g * g
        flat.values -= self.current_learning_rate * g / (xp.sqrt(c) + self.epsilon)


class RMSprop(Optimizer):
    """Divides each step by the root of a running mean of the squared gradients.

    Parameters
    ----------
    learning_rate, decay : float
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
        learning_rate: float = 0.001,
        decay: float = 0.0,
        epsilon: float = 1e-7,
        rho: float = 0.9,
    ) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon = _checks.check_range("epsilon", epsilon, 0, open_low=True)
        self.rho = _checks.check_range("rho", rho, 0, 1)

    def apply(self, xp: Namespace, flat: FlatParameters, state: State) -> None:
        g, c = flat.gradients, state["cache"]
        c *= self.rho
        c += (1 - self.rho) * g * g
        flat.values -= self.current_learning_rate * g / (xp.sqrt(c) + self.epsilon)


class Adam(Optimizer):
    """Momentum and a running mean of squares, both corrected for having started at 0.

    Parameters
    ----------
    learning_rate, decay : float
        See `Optimizer`.
    epsilon : float
        Keeps the division from zero. The book's default; PyTorch's is 1e-8.
    beta_1, beta_2 : float
        The weight of the past in the running means of the gradient and of its square.

    Notes
    -----
    m = beta_1 * m + (1 - beta_1) * gradients; c = beta_2 * c + (1 - beta_2) * gradients**2;
    values -= learning_rate * m̂ / (sqrt(ĉ) + epsilon), with m̂ = m / (1 - beta_1**t) and
    ĉ = c / (1 - beta_2**t) at step t = 1, 2, …

    Source: Kingma and Ba 2015, *Adam*, algorithm 1; *Neural Networks from Scratch*, chapter 10.
    """

    state_names = ("momentum", "cache")

    def __init__(
        self,
        learning_rate: float = 0.001,
        decay: float = 0.0,
        epsilon: float = 1e-7,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
    ) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon = _checks.check_range("epsilon", epsilon, 0, open_low=True)
        self.beta_1 = _checks.check_range("beta_1", beta_1, 0, 1)
        self.beta_2 = _checks.check_range("beta_2", beta_2, 0, 1)

    def apply(self, xp: Namespace, flat: FlatParameters, state: State) -> None:
        g, m, c = flat.gradients, state["momentum"], state["cache"]
        t = self.iterations + 1
        m *= self.beta_1
        m += (1 - self.beta_1) * g
        c *= self.beta_2
        c += (1 - self.beta_2) * g * g
        denominator = xp.sqrt(c / (1 - self.beta_2**t))
        denominator += self.epsilon
        update = m * (self.current_learning_rate / (1 - self.beta_1**t))
        update /= denominator
        flat.values -= update


class AdamW(Adam):
    """Adam with weight decay apart from the gradient, on weights and not on biases.

    Parameters
    ----------
    learning_rate, decay, epsilon, beta_1, beta_2 : float
        See `Adam`.
    weight_decay : float
        The share of itself, times the learning rate, that a weight loses in each step.

    Notes
    -----
    values -= learning_rate * weight_decay * values for the parameters that decay, then Adam's
    step. As in PyTorch, and unlike the paper, the decay is multiplied by the learning rate.

    Source: Loshchilov and Hutter 2019, *Decoupled Weight Decay Regularization*, algorithm 2.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        decay: float = 0.0,
        epsilon: float = 1e-7,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        *,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(learning_rate, decay, epsilon, beta_1, beta_2)
        self.weight_decay = _checks.check_range("weight_decay", weight_decay, 0)

    def apply(self, xp: Namespace, flat: FlatParameters, state: State) -> None:
        decayed = flat.values[: flat.n_decayed]
        decayed *= 1 - self.current_learning_rate * self.weight_decay
        super().apply(xp, flat, state)
