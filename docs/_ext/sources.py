"""The directive ``source``: a layer's or a loss' code, as the package has it at this moment."""

import ast
import inspect
from textwrap import dedent

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import nnfs_xp
from nnfs_xp.kernels import standard
from nnfs_xp.layers.dense import DenseRow

logger = logging.getLogger(__name__)

BASES = {nnfs_xp.Layer, nnfs_xp.StochasticLayer, nnfs_xp.Loss}
METHODS = ("forward", "backward", "backward_parameters", "_backward", "_through")
STAGES = {"DenseRow": DenseRow}
"""What runs in the place of several layers, and so has to be shown beside them."""


def explained_classes():
    """What the page must explain: public layers and losses, without the bases, and stages."""
    found = dict(STAGES)
    for module in (nnfs_xp.layers, nnfs_xp.losses):
        for name in module.__all__:
            thing = getattr(module, name)
            if thing not in BASES:
                found[thing.__name__] = thing  # a second name of a class is no second class
    return found


def code_of(cls):
    """The source of the class' two passes, and of the specification of the kernels they call."""
    passes = [
        method
        for owner in cls.__mro__
        if owner not in BASES
        for name in METHODS
        if (method := vars(owner).get(name)) is not None and owner is _owner(cls, name)
    ]
    parts, kernels = [], {}
    for method in passes:
        source = dedent(inspect.getsource(method))
        parts.append(source)
        kernels |= _kernels_in(source)
    pending = list(kernels.values())
    while pending:
        found = _kernels_in(inspect.getsource(pending.pop()))
        pending += [kernel for name, kernel in found.items() if name not in kernels]
        kernels |= found
    return parts, [dedent(inspect.getsource(kernel)) for kernel in kernels.values()]


def _owner(cls, name):
    """The class that a method of this name is taken from."""
    return next((owner for owner in cls.__mro__ if name in vars(owner)), None)


def _kernels_in(source):
    """The kernels and functions of `nnfs_xp.kernels.standard` that code calls, by name."""
    found = {}
    for node in ast.walk(ast.parse(dedent(source))):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Attribute) and ast.unparse(called.value) != "xp":
            name = called.attr
        elif isinstance(called, ast.Name):
            name = called.id
        else:
            continue
        kernel = getattr(standard.Kernels, name, None) or getattr(standard, name, None)
        if inspect.isfunction(kernel):
            found[name] = kernel
    return found


class Source(SphinxDirective):
    """``{source} Dense``: the code of the two passes, with a link to the page of the API."""

    required_arguments = 1

    def run(self):
        """Write the code, and note that the class is explained."""
        name = self.arguments[0]
        classes = explained_classes()
        if name not in classes:
            raise self.error(f"{name} is no public layer, loss or stage")
        self.env.explained = {*getattr(self.env, "explained", ()), name}
        self.env.note_dependency(inspect.getsourcefile(classes[name]))
        passes, kernels = code_of(classes[name])
        result = self._block(passes)
        if kernels:
            result.append(nodes.paragraph(text="With, from nnfs_xp.kernels.standard:"))
            result += self._block(kernels, separator="\n\n")
        return result

    @staticmethod
    def _block(parts, separator="\n"):
        code = separator.join(parts).rstrip()
        return [nodes.literal_block(code, code, language="python")]


def check(app, env):
    """Warn of each layer and loss that no page explains."""
    del app
    for name in sorted(explained_classes().keys() - getattr(env, "explained", set())):
        logger.warning("docs/backpropagation.md has no section with {source} %s", name)


def setup(app):
    """Register the directive and the check."""
    app.add_directive("source", Source)
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
