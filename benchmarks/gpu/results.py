"""What a part finds, written down line by line as it finds it; the parts' common arguments."""

from __future__ import annotations

import argparse
import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

STAND_IN = ROOT / "tests" / "cuda_on_cpu"


def is_rehearsal() -> bool:
    """Whether ``import cupy`` would find the stand-in for it, which computes on the CPU."""
    spec = find_spec("cupy")
    if spec is None or spec.origin is None:
        return False
    return Path(spec.origin).resolve().is_relative_to(STAND_IN.resolve())


@dataclass(frozen=True)
class Setting:
    """How the parts are run.

    Attributes
    ----------
    backend : str
        Ours.
    device : str
        Where the peers compute: ``"cuda"`` or ``"cpu"``.
    quick : bool
        Few sizes and short turns.
    """

    backend: str = "cupy"
    device: str = "cuda"
    quick: bool = False

    @classmethod
    def here(cls) -> Setting:
        """For this machine: on the stand-in it is a rehearsal, with small settings."""
        return cls("cupy", "cpu", True) if is_rehearsal() else cls()


@dataclass(frozen=True)
class Goal:
    """A figure that is to be reached.

    Attributes
    ----------
    what : str
        The figure; goals of one name and bound stand in one line of the summary.
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
        """The same for the summary."""
        return "met" if self.met else "**missed**"

    @property
    def bound_text(self) -> str:
        """The bound in words."""
        return f"{'at least' if self.at_least else 'at most'} {self.bound:g}"


class Results:
    """The findings of a part, one JSON object a line in a file that outlives the process."""

    def __init__(self, path: Path, part: str) -> None:
        self._path, self._part = path, part

    def _write(self, kind: str, **content: Any) -> None:
        line = json.dumps({"part": self._part, "kind": kind, **content})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _add(self, kind: str, **content: Any) -> None:
        self._write(kind, **content)
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

    def counts(self, counts: str, slowest: str) -> None:
        """How many tests have ended so far, and how; the last word counts."""
        self._write("counts", counts=counts, slowest=slowest)  # pytest prints its own

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """While it lasts, an error is a check that fails, and what comes after goes on."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.check(what, good=False, detail=f"{type(error).__name__}: {error}"[:500])

    def fact(self, name: str, value: object) -> None:
        """What the machine is: the card, a version."""
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


def part_parser(name: str) -> argparse.ArgumentParser:
    """The arguments that all parts take: their seconds, and the folder for what they find."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.gpu.{name}")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long it may take")
    parser.add_argument("--out", type=Path, default=Path("build/gpu"), help="for results.jsonl")
    return parser


def results_of(options: argparse.Namespace, part: str) -> Results:
    """Where a part with these arguments writes what it finds."""
    options.out.mkdir(parents=True, exist_ok=True)
    return Results(options.out / "results.jsonl", part)
