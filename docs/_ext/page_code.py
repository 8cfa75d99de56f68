"""Directives that run a call, which may name what the examples above it on the page have made."""

import doctest
from functools import cache
from pathlib import Path

import numpy as np
import shown
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import nnfs_xp as nn

_PARSER = doctest.DocTestParser()


class Shows(SphinxDirective):
    """A directive with a name, and in its content the arguments of a function of `nn.see`.

    Classes that derive from it say in `check` what the arguments must have, and in `figure` what
    the page is to show of them, as HTML.
    """

    required_arguments = 1
    has_content = True

    def run(self):
        """Run the call, and show what it gives."""
        name = self.arguments[0]
        given, named = _arguments(self)
        self.check(name, given, named)
        note_sources(self.env)
        shown.note(self, name)
        return [nodes.raw("", self.figure(name, given, named), format="html")]

    @property
    def call(self):
        """The arguments as the page has them, in one line."""
        return " ".join(" ".join(self.content).split())

    def check(self, name, given, named):
        """Raise `self.error(…)` where the arguments are not what the name promises."""
        raise NotImplementedError

    def figure(self, name, given, named):
        """The figure with its caption."""
        raise NotImplementedError


def note_sources(env):
    """Have the page read anew when the package has changed, or what writes the page."""
    for path in _sources():
        env.note_dependency(path)


def target(directive, folder, name):
    """Where a file of the site is written, and its address seen from the page."""
    path = Path(directive.env.app.outdir) / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    up = "../" * directive.env.docname.count("/")
    return path, f"{up}{folder}/{name}"


@cache
def _sources():
    package, here = Path(nn.__file__).parent, Path(__file__).parent
    found = [*package.rglob("*"), *here.glob("*.py")]
    return [str(path) for path in found if path.is_file() and path.suffix != ".pyc"]


def _arguments(directive):
    """The positional and the named arguments that a directive's content writes out."""
    code = "\n".join(directive.content)
    return eval(f"_collect({code}\n)", _names_above(directive))  # noqa: S307 # our own pages


def _names_above(directive):
    """The page's names where the directive stands; each of its examples is run once."""
    kept = directive.env.temp_data.setdefault("page_code", {"line": 0, "names": _start()})
    text = Path(directive.env.doc2path(directive.env.docname)).read_text("utf-8")
    for example in _PARSER.get_examples(text):
        if kept["line"] <= example.lineno < directive.lineno - 1:
            try:
                exec(example.source, kept["names"])  # noqa: S102 # our own pages
            except Exception:
                if example.exc_msg is None:  # the page shows no error here
                    raise
    kept["line"] = max(kept["line"], directive.lineno - 1)
    return kept["names"]


def _start():
    return {"np": np, "nn": nn, "_collect": lambda *given, **named: (given, named)}
