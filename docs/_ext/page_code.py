"""What directives may name: the variables of the page, as the examples above them leave them."""

import doctest
from pathlib import Path

import numpy as np

import nnfs_xp as nn

_PARSER = doctest.DocTestParser()


def arguments(directive):
    """The positional and the named arguments that a directive's content writes out."""
    code = "\n".join(directive.content)
    return eval(f"_collect({code}\n)", _names_above(directive))  # noqa: S307 # our own pages


def note_sources(env):
    """Have the page read anew when what draws has changed."""
    for pattern in ("*.py", "assets/*"):
        for path in Path(nn.see.__file__).parent.glob(pattern):
            env.note_dependency(str(path))


def target(directive, folder, name):
    """Where a file of the site is written, and its address seen from the page."""
    path = Path(directive.env.app.outdir) / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    up = "../" * directive.env.docname.count("/")
    return path, f"{up}{folder}/{name}"


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
