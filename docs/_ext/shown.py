"""What each page shows with a directive, so that the build can tell what no page shows."""

from sphinx.util import logging

logger = logging.getLogger(__name__)


def note(directive, name):
    """Keep that the directive's page shows this name with it."""
    pages = _pages(directive.env).setdefault(directive.name, {})
    pages.setdefault(directive.env.docname, set()).add(name)


def require(app, directive, wanted):
    """Have the build warn of each name that no page shows with the directive.

    `wanted` is called when all pages have been read, and gives the names.
    """

    def check(app, env):
        del app
        found = set().union(*_pages(env).get(directive, {}).values())
        for name in sorted(set(wanted()) - found):
            logger.warning("docs/backpropagation.md has no {%s} %s", directive, name)

    app.setup_extension(__name__)
    app.connect("env-check-consistency", check)


def _purge(app, env, docname):
    """Forget a page that is gone, or is about to be read anew."""
    del app
    for pages in _pages(env).values():
        pages.pop(docname, None)


def _pages(env):
    """For each directive the names on each page; Sphinx keeps them from build to build."""
    if not hasattr(env, "shown"):
        env.shown = {}
    return env.shown


def setup(app):
    """Forget pages when Sphinx does."""
    app.connect("env-purge-doc", _purge)
    return {"env_version": 1, "parallel_read_safe": False, "parallel_write_safe": True}
