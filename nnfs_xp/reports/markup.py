"""HTML and SVG for a page of figures: all that comes from data is escaped here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from io import StringIO
from numbers import Integral, Real
from typing import Any

import pandas as pd

from nnfs_xp._checks import shown
from nnfs_xp.plots._figure import COLORS

_IDS = re.compile(r'(\bid="|href="#|url\(#)')
_LONGEST_TEXT = 60
_THEME = {
    "#000000": "currentColor",
    "#ffffff": "none",
    COLORS[0].lower(): "var(--first)",
    COLORS[1].lower(): "var(--second)",
}
"""What Matplotlib's colours become; the variables are the style sheet's."""


def plain(value: object, nothing: str = "missing") -> str:
    """A value as a reader sees it: four digits of a number, the beginning of a long text.

    Parameters
    ----------
    value : object
    nothing : str
        What stands for None, NaN and an empty text.
    """
    if isinstance(value, str):
        return shown(value, _LONGEST_TEXT) if value else nothing
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return nothing
    if isinstance(value, Real) and not isinstance(value, Integral):
        number = float(value)
        return f"{number:.0f}" if 1e4 <= abs(number) < 1e15 else f"{number:.4g}"
    if isinstance(value, pd.Timestamp):
        return str(value).removesuffix(" 00:00:00")
    return shown(str(value), _LONGEST_TEXT)


def cell(value: object, kind: str = "", share: float = 0.0, *, nothing: str = "missing") -> str:
    """A cell of a table.

    Parameters
    ----------
    value : object
    kind : {"", "best", "bar", "shaded"}
        What shows beside the value: bold type, or a share of the cell or of its colour.
    share : float
        From 0 to 1.
    nothing : str
        See `plain`.
    """
    text = escape(plain(value, nothing))
    if kind == "best":
        return f"<td><strong>{text}</strong></td>"
    shade = f' class="{kind}" style="--share:{share:.3f}"' if kind else ""
    return f"<td{shade}>{text}</td>"


def grid(caption: str, names: Iterable[object], rows: Iterable[Sequence[object]]) -> str:
    """A table that scrolls sideways where the page is narrow.

    Parameters
    ----------
    caption : str
    names : iterable
        Of the columns.
    rows : iterable of sequence
        The name of the row, then its cells, as `cell` gives them.
    """
    head = "".join(f'<th scope="col">{escape(plain(name))}</th>' for name in names)
    body = "".join(
        f'<tr><th scope="row">{escape(plain(name))}</th>{"".join(map(str, cells))}</tr>'
        for name, *cells in rows
    )
    return (
        f'{paragraph(caption)}<div class="scroll" role="region" tabindex="0" '
        f'aria-label="{escape(caption)}"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def bullets(texts: Iterable[str]) -> str:
    """A list of plain texts; for none, "None."."""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>{items}</ul>" if items else paragraph("None.")


def picture(figure: Any, key: str, label: str) -> str:
    """A Matplotlib figure as SVG within the page, in the colours of its theme.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    key : str
        Another one for each figure of a page; the identifiers of its parts begin with it.
    label : str
        What it shows, for readers and for screen readers.
    """
    from matplotlib import rc_context  # whoever drew the figure has found Matplotlib

    stream = StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": key}):
        figure.savefig(stream, format="svg", metadata=nothing)
    text = stream.getvalue()
    svg = _IDS.sub(rf"\g<1>{key}-", text[text.index("<svg") :])
    for color, of_theme in _THEME.items():
        svg = svg.replace(color, of_theme)
    label = escape(label)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    return f"<figure>{svg}<figcaption>{label}</figcaption></figure>"


def side_by_side(*pictures: str) -> str:
    """Pictures in a row, or below each other where the page is narrow."""
    return f'<div class="pictures">{"".join(pictures)}</div>' if pictures else ""
