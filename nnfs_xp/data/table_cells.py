"""What a cell's text means: a number, a date, a category, or nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isinf, nan
from typing import Any

import numpy as np
import pandas as pd

MISSING = frozenset({"", "na", "n/a", "nan", "#n/a", "<na>", "null", "?"})
"""Texts, in lower case, that stand for a missing value in every column."""

MISSING_NUMBERS = MISSING | {"none", "-", ".", "nat"}
"""Those among numbers and dates; elsewhere "none" may well be a category."""

_COMMA_NUMBER = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)?(,\d+)?(e[+-]?\d+)?", re.ASCII | re.I)
_BY_COMMA = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+", re.ASCII)
_BY_POINT = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}", re.ASCII)
_LONG = re.compile(
    r"[+-]?(\d{16,}|\d{1,3}(?:\.\d{3}){5,}|\d{1,3}(?:,\d{3}){5,})([.,]\d*)?", re.ASCII
)
_MARKED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", re.ASCII)
_WHOLE = re.compile(r"(?:-(?=0\.))?(-?(?:0|[1-9]\d*))\.0+", re.ASCII)
_PLAIN = re.compile(r"[+-]?\d*[.,]?\d*", re.ASCII)
_NUMERIC = re.compile(r"[+-]?\d*[.,]?\d[\d.,]*(e[+-]?\d+)?", re.ASCII | re.I)
_LONGEST = 40  # characters of a number with its unit
_MINUS = str.maketrans("\u2212\u2013", "--")
_THOUSANDS = re.compile(
    r"(?<![\d.,])[1-9]\d{0,2}([\u202f\u00a0\u2009\u2019' ])\d{3}(?:\1\d{3})*(?!\d)"
)
_WRITTEN = re.compile(
    r"(\()?([+-]?)\s?([A-Z]{0,2}[$€£¥]|(?:EUR|USD|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN)(?=\s))?\s?"
    r"([+-]?[\d.,]*\d[\d.,]*(?:[eE][+-]?\d+)?)\s?((?:[%‰°$€£¥]|[^\W\d_])(?:[°/]|[^\W\d_]){0,3})?"
    r"(?(1)\))"
)
"""An accountant's bracket, a sign, a unit before, the digits, a unit behind."""

_DATE = re.compile(
    r"(\d{4}([-/])\d\d?\2\d\d?|\d\d?([-./])\d\d?\3\d{4}|[a-z]{3,9} \d\d?, \d{4}|"
    r"\d\d? [a-z]{3,9} \d{4})([T ].*)?",
    re.ASCII | re.I,
)
_DAYS = ("%Y/%m/%d", *(f"%{a}{s}%{b}{s}%Y" for s in "./-" for a, b in ("dm", "md")))
_NAMED = ("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y")
_TIMES = ("", " %H:%M", " %H:%M:%S")
_FORMATS = ("ISO8601", *(day + time for day in (*_DAYS, *_NAMED) for time in _TIMES))
_EXCHANGED = {ord("d"): "m", ord("m"): "d"}


def split_unit(text: str) -> tuple[str, str]:
    """The number in a text, with no sign between thousands, and the unit beside it.

    ``12 EUR`` is ``12`` and ``EUR``, ``(1 234,5)`` is ``-1234,5``; other texts stay as they are.
    """
    text = text.strip()
    if _PLAIN.fullmatch(text) or len(text) > _LONGEST:
        return text, ""
    joined = _THOUSANDS.sub(lambda found: found[0].replace(found[1], ""), text.translate(_MINUS))
    match = _WRITTEN.fullmatch(joined)
    if match is None or (match[3] and match[5]):
        return text, ""
    return ("-" if match[1] else "") + match[2] + match[4], match[3] or match[5] or ""


def is_numeric(text: str) -> bool:
    """Whether the text may be a number, with a unit or without."""
    return bool(_NUMERIC.fullmatch(split_unit(text)[0]))


def to_number(text: str, *, comma: bool = False) -> float | None:
    """The number that a text without unit says, NaN where missing, None where it is none."""
    text = text.strip()
    if text.casefold() in MISSING_NUMBERS:
        return nan
    if comma:
        if not _COMMA_NUMBER.fullmatch(text):
            return None
        text = text.replace(".", "").replace(",", ".")
    try:
        return None if "_" in text else float(text)  # Python alone allows it in a number
    except ValueError:
        return None


