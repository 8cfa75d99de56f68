"""A recording: what stands in the file, and what cannot break out of it."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from nnfs_xp.errors import ArgumentError
from nnfs_xp.see import front_end, recording
from nnfs_xp.see.recording import as_html, write_recording

MODULE = "export default { render() { '</script><!-- <script>\u2028é' } };\n"
STYLES = '.see::after { content: "</style><script>"; }'
BAD = [
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "]]>",
    "\u2028\u2029",
    "\ud800",
    "&lt;",
]


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    monkeypatch.setattr(front_end, "module", lambda: MODULE)
    monkeypatch.setattr(front_end, "styles", lambda: STYLES)


class Reader(HTMLParser):
    """The elements of a page, with the text that stands directly after each start."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append([tag, dict(attributes), ""])

    def handle_data(self, data):
        if self.elements:
            self.elements[-1][2] += data

    def all(self, tag):
        return [element for element in self.elements if element[0] == tag]


def texts_of(page):
    """The page's scripts by their id, the adapter's being None."""
    return {attributes.get("id"): text for _, attributes, text in Reader(page).all("script")}


def test_module_and_answers_come_back_as_they_were():
    answers = [{"name": text, text: [1, 0.5, None, True]} for text in BAD]
    page = as_html(answers, "A title")
    texts = texts_of(page)
    assert list(texts) == ["see-module", "see-answers", None]
    assert json.loads(texts["see-module"]) == MODULE
    assert json.loads(texts["see-answers"]) == answers
    assert page.isascii()


def test_nothing_breaks_out():
    harmless = Reader(as_html([{"name": "a"}], "a")).elements
    harmful = Reader(as_html([{"name": text} for text in BAD], "".join(BAD[:3]))).elements
    assert [tag for tag, *_ in harmful] == [tag for tag, *_ in harmless]
    for text in texts_of(as_html([{"name": text} for text in BAD], "a")).values():
        assert "</" not in text
        assert "<!" not in text
        assert "<script" not in text


def test_title_is_text():
    [[_, _, text]] = Reader(as_html([{}], "</title><b> & co")).all("title")
    assert text.strip() == "</title><b> & co"


def test_the_policy_allows_this_file_only():
    page = as_html([{}], "a")
    policies = [
        attributes["content"]
        for _, attributes, _ in Reader(page).all("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    script = re.search(r'<script type="module">(.*?)</script>', page, re.DOTALL)[1]
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    assert policies == [
        f"default-src 'none'; script-src {digest(script)} blob:; style-src {digest(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    ]
    # The policy holds for what follows it.
    assert page.index("http-equiv") < min(page.index("<style"), page.index("<script"))


def digest(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_nothing_is_requested():
    elements = Reader(as_html([{}], "a")).elements
    addresses = [
        value
        for _, attributes, _ in elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action")
    ]
    assert addresses == ["data:,"]
    assert "fetch(" not in recording._ADAPTER
    assert "http" not in recording._ADAPTER


def test_numbers_that_json_lacks_are_null():
    texts = texts_of(as_html([{"loss": float("nan"), "w": np.array([np.inf, 1.0])}], "a"))
    assert json.loads(texts["see-answers"]) == [{"loss": None, "w": [None, 1.0]}]


def test_write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_recording("step.html", [{"loss": 1.0}], title="A step")
    assert path == Path("step.html")
    assert path.read_bytes() == as_html([{"loss": 1.0}], "A step").encode()
    write_recording(path, [{}], title="Another")
    assert path.read_text() == as_html([{}], "Another")
    assert list(tmp_path.iterdir()) == [tmp_path / path]
    with pytest.raises(OSError, match="make the folder"):
        write_recording("new/folder/step.html", [{}], title="A step")


@pytest.mark.parametrize(
    ("path", "answers", "title", "message"),
    [
        ("", [{}], "a", "`path` must not be empty"),
        (3, [{}], "a", "`path` must be a string"),
        ("x.html", {}, "a", "`answers` must be a list of dictionaries; got {}"),
        ("x.html", [3], "a", "`answers` must be a list of dictionaries; got"),
        ("x.html", [{"a": object()}], "a", "`answers` must hold what JSON can"),
        ("x.html", [], "a", "`answers` must hold at least one answer"),
        ("x.html", [{}], None, "`title` must be a string; got None"),
        ("x.html", [{}], "\ud800", "`title` must be a string"),
    ],
)
def test_bad_arguments(tmp_path, monkeypatch, path, answers, title, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match=message):
        write_recording(path, answers, title=title)
    assert not list(tmp_path.iterdir())


def test_answers_that_hold_themselves():
    answer = {}
    answer["me"] = answer
    with pytest.raises(ArgumentError, match="`answers` must hold what JSON can"):
        as_html([answer], "a")
