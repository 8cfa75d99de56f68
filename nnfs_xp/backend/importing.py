"""Importing a library that may be absent or broken, with an error that says what to do."""

from __future__ import annotations

import importlib
from typing import Any

from nnfs_xp.errors import BackendError


def first_line(error: Exception) -> str:
    """The kind of error and the first line of its message."""
    text = str(error).strip()
    line = text.splitlines()[0] if text else "no message"
    return f"{type(error).__name__}: {line if len(line) <= 200 else line[:200] + '…'}"


def import_library(library: str, remedy: str) -> Any:
    """The library; BackendError, with the remedy, where it is absent or broken."""
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name == library:
            raise BackendError(f"{library} is not installed; {remedy}") from None
        raise BackendError(f"{library} is not usable: {error}; {remedy}") from error
    except Exception as error:  # a broken installation may raise anything
        raise BackendError(f"{library} is not usable: {first_line(error)}; {remedy}") from error
