"""How the site is built: ``nox -s docs``. Needs no network, and a warning fails it."""

import os
import re
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import exports

import nnfs_xp

HERE = Path(__file__).parent
os.environ.setdefault("NNFS_XP_BACKEND", "numpy")  # pictures are the same with a GPU and without
exports.write(HERE / "api/generated")
# Sphinx reads what is below this folder only.
(HERE / "generated").mkdir(exist_ok=True)
shutil.copyfile(HERE.parent / "examples/backpropagation.ipynb", HERE / "generated/notebook.ipynb")

project = "nnfs_xp"
author = "The nnfs_xp authors"
copyright = author  # noqa: A001 # Sphinx's name
version = release = nnfs_xp.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_nb",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "code_blocks",
    "counterparts",
    "sources",
    "completeness",
    "passes",
    "recordings",
    "in_browser",
]
templates_path = ["_templates"]
exclude_patterns = ["_*", "gallery/*.ipynb"]
default_role = "py:obj"
html_math_renderer = "mathml"

# Pages in Markdown, and the notebook as it is stored.
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"

# The pages of the API.
autodoc_typehints = "none"  # numpydoc's lines of types say more: shapes
autodoc_preserve_defaults = True
autosummary_generate = True
numpydoc_show_class_members = False  # the template of a class lists them
viewcode_line_numbers = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    # These need MNIST or CIFAR-10, and the last one Optuna.
    "filename_pattern": (
        r"/(?!train_mnist|train_many|train_cifar10|cifar10_94|dropout_paper|tune_with_optuna)"
        r"[^/]*\.py$"
    ),
    "within_subsection_order": "gallery_order.Order",
    "image_scrapers": ("matplotlib", "pictures.show_last"),
    "ignore_repr_types": "Figure|NoneType",
    "abort_on_example_error": True,
    "default_thumb_file": str(HERE / "_static/script.png"),  # of examples that draw nothing
    "notebook_extensions": set(),
    "write_computation_times": False,
    "show_memory": False,
    "min_reported_time": 3600,
    "remove_config_comments": True,
    "doc_module": ("nnfs_xp",),
    "reference_url": {"nnfs_xp": None},
    "backreferences_dir": None,
}

html_theme = "pydata_sphinx_theme"
html_title = "nnfs_xp"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": False,
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "footer_start": [],
    "footer_end": [],
}
html_sidebars = {"index": []}


def skip_foreign(app, what, name, obj, skip, options):
    """Leave out what scikit-learn adds to each estimator: its text links to scikit-learn's site."""
    del app, what, obj, options
    return True if re.fullmatch(r"set_\w+_request", name) else skip


def setup(app):
    """Connect the above."""
    app.connect("autodoc-skip-member", skip_foreign)
