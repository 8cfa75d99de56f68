"""The folder of a training from the command line: what lies in it, and under which names."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from nnfs_xp._checks import shown
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.image_folders import TO_TEST, TO_TRAIN, digest_of, look_at, recipe_of_images
from nnfs_xp.interop import load
from nnfs_xp.interop.atomic import write_atomically
from nnfs_xp.layers import Layer
from nnfs_xp.pictures import PICTURES
from nnfs_xp.recipes import RECIPES, Recipe, find_recipe
from nnfs_xp.training.watch_file import FILE as WATCHED

MODEL, RUN, HISTORY = "model.safetensors", "run.json", "history.csv"
CHECKPOINTS = "checkpoints"
RAY = "ray"
_RUNS = Path("runs")
TABLE_MODEL = "columns.skops"
REPORT = "report.html"
RESULTS = (MODEL, TABLE_MODEL, RUN, HISTORY, WATCHED, REPORT, *PICTURES)


@dataclass(frozen=True)
class Settings:
    """All that determines a training but the backend."""

    dataset: str
    model: str
    seed: int
    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    learning_rate: float
    decay: float
    dropout: float
    precision: str = "float32"
    shards: int = 0
    size: int = 0
    skip_damaged: bool = False
    image: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    files: str = ""

    def record(self) -> dict[str, Any]:
        """The settings for a file: those of folders of images only where they are of one."""
        return {
            name: value
            for name, value in asdict(self).items()
            if self.classes or name not in _OF_IMAGES
        }


_OF_IMAGES = ("size", "skip_damaged", "image", "classes", "files")
"""Settings of folders of images: what was asked for, and what `look_at` found."""

_FORMERLY = {"model": "mlp", "precision": "float32", "shards": 0}
"""What runs had before there was a choice."""

_ANY = Settings(
    dataset="",
    model="",
    seed=0,
    hidden=(0,),
    epochs=0,
    batch_size=0,
    learning_rate=0.0,
    decay=0.0,
    dropout=0.0,
    image=(0,),
    classes=("",),
)


def choose_settings(given: dict[str, Any], out: Path | None, *, resume: bool) -> Settings:
    """The settings of a training: those given, else of the run that is resumed, else the recipe's.

    Raises
    ------
    ArgumentError
        Settings are given that differ from those of the run; more epochs may be asked for. Or the
        results would lie in the folder of images that is trained on.
    DataError
        There is no such data set, or the run cannot be read.
    """
    former = read_run(out) if resume and out is not None and (out / RUN).exists() else {}
    if former:
        former = {**_FORMERLY, **former}
        _check_same(given, former, out)
    dataset = given.get("dataset", former.get("dataset", "digits"))
    found = {name: former[name] for name in _OF_IMAGES if name in former}
    if dataset not in RECIPES and (found or Path(dataset).is_dir()):
        _check_outside(Path(dataset), out)
        found = found or _looked_at(Path(dataset), given)
        recipe = _recipe_of_folder(dataset, found, TO_TRAIN)
    else:
        recipe = find_recipe(dataset)
    model = given.get("model", former.get("model", next(iter(recipe.plans))))
    plan = recipe.plan(model)
    if former and plan.fixed_length and given.get("epochs", former["epochs"]) != former["epochs"]:
        raise ArgumentError(
            f"{out} was begun with epochs {former['epochs']}, over which its learning rate "
            "falls. Name another --out to train for more, or fewer."
        )
    settings = Settings(
        dataset=dataset,
        model=model,
        seed=0,
        hidden=plan.hidden,
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        learning_rate=plan.learning_rate,
        decay=plan.decay,
        dropout=plan.dropout,
    )
    names = asdict(settings).keys()
    settings = replace(settings, **{name: former[name] for name in names if name in former})
    settings = replace(settings, **{**found, **given})
    return replace(
        settings,
        hidden=tuple(settings.hidden),
        image=tuple(settings.image),
        classes=tuple(settings.classes),
    )


def _check_same(given: dict[str, Any], former: dict[str, Any], folder: Path | None) -> None:
    """Refuse to go on with other settings, or with a folder that has changed."""
    for name, value in given.items():
        kept = tuple(former.get(name, ())) if name == "hidden" else former.get(name)
        if name != "epochs" and value != kept:
            raise ArgumentError(
                f"{folder} was trained with {name} {kept}, not {value}. Name another --out."
            )
    if former.get("files"):
        _check_unchanged(former, "Train anew, with another --out.")


def _check_unchanged(run: dict[str, Any], remedy: str) -> None:
    if digest_of(Path(run["dataset"])) != run["files"]:
        raise DataError(
            f"the files in {run['dataset']} have changed since the training began. {remedy}"
        )


def _check_outside(folder: Path, out: Path | None) -> None:
    """Refuse results among the images, where pictures would be taken for a class."""
    place = _RUNS if out is None else out
    if place.resolve().is_relative_to(folder.resolve()):
        named = f"--out {out}" if out is not None else f"{place}{os.sep}, where results go,"
        raise ArgumentError(
            f"{named} lies in the folder of images {folder}, where its pictures would count as "
            "images. Give an --out outside of it."
        )


def _looked_at(folder: Path, given: dict[str, Any]) -> dict[str, Any]:
    skip = given.get("skip_damaged", False)
    return asdict(look_at(folder, given.get("size"), skip_damaged=skip))


def _recipe_of_folder(
    folder: str, run: dict[str, Any], remedy: str, *, whole: bool = False
) -> Recipe:
    """The recipe for a folder of images, given the settings of a training on such."""
    return recipe_of_images(
        Path(folder),
        tuple(run["image"]),
        tuple(run["classes"]),
        skip_damaged=run.get("skip_damaged", False),
        whole=whole,
        remedy=remedy,
    )


def recipe_of(settings: Settings) -> Recipe:
    """The recipe for what a training with these settings learns."""
    if settings.classes:
        return _recipe_of_folder(settings.dataset, asdict(settings), TO_TRAIN)
    return find_recipe(settings.dataset)


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
        out = _RUNS / name
        count = 1
        while out.exists():
            count += 1
            out = _RUNS / f"{name}-{count}"
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


def place_of(out: Path | None) -> Path:
    """The innermost folder that is there already of those that `make_folder` makes or uses."""
    place = (_RUNS if out is None else out).resolve()
    return next((each for each in (place, *place.parents) if each.is_dir()), place)


def forget_run(folder: Path, place: Path, *, resume: bool) -> None:
    """Remove what was written for a training that could not begin.

    Parameters
    ----------
    folder : Path
    place : Path
        Of `place_of`, before `make_folder` made the folder: this one stays.
    resume : bool
        As it was for `make_folder`, which then lets other files be there.
    """
    for name in (RUN,) if resume else (RUN, WATCHED):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):  # what is not empty stays
        if (folder / CHECKPOINTS).is_dir():
            (folder / CHECKPOINTS).rmdir()
        folder = folder.resolve()
        while folder != place:
            folder.rmdir()
            folder = folder.parent


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
    if run.get("classes") and len(run.get("image", ())) != 3:
        raise DataError(f"{path} is damaged: it does not say which size its images have.")
    return run


def _alike(value: Any, example: Any) -> bool:
    """Whether the value is what JSON makes of one like the example."""
    if isinstance(example, tuple):
        return isinstance(value, list) and all(_alike(each, example[0]) for each in value)
    if isinstance(example, bool):
        return isinstance(value, bool)
    kinds = (int, float) if isinstance(example, float) else type(example)
    return isinstance(value, kinds) and not isinstance(value, bool)


def open_run(folder: Path, dataset: str | None) -> tuple[Layer, str, Recipe]:
    """The model that a training left in the folder, a data set that fits it, and its recipe.

    The data set is that of the training if none is given. A folder of images has to have classes
    of the training's.

    Raises
    ------
    DataError, CheckpointError
        Something is missing or damaged, or the data set does not fit the model.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}. It is the --out of a training.")
    model = load(folder / MODEL, backend="numpy")
    run = read_run(folder)
    recipe = _recipe_of_run(run, dataset)
    dataset = run["dataset"] if dataset is None else dataset
    mine = model.input_shape
    if mine is None or recipe.kind_of(mine) is None:
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


def _recipe_of_run(run: dict[str, Any], dataset: str | None) -> Recipe:
    """The recipe for the data set of a run, or for another that its model is tested on."""
    if dataset in RECIPES:
        return find_recipe(dataset)
    if run.get("classes"):
        mine = _recipe_of_folder(run["dataset"], run, TO_TEST)
    else:
        mine = find_recipe(run["dataset"])
    if dataset is None:
        return mine
    if mine.image_shape is None or not Path(dataset).is_dir():
        return find_recipe(dataset)  # which says what is known
    images = {"image": mine.sample_shape("cnn"), "classes": mine.classes}
    return _recipe_of_folder(dataset, {**run, **images}, TO_TEST, whole=True)


def check_unchanged(folder: Path) -> None:
    """Refuse to test on images of a folder that is not as it was when the training split it.

    Raises
    ------
    DataError
    """
    run = read_run(folder)
    if run.get("files"):
        _check_unchanged(run, "Which images were tested on is not known. Name a folder to test on.")
