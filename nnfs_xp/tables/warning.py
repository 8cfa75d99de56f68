"""The warning that tables give."""

import warnings


class TableWarning(UserWarning):
    """Something in a table was put right or left out: a column of ids, an unknown category."""


def warn(message: str) -> None:
    """Warn of something in a table."""
    warnings.warn(message, TableWarning, stacklevel=5)
