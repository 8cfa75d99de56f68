"""The optimizers' formulas, each one pass over flat arrays of one shape."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from nnfs_xp.kernels import standard
from nnfs_xp.kernels.cupy.compilation import Array, count, number, same_shape, sweep, wide


def flat_zeros(xp: Any, size: int, dtype: Any, device: Any, place: int) -> Array:
    return cupy.zeros(size, dtype)


def sgd(xp: Any, values: Array, g: Array, rate: Any) -> None:
    if not same_shape(values, g):
        standard.sgd(xp, values, g, rate)
        return
    sweep("updates", "sgd", (values, g), *number(rate, values.dtype))


def momentum(
    xp: Any, values: Array, g: Array, v: Array, rate: Any, momentum: float, nesterov: bool
) -> None:
    if not same_shape(values, g, v):
        standard.momentum(xp, values, g, v, rate, momentum, nesterov)
        return
    past = wide(values.dtype)(momentum)
    numbers = *number(rate, values.dtype), past, np.int32(nesterov)
    sweep("updates", "momentum", (values, g, v), *numbers)


def adagrad(xp: Any, values: Array, g: Array, c: Array, rate: Any, epsilon: float) -> None:
    if not same_shape(values, g, c):
        standard.adagrad(xp, values, g, c, rate, epsilon)
        return
    _scaled(values, g, c, rate, 1.0, 1.0, epsilon)


def rmsprop(
    xp: Any, values: Array, g: Array, c: Array, rate: Any, rho: float, epsilon: float
) -> None:
    if not same_shape(values, g, c):
        standard.rmsprop(xp, values, g, c, rate, rho, epsilon)
        return
    _scaled(values, g, c, rate, rho, 1 - rho, epsilon)


def _scaled(
    values: Array, g: Array, c: Array, rate: Any, past: float, present: float, epsilon: float
) -> None:
    kind = wide(values.dtype)
    numbers = *number(rate, values.dtype), kind(past), kind(present), kind(epsilon)
    sweep("updates", "scaled", (values, g, c), *numbers)


def adam(
    xp: Any,
    values: Array,
    g: Array,
    m: Array,
    c: Array,
    t: Any,
    rate: Any,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    if not same_shape(values, g, m, c):
        standard.adam(xp, values, g, m, c, t, rate, beta_1, beta_2, epsilon)
        return
    betas = np.float64(beta_1), np.float64(beta_2), np.float64(epsilon)
    numbers = *count(t), *number(rate, values.dtype), *betas
    sweep("updates", "adam", (values, g, m, c), *numbers)


def amsgrad(
    xp: Any,
    values: Array,
    g: Array,
    m: Array,
    c: Array,
    largest: Array,
    t: Any,
    rate: Any,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    if not same_shape(values, g, m, c, largest):
        standard.amsgrad(xp, values, g, m, c, largest, t, rate, beta_1, beta_2, epsilon)
        return
    betas = np.float64(beta_1), np.float64(beta_2), np.float64(epsilon)
    numbers = *count(t), *number(rate, values.dtype), *betas
    sweep("updates", "amsgrad", (values, g, m, c, largest), *numbers)


def lion(
    xp: Any, values: Array, g: Array, m: Array, rate: Any, beta_1: float, beta_2: float
) -> None:
    if not same_shape(values, g, m):
        standard.lion(xp, values, g, m, rate, beta_1, beta_2)
        return
    kind = wide(values.dtype)
    betas = (kind(each) for each in (beta_1, 1 - beta_1, beta_2, 1 - beta_2))
    sweep("updates", "lion", (values, g, m), *number(rate, values.dtype), *betas)


def shrink(xp: Any, values: Array, rate: Any, decay: float) -> None:
    if not same_shape(values):
        standard.shrink(xp, values, rate, decay)
        return
    if values.size:
        sweep("updates", "shrink", (values,), *number(rate, values.dtype), np.float64(decay))


def average(xp: Any, averages: Array, values: Array, decay: float) -> None:
    if not same_shape(averages, values):
        standard.average(xp, averages, values, decay)
        return
    kind = wide(values.dtype)
    sweep("updates", "average", (averages, values), kind(decay), kind(1 - decay))
