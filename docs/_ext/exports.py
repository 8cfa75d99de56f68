"""Writes the pages of the API that are one list: what the module exports."""

from importlib import import_module

PAGES = {
    "data": ("Data", "Data sets: bundled, computed and downloaded."),
    "interop": (
        "Files and other libraries",
        "Model files, and what other libraries read and write: see :doc:`/ecosystem/index`.",
    ),
    "sklearn": (
        "scikit-learn",
        "Estimators with the parameters of scikit-learn's, with the extra ``sklearn``.",
    ),
    "tables": (
        "Tables",
        "From a file of columns to a trained model, with the extra ``tables``.",
    ),
    "plots": (
        "Plots",
        "Pictures, with the extra ``plot``. Each function returns the figure, which a notebook "
        "shows, and saves it where a path is given.",
    ),
    "testing": (
        "Testing",
        "For tests of layers and losses of your own. The pytest plugin gives the fixtures "
        "``backend`` and ``xp``: :doc:`/extending` uses it.",
    ),
}


def write(folder):
    """Write a page for each module into the folder, where autosummary puts those of the names."""
    folder.mkdir(exist_ok=True)
    for name, (title, text) in PAGES.items():
        module = import_module(f"nnfs_xp.{name}")
        listed = "".join(f"   {entry}\n" for entry in module.__all__ if entry.isidentifier())
        page = (
            f"{title}\n{'=' * len(title)}\n\n{text}\n\n.. currentmodule:: {module.__name__}\n\n"
            f".. autosummary::\n   :toctree: .\n\n{listed}"
        )
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != page:
            path.write_text(page, encoding="utf-8")
