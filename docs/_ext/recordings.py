"""The directive ``recording``: a training that is run when the page is built, and plays in it."""

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

BASES = {nn.Layer, nn.StochasticLayer}
STEPS = 10
AROUND = {False: 375, True: 560}
"""Pixels that a recording takes beside its picture, without a map of the samples and with one."""

SHARE = 0.6
"""Of the window's height that the picture may take."""


def recorded_layers():
    """The public layers by name, each of which needs a recording."""
    found = (getattr(nn, name) for name in nn.layers.__all__)
    return {cls.__name__: cls for cls in found if cls not in BASES}


class Recording(SphinxDirective):
    """``{recording} NAME`` with the arguments of `nn.see.record` behind its path.

    They may use what the examples above it on the page have made. Where NAME is that of a layer,
    such a layer must be in the model.
    """

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"steps": directives.positive_int, "title": directives.unchanged}

    def run(self):
        """Run the training, and show it."""
        name = self.arguments[0]
        steps = self.options.get("steps", STEPS)
        title = self.options.get("title", f"{name}, recorded")
        given, named = page_code.arguments(self)
        layer = recorded_layers().get(name)
        if layer is not None and not any(type(each) is layer for _, each in given[0].walk()):
            raise self.error(f"the model of the recording {name} has no such layer")
        path, address = page_code.target(self, "recordings", f"{name}.html")
        nn.see.record(path, *given, **named, steps=steps, title=title)
        self.env.recorded = {*getattr(self.env, "recorded", ()), name}
        page_code.note_sources(self.env)
        self.env.note_dependency(__file__)
        call = " ".join(" ".join(self.content).split())
        code = f'nn.see.record("{name}.html", {call}, steps={steps})'
        return [nodes.raw("", _figure(address, title, code, _height(path)), format="html")]


def _height(path):
    """How high the frame must be in which nothing but the longest of pictures scrolls."""
    text = path.read_text("utf-8")
    found = re.search(r'class=\\"see-picture\\"[^>]*? height=\\"(\d+)\\"', text)
    assert found is not None, "a recording begins with its picture"
    picture = int(found[1])
    with_ground = '"points":{' in text
    return max(picture + AROUND[with_ground], round((picture + 20) / SHARE))


def _figure(address, title, code, height):
    title, code = html.escape(title), html.escape(code)
    return f"""
<figure class="recording">
<iframe src="{address}" title="{title}" loading="lazy" style="--height: {height}px"></iframe>
<figcaption><code>{code}</code> <a href="{address}">Open it alone.</a></figcaption>
</figure>
"""


def check(app, env):
    """Warn of each layer that no page shows at work."""
    del app
    for name in sorted(recorded_layers().keys() - getattr(env, "recorded", set())):
        logger.warning("docs/backpropagation.md has no {recording} %s", name)


def setup(app):
    """Register the directive and the check."""
    app.add_directive("recording", Recording)
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
