"""Fails the build where a public name of the package has no page."""

from importlib import import_module

from exports import PAGES
from sphinx.util import logging

logger = logging.getLogger(__name__)

MODULES = ["nnfs_xp", "nnfs_xp.book", *(f"nnfs_xp.{name}" for name in PAGES)]


def public_names():
    """All that the package and the modules that readers import by name export."""
    for module_name in MODULES:
        module = import_module(module_name)
        for name in module.__all__:
            value = getattr(module, name, None)
            if value is None:
                logger.warning("%s is listed in %s and not there", name, module_name)
            elif type(value).__name__ != "module":
                yield f"{module_name}.{name}", value


def check(app, env):
    """Warn of each that has no page, under this name or another."""
    del app
    objects = env.domaindata["py"]["objects"]
    documented = set()
    for name in objects:
        module_name, _, attribute = name.rpartition(".")
        if module_name in (*MODULES, "nnfs_xp.errors", "nnfs_xp.initializers"):
            documented.add(id(getattr(import_module(module_name), attribute)))
    for name, value in public_names():
        if name not in objects and id(value) not in documented:
            logger.warning("%s has no page: add it to docs/api", name)


def setup(app):
    """Check when all pages have been read."""
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
