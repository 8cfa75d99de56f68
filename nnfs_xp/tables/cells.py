"""What a cell's text means: a number, a truth value, a category, or nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import isnan, nan

MISSING = frozenset({"", "na", "n/a", "nan", "#n/a", "<na>", "null", "?"})
"""Texts, in lower case, that stand for a missing value in every column."""

_MISSING_NUMBERS = MISSING | {"none", "-", ".", "nat"}
"""Those that do where numbers are expected; elsewhere "none" may well be a category."""

_COMMA_NUMBER = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)?(,\d+)?(e[+-]?\d+)?", re.ASCII | re.I)


def to_number(text: str, *, comma: bool = False) -> float | None:
    """The number that a cell's text says, NaN where it is missing, None where it is none."""
    text = text.strip()
    if text.casefold() in _MISSING_NUMBERS:
        return nan
    if comma:
        if not _COMMA_NUMBER.fullmatch(text):
            return None
        text = text.replace(".", "").replace(",", ".")
    if "_" in text:  # which Python allows in a number, and nobody else does
        return None
    try:
        return float(text)
    except ValueError:
        return None


def is_number(text: str) -> bool:
    """Whether the text says a number, finite or not."""
    number = to_number(text)
    return number is not None and not isnan(number)


def has_decimal_comma(texts: Iterable[str]) -> bool:
    """Whether a number with a comma for the decimals is among the texts."""
    return any("," in text and to_number(text, comma=True) is not None for text in texts)


def to_category(text: str) -> str | None:
    """The category that a cell's text says, None where it is missing."""
    text = text.strip()
    folded = text.casefold()
    if folded in MISSING:
        return None
    return text.capitalize() if folded in ("true", "false") else text
