"""What a cell's text means: a number, a truth value, a category, or nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import isnan, nan
from typing import Literal

MISSING = frozenset({"", "na", "n/a", "nan", "#n/a", "<na>", "null", "?"})
"""Texts, in lower case, that stand for a missing value in every column."""

_MISSING_NUMBERS = MISSING | {"none", "-", ".", "nat"}
"""Texts for a missing value among numbers; in other columns "none" may well be a category."""

_COMMA_NUMBER = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)?(,\d+)?(e[+-]?\d+)?", re.ASCII | re.I)

_GROUPS_BY_COMMA = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+", re.ASCII)
_GROUPS_BY_POINT = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{16,}", re.ASCII)
_MARKED = re.compile(
    r"[$€£¥] ?[+-]?\d[\d.,]*|[+-]?[$€£¥]?\d[\d.,]* ?[%$€£¥]|"
    r"[+-]?\d{1,3}([,' ]\d{3})+(\.\d+)?",
    re.ASCII,
)

Evidence = Literal["comma", "point", "either", "mixed"]


def to_number(text: str, *, comma: bool = False) -> float | None:
    """The number that a cell's text says, NaN where it is missing, None where it is none."""
    text = text.strip()
    if text.casefold() in _MISSING_NUMBERS:
        return nan
    if comma:
        if not _COMMA_NUMBER.fullmatch(text):
            return None
        text = text.replace(".", "").replace(",", ".")
    if "_" in text:  # Python alone allows it in a number
        return None
    try:
        return float(text)
    except ValueError:
        return None


def is_number(text: str) -> bool:
    """Whether the text says a number, finite or not."""
    number = to_number(text)
    return number is not None and not isnan(number)


def decimal_evidence(texts: Iterable[str]) -> Evidence:
    """What the texts tell of the sign for decimals.

    A comma or point before exactly three digits, as in 1,234, may separate thousands; so may
    1.234 beside 0,5. Such texts alone are "either", with decimals by comma they are "mixed".
    """
    found = set()
    for text in map(str.strip, texts):
        if "," in text and to_number(text, comma=True) is not None:
            grouped = _GROUPS_BY_COMMA.fullmatch(text)
            found.add("thousands or comma" if grouped else "comma")
            if "." in text:
                found.add("groups")
        elif _GROUPS_BY_COMMA.fullmatch(text):
            found.add("thousands or comma")
        elif "." in text and to_number(text) is None and to_number(text, comma=True) is not None:
            found |= {"comma", "groups"}  # 1.234.567
        elif is_group_by_point(text):
            found.add("thousands or point")
        elif "." in text and to_number(text) is not None:
            found.add("point")
    if "comma" in found:
        return "mixed" if "thousands or point" in found and "groups" not in found else "comma"
    if "point" in found and "thousands or comma" not in found:
        return "point"
    return "either"


def is_group_by_comma(text: str) -> bool:
    """Whether a comma in the text may separate thousands."""
    return bool(_GROUPS_BY_COMMA.fullmatch(text.strip()))


def is_group_by_point(text: str) -> bool:
    """Whether the point in the text may separate thousands."""
    return bool(_GROUPS_BY_POINT.fullmatch(text.strip()))


def is_inexact(text: str) -> bool:
    """Whether the text is a whole number that double precision has no room for."""
    text = text.strip()
    return bool(_WHOLE.fullmatch(text)) and int(float(text)) != int(text)


def is_marked(text: str) -> bool:
    """Whether the text is a number with a sign of its own: 12%, $5 or 1,234."""
    return bool(_MARKED.fullmatch(text.strip()))


def to_category(text: str) -> str | None:
    """The category that a cell's text says, None where it is missing."""
    text = text.strip()
    folded = text.casefold()
    if folded in MISSING:
        return None
    return text.capitalize() if folded in ("true", "false") else text
