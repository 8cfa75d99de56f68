"""The directive ``counterparts``: which layer here is which of another library, from its table."""

from importlib import import_module

from sphinx.util.docutils import SphinxDirective

LIBRARIES = {"torch": "PyTorch", "keras": "Keras"}


def table(library):
    """The table as Markdown: a line for each row of the library's table in `nnfs_xp.interop`."""
    module = import_module(f"nnfs_xp.interop.{library}.layers")
    lines = [f"| here | {LIBRARIES[library]} | what differs |", "|---|---|---|"]
    for row in (*module.ROWS, *module.CONTAINERS):
        lines.append(f"| `{row.ours.__name__}` | `{row.theirs}` | {row.note} |")
    return "\n".join(lines)


class Counterparts(SphinxDirective):
    """``{counterparts} torch``: the table of PyTorch's modules; of a page in Markdown."""

    required_arguments = 1

    def run(self):
        """Write the table, and note where it comes from."""
        library = self.arguments[0]
        if library not in LIBRARIES:
            raise self.error(f"{library} is none of {', '.join(LIBRARIES)}")
        self.env.note_dependency(import_module(f"nnfs_xp.interop.{library}.layers").__file__)
        return self.parse_text_to_nodes(table(library))


def setup(app):
    """Register the directive."""
    app.add_directive("counterparts", Counterparts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
