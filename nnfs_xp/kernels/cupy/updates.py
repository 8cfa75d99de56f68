"""The optimizers' formulas, each one pass over flat arrays of one shape."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from nnfs_xp.kernels.cupy.compilation import Array, count, number, or_standard, sweep, wide
from nnfs_xp.kernels.standard import StandardKernels


def _scaled(
    values: Array, g: Array, c: Array, rate: Any, past: float, present: float, epsilon: float
) -> None:
    kind = wide(values.dtype)
    numbers = *number(rate, values.dtype), kind(past), kind(present), kind(epsilon)
    sweep("updates", "scaled", (values, g, c), *numbers)


class UpdateKernels(StandardKernels):
    """The optimizers' updates."""

    def flat_zeros(self, xp: Any, size: int, dtype: Any, device: Any, place: int) -> Array:
        return cupy.zeros(size, dtype)

    @or_standard(2)
    def sgd(self, xp: Any, values: Array, g: Array, rate: Any) -> None:
        sweep("updates", "sgd", (values, g), *number(rate, values.dtype))

    @or_standard(3)
    def momentum(
        self, xp: Any, values: Array, g: Array, v: Array, rate: Any, momentum: float, nesterov: bool
    ) -> None:
        past = wide(values.dtype)(momentum)
        numbers = *number(rate, values.dtype), past, np.int32(nesterov)
        sweep("updates", "momentum", (values, g, v), *numbers)

    @or_standard(3)
    def adagrad(
        self, xp: Any, values: Array, g: Array, c: Array, rate: Any, epsilon: float
    ) -> None:
        _scaled(values, g, c, rate, 1.0, 1.0, epsilon)

    @or_standard(3)
    def rmsprop(
        self, xp: Any, values: Array, g: Array, c: Array, rate: Any, rho: float, epsilon: float
    ) -> None:
        _scaled(values, g, c, rate, rho, 1 - rho, epsilon)

    @or_standard(4)
    def adam(
        self,
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
        betas = np.float64(beta_1), np.float64(beta_2), np.float64(epsilon)
        numbers = *count(t), *number(rate, values.dtype), *betas
        sweep("updates", "adam", (values, g, m, c), *numbers)

    @or_standard(5)
    def amsgrad(
        self,
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
        betas = np.float64(beta_1), np.float64(beta_2), np.float64(epsilon)
        numbers = *count(t), *number(rate, values.dtype), *betas
        sweep("updates", "amsgrad", (values, g, m, c, largest), *numbers)

    @or_standard(3)
    def lion(
        self, xp: Any, values: Array, g: Array, m: Array, rate: Any, beta_1: float, beta_2: float
    ) -> None:
        kind = wide(values.dtype)
        betas = (kind(each) for each in (beta_1, 1 - beta_1, beta_2, 1 - beta_2))
        sweep("updates", "lion", (values, g, m), *number(rate, values.dtype), *betas)

    @or_standard(1)
    def shrink(self, xp: Any, values: Array, rate: Any, decay: Any) -> None:
        if values.size:
            numbers = *number(rate, values.dtype), *number(decay, np.dtype(np.float64))
            sweep("updates", "shrink", (values,), *numbers)

    @or_standard(2)
    def average(self, xp: Any, averages: Array, values: Array, decay: float) -> None:
        kind = wide(values.dtype)
        sweep("updates", "average", (averages, values), kind(decay), kind(1 - decay))
