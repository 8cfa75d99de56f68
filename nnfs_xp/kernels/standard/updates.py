"""The optimizers' formulas, over flat arrays of one shape.

In a step that is recorded once and run many times, ``rate`` is a 0-d array, ``t`` a `DeviceCount`,
and the ``decay`` of the weights, where it changes from step to step, a 0-d array of float64.

Each writes to the values and to the optimizer's state, and reads the gradients g. The optimizers in
`nnfs_xp.optimizers` say what the names mean, and where the formulas are from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nnfs_xp.kernels.standard.counts import DeviceCount
from nnfs_xp.kernels.standard.functions import sign

if TYPE_CHECKING:
    from nnfs_xp._typing import Array, Device, DType, Namespace


def _descend(
    xp: Namespace, values: Array, m: Array, c: Array, rate: float, correction: float, epsilon: float
) -> None:
    denominator = xp.sqrt(c / correction)
    denominator += epsilon
    update = m * rate
    update /= denominator
    values -= update


class UpdateKernels(Protocol):
    """One update of the parameters for each optimizer, and what goes with it."""

    def flat_zeros(
        self, xp: Namespace, size: int, dtype: DType, device: Device, place: int
    ) -> Array:
        """Zeros for the values (place 0), their gradients (1) or a part of the state (2, 3, …)."""
        zeros: Array = xp.zeros(size, dtype=dtype, device=device)
        return zeros

    def sgd(self, xp: Namespace, values: Array, g: Array, rate: float) -> None:
        """Take a step of SGD: values -= rate * g."""
        values -= rate * g

    def momentum(
        self,
        xp: Namespace,
        values: Array,
        g: Array,
        v: Array,
        rate: float,
        momentum: float,
        nesterov: bool,
    ) -> None:
        """Set v = momentum * v - rate * g; values += v.

        With nesterov, values += momentum * v - rate * g, of the new v.
        """
        step = g * -rate
        v *= momentum
        v += step
        values += step + momentum * v if nesterov else v

    def adagrad(
        self, xp: Namespace, values: Array, g: Array, c: Array, rate: float, epsilon: float
    ) -> None:
        """Set c += g**2; values -= rate * g / (sqrt(c) + epsilon)."""
        c += g * g
        values -= rate * g / (xp.sqrt(c) + epsilon)

    def rmsprop(
        self,
        xp: Namespace,
        values: Array,
        g: Array,
        c: Array,
        rate: float,
        rho: float,
        epsilon: float,
    ) -> None:
        """Set c = rho * c + (1 - rho) * g**2; values -= rate * g / (sqrt(c) + epsilon)."""
        c *= rho
        c += (1 - rho) * g * g
        values -= rate * g / (xp.sqrt(c) + epsilon)

    def adam(
        self,
        xp: Namespace,
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
        """Adam's step of number t, from 1 on.

        m = beta_1 * m + (1 - beta_1) * g; c = beta_2 * c + (1 - beta_2) * g**2;
        values -= rate / (1 - beta_1**t) * m / (sqrt(c / (1 - beta_2**t)) + epsilon).
        """
        m *= beta_1
        m += (1 - beta_1) * g
        c *= beta_2
        c += (1 - beta_2) * g * g
        _descend(xp, values, m, c, rate / (1 - beta_1**t), 1 - beta_2**t, epsilon)

    def amsgrad(
        self,
        xp: Namespace,
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
        """Take a step of `adam` with the largest c so far, kept in `largest`, in place of c."""
        m *= beta_1
        m += (1 - beta_1) * g
        c *= beta_2
        c += (1 - beta_2) * g * g
        largest[...] = xp.maximum(largest, c)
        _descend(xp, values, m, largest, rate / (1 - beta_1**t), 1 - beta_2**t, epsilon)

    def lion(
        self,
        xp: Namespace,
        values: Array,
        g: Array,
        m: Array,
        rate: float,
        beta_1: float,
        beta_2: float,
    ) -> None:
        """Take a step of Lion, in the direction of an interpolated momentum's sign.

        values -= rate * sign(beta_1 * m + (1 - beta_1) * g); m = beta_2 * m + (1 - beta_2) * g.
        """
        direction = sign(xp, beta_1 * m + (1 - beta_1) * g)
        m *= beta_2
        m += (1 - beta_2) * g
        values -= rate * direction

    def lookahead(
        self, xp: Namespace, values: Array, slow: Array, t: int, k: int, alpha: float
    ) -> None:
        """After every k-th step, set slow += alpha * (values - slow); values = slow.

        The number of the step that was made is t, from 1 on.
        """
        if isinstance(t, DeviceCount):
            due = (t.array + t.offset) % k == 0
            slow[...] = xp.where(due, slow + alpha * (values - slow), slow)
            values[...] = xp.where(due, slow, values)
        elif t % k == 0:
            slow += alpha * (values - slow)
            values[...] = slow

    def shrink(self, xp: Namespace, values: Array, rate: float, decay: float) -> None:
        """Decay the weights, apart from the gradient: values *= 1 - rate * decay."""
        values *= 1 - rate * decay

    def add_l2(self, xp: Namespace, gradient: Array, values: Array, strength: float) -> None:
        """Add 2 * strength * values, the gradient of strength * sum(values**2), to `gradient`."""
        gradient += 2 * strength * values

    def sum_squares(self, xp: Namespace, values: Array) -> Array:
        """Compute sum(values**2), a 0-d array."""
        total: Array = xp.sum(values * values)
        return total

    def norm(self, xp: Namespace, values: Array) -> Array:
        """Compute sqrt(sum(values**2)), a 0-d array, where the squares may be out of range."""
        largest = xp.maximum(xp.max(xp.abs(values)), 1e-30)
        scaled = values / largest
        norm: Array = largest * xp.sqrt(xp.sum(scaled * scaled))
        return norm

    def clip(self, xp: Namespace, values: Array, bound: float) -> None:
        """Bring what is beyond ± bound to it."""
        values[...] = xp.minimum(xp.maximum(values, -bound), bound)

    def average(self, xp: Namespace, averages: Array, values: Array, decay: float) -> None:
        """Set averages = decay * averages + (1 - decay) * values."""
        averages *= decay
        averages += (1 - decay) * values
