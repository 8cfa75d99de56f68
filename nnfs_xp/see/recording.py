"""A recording: one HTML file that plays by itself, with no server, no engine and no request."""

from __future__ import annotations

import base64
import hashlib
import html
from pathlib import Path
from typing import Any

from nnfs_xp._checks import quoted
from nnfs_xp.errors import ArgumentError
from nnfs_xp.interop.atomic import write_atomically
from nnfs_xp.interop.paths import path_of
from nnfs_xp.see import front_end

_ADAPTER = """
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const listeners = new Set();
const answerTo = (query) => query.do === "open"
  ? { view: "recording", answers: read("see-answers") }
  : { error: "A recording answers no questions. Run the code to ask more." };
const model = {
  send(query) {
    const answer = { ...answerTo(query), id: query.id };
    queueMicrotask(() => [...listeners].forEach((listener) => listener(answer, [])));
  },
  on: (name, listener) => { if (name === "msg:custom") listeners.add(listener); },
  off: (name, listener) => { listeners.delete(listener); },
};
const source = new Blob([read("see-module")], { type: "text/javascript" });
const address = URL.createObjectURL(source);
import(address).then((module) => {
  URL.revokeObjectURL(address);
  return module.default.render({ model, el: document.getElementById("see") });
});
"""

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{styles}</style>
</head>
<body class="see-page">
<main id="see">
<noscript>This recording needs JavaScript. Allow it for this file, then load it again.</noscript>
</main>
<script type="application/json" id="see-module">{module}</script>
<script type="application/json" id="see-answers">{answers}</script>
<script type="module">{adapter}</script>
</body>
</html>
"""


def write_recording(path: str | Path, answers: list[dict[str, Any]], *, title: str) -> Path:
    """Write a file that shows answers of a session, one after the other.

    Parameters
    ----------
    path : str or Path
        An older file is replaced.
    answers : list of dict
        As the session gave them.
    title : str

    Returns
    -------
    Path

    Raises
    ------
    ArgumentError
        The path or the answers are none.
    OSError
        The file cannot be written; an older one is as it was.
    """
    page = as_html(answers, title)
    path = path_of(path)
    write_atomically(path, page.encode())
    return path


def as_html(answers: list[dict[str, Any]], title: str) -> str:
    """The recording as the text of an HTML file.

    Parameters
    ----------
    answers : list of dict
    title : str

    Returns
    -------
    str

    Raises
    ------
    ArgumentError
        The answers are no list of dictionaries that JSON can hold, or there is none.

    Notes
    -----
    Texts of the answers cannot become markup, and the file's own policy lets the browser run its
    one script and the module inside, and nothing else.
    """
    if not isinstance(answers, list) or not all(isinstance(each, dict) for each in answers):
        raise ArgumentError(f"`answers` must be a list of dictionaries; got {quoted(answers)}.")
    if not answers:
        raise ArgumentError("`answers` must hold at least one answer; got an empty list.")
    if not isinstance(title, str) or not _is_unicode(title):
        raise ArgumentError(f"`title` must be a string; got {quoted(title)}.")
    try:
        recorded = front_end.as_json(answers)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(f"`answers` must hold what JSON can: {error}.") from None
    styles = front_end.styles().replace("</", r"<\/")  # the same to CSS, and not the end of <style>
    policy = (
        f"default-src 'none'; script-src {_hash(_ADAPTER)} blob:; style-src {_hash(styles)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return _PAGE.format(
        policy=policy,
        title=html.escape(title),
        styles=styles,
        module=_inert(front_end.as_json(front_end.module())),
        answers=_inert(recorded),
        adapter=_ADAPTER,
    )


def _is_unicode(text: str) -> bool:
    """Whether it can be written: half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _inert(json: str) -> str:
    """The same JSON without what HTML could take for a tag or a comment."""
    return json.replace("<", r"\u003c")


def _hash(text: str) -> str:
    """What a Content Security Policy calls a text."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
