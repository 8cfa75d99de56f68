"""Functions of cuSOLVER, which cannot be captured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cupy import _functions
from cupy._arrays import call

LinAlgError = np.linalg.LinAlgError

_NAMES = [
    "cholesky",
    "cond",
    "cross",
    "det",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "tensorinv",
    "tensorsolve",
]


def _forwarding(name: str) -> Callable[..., Any]:
    target = getattr(np.linalg, name)

    def function(*args: Any, **kwargs: Any) -> Any:
        if name not in ("cross", "matrix_transpose", "norm"):
            _functions.refuse_in_capture("cuSOLVER")
        return call(target, *args, **kwargs)

    function.__name__ = function.__qualname__ = name
    return function


globals().update({name: _forwarding(name) for name in _NAMES})
__all__ = ["LinAlgError", *_NAMES]
