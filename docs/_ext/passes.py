"""The directives ``chapter-figure``, ``chapter-figures`` and ``graph``: pictures of real passes."""

import html
import re
from typing import ClassVar

import page_code
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import nnfs_xp as nn

logger = logging.getLogger(__name__)

LEAST = 0.7
"""Of its own width that a picture has on a narrow page, where it scrolls: numbers stay legible."""

FIGURES = [f"9-{k}" for k in range(1, 19)]


def drawn_losses():
    """The names of the public losses, each of which needs a graph."""
    return {name for name in nn.losses.__all__ if getattr(nn, name) is not nn.Loss}


class ChapterFigure(SphinxDirective):
    """``{chapter-figure} 9-7``: one of the chapter's figures; with ``:animated:``, all up to it."""

    required_arguments = 1
    option_spec: ClassVar = {"animated": directives.flag}

    def run(self):
        """Run the chapter's neuron, and show the figure."""
        page_code.note_sources(self.env)
        return [_raw(_chapter_figure(self, self.arguments[0], "animated" in self.options))]


class ChapterFigures(SphinxDirective):
    """``{chapter-figures}``: all of the chapter's figures, one below the other, to fold out."""

    def run(self):
        """Run the chapter's neuron, and show the figures."""
        page_code.note_sources(self.env)
        figures = "".join(_chapter_figure(self, name, animated=False) for name in FIGURES)
        summary = f"Figures {FIGURES[0]} to {FIGURES[-1]}, one by one"
        return [_raw(f"<details><summary>{summary}</summary>{figures}</details>")]


class Graph(SphinxDirective):
    """``{graph} NAME`` with the arguments of `nn.see.graph`, which may use names of the page.

    Where NAME is that of a loss, it must be the loss.
    """

    required_arguments = 1
    has_content = True

    def run(self):
        """Run the pass, and show it."""
        name = self.arguments[0]
        given, named = page_code.arguments(self)
        if name in drawn_losses() and type(named.get("loss")).__name__ != name:
            raise self.error(f"the graph {name} must have that loss")
        picture = nn.see.graph(*given, **named)
        self.env.graphed = {*getattr(self.env, "graphed", ()), name}
        page_code.note_sources(self.env)
        path, address = page_code.target(self, "figures", f"{name}.svg")
        picture.save(path)
        call = " ".join(" ".join(self.content).split())
        code = f"<code>{html.escape(f'nn.see.graph({call})')}</code>"
        return [_raw(_figure(path, address, f"{name}, values and derivatives", code))]


def _chapter_figure(directive, name, animated):
    picture = nn.see.chapter(name)
    ending = "-animated" if animated else ""
    path, address = page_code.target(directive, "figures", f"{name}{ending}.svg")
    picture.save(path, animated=animated)
    what = picture.frames[-1]
    if animated:
        what = f"{len(picture.frames)} figures, one after the other: forward, and back."
    return _figure(path, address, f"Figure {name}: {what}", f"Figure {name}. {html.escape(what)}")


def _figure(path, address, alt, caption):
    width, height = re.search(r'width="(\d+)" height="(\d+)"', path.read_text("utf-8")).groups()
    least = round(LEAST * int(width))
    image = (
        f'<img src="{address}" alt="{html.escape(alt)}" width="{width}" height="{height}" '
        f'loading="lazy" class="dark-light" style="min-width: {least}px">'
    )
    return f"""
<figure class="pass">
<a href="{address}">{image}</a>
<figcaption>{caption}</figcaption>
</figure>
"""


def _raw(text):
    return nodes.raw("", text, format="html")


def check(app, env):
    """Warn of each loss that no page draws."""
    del app
    for name in sorted(drawn_losses() - getattr(env, "graphed", set())):
        logger.warning("docs/backpropagation.md has no {graph} %s", name)


def setup(app):
    """Register the directives and the check."""
    app.add_directive("chapter-figure", ChapterFigure)
    app.add_directive("chapter-figures", ChapterFigures)
    app.add_directive("graph", Graph)
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
