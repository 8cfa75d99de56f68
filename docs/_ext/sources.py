"""The directive ``source``: a layer's or a loss' code, as the package has it at this moment."""

import ast
import inspect
from textwrap import dedent

import page_code
import public
import shown
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from nnfs_xp.kernels import standard
from nnfs_xp.layers.convolution import ConvolutionReLU
from nnfs_xp.layers.dense import DenseRow

METHODS = ("forward", "_forward", "backward", "backward_parameters", "_backward", "_through")
METHODS += ("_gradients_from", "_backward_inputs")
STAGES = {"DenseRow": DenseRow, "ConvolutionReLU": ConvolutionReLU}
"""What runs in the place of several layers, and so has to be shown beside them."""


def explained_classes():
    """What the page must explain: public layers and losses, without the bases, and stages."""
    return STAGES | public.layers() | public.losses()


def code_of(cls):
    """The source of the class' two passes, and of the specification of the kernels they call."""
    passes = [
        method
        for owner in cls.__mro__
        if owner not in public.BASES
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
        shown.note(self, name)
        page_code.note_sources(self.env)
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


def setup(app):
    """Register the directive, which all that must be explained needs."""
    app.add_directive("source", Source)
    shown.require(app, "source", explained_classes)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
