"""The notebook as a host of the front end: a widget for Jupyter, marimo and their like."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from nnfs_xp.errors import BackendError
from nnfs_xp.see import front_end

if TYPE_CHECKING:
    from anywidget import AnyWidget

_log = logging.getLogger("nnfs_xp")


def widget(session: front_end.Session) -> AnyWidget:
    """The front end as a widget, which a notebook shows where it ends a cell.

    Parameters
    ----------
    session : object with `handle(query) -> answer`
        All views of the widget ask it, one after the other.

    Returns
    -------
    anywidget.AnyWidget

    Raises
    ------
    BackendError
        anywidget is not installed.

    Notes
    -----
    Module and styles travel through the kernel's own connection: nothing is loaded from elsewhere,
    and no file is watched.
    """
    try:
        import anywidget
    except ImportError:
        raise BackendError("widgets need anywidget; pip install 'nnfs-xp[notebook]'") from None

    look = {"_esm": front_end.module(), "_css": front_end.styles()}
    see: AnyWidget = type("See", (anywidget.AnyWidget,), look)()

    def answer(_widget: Any, query: Any, _buffers: Any) -> None:
        if isinstance(query, dict):
            see.send(_answer(session, query))

    see.on_msg(answer)
    return see


def _answer(session: front_end.Session, query: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = dict(front_end.plain(session.handle(query)))
    except Exception:
        _log.debug("a session failed", exc_info=True)
        answer = {"error": front_end.FAILED}
    return {**answer, "id": query["id"]} if "id" in query else answer


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook, which shows widgets.

    Returns
    -------
    bool
        False in a terminal, IPython's included. Spyder and qtconsole run the same kernel as
        Jupyter, and cannot be told apart from it.

    Notes
    -----
    Neither IPython nor marimo is imported: in their kernels they are already.

    Examples
    --------
    >>> in_notebook()
    False
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is not None:
        return True
    marimo = sys.modules.get("marimo")
    return bool(marimo is not None and marimo.running_in_notebook())