def decimal_sign(texts: Sequence[str], expected: bool) -> tuple[bool, set[str]]:
    """Whether a comma stands before decimals, and the texts that can be read in two ways.

    A comma or point before exactly three digits, as in 1,234, may separate thousands; so may
    1.234 beside 0,5. `expected` decides where the texts leave it open.
    """
    signed = [text for text in texts if "," in text or "." in text]
    by_comma = {text for text in signed if _BY_COMMA.fullmatch(text)}
    points = {text for text in signed if "," not in text and to_number(text) is not None}
    others = [text for text in signed if text not in by_comma and text not in points]
    commas = [text for text in others if to_number(text, comma=True) is not None]
    by_point = {text for text in points if _BY_POINT.fullmatch(text)}
    if commas:  # where one is 1.234,5 or 1.234.567, points separate thousands
        return True, set() if any("." in text for text in commas) else by_point
    if len(points) > len(by_point) and not by_comma:
        return False, set()
    return expected, set() if expected else by_comma


def is_inexact(text: str) -> bool:
    """Whether the text is a number whose whole part double precision has no room for."""
    long = _LONG.fullmatch(split_unit(text)[0])
    if long is None:
        return False
    digits = long[1].replace(".", "").replace(",", "")
    rounded = float(digits)
    return isinf(rounded) or int(rounded) != int(digits)


def is_marked(text: str) -> bool:
    """Whether the text is a number with a sign or unit of its own: 12%, 5 kg or 1,234."""
    number, unit = split_unit(text)
    if not unit:
        return bool(_MARKED.fullmatch(number))
    is_word = len(unit) > 1 and unit not in ("st", "nd", "rd", "th")
    return is_word or not unit.isalpha() or " " in text


def to_category(text: str) -> str | None:
    """The category that a cell's text says, None where it is missing; 10115.0 is 10115."""
    text = text.strip()
    folded = text.casefold()
    if folded in MISSING:
        return None
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text.capitalize() if folded in ("true", "false") else text


def stand_for_missing(texts: Sequence[str], missing: frozenset[str]) -> list[bool]:
    """Whether each text, or the number that it says, is one of those that mean missing."""
    folded = {text.strip().casefold() for text in missing}
    numbers = {to_number(text) for text in missing} - {None, nan}
    said = (to_number(split_unit(text)[0].replace(",", ".")) for text in texts)
    return [
        text.strip().casefold() in folded or number in numbers
        for text, number in zip(texts, said, strict=True)
    ]


def to_dates(
    texts: Sequence[str], times: np.ndarray[Any, Any], day_first: bool
) -> tuple[np.ndarray[Any, Any], bool, str]:
    """The dates of the one format that suits most of the texts, each counted so many times.

    Returns
    -------
    dates : ndarray of datetime64[us], shape (texts,)
        In UTC where there are time zones; NaT where the text is no such date.
    day_first : bool
        Whether the day is before the month's number; as given, where no text tells.
    doubtful : str
        The first text that can then be read in two ways, or "".
    """
    like = [text.strip() if _DATE.fullmatch(text.strip()) else None for text in texts]
    cells = pd.Series(like, dtype=object)
    sample = cells.dropna().head(200)
    weights = times[sample.index]
    best = max(_FORMATS, key=lambda each: weights[~np.isnat(_dates(sample, each))].sum())
    if best[1] == "Y" or best[2] not in "./-":
        return _dates(cells, best), False, ""
    by_day, by_month = (_dates(cells, each) for each in sorted((best, best.translate(_EXCHANGED))))
    more = int(np.isnat(by_month).sum()) - int(np.isnat(by_day).sum())
    if more == 0 and "." not in best:
        doubt = (by_day != by_month) & ~np.isnat(by_day)
        doubtful = texts[int(doubt.argmax())] if doubt.any() else ""
        return by_day if day_first else by_month, day_first, doubtful
    return (by_day, True, "") if more >= 0 else (by_month, False, "")


def _dates(cells: pd.Series, written: str) -> np.ndarray[Any, Any]:
    dates = pd.to_datetime(cells, format=written, errors="coerce", utc=True)
    return np.asarray(dates.dt.tz_localize(None).to_numpy("datetime64[us]"))
