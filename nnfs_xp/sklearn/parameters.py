"""The parameters of the estimators, checked, and what they mean for the optimizer."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from nnfs_xp._checks import check_bool, check_count, check_range, quoted
from nnfs_xp.errors import ArgumentError
from nnfs_xp.optimizers import SGD, Adam, Optimizer
from nnfs_xp.schedules import Schedule
from nnfs_xp.sklearn.network import dropout_rates, hidden_activations, hidden_widths
from nnfs_xp.sklearn.rates import EpochRate
from nnfs_xp.training import Callback


class Parameters(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """The parameters of `MLPClassifier`, which explains each, and of `MLPRegressor`."""

    hidden_layer_sizes: Any
    activation: Any
    solver: str
    alpha: float
    batch_size: Any
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: Any
    tol: float
    verbose: Any
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: Any
    max_fun: int
    loss: Any
    dropout: Any
    batch_norm: bool
    optimizer: Optimizer | None
    schedule: Schedule | None
    callbacks: Any
    backend: Any
    network: Any

    def _keep(self, parameters: dict[str, Any]) -> None:
        """Set the arguments of ``__init__`` as attributes, which is all that it may do."""
        for name, value in parameters.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    def _trains_by_steps(self) -> bool:
        if self._solver() == "lbfgs":
            raise AttributeError("partial_fit needs solver='adam' or 'sgd'.")
        return True

    def _solver(self) -> str:
        """The solver; "own" where the user's optimizer takes its place."""
        return self.solver if self.optimizer is None else "own"

    def _check_parameters(self, incremental: bool) -> None:
        """Refuse parameters that are out of range, before anything is touched."""
        n_hidden = len(hidden_widths(self.hidden_layer_sizes))
        hidden_activations(self.activation, n_hidden)
        dropout_rates(self.dropout, n_hidden)
        for name in ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping", "batch_norm"):
            check_bool(name, getattr(self, name))
        _one_of("solver", self.solver, ("lbfgs", "sgd", "adam"))
        _one_of("learning_rate", self.learning_rate, ("constant", "invscaling", "adaptive"))
        check_range("alpha", self.alpha, 0)
        check_range("learning_rate_init", self.learning_rate_init, 0, open_low=True)
        check_range("momentum", self.momentum, 0, 1)
        check_range("power_t", self.power_t, 0)
        check_range("tol", self.tol, 0)
        check_range("validation_fraction", self.validation_fraction, 0, 1)
        check_count("max_iter", self.max_iter)
        check_count("max_fun", self.max_fun)
        if self.n_iter_no_change != np.inf:
            check_count("n_iter_no_change", self.n_iter_no_change)
        if not (isinstance(self.batch_size, str) and self.batch_size == "auto"):
            check_count("batch_size", self.batch_size)
        for name, kind in (("optimizer", Optimizer), ("schedule", Schedule)):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise ArgumentError(f"`{name}` must be of nn.{name}s; got {quoted(value)}.")
        if not isinstance(self.callbacks, list | tuple):
            raise ArgumentError(f"`callbacks` must be a list or a tuple; got {self.callbacks!r}.")
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise ArgumentError(f"`callbacks` must be Callback objects; got {callback!r}.")
        if self.schedule is not None and self.optimizer is not None:
            raise ArgumentError("hand the schedule to the optimizer, as its learning rate.")
        if self._solver() == "lbfgs" and (self.schedule is not None or self.callbacks):
            raise ArgumentError("`schedule` and `callbacks` need solver='adam' or 'sgd'.")
        if self.early_stopping and not self.validation_fraction:
            raise ArgumentError("`validation_fraction` must be above 0 for early_stopping.")
        if self.early_stopping and incremental:
            raise ArgumentError("partial_fit does not support early_stopping=True.")

    def _new_optimizer(self) -> Optimizer:
        if self.optimizer is not None:
            if self.optimizer.iterations:
                raise ArgumentError("`optimizer` has made steps already; hand over a new one.")
            return copy.deepcopy(self.optimizer)
        kind = self.learning_rate if self.solver == "sgd" else "constant"
        rate: Schedule = EpochRate(self.learning_rate_init, kind, self.power_t)
        if self.schedule is not None:
            rate = copy.deepcopy(self.schedule)
        if self.solver == "sgd":
            nesterov = self.nesterovs_momentum and self.momentum > 0
            return SGD(rate, momentum=self.momentum, nesterov=nesterov)
        return Adam(rate, beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in known:
        raise ArgumentError(f"`{name}` must be one of {known}; got {quoted(value)}.")
