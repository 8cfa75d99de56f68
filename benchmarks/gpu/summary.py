"""The summary: how each part ended, and what it found, the most important first."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gpu.results import Goal, read

MOST = 11_500
"""Characters of the summary that are printed."""

_MOST_REASONS, _MOST_OF_A_FAILURE, _MOST_OF_A_SUCCESS = 25, 900, 260

_VARYING = re.compile(r"0x[0-9a-f]+|\d{4,}|[\d.]+e-\d+")
"""What differs between errors of one reason."""


@dataclass
class Outcome:
    """How a part ended.

    Attributes
    ----------
    name, title : str
    status : str
        ``"ok"``, or what went wrong.
    seconds : float
    tail : list of str
        The end of its output.
    """

    name: str
    title: str
    status: str = "not run yet"
    seconds: float = 0.0
    tail: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Heading:
    """What stands above all: when, by which command, how long, and whether it is a rehearsal."""

    date: str
    command: str
    seconds: float
    limit: float
    rehearsal: bool


def good(outcomes: Iterable[Outcome], records: Iterable[dict[str, Any]]) -> bool:
    """Whether all parts ran to their end, and all checks held; a missed goal is no failure."""
    checks = (record["good"] for record in records if record["kind"] == "check")
    return all(outcome.status == "ok" for outcome in outcomes) and all(checks)


def render(heading: Heading, outcomes: Sequence[Outcome], out: Path) -> str:
    """The whole summary, of what lies in the folder."""
    records, smoke = read(out / "results.jsonl"), read(out / "smoke.jsonl")
    lines = [f"# GPU check: {heading.seconds:.0f} s of {heading.limit:.0f} s", ""]
    if heading.rehearsal:
        lines += ["**A rehearsal on a CPU: no figure here is one of a GPU.**", ""]
    lines += [f"{heading.date}, `{heading.command}`", ""]
    rows = [[each.name, each.status, f"{each.seconds:.0f}"] for each in outcomes]
    lines += [*table(["part", "", "s"], rows), ""]
    for record in _of(records, "unusable"):
        lines += [f"**{record['reason']}**", ""]
    lines += _checks_that_failed(records)
    failed = [each for each in smoke if not each["ok"]]
    if smoke:
        lines += [f"## Smoke: {len(smoke) - len(failed)} of {len(smoke)} hold", ""]
        lines += [f"- **fails** {_check_line(each, _MOST_OF_A_FAILURE)}" for each in failed]
        lines += [""] if failed else []
    lines += _tests(outcomes, records, out)
    lines += _goals(records)
    for outcome in outcomes:
        lines += _section(outcome, [each for each in records if each["part"] == outcome.name])
    if len(failed) < len(smoke):
        lines += ["## Smoke checks that hold", ""]
        good_ones = [each for each in smoke if each["ok"]]
        lines += [f"- {_check_line(each, _MOST_OF_A_SUCCESS)}" for each in good_ones] + [""]
    facts = _of(records, "fact")
    if facts:
        lines += ["## Machine", "", *(f"- {each['name']}: {each['value']}" for each in facts)]
    return "\n".join(lines).rstrip() + "\n"


def shortened(text: str) -> str:
    """As much of the summary as is printed."""
    note = "\n… cut here: the whole is in summary.md\n"
    return text if len(text) <= MOST else text[: MOST - len(note)] + note


def _of(records: Iterable[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record for record in records if record["kind"] == kind]


def _check_line(result: dict[str, Any], most: int) -> str:
    found = result["found"]
    text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    return f"{result['check']} ({result['seconds']} s): {' '.join(text.split())[:most]}"


def _checks_that_failed(records: Sequence[dict[str, Any]]) -> list[str]:
    failed = [each for each in _of(records, "check") if not each["good"]]
    lines = [
        f"- **fails** {each['part']}: {each['what']}: {' '.join(each['detail'].split())[:400]}"
        for each in failed
    ]
    return ["## Checks that fail", "", *lines, ""] if lines else []


def _tests(
    outcomes: Sequence[Outcome], records: Sequence[dict[str, Any]], out: Path
) -> Iterator[str]:
    """How many tests passed, and the reasons of those that did not, the most frequent first."""
    counts = _of(records, "counts")[-1:]
    reasons = failures(out / "failures.log")
    for each in counts:
        yield f"## Tests: {each['counts'] or 'none has run'}"
        yield from ("", f"Slowest: {each['slowest']}" if each["slowest"] else "", "")
    if not counts:
        tails = [each.tail for each in outcomes if each.name == "tests" and each.tail]
        for tail in tails:
            yield from ("## Tests: no result", "", "```text", *tail[-8:], "```", "")
    ordered = sorted(reasons.items(), key=lambda item: -len(item[1]))
    for reason, names in ordered[:_MOST_REASONS]:
        files = Counter(name.split("::")[0] for name in names)
        where = ", ".join(f"{count} in {file}" for file, count in files.items())
        yield f"- {len(names)} x {reason}; {names[0][:150]}" + (f" ({where})" if names[1:] else "")
    if len(ordered) > _MOST_REASONS:
        yield f"- and {len(ordered) - _MOST_REASONS} other reasons, in failures.log"
    if ordered:
        yield ""


def failures(path: Path) -> dict[str, list[str]]:
    """The tests that failed, by reason."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    found: dict[str, list[str]] = {}
    for block in re.split(r"^=== ", text, flags=re.MULTILINE)[1:]:
        name, _, rest = block.partition("\n")
        lines = rest.splitlines()
        errors = [line[2:].strip() for line in lines if line.startswith("E ")]
        told = [error for error in errors if error] or [line for line in lines if line.strip()]
        reason = told[0 if errors else -1].strip() if told else "no reason given"
        reason = _VARYING.sub("#", reason)[:200]
        found.setdefault(reason, []).append(name.partition(" (")[0])
    return found


