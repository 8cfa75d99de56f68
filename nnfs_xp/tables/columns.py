"""A column's kind, and its values as that kind has them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isnan
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from nnfs_xp._checks import shown
from nnfs_xp.errors import DataError
from nnfs_xp.tables.cells import (
    Evidence,
    decimal_evidence,
    is_group_by_comma,
    is_group_by_point,
    is_inexact,
    is_marked,
    to_category,
    to_number,
)

_LOG = logging.getLogger(__name__)

Kind = Literal["number", "category"]
Values = np.ndarray[Any, Any]

NUMBERS = 0.8
"""The share of numbers among a text column's filled cells that makes the others mistakes."""

_SOME = 0.2
"""The share of numbers from which on a column of categories gets a line in the log."""

_MARKED = 0.5
"""The share of numbers with signs, as 12% or $5, from which on a message shows one."""

LARGEST = 1e30
"""Numbers further from 0 are refused: their squares have no room in single precision."""


@dataclass(frozen=True)
class Column:
    """A column whose kind is known.

    Attributes
    ----------
    kind : {"number", "category"}
    values : ndarray, shape (rows,)
        Of float64, NaN where missing; or of strings, None where missing.
    comma : bool
        Whether its decimals were written after a comma.
    """

    kind: Kind
    values: Values
    comma: bool = False

    @property
    def missing(self) -> Values:
        """Where there is no value."""
        return np.asarray(pd.isna(self.values))

    @property
    def filled(self) -> Values:
        """The values that are not missing."""
        return self.values[~self.missing]


def column_of_texts(
    texts: pa.Array | pa.ChunkedArray,
    name: str,
    kind: Kind | None,
    place: Callable[[int], str],
    *,
    may_have_comma: bool = False,
    expect_comma: bool = False,
) -> Column:
    """The column that cells of text make.

    Parameters
    ----------
    texts : Arrow array of str
    name : str
    kind : {"number", "category"}, optional
        By default a column of numbers where at least 80 % of the filled cells are numbers, of
        categories else.
    place : callable
        The name of a row, by its index, for messages.
    may_have_comma : bool
        Whether 1,5 may be a number: where a comma separates no columns.
    expect_comma : bool
        Whether it is one where the texts do not tell.

    Raises
    ------
    DataError
        A cell of a column of numbers holds none, or one that can be read in two ways.
    """
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    coded = texts.dictionary_encode()
    different, codes = coded.dictionary.to_pylist(), coded.indices.to_numpy()
    if kind != "category" and any(map(is_inexact, different)):
        if kind == "number":
            row = int(np.array([is_inexact(text) for text in different])[codes].argmax())
            raise _too_many_digits(name, different[codes[row]], place(row))
        kind = "category"
    if kind != "category":
        evidence: Evidence = decimal_evidence(different) if may_have_comma else "point"
        comma = evidence in ("comma", "mixed") or (evidence == "either" and expect_comma)
        numbers = [to_number(text, comma=comma) for text in different]
        wrong = np.array([number is None for number in numbers])[codes]
        values = np.array([np.nan if n is None else n for n in numbers], np.float64)[codes]
        n_wrong, n_numbers = int(wrong.sum()), int(np.sum(~np.isnan(values)))
        share = n_numbers / max(n_numbers + n_wrong, 1)
        doubtful = _doubtful(different, evidence, comma)
        if doubtful and (kind == "number" or _share(different, codes) >= NUMBERS):
            row = int(np.isin(codes, doubtful).argmax())
            raise DataError(
                f"{place(row)}, column {shown(name)!r}: {shown(different[codes[row]], 60)!r} can "
                "be read in two ways, with thousands or with decimals. Write the column without "
                "signs between thousands."
            )
        if n_wrong and (kind == "number" or share >= NUMBERS):
            row = int(wrong.argmax())
            _refuse_text(name, different[codes[row]], place(row), n_wrong, share, kind)
        if not n_wrong:
            return replace(checked_numbers(values, name, place), comma=comma)
        if share >= _SOME:
            _LOG.info(
                "column %r holds numbers in %.0f %% of its rows, and text: taken as categories",
                shown(name),
                100 * share,
            )
    categories = np.array([to_category(text) for text in different], dtype=object)
    return Column("category", categories[codes])


def _doubtful(texts: list[str], evidence: Evidence, comma: bool) -> list[int]:
    """The places of the texts that can be read as two numbers."""
    if evidence == "mixed":
        return [i for i, text in enumerate(texts) if is_group_by_point(text)]
    if evidence == "either" and not comma:
        return [i for i, text in enumerate(texts) if is_group_by_comma(text)]
    return []


def _share(texts: list[str], codes: Values) -> float:
    """The share of the filled cells that are numbers or have thousands by commas."""
    numbers = [
        1.0 if is_group_by_comma(text) else to_number(text, comma="," in text) for text in texts
    ]
    wrong = np.array([number is None for number in numbers])[codes]
    good = np.array([number is not None and not isnan(number) for number in numbers])[codes]
    return float(good.sum() / max(good.sum() + wrong.sum(), 1))


def _too_many_digits(name: str, text: str, place: str) -> DataError:
    return DataError(
        f"{place}, column {shown(name)!r}: {shown(text, 60)!r} has more digits than double "
        "precision holds. Shorten it, or name the column as categorical if it names something."
    )


def _refuse_text(
    name: str, text: str, place: str, n_wrong: int, share: float, kind: Kind | None
) -> None:
    reason = "" if kind else f", as {int(100 * share)} % of the column's cells are"
    more = f" There are {n_wrong} such cells." if n_wrong > 1 else ""
    advice = "" if kind else " Or name the column as categorical."
    raise DataError(
        f"{place}, column {shown(name)!r}: {shown(text, 60)!r} is no number{reason}.{more} Correct "
        f"it, or leave it empty.{advice}"
    )


def marked_example(column: Column) -> str | None:
    """The first cell where most cells of a column of text are numbers with signs, as 12% or $5."""
    if column.kind == "number" or not len(column.filled):
        return None
    marked = [is_marked(text) for text in column.filled]
    return str(column.filled[marked.index(True)]) if np.mean(marked) >= _MARKED else None


def checked_numbers(values: Values, name: str, place: Callable[[int], str]) -> Column:
    """A column of numbers; refuse those that cannot be computed with.

    Raises
    ------
    DataError
        A number is infinite or huge.
    """
    beyond = np.abs(values) > LARGEST
    if beyond.any():
        row = int(beyond.argmax())
        problem = (
            "is no finite number. Leave the cell empty if it is not known."
            if np.isinf(values[row])
            else f"is too large; numbers go up to {LARGEST:g}. Leave the cell empty if that stands "
            "for a missing one."
        )
        raise DataError(f"{place(row)}, column {shown(name)!r}: {values[row]:g} {problem}")
    return Column("number", values)
