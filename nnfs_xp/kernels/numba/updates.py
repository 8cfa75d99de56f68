"""The optimizers' formulas, each one pass over flat arrays of one shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnfs_xp.kernels.numba.compilation import check_shapes, compiled, or_numpy
from nnfs_xp.kernels.numba.products import SharedKernels
from nnfs_xp.kernels.numpy import Array, corrected

# The numbers that a kernel takes are worked out in float64 before: 1 - 0.999 in float32 would be
# off by a hundred eps.


@compiled("F1", "F1", "F")
def _sgd(values: Array, g: Array, rate: float) -> None:
    for i in range(values.size):
        values[i] -= rate * g[i]


@compiled("F1", "F1", "F1", "F", "F", "F")
def _momentum(
    values: Array, g: Array, v: Array, rate: float, momentum: float, ahead: float
) -> None:
    """Take a step of SGD with momentum; `ahead` is momentum for Nesterov's, else 0."""
    for i in range(values.size):
        step = -rate * g[i]
        u = momentum * v[i] + step
        v[i] = u
        values[i] += step + ahead * u if ahead else u


@compiled("F1", "F1", "F1", "F", "F", "F", "F")
def _scaled(
    values: Array, g: Array, c: Array, rate: float, past: float, present: float, epsilon: float
) -> None:
    for i in range(values.size):
        a = past * c[i] + present * (g[i] * g[i])
        c[i] = a
        values[i] -= rate * g[i] / (np.sqrt(a) + epsilon)


@compiled("F1", "F1", "F1", "F1", "F", "F", "F", "F", "F", "F")
def _adam(
    values: Array,
    g: Array,
    m: Array,
    c: Array,
    rate: float,
    past_1: float,
    present_1: float,
    past_2: float,
    present_2: float,
    epsilon: float,
) -> None:
    for i in range(values.size):
        p = past_1 * m[i] + present_1 * g[i]
        a = past_2 * c[i] + present_2 * (g[i] * g[i])
        m[i] = p
        c[i] = a
        values[i] -= rate * p / (np.sqrt(a) + epsilon)


@compiled("F1", "F1", "F1", "F1", "F1", "F", "F", "F", "F", "F", "F")
def _amsgrad(
    values: Array,
    g: Array,
    m: Array,
    c: Array,
    largest: Array,
    rate: float,
    past_1: float,
    present_1: float,
    past_2: float,
    present_2: float,
    epsilon: float,
) -> None:
    for i in range(values.size):
        p = past_1 * m[i] + present_1 * g[i]
        a = past_2 * c[i] + present_2 * (g[i] * g[i])
        m[i] = p
        c[i] = a
        most = largest[i] if largest[i] > a else a  # so that NaN in c stays
        largest[i] = most
        values[i] -= rate * p / (np.sqrt(most) + epsilon)


@compiled("F1", "F1", "F1", "F", "F", "F", "F", "F")
def _lion(
    values: Array,
    g: Array,
    m: Array,
    rate: float,
    past_1: float,
    present_1: float,
    past_2: float,
    present_2: float,
) -> None:
    for i in range(values.size):
        direction = np.sign(past_1 * m[i] + present_1 * g[i])
        m[i] = past_2 * m[i] + present_2 * g[i]
        values[i] -= rate * direction


@compiled("F1", "F1", "F", "F")
def _average(averages: Array, values: Array, past: float, present: float) -> None:
    for i in range(values.size):
        averages[i] = past * averages[i] + present * values[i]


@compiled("F1", "F1", "F")
def _add_scaled(total: Array, values: Array, factor: float) -> None:
    for i in range(total.size):
        total[i] += factor * values[i]


class UpdateKernels(SharedKernels):
    """The optimizers' updates."""

    @or_numpy
    def sgd(self, xp: Any, values: Array, g: Array, rate: float) -> None:
        check_shapes(values, g)
        _sgd(values, g, rate)

    @or_numpy
    def momentum(
        self,
        xp: Any,
        values: Array,
        g: Array,
        v: Array,
        rate: float,
        momentum: float,
        nesterov: bool,
    ) -> None:
        check_shapes(values, g, v)
        _momentum(values, g, v, rate, momentum, momentum if nesterov else 0.0)

    @or_numpy
    def adagrad(
        self, xp: Any, values: Array, g: Array, c: Array, rate: float, epsilon: float
    ) -> None:
        check_shapes(values, g, c)
        _scaled(values, g, c, rate, 1.0, 1.0, epsilon)

    @or_numpy
    def rmsprop(
        self, xp: Any, values: Array, g: Array, c: Array, rate: float, rho: float, epsilon: float
    ) -> None:
        check_shapes(values, g, c)
        _scaled(values, g, c, rate, rho, 1 - rho, epsilon)

    @or_numpy
    def adam(
        self,
        xp: Any,
        values: Array,
        g: Array,
        m: Array,
        c: Array,
        t: int,
        rate: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
    ) -> None:
        scaled, least = corrected(t, rate, beta_1, beta_2, epsilon)
        check_shapes(values, g, m, c)
        numbers = scaled, beta_1, 1 - beta_1, beta_2, 1 - beta_2, least
        if not self._shares_adam((values, g, m, c), numbers):
            _adam(values, g, m, c, *numbers)

    @or_numpy
    def amsgrad(
        self,
        xp: Any,
        values: Array,
        g: Array,
        m: Array,
        c: Array,
        largest: Array,
        t: int,
        rate: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
    ) -> None:
        scaled, least = corrected(t, rate, beta_1, beta_2, epsilon)
        check_shapes(values, g, m, c, largest)
        _amsgrad(values, g, m, c, largest, scaled, beta_1, 1 - beta_1, beta_2, 1 - beta_2, least)

    @or_numpy
    def lion(
        self, xp: Any, values: Array, g: Array, m: Array, rate: float, beta_1: float, beta_2: float
    ) -> None:
        check_shapes(values, g, m)
        _lion(values, g, m, rate, beta_1, 1 - beta_1, beta_2, 1 - beta_2)

    @or_numpy
    def average(self, xp: Any, averages: Array, values: Array, decay: float) -> None:
        check_shapes(averages, values)
        _average(averages, values, decay, 1 - decay)

    @or_numpy
    def add_l2(self, xp: Any, gradient: Array, values: Array, strength: float) -> None:
        check_shapes(gradient, values)
        if not gradient.flags.c_contiguous:
            raise TypeError("made flat, it would be a copy")
        _add_scaled(gradient.reshape(-1), values.reshape(-1), 2 * strength)
