"""The report: what the parts found, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.gpu.results import Goal


@dataclass
class Outcome:
    """How a part ended.

    Attributes
    ----------
    name, title : str
    status : str
        ``"ran"``, or what went wrong.
    seconds : float
    records : list of dict
        What it found: see `results`.
    tail : list of str
        The end of its output.
    """

    name: str
    title: str
    status: str = "ran"
    seconds: float = 0.0
    records: list[dict[str, Any]] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Its records of a kind."""
        return [record for record in self.records if record["kind"] == kind]

    @property
    def good(self) -> bool:
        """Whether it ran to its end, and its checks held; a goal that is missed is no failure."""
        return self.status == "ran" and all(check["good"] for check in self.of("check"))


def goals_of(outcomes: Iterable[Outcome]) -> list[Goal]:
    """All goals that were measured."""
    return [
        Goal(**{name: value for name, value in record.items() if name != "kind"})
        for outcome in outcomes
        for record in outcome.of("goal")
    ]


def worst_of(goals: Sequence[Goal]) -> Goal:
    """The one that is furthest from its bound on the wrong side, or nearest on the right one."""
    strange = [goal for goal in goals if goal.value != goal.value]
    if strange:
        return strange[0]
    return (min if goals[0].at_least else max)(goals, key=lambda goal: goal.value)


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """The table of the goals: those of one name and bound in one line, with the worst of them."""
    groups: dict[tuple[str, float, bool], list[Goal]] = {}
    for goal in goals_of(outcomes):
        groups.setdefault((goal.what, goal.bound, goal.at_least), []).append(goal)
    rows = []
    for goals in groups.values():
        worst, met = worst_of(goals), sum(goal.met for goal in goals)
        value = f"{worst.value:.3g}" + (f" ({worst.at})" if worst.at else "")
        word = "met" if met == len(goals) else f"**missed**, {met} of {len(goals)} met"
        rows.append([worst.what, worst.bound_text, value, word])
    if not rows:
        return ["No goal was measured."]
    return table(["what", "goal", "worst found", ""], rows)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return lines + [f"| {' | '.join(map(cell, row))} |" for row in rows]


def cell(text: str) -> str:
    """A text on one line, for a table."""
    return " ".join(text.split()).replace("|", "\\|")


def render(date: str, card: Outcome, outcomes: Sequence[Outcome], command: str) -> str:
    """The whole report."""
    facts = {record["name"]: record["value"] for record in card.of("fact")}
    lines = ["# GPU check", "", f"{date}, by `{command}`.", ""]
    if "card" not in facts:
        lines += ["**A rehearsal on a CPU: no figure here is one of a GPU.**", ""]
    lines += [*table(["", ""], [[name, value] for name, value in facts.items()]), ""]
    lines += ["## Goals", "", *summary(outcomes), ""]
    lines += ["## Checks", "", *checks(outcomes), ""]
    for outcome in outcomes:
        if outcome.records or outcome.tail:
            lines += section(outcome)
    lines += ["## Not measured", ""]
    lines += [f"- {line}" for line in not_measured(outcomes)] or ["Nothing is missing."]
    return "\n".join(lines) + "\n"


def checks(outcomes: Sequence[Outcome]) -> list[str]:
    """The table of the checks."""
    rows = [
        [
            outcome.name,
            check["what"],
            "holds" if check["good"] else "**fails**",
            check["detail"],
        ]
        for outcome in outcomes
        for check in outcome.of("check")
    ]
    return table(["part", "what", "", ""], rows) if rows else ["No check was made."]


def section(outcome: Outcome) -> Iterator[str]:
    """What one part found."""
    yield from (f"## {outcome.title}", "")
    yield from (f"Part `{outcome.name}`, {outcome.seconds:.0f} s: {outcome.status}.", "")
    for text in outcome.of("text"):
        yield from (text["text"], "")
    tables: dict[str, list[dict[str, str]]] = {}
    for row in outcome.of("row"):
        tables.setdefault(row["table"], []).append(row["cells"])
    for title, rows in tables.items():
        columns = list(rows[0])
        cells = [[row.get(column, "") for column in columns] for row in rows]
        yield from (f"{title}:", "", *table(columns, cells), "")
    if outcome.status != "ran" and outcome.tail:
        yield from ("The end of its output:", "", "```text", *outcome.tail, "```", "")


def not_measured(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What is missing in the report, and why."""
    for outcome in outcomes:
        for absent in outcome.of("absent"):
            reason = " ".join(absent["reason"].split())
            yield f"{outcome.name}: {absent['what']}: not measured: {reason}"
        if outcome.status != "ran":
            yield f"{outcome.name}: {outcome.status}"
