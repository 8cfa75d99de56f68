"""What needs a package that the base install does not bring says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nnfs_xp.errors import BackendError


@contextmanager
def needs_extra(what: str, extra: str) -> Iterator[None]:
    """Turn a missing package into advice.

    Parameters
    ----------
    what : str
        What is not possible without it.
    extra : str
        That brings it.

    Raises
    ------
    BackendError
        A package was not found that is none of ours.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "nnfs_xp":
            raise
        raise BackendError(
            f"{what} needs {error.name}; pip install 'nnfs-xp[{extra}]'"
        ) from error
