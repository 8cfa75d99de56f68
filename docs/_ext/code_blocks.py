"""Takes away the empty line that examples end with so that pytest knows where they do."""

from docutils import nodes


def trim(app, doctree):
    """Trim each block of code."""
    del app
    for block in doctree.findall(nodes.literal_block):
        trimmed = block.astext().rstrip()
        block.rawsource = trimmed
        block.children = [nodes.Text(trimmed)] if len(block.children) <= 1 else block.children


def setup(app):
    """Trim after a page has been read."""
    app.connect("doctree-read", trim)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
