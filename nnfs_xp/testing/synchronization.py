"""Find out what would wait for the device, on a machine where there is nothing to wait for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from nnfs_xp.backend import get_backend

_CONVERSIONS = ("__bool__", "__float__", "__int__", "__index__", "__complex__")
_EXPORTS = ("__array__", "__buffer__", "__dlpack__", "to_device", "cpu", "numpy")
_LOOKS = ("__iter__", "__contains__", "item", "tolist", "nonzero")


@contextmanager
def no_synchronization() -> Iterator[None]:
    """Let arrays of array_api_strict and PyTorch refuse to be read on the host, while it lasts.

    ``float``, ``bool``, ``item``, iteration, ``to_device``, ``cpu`` and the like raise
    `AssertionError`: on a GPU each of them would wait for the device. NumPy's arrays and CuPy's
    cannot be made to refuse.
    """

    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise AssertionError("the value of an array was read: on a GPU this waits for the device")

    with ExitStack() as stack:
        for name in ("torch", "array_api_strict"):
            if name in sys.modules:  # else no array of it exists
                array_type = get_backend(name).array_type
                for read in (*_CONVERSIONS, *_EXPORTS, *_LOOKS):
                    if hasattr(array_type, read):
                        stack.enter_context(patch.object(array_type, read, refuse))
        yield
