"""A column's kind, and its values as that kind has them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from nnfs_xp._checks import shown
from nnfs_xp.data import table_cells as of
from nnfs_xp.data.table_files import RawTable
from nnfs_xp.errors import DataError

_LOG = logging.getLogger(__name__)

Kind = Literal["number", "category", "date", "text"]
Values = np.ndarray[Any, Any]

ENOUGH = 0.8  # share of numbers or dates from which on the other filled cells are mistakes
_SOME = 0.2  # share of numbers from which on a column of categories gets a line in the log
_HALF = 0.5  # share of numbers with a unit from which on it is the column's
_UNIQUE = 0.9  # share of different texts from which on they name the rows
_WORDS = 3  # words a cell from which on such texts are sentences
_SAMPLE = 1000  # different texts that tell whether it is worth looking for numbers
LARGEST = 1e30  # the square of a larger number has no room in single precision
_EXACT = 2**53  # up to here a float64 holds every whole number
_FAR, _GAP, _RARE = 100.0, 10.0, 0.055  # see far_out
_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


@dataclass(frozen=True)
class Reading:
    """How cells are read; a model keeps it, so that later files are read as the training's was.

    `missing` has texts and numbers that stand for a missing value, beside the usual ones; `commas`
    the columns with decimals after a comma, `day_first` those with dates that begin with the day.
    """

    missing: frozenset[str] = frozenset()
    commas: frozenset[str] = frozenset()
    day_first: frozenset[str] = frozenset()


AS_USUAL = Reading()


@dataclass(frozen=True)
class Column:
    """A column whose kind is known.

    Attributes
    ----------
    values : ndarray, shape (rows,)
        Of float64, NaN where missing; of str, None where missing; or of datetime64[us].
    comma, day_first : bool
        Whether decimals were written after a comma, dates with the day first.
    unit : str
        What stood beside the numbers.
    example : str
        The first category that is a number with a sign, or date that can be read in two ways.
    """

    name: str
    kind: Kind
    values: Values
    comma: bool = False
    day_first: bool = False
    unit: str = ""
    example: str = ""

    @property
    def missing(self) -> Values:
        """Where there is no value."""
        return np.asarray(pd.isna(self.values))

    @property
    def filled(self) -> Values:
        """The values that are not missing."""
        return self.values[~self.missing]


def read_column(
    table: RawTable, name: str, kind: Kind | None = None, reading: Reading = AS_USUAL
) -> Column:
    """A column, of that kind or of the one that its type and cells tell.

    Cells of text are numbers, or dates, where at least 80 % of the filled ones are.

    Raises
    ------
    DataError
        A cell is none of that kind, can be read in two ways, or is too large.
    """
    types, cells = pa.types, table.columns.column(name)
    if types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    if reading.missing:
        gone = of.stand_for_missing(_as_text(table, name, cells).to_pylist(), reading.missing)
        cells = pc.if_else(pa.array(gone), pa.scalar(None, cells.type), cells)
    if kind is None and types.is_boolean(cells.type):
        kind = "category"
    if kind in (None, "date") and (types.is_date(cells.type) or types.is_timestamp(cells.type)):
        return Column(name, "date", _instants(table, name, cells))
    if kind in (None, "number") and (numbers := _numbers(cells)) is not None:
        return Column(name, "number", _checked(table, name, numbers))
    return _Texts(table, name, _as_text(table, name, cells)).column(kind, reading)


def _numbers(cells: pa.ChunkedArray) -> Values | None:
    """The numbers, times in seconds; None where the type is another, or double precision less."""
    types, typed = pa.types, cells.type
    if types.is_time(typed) or types.is_duration(typed):
        counts = cells.cast(pa.int32() if types.is_time32(typed) else pa.int64())
        return np.asarray(counts.cast(pa.float64(), safe=False).to_numpy() / _SECOND[typed.unit])
    if types.is_integer(typed):
        ends = pc.min_max(cells).as_py().values()
        if any(end is not None and abs(end) > _EXACT for end in ends):
            return None
    elif not (types.is_floating(typed) or types.is_boolean(typed)):
        return None
    return np.asarray(cells.cast(pa.float64()).to_numpy())


def _instants(table: RawTable, name: str, cells: pa.ChunkedArray) -> Values:
    zone, unit = getattr(cells.type, "tz", None), getattr(cells.type, "unit", "")
    try:
        instants = cells.cast(pa.timestamp("us", zone), safe=unit != "ns")
    except pa.ArrowInvalid as error:
        raise DataError(f"{table.label}: column {shown(name)!r}: {shown(error)}.") from error
    return np.asarray(instants.to_numpy(), "datetime64[us]")


def _as_text(table: RawTable, name: str, cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """The cells as a file of text would have them, "" where there is none."""
    types, typed = pa.types, cells.type
    if types.is_timestamp(typed):
        texts = pa.chunked_array([_instants(table, name, cells)]).cast(pa.large_string())
        return pc.replace_substring_regex(texts, r"( 00:00:00)?\.0+$", "").fill_null("")
    if types.is_duration(typed):
        cells = cells.cast(pa.int64())
    try:
        if isinstance(typed, pa.BaseExtensionType) or "binary" in str(typed):
            raise pa.ArrowInvalid
        return cells.cast(pa.large_string()).fill_null("")
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        row = int(cells.is_valid().to_numpy().argmax())
        raise DataError(
            f"{table.label}: column {shown(name)!r} holds {shown(str(typed))} (row "
            f"{table.row(row)} first), which is neither number nor text. Leave the column out, or "
            "name it to be dropped."
        ) from None


class _Texts:
    """A column of text whose kind is to be found; each different text is looked at once."""

    def __init__(self, table: RawTable, name: str, texts: pa.ChunkedArray) -> None:
        coded = texts.combine_chunks().dictionary_encode()
        self.table, self.name = table, name
        self.different: list[str] = coded.dictionary.to_pylist()
        self.codes = coded.indices.to_numpy()
        times = np.bincount(self.codes, minlength=len(self.different))
        missing = [text.strip().casefold() in of.MISSING_NUMBERS for text in self.different]
        self.times = np.where(missing, 0, times)

    def column(self, kind: Kind | None, reading: Reading) -> Column:
        """The column that the texts make."""
        column = None
        # A look at some spares most columns of text a search for numbers in all of them.
        sample = self.different[:: max(len(self.different) // _SAMPLE, 1)]
        has_numbers = any(map(of.is_numeric, sample)) or not self.times.any()
        if kind == "number" or (kind is None and has_numbers):
            column = self.numbers(kind, expect_comma=self.name in reading.commas)
        if column is None and kind in (None, "date"):
            day_first = kind is None or self.name in reading.day_first
            days, first, doubt = of.to_dates(self.different, self.times, day_first)
            if self.are(~np.isnat(days), "date in the column's format", kind):
                return Column(self.name, "date", days[self.codes], False, first, example=doubt)
        return column or self.categories(kind, tell_of_signs=kind is None and has_numbers)

    def numbers(self, kind: Kind | None, *, expect_comma: bool) -> Column | None:
        """The column of numbers; None where they are too few, or too long."""
        too_long = [of.is_inexact(text) for text in self.different]
        if any(too_long) and kind is None:
            return None
        self.refuse(
            too_long,
            "has more digits than double precision holds. Shorten it, or name the column as "
            "categorical if it names something.",
        )
        if not expect_comma and (plain := self.plain()) is not None:
            return Column(self.name, "number", _checked(self.table, self.name, plain[self.codes]))
        texts, unit = self.without_unit()
        comma, doubt = False, set[str]()
        if self.table.is_text and self.table.separator != ",":
            comma, doubt = of.decimal_sign(texts, expect_comma)
        if doubt:
            loosely = [of.to_number(text.replace(",", "")) is not None for text in texts]
            if kind or self.share(loosely) >= ENOUGH:
                problem = "can be read in two ways, with thousands or with decimals. Write the "
                problem += "column without signs between thousands."
                self.refuse([text in doubt for text in texts], problem)
        found = [of.to_number(text, comma=comma) for text in texts]
        if not self.are([number is not None for number in found], "number", kind):
            return None
        values = _checked(self.table, self.name, np.array(found, np.float64)[self.codes])
        return Column(self.name, "number", values, comma, unit=unit)

    def plain(self) -> Values | None:
        """The numbers, if all are written as in Python; much faster than one by one."""
        texts = pa.array(
            [text if n else None for text, n in zip(self.different, self.times, strict=True)]
        )
        try:
            return np.asarray(texts.cast(pa.float64()).to_numpy(zero_copy_only=False))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None

    def without_unit(self) -> tuple[list[str], str]:
        """The texts without their unit, if at least half have one, and all these the same."""
        numbers, units = zip(*map(of.split_unit, self.different), strict=True)
        have_digits = [any(map(str.isdigit, number)) for number in numbers]
        if len({*units, ""}) <= 2 and self.share(units) >= _HALF * self.share(have_digits):
            return list(numbers), max(units)
        triples = zip(self.different, numbers, units, strict=True)
        return [text if unit else number for text, number, unit in triples], ""

    def categories(self, kind: Kind | None, *, tell_of_signs: bool) -> Column:
        """The column of categories, or of text where nearly all are different and long."""
        values = np.array([of.to_category(text) for text in self.different], object)[self.codes]
        marked = [tell_of_signs and of.is_marked(text) for text in self.different]
        example = self.first(marked)[1] if self.share(marked) >= _HALF else ""
        column = Column(self.name, kind or "category", values, example=example)
        if kind is None and names_rows(column):
            n_words = np.mean([len(text.split()) for text in column.filled])
            return column if n_words < _WORDS else Column(self.name, "text", values)
        return column

    def share(self, which: Any) -> float:
        """The share of the filled cells whose text is one of these."""
        return float(self.times[np.array(which, bool)].sum() / max(self.times.sum(), 1))

    def first(self, which: Any) -> tuple[int, str]:
        """The first row whose text is one of these, and the text."""
        row = int(np.array(which, bool)[self.codes].argmax())
        return row, self.different[self.codes[row]]

    def refuse(self, which: Any, problem: str) -> None:
        """Raise an error where one of these texts is."""
        if any(which):
            row, text = self.first(which)
            place = f"{self.table.place(row)}, column {shown(self.name)!r}"
            raise DataError(f"{place}: {shown(text, 60)!r} {problem}")

    def are(self, good: Any, what: str, kind: Kind | None) -> bool:
        """Whether all filled cells are good; an error where they should be, or most are."""
        wrong = ~np.array(good, bool) & (self.times > 0)
        n_wrong, share = int(self.times[wrong].sum()), self.share(good)
        if kind or share >= ENOUGH:
            reason = "" if kind else f", as {int(100 * share)} % of the column's cells are"
            more = f" There are {n_wrong} such cells." if n_wrong > 1 else ""
            advice = "" if kind else " Or name the column as categorical."
            problem = f"is no {what}{reason}.{more} Correct it, or leave it empty.{advice}"
            self.refuse(wrong, problem)
        elif share >= _SOME:
            said = "column %r holds %ss in %.0f %% of its rows, and text: taken as categories"
            _LOG.info(said, shown(self.name), what.partition(" ")[0], 100 * share)
        return n_wrong == 0


def names_rows(column: Column) -> bool:
    """Whether nearly all texts of a column differ."""
    filled = column.filled.tolist()
    return len(set(filled)) >= max(_UNIQUE * len(filled), 3)


def _checked(table: RawTable, name: str, values: Values) -> Values:
    """The numbers; an error where one is infinite or huge."""
    beyond = np.abs(values) > LARGEST
    if beyond.any():
        row = int(beyond.argmax())
        problem = (
            "is no finite number. Leave the cell empty if it is not known."
            if np.isinf(values[row])
            else f"is too large; numbers go up to {LARGEST:g}. Leave the cell empty if that stands "
            "for a missing one."
        )
        raise DataError(f"{table.place(row)}, column {shown(name)!r}: {values[row]:g} {problem}")
    return values


def nines(column: Values) -> Values:
    """The rows that hold the smallest value, or the largest, if that is a sign of missing ones.

    That is one of several nines in several cells, less than half: below 0 where no other is, or
    further from all others than these are from each other.
    """
    values, times = np.unique(column[~np.isnan(column)], return_counts=True)
    for at, others in ((0, values[1:]), (-1, values[:-1])):
        value = values[at] if len(others) > 1 else 0.0
        if set(f"{abs(value):.15g}") != {"9"} or abs(value) < 99 or times[at] < 2:
            continue
        alone = value < 0 <= others[0] or np.abs(others - value).min() > np.ptp(others)
        if alone and times[at] < _HALF * times.sum():
            return np.flatnonzero(column == value)
    return np.empty(0, np.int64)


def far_out(column: Values) -> list[int]:
    """The rows of a column of numbers, NaN where missing, whose values lie far from the rest.

    They are further from the median than 100 spreads between the quartiles and than 10 times the
    next nearer value, and in less than 5.5 % of the rows.
    """
    low, first, median, third, high = np.nanpercentile(column, (5, 25, 50, 75, 95))
    spread = (third - first) or (high - low)
    distances = np.abs(column - median)
    ordered = np.sort(distances[~np.isnan(distances)])
    gaps = np.flatnonzero(ordered[1:] > np.maximum(_GAP * ordered[:-1], _FAR * spread))
    if not spread or not len(gaps) or len(ordered) - 1 - gaps[0] > _RARE * len(ordered):
        return []
    return [int(row) for row in np.flatnonzero(distances > ordered[gaps[0]])]
