"""What a part finds, written down line by line as it finds it."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Setting:
    """How the parts are run.

    Attributes
    ----------
    backend : str
        Ours. With another than CuPy's everything is done on the CPU, as a rehearsal.
    quick : bool
        Few sizes and short turns.
    seconds : float
        How long the part may take.
    """

    backend: str = "cupy"
    quick: bool = False
    seconds: float = 600.0

    @property
    def device(self) -> str:
        """Where the peers compute: ``"cuda"`` or ``"cpu"``."""
        return "cuda" if self.backend.startswith("cupy") else "cpu"


@dataclass(frozen=True)
class Goal:
    """A figure that is to be reached.

    Attributes
    ----------
    what : str
        The figure; goals of one name and bound stand in one line of the report.
    value, bound : float
    at_least : bool
        Whether the bound is the least value; else it is the most.
    at : str
        Where it was measured, as in ``"batch 512"``.
    """

    what: str
    value: float
    bound: float
    at_least: bool = False
    at: str = ""

    @property
    def met(self) -> bool:
        """Whether it is reached; NaN reaches nothing."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    @property
    def word(self) -> str:
        """The same for the report."""
        return "met" if self.met else "**missed**"

    @property
    def bound_text(self) -> str:
        """The bound in words."""
        return f"{'at least' if self.at_least else 'at most'} {self.bound:g}"


class Results:
    """The findings of a part, one JSON object a line in a file that outlives the process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _add(self, kind: str, **content: Any) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, **content}) + "\n")
        print(kind, *content.values(), flush=True)

    def text(self, text: str) -> None:
        """A paragraph."""
        self._add("text", text=text)

    def row(self, table: str, **cells: object) -> None:
        """A line of the table of that title: texts by column."""
        self._add("row", table=table, cells={name: str(cell) for name, cell in cells.items()})

    def goal(self, goal: Goal) -> str:
        """A figure with its goal; gives "met" or "missed"."""
        self._add("goal", **asdict(goal))
        return goal.word

    def check(self, what: str, good: object, detail: str = "") -> None:
        """Something that must hold."""
        self._add("check", what=what, good=bool(good), detail=detail)

    def absent(self, what: str, reason: object) -> None:
        """What could not be measured, and why."""
        self._add("absent", what=what, reason=str(reason))

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """While it lasts, an error is a check that fails, and what comes after goes on."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.check(what, good=False, detail=f"{type(error).__name__}: {error}"[:500])

    def fact(self, name: str, value: object) -> None:
        """What the report begins with: the card, a version."""
        self._add("fact", name=name, value=str(value))

    def unusable(self, reason: object) -> None:
        """Why there is nothing to run on."""
        self._add("unusable", reason=str(reason))


def read(path: Path) -> list[dict[str, Any]]:
    """What has been written; a line that a killed process left unfinished is passed over."""
    records = []
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in lines:
        with suppress(json.JSONDecodeError):
            records.append(json.loads(line))
    return records
