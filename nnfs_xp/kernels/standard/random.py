"""Random numbers without a state, and the layers' masks made of them."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Protocol, TypeAlias

from nnfs_xp.kernels.standard.counts import DeviceCount, DeviceKeys

if TYPE_CHECKING:
    from nnfs_xp._typing import Array, Device, Namespace

Keys: TypeAlias = tuple[int, int, int] | DeviceKeys

BITS = 24
"""How many random bits `random_bits` gives an element: as many as a float32 holds exactly."""

_MASK_32 = 0xFFFFFFFF
_MASK_64 = 0xFFFFFFFFFFFFFFFF


def stream_keys(seed: int, stream: int, step: int | DeviceCount, start: int = 0) -> Keys:
    """Two 32-bit keys that differ, as if drawn at random, for each (seed, stream, step); and start.

    Computed on the host from Python integers with SplitMix64's output function (Steele, Lea
    and Flood 2014, *Fast Splittable Pseudorandom Number Generators*). `start` is the index of the
    first element that is drawn: above 0 where elements before it are drawn elsewhere.
    """
    start &= _MASK_32
    if isinstance(step, DeviceCount):
        return DeviceKeys(seed & _MASK_64, stream, step, start)
    state = 0
    for word in (seed, stream, step):
        state = (state + word + 0x9E3779B97F4A7C15) & _MASK_64
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK_64
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK_64
        state ^= state >> 31
    return state & _MASK_32, state >> 32, start


def hashed(indices: Array, first: int, second: int) -> Array:
    """The bits that `random_bits` gives the elements of these indices; it writes over the array."""
    bits = indices
    bits &= _MASK_32
    bits ^= first
    bits ^= bits >> 16
    bits *= 0x21F0AAAD
    bits &= _MASK_32
    bits ^= second
    bits ^= bits >> 15
    bits *= 0x735A2D97
    bits &= _MASK_32
    bits ^= bits >> 15
    bits >>= 32 - BITS
    return bits


class RandomKernels(Protocol):
    """Random bits, and dropout."""

    def random_bits(
        self, xp: Namespace, shape: tuple[int, ...], keys: Keys, device: Device
    ) -> Array:
        """Random integers in [0, 2**24), one an element: a hash of two keys and its index.

        The same keys give the same integers on every backend. The hash is two rounds of
        xor-shift-multiply, the second key entering between them. It is 32-bit arithmetic held in
        int64, with multipliers below 2**31, so that no operation overflows anywhere: the
        standard leaves signed overflow undefined, and not every library shifts unsigned
        integers. The sequence repeats after 2**32 elements.

        Parameters
        ----------
        xp : namespace
        shape : tuple of int
        keys : tuple of three int, or DeviceKeys
            From `stream_keys`: two keys, and the index of the first element.
        device : device of the namespace

        Returns
        -------
        array of int64, of the given shape
        """
        first, second, start = keys
        bits: Array = xp.arange(start, start + prod(shape), dtype=xp.int64, device=device)
        reshaped: Array = xp.reshape(hashed(bits, first, second), shape)
        return reshaped

    def dropout(
        self, xp: Namespace, inputs: Array, threshold: int, scale: float, keys: Keys, device: Device
    ) -> tuple[Array, Array]:
        """Inputs times scale where `random_bits` are at least the threshold, else 0.

        Returns
        -------
        output, kept : array
            `kept` holds booleans, for `dropout_backward`.
        """
        kept: Array = self.random_bits(xp, tuple(inputs.shape), keys, device) >= threshold
        return self.dropout_backward(xp, inputs, kept, scale), kept

    def dropout_backward(self, xp: Namespace, dvalues: Array, kept: Array, scale: float) -> Array:
        """The gradient of dropout's inputs: dvalues times scale where kept, else 0."""
        dinputs: Array = xp.where(kept, dvalues * scale, 0.0)
        return dinputs
