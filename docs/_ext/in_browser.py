"""The directive ``in-browser``: a button that runs the page to play with in the reader's browser.

Nothing is loaded before it is pressed. The wheels come with the site: ``nox -s docs`` builds them
into build/wheel. Pyodide and its NumPy come from Pyodide's CDN, and no test here has run them from
there: the build has no network.
"""

import html
import json
import shutil
from pathlib import Path

import page_code
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

PYODIDE = "https://cdn.jsdelivr.net/pyodide/v314.0.7/full/"
MEGABYTES = 9.4
"""What comes from there, compressed: of Pyodide 6.4 with its lock file, and of NumPy 2.4.6 3.0."""

WHEELS = Path(__file__).parents[2] / "build/wheel"


class InBrowser(SphinxDirective):
    """``{in-browser}``: the button, and what it loads; without wheels, how to get one."""

    def run(self):
        """Copy the wheels into the site, and write the button."""
        self.env.note_dependency(__file__)
        wheels = sorted(WHEELS.glob("*.whl"))
        if not wheels:
            return [nodes.raw("", _WITHOUT, format="html")]
        addresses, size = [], 0
        for wheel in wheels:
            path, address = page_code.target(self, "wheels", wheel.name)
            shutil.copyfile(wheel, path)
            self.env.note_dependency(str(wheel))
            addresses.append(address)
            size += wheel.stat().st_size
        _, script = page_code.target(self, "_static", "in_browser.js")
        text = _BUTTON.format(
            pyodide=PYODIDE,
            wheels=html.escape(json.dumps(addresses)),
            theirs=f"{MEGABYTES:.0f}",
            ours=f"{size / 1e6:.1f}",
            script=script,
        )
        return [nodes.raw("", text, format="html")]


_WITHOUT = """
<p>This copy of the site was built without the wheels that a button here loads:
<code>nox -s docs</code> adds them.</p>
"""

_BUTTON = """
<div class="in-browser" data-pyodide="{pyodide}" data-wheels="{wheels}">
<p id="in-browser-cost">The button loads about {theirs} MB from cdn.jsdelivr.net, where Pyodide
is published, and {ours} MB from this site. That server hears of your visit, as each server does
that a page loads from. Then nothing more is loaded, and nothing that you do is sent anywhere.</p>
<button type="button" aria-describedby="in-browser-cost" hidden>Load Python, and play here</button>
<p class="in-browser-says" role="status"></p>
<noscript><p>This needs JavaScript.</p></noscript>
<div class="in-browser-stage"></div>
</div>
<script src="{script}" defer></script>
"""


def setup(app):
    """Register the directive."""
    app.add_directive("in-browser", InBrowser)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
