"""The front end that all hosts show: one module, one style sheet, and how answers reach it."""

from __future__ import annotations

import html
import json
import math
import re
from functools import cache
from importlib import resources
from typing import Any, Protocol

_UPLOT_EXPORT = re.compile(r"^export \{ uPlot as default \};\s*\Z", re.MULTILINE)

SCRIPTS = (
    *("watch_charts.js", "watch_layers.js", "watch.js"),
    *("play_pictures.js", "play_weight.js", "play.js", "see.js"),
)
STYLES = ("uplot.css", "picture.css", "see.css", "watch.css")
"""The parts of the front end, in their order; uPlot comes before the scripts."""

FAILED = "Python could not answer. Turn on the log of nnfs_xp at level DEBUG to see why."
"""What the front end is told where a session raises."""


class Session(Protocol):
    """What answers the queries of one view of the front end."""

    def handle(self, query: dict[str, Any], /) -> dict[str, Any]:
        """Answer; `{"error": "one sentence"}` for a query that makes no sense."""


@cache
def module() -> str:
    """One ES module without imports, whose default export is `{ render({ model, el }) }`.

    Returns
    -------
    str
        The text of the parts, one after the other. Only `see.js` exports; uPlot, which is a
        module of its own, stands in a function.

    Notes
    -----
    The module speaks with its host through `model.send(query)` and
    `model.on("msg:custom", callback)` only: anywidget's front-end modules have the same form [1]_.

    References
    ----------
    .. [1] anywidget, *Anywidget Front-End Module (AFM)*, https://anywidget.dev/en/afm/
    """
    body, n_exports = _UPLOT_EXPORT.subn("", _read("uplot.js"))
    assert n_exports == 1, "uplot.js must end in its one export"
    uplot = f"const uPlot = (() => {{\n{body}\nreturn uPlot;\n}})();\n"
    return "\n".join([uplot, *map(_read, SCRIPTS)])


@cache
def styles() -> str:
    """The style sheet of the module.

    Returns
    -------
    str
    """
    return "\n".join(map(_read, STYLES))


def assets(title: str) -> dict[str, tuple[str, bytes]]:
    """All that a browser can get from the page, by its path below the token.

    Parameters
    ----------
    title : str
        What the browser's tab is called.

    Returns
    -------
    dict of str to (str, bytes)
        The content type and the content.
    """
    page = _read("page.html").replace("{title}", html.escape(title))
    script = "text/javascript; charset=utf-8"
    return {
        "": ("text/html; charset=utf-8", _bytes(page)),
        "page.js": (script, _bytes(_read("page.js"))),
        "see.js": (script, _bytes(module())),
        "see.css": ("text/css; charset=utf-8", _bytes(styles())),
    }


def as_json(answer: Any) -> str:
    """An answer as JSON in ASCII, with null for what is not finite.

    Parameters
    ----------
    answer : dict
        Of what JSON has, or of NumPy's numbers and arrays.

    Returns
    -------
    str

    Raises
    ------
    TypeError, ValueError, RecursionError
        It holds something else, or itself.

    Examples
    --------
    >>> as_json({"loss": float("nan"), "id": 3})
    '{"loss":null,"id":3}'
    """
    try:
        return _dumps(answer)
    except (TypeError, ValueError):  # seldom, so that most answers are walked once
        return _dumps(plain(answer))


def plain(answer: Any) -> Any:
    """A copy that JSON can hold: None for what is not finite, lists for arrays and tuples.

    Parameters
    ----------
    answer : dict, list, tuple, array, number, str or None

    Returns
    -------
    dict, list, int, float, bool, str or None

    Examples
    --------
    >>> plain({"weights": (0.5, float("inf"))})
    {'weights': [0.5, None]}
    """
    if isinstance(answer, float):
        return float(answer) if math.isfinite(answer) else None
    if isinstance(answer, dict):
        return {key: plain(value) for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [plain(value) for value in answer]
    if hasattr(answer, "tolist"):  # NumPy's numbers and arrays
        return plain(answer.tolist())
    return answer


def _dumps(answer: Any) -> str:
    return json.dumps(answer, allow_nan=False, separators=(",", ":"))


def _read(name: str) -> str:
    return (resources.files("nnfs_xp.see") / "assets" / name).read_text(encoding="utf-8")


def _bytes(text: str) -> bytes:
    return text.encode()
