"""Pictures of the gallery: a figure that ends a block of an example, as a notebook shows it."""

from pathlib import Path

from sphinx_gallery.scrapers import figure_rst


def show_last(block, block_vars, gallery_conf):
    """The picture of the last expression's value, if that is a figure of `nnfs_xp.plots`."""
    del block
    shown = block_vars["example_globals"].get("___")
    if not hasattr(shown, "_repr_png_"):
        return ""
    path = Path(next(block_vars["image_path_iterator"]))
    path.write_bytes(shown._repr_png_())
    return figure_rst([path], gallery_conf["src_dir"])
