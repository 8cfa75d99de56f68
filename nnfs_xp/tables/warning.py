"""The warning that tables give."""


class TableWarning(UserWarning):
    """Something in a table was put right or left out: a column of ids, an unknown category."""
