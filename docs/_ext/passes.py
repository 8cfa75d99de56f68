"""The directives ``chapter-figure``, ``chapter-figures`` and ``graph``: pictures of real passes."""

import html
from typing import ClassVar

import page_code
import public
import shown
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

import nnfs_xp as nn

LEAST = 0.7
"""Of its own width that a picture has on a narrow page, where it scrolls: numbers stay legible."""

FIGURES = [f"9-{k}" for k in range(1, 19)]


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


class Graph(page_code.Shows):
    """``{graph} NAME`` with the arguments of `nn.see.graph`.

    Where NAME is that of a loss, it must be the loss.
    """

    def check(self, name, given, named):
        """Look at the loss."""
        del given
        loss = public.losses().get(name)
        if loss is not None and type(named.get("loss")) is not loss:
            raise self.error(f"the graph {name} must have that loss")

    def figure(self, name, given, named):
        """Run the pass, and write its picture."""
        picture = nn.see.graph(*given, **named)
        address = _save(self, picture, name)
        code = f"<code>{html.escape(f'nn.see.graph({self.call})')}</code>"
        return _figure(picture, address, f"{name}, values and derivatives", code)


def _chapter_figure(directive, name, animated):
    picture = nn.see.chapter(name)
    address = _save(directive, picture, f"{name}-animated" if animated else name, animated)
    what = picture.frames[-1]
    if animated:
        what = f"{len(picture.frames)} figures, one after the other: forward, and back."
    alt, caption = f"Figure {name}: {what}", f"Figure {name}. {html.escape(what)}"
    return _figure(picture, address, alt, caption)


def _save(directive, picture, name, animated=False):
    """Write a picture's file, and give its address."""
    path, address = page_code.target(directive, "figures", f"{name}.svg")
    picture.save(path, animated=animated)
    return address


def _figure(picture, address, alt, caption):
    width, height = (round(length) for length in picture.size)
    image = (
        f'<img src="{address}" alt="{html.escape(alt)}" width="{width}" height="{height}" '
        f'loading="lazy" class="dark-light" style="min-width: {round(LEAST * width)}px">'
    )
    return f"""
<figure class="pass">
<a href="{address}">{image}</a>
<figcaption>{caption}</figcaption>
</figure>
"""


def _raw(text):
    return nodes.raw("", text, format="html")


def setup(app):
    """Register the directives, of which each loss needs a graph."""
    app.add_directive("chapter-figure", ChapterFigure)
    app.add_directive("chapter-figures", ChapterFigures)
    app.add_directive("graph", Graph)
    shown.require(app, "graph", public.losses)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
