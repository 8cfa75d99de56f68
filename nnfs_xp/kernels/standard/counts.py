"""Counts that live on the device: for steps that are recorded once and run many times."""

from __future__ import annotations

from typing import Any, NoReturn


class DeviceCount:
    """A whole number that a recorded step reads from the device each time it runs.

    It stands for an int where steps are counted: it can be added to, and handed to kernels and
    to `Backend.random_bits`. The host does not know its value; what would have to know it raises
    TypeError.

    Parameters
    ----------
    array : array of int64, 0-d
    offset : int
        What to add to the value of the array.
    """

    def __init__(self, array: Any, offset: int = 0) -> None:
        self.array = array
        self.offset = offset

    def __add__(self, n: int) -> DeviceCount:
        return DeviceCount(self.array, self.offset + n)

    __radd__ = __add__

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError("in a recorded step this count is known on the device alone")

    __bool__ = __int__ = __float__ = __index__ = __hash__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __rpow__ = __mul__ = __rmul__ = __sub__ = __truediv__ = __rtruediv__ = __mod__ = _refuse


class DeviceKeys:
    """The keys that `stream_keys` gives for a step counted on the device: they are made there."""

    def __init__(self, seed: int, stream: int, step: DeviceCount, start: int = 0) -> None:
        self.start = start
        self.seed = seed
        self.stream = stream
        self.step = step

    def __iter__(self) -> Any:
        raise TypeError("in a recorded step these keys are known on the device alone")