def _goals(records: Sequence[dict[str, Any]]) -> list[str]:
    """The goals: those of one name and bound in one line, with the worst of them."""
    groups: dict[tuple[str, float, bool], list[Goal]] = {}
    for record in _of(records, "goal"):
        goal = Goal(**{key: record[key] for key in ("what", "value", "bound", "at_least", "at")})
        groups.setdefault((goal.what, goal.bound, goal.at_least), []).append(goal)
    rows = []
    for goals in groups.values():
        worst, met = worst_of(goals), sum(goal.met for goal in goals)
        value = f"{worst.value:.3g}" + (f" ({worst.at})" if worst.at else "")
        word = "met" if met == len(goals) else f"**missed**, {met} of {len(goals)} met"
        rows.append([worst.what, worst.bound_text, value, word])
    lines = table(["what", "goal", "worst found", ""], rows) if rows else []
    return ["## Goals", "", *lines, ""] if lines else []


def worst_of(goals: Sequence[Goal]) -> Goal:
    """The one that is furthest from its bound on the wrong side, or nearest on the right one."""
    strange = [goal for goal in goals if goal.value != goal.value]
    if strange:
        return strange[0]
    return (min if goals[0].at_least else max)(goals, key=lambda goal: goal.value)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return lines + [f"| {' | '.join(map(_cell, row))} |" for row in rows]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _section(outcome: Outcome, records: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What one part found, but for what stands above."""
    texts, rows, absent = (_of(records, kind) for kind in ("text", "row", "absent"))
    held = [each for each in _of(records, "check") if each["good"]]
    broke = outcome.status != "ok" and outcome.tail and outcome.name not in ("smoke", "tests")
    if not (texts or rows or absent or held or broke):
        return
    yield from (f"## {outcome.title}", "")
    for text in texts:
        yield from (text["text"], "")
    tables: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        tables.setdefault(row["table"], []).append(row["cells"])
    for title, cells in tables.items():
        columns = list(cells[0])
        body = [[row.get(column, "") for column in columns] for row in cells]
        yield from (f"{title}:", "", *table(columns, body), "")
    for each in held:
        yield f"- holds: {each['what']}"
    for each in absent:
        yield f"- not measured: {each['what']}: {' '.join(each['reason'].split())[:300]}"
    yield from [""] if held or absent else []
    if broke:
        yield from ("The end of its output:", "", "```text", *outcome.tail[-12:], "```", "")
