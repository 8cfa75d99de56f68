"""Writes the pages of the API that list what modules export."""

from importlib import import_module
from itertools import groupby

ROOMS = {
    "layers": (
        "Layers",
        "Every layer has ``forward`` and ``backward``. :doc:`/backpropagation` has the equations, "
        "the code and the check of each.",
        ("layers", "parameters"),
    ),
    "losses": (
        "Losses",
        "A loss gives a number for each sample. Its gradient is the gradient of the mean of these "
        "numbers over the batch.",
        ("losses",),
    ),
    "metrics": (
        "Metrics",
        "Metrics are figures beside the loss. They are summed up on the device over all batches, "
        "and read once.",
        ("metrics",),
    ),
    "optimizers": (
        "Optimizers",
        "An optimizer updates all parameters of a model in one pass over its flat buffers. "
        "`Optimizer` has the options that all share.",
        ("optimizers",),
    ),
    "schedules": (
        "Schedules",
        "A schedule is a learning rate that changes from step to step. Every optimizer takes one "
        "instead of a number.",
        ("schedules",),
    ),
}
"""Pages of names of the package itself: title, text, and the modules whose names they are."""

PAGES = {
    "data": (
        "Data",
        "Data sets: bundled, computed and downloaded; and batches from anywhere: see :doc:`/data`.",
    ),
    "data.augment": (
        "Augmentation",
        "Transforms that show a network each picture a little different in each epoch: see "
        ":doc:`/data`.",
    ),
    "distributed": (
        "Several processes",
        "One training in several processes, by MPI and NCCL, or on Ray: see :doc:`/distributed`.",
    ),
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
    "see": (
        "Seeing backpropagation",
        "Pictures of real passes, a page to play with, trainings to watch: see :doc:`/seeing`.",
    ),
    "testing": (
        "Testing",
        "For tests of layers and losses of your own. The pytest plugin gives the fixtures "
        "``backend`` and ``xp``: :doc:`/extending` uses it.",
    ),
}
"""Pages of names of a module: title and text."""


def write(folder):
    """Write all pages into the folder, where autosummary puts those of the names."""
    folder.mkdir(exist_ok=True)
    for name, (title, text, rooms) in ROOMS.items():
        lists = [_list(group, lead) for room in rooms for lead, group in groups(room)]
        _write(folder / f"{name}.rst", title, text, "nnfs_xp", lists)
    for name, (title, text) in PAGES.items():
        module = import_module(f"nnfs_xp.{name}")
        names = [entry for entry in module.__all__ if entry.isidentifier()]
        _write(folder / f"{name}.rst", title, text, module.__name__, [_list(names)])


def groups(room):
    """The names of a room by the file that defines them, in its order, base classes last.

    Each group comes with the first line of the file's docstring.
    """
    module = import_module(f"nnfs_xp.{room}")

    def home(name):
        return import_module(getattr(module, name).__module__)

    def place(name):
        file = home(name)
        order = list(vars(file)).index(getattr(module, name).__name__)
        return file.__name__.endswith(".base"), file.__name__, order

    for file, names in groupby(sorted(module.__all__, key=place), home):
        yield file.__doc__.partition("\n")[0], list(names)


def _list(names, lead=""):
    entries = "".join(f"   {name}\n" for name in names)
    return f"{lead}\n\n.. autosummary::\n   :toctree: .\n\n{entries}"


def _write(path, title, text, module_name, lists):
    page = "\n".join(
        [title, "=" * len(title), "", text, "", f".. currentmodule:: {module_name}", "", *lists]
    )
    if not path.exists() or path.read_text(encoding="utf-8") != page:
        path.write_text(page, encoding="utf-8")
