"""Whether what was recorded of a step still stands: the same objects, the same settings."""

from __future__ import annotations

from collections.abc import Callable
from operator import is_, itemgetter
from typing import Any

from nnfs_xp._settings import settings_of
from nnfs_xp.layers import Layer
from nnfs_xp.optimizers import Optimizer

_HOSTS = {"learning_rate", "decay"}
"""Settings of an optimizer that the host works with before each launch."""


class Settings:
    """The settings of a part of a step, as they were."""

    def __init__(self, part: Any) -> None:
        named: Any = settings_of(part)["config"]
        if isinstance(part, Layer):
            named = {**part.config(), **part.default_options()}
        hosts = _HOSTS if isinstance(part, Optimizer) else ()
        names = [name for name in named if name in vars(part) and name not in hosts]
        self._attributes = vars(part)
        # Of two names at least, itemgetter gives a tuple.
        self._get: Callable[[dict[str, Any]], tuple[Any, ...]] = (
            itemgetter(*names, names[0]) if names else lambda _: ()
        )
        self._values = self._get(self._attributes)

    def stand(self) -> bool:
        """Whether each is the same object, or as much, and no method was put into the part."""
        if "forward" in self._attributes or "backward" in self._attributes:
            return False
        now, before = self._get(self._attributes), self._values
        return all(map(is_, now, before)) or all(
            one is other or (isinstance(one, _PLAIN) and one == other)
            for one, other in zip(now, before, strict=True)
        )


_PLAIN = (bool, int, float, str)


def same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether both have the same objects."""
    return len(one) == len(other) and all(map(is_, one, other))
