"""The directive ``recording``: a training that is run when the page is built, and plays in it."""

import html
import re
from typing import ClassVar

import page_code
import public
import shown
from docutils.parsers.rst import directives

import nnfs_xp as nn

STEPS = 10
AROUND = {False: 375, True: 560}
"""Pixels that a recording takes beside its picture, without a map of the samples and with one."""

NARROW = {False: 100, True: 280}
"""Pixels more on a narrow page, where buttons take more lines and a map stands below the loss."""

SHARE = 0.6
"""Of the window's height that the picture may take."""


class Recording(page_code.Shows):
    """``{recording} NAME`` with the arguments of `nn.see.record` behind its path.

    Where NAME is that of a layer, such a layer must be in the model.
    """

    option_spec: ClassVar = {"steps": directives.positive_int, "title": directives.unchanged}

    def check(self, name, given, named):
        """Look for the layer in the model."""
        layer = public.layers().get(name)
        if layer is None:
            return
        model = given[0] if given else named.get("model")
        if not isinstance(model, nn.Layer):
            raise self.error(f"the recording {name} needs a model with such a layer as `model`")
        if not any(type(each) is layer for _, each in model.walk()):
            raise self.error(f"the model of the recording {name} has no such layer")

    def figure(self, name, given, named):
        """Run the training, and write the frame that it plays in."""
        steps = self.options.get("steps", STEPS)
        title = self.options.get("title", f"{name}, recorded")
        path, address = page_code.target(self, "recordings", f"{name}.html")
        nn.see.record(path, *given, **named, steps=steps, title=title)
        code = f'nn.see.record("{name}.html", {self.call}, steps={steps})'
        return _figure(address, title, code, *_heights(path))


def _heights(path):
    """How high the frame must be in which nothing but the longest of pictures scrolls.

    The first is for a wide page, and the second for a narrow one.
    """
    text = path.read_text("utf-8")
    found = re.search(r'class=\\"see-picture\\"[^>]*? height=\\"(\d+)\\"', text)
    assert found is not None, "a recording begins with its picture"
    picture = int(found[1])
    with_ground = '"points":{' in text
    height = max(picture + AROUND[with_ground], round((picture + 20) / SHARE))
    return height, height + NARROW[with_ground]


def _figure(address, title, code, height, narrow):
    title, code = html.escape(title), html.escape(code)
    heights = f"--height: {height}px; --narrow: {narrow}px"
    return f"""
<figure class="recording">
<iframe src="{address}" title="{title}" loading="lazy" style="{heights}"></iframe>
<figcaption><code>{code}</code> <a href="{address}">Open it alone.</a></figcaption>
</figure>
"""


def setup(app):
    """Register the directive, which each layer needs."""
    app.add_directive("recording", Recording)
    shown.require(app, "recording", public.layers)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
