"""The folder of a training from the command line: what lies in it, and under which names."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from nnfs_xp._checks import shown
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.interop import load
from nnfs_xp.interop.atomic import write_atomically
from nnfs_xp.layers import Layer
from nnfs_xp.pictures import PICTURES
from nnfs_xp.recipes import Recipe, find_recipe
from nnfs_xp.training.watch_file import FILE as WATCHED

MODEL, RUN, HISTORY = "model.safetensors", "run.json", "history.csv"
CHECKPOINTS = "checkpoints"
RAY = "ray"
TABLE_MODEL = "columns.skops"
REPORT = "report.html"
RESULTS = (MODEL, TABLE_MODEL, RUN, HISTORY, WATCHED, REPORT, *PICTURES)


@dataclass(frozen=True)
class Settings:
    """All that determines a training but the backend."""

    dataset: str
    seed: int
    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    learning_rate: float
    decay: float
    dropout: float
    precision: str = "float32"
    shards: int = 0


_ANY = Settings(
    dataset="",
    seed=0,
    hidden=(0,),
    epochs=0,
    batch_size=0,
    learning_rate=0.0,
    decay=0.0,
    dropout=0.0,
)


def choose_settings(given: dict[str, Any], resumed: Path | None) -> Settings:
    """The settings of a training: those given, else of the run that is resumed, else the recipe's.

    Raises
    ------
    ArgumentError
        Settings are given that differ from those of the run; more epochs may be asked for.
    DataError
        There is no such data set, or the run cannot be read.
    """
    former = {} if resumed is None or not (resumed / RUN).exists() else read_run(resumed)
    if former:
        former.setdefault("precision", "float32")
        former.setdefault("shards", 0)
        for name, value in given.items():
            kept = tuple(former.get(name, ())) if name == "hidden" else former.get(name)
            if name != "epochs" and value != kept:
                raise ArgumentError(
                    f"{resumed} was trained with {name} {kept}, not {value}. Name another --out."
                )
    dataset = given.get("dataset", former.get("dataset", "digits"))
    recipe = find_recipe(dataset)
    settings = Settings(
        dataset=dataset,
        seed=0,
        hidden=recipe.hidden,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        decay=recipe.decay,
        dropout=recipe.dropout,
    )
    names = asdict(settings).keys()
    settings = replace(settings, **{name: former[name] for name in names if name in former})
    settings = replace(settings, **given)
    return replace(settings, hidden=tuple(settings.hidden))


def holds_table(folder: Path) -> bool:
    """Whether the folder is that of a training on a table, finished or not."""
    if (folder / TABLE_MODEL).exists():
        return True
    try:
        record = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and "table" in record


def make_folder(out: Path | None, dataset: str, *, resume: bool) -> Path:
    """The folder for the results, there and writable before any work is done.

    Raises
    ------
    ArgumentError
        The folder cannot be written to, or holds the results of another run.
    """
    if out is None:
        name = f"{dataset}-{datetime.now():%Y%m%d-%H%M%S}"
        out = Path("runs") / name
        count = 1
        while out.exists():
            count += 1
            out = Path("runs") / f"{name}-{count}"
    for name in () if resume else (*RESULTS, CHECKPOINTS):
        if (out / name).exists():
            raise ArgumentError(
                f"{out} already holds a {name}. Go on with --resume, name another --out, or delete "
                "it first."
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise ArgumentError(f"cannot write to --out {out}: {error.strerror}.") from error
    return out


def write_run(folder: Path, run: dict[str, Any]) -> None:
    """Write the settings and results of a run."""
    write_atomically(folder / RUN, (json.dumps(run, indent=2) + "\n").encode())


def read_run(folder: Path) -> dict[str, Any]:
    """The settings and results that `write_run` wrote.

    Raises
    ------
    DataError
        The file is missing or damaged.
    """
    path = folder / RUN
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is missing or damaged: {error}.") from error
    if not isinstance(run, dict) or not isinstance(run.get("dataset"), str):
        raise DataError(f"{path} is damaged: it names no data set.")
    for name in asdict(_ANY).keys() & run.keys():
        if not _alike(run[name], getattr(_ANY, name)):
            raise DataError(f"{path} is damaged: its {name} is {shown(run[name])}.")
    return run


def _alike(value: Any, example: Any) -> bool:
    """Whether the value is what JSON makes of one like the example."""
    if isinstance(example, tuple):
        return isinstance(value, list) and all(_alike(each, example[0]) for each in value)
    kinds = (int, float) if isinstance(example, float) else type(example)
    return isinstance(value, kinds) and not isinstance(value, bool)


def open_run(folder: Path, dataset: str | None) -> tuple[Layer, str, Recipe]:
    """The model that a training left in the folder, a data set that fits it, and its recipe.

    The data set is that of the training if none is given.

    Raises
    ------
    DataError, CheckpointError
        Something is missing or damaged, or the data set does not fit the model.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}. It is the --out of a training.")
    model = load(folder / MODEL, backend="numpy")
    dataset = read_run(folder)["dataset"] if dataset is None else dataset
    recipe = find_recipe(dataset)
    mine = model.input_shape
    if mine is None or mine != (recipe.n_features,):
        raise DataError(
            f"the model in {folder} takes samples of shape {mine}; those of {dataset} have "
            f"{recipe.n_features} features."
        )
    if model.output_shape(mine) != (len(recipe.classes),):
        raise DataError(
            f"the model in {folder} has outputs of shape {model.output_shape(mine)}; {dataset} has "
            f"{len(recipe.classes)} classes."
        )
    return model, dataset, recipe
