"""What the commands do with tables in files. They need the extra."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import nnfs_xp as nn
from nnfs_xp._checks import shown
from nnfs_xp.cli import results
from nnfs_xp.data.table_files import RawTable, open_in_pieces, open_table
from nnfs_xp.errors import ArgumentError, CheckpointError, DataError
from nnfs_xp.pictures import draw_table_pictures
from nnfs_xp.runs import CHECKPOINTS, HISTORY, REPORT, RUN, make_folder
from nnfs_xp.tables import Report, TableModel, TableWarning, load_table_model, save_table_model
from nnfs_xp.tables.course import Course
from nnfs_xp.tables.files import read_record, write_record
from nnfs_xp.tables.large import open_or_sample
from nnfs_xp.tables.preparing import Preparation, evaluate_held_out, prepare
from nnfs_xp.tables.report import write_report
from nnfs_xp.tables.settings import TableSettings, Wishes

_DIGESTS = "sha256 of the data"

_MOST_PROBABILITIES = 30
"""Classes up to which each has a column of probabilities in a file of predictions."""


@contextmanager
def _warnings_shown() -> Iterator[list[str]]:
    """Show every warning of a table, each once; the list has their texts."""
    texts: list[str] = []

    def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
        if issubclass(category, TableWarning):
            if str(message) in texts:
                return
            texts.append(str(message))
        usual(message, category, *place)

    with warnings.catch_warnings():
        warnings.simplefilter("always", TableWarning)
        usual, warnings.showwarning = warnings.showwarning, show  # type: ignore[assignment] # fewer
        yield texts


def train(options: argparse.Namespace) -> int:
    """Train on a file, or go on with a training on one."""
    with _warnings_shown() as texts:
        return _train(options, texts)


def _train(options: argparse.Namespace, texts: list[str]) -> int:
    said = _said(options)
    if "test" in said and "test_share" in said:
        raise ArgumentError("--test-share does not go with --test, which is all tested on.")
    settings = TableSettings(**_of(TableSettings, said)).check()
    wishes = Wishes(**_of(Wishes, said))
    backend = nn.get_backend(options.backend)
    path = Path(said["dataset"])
    separator, progress = said.get("separator"), results.PROGRESS[options.progress]
    if "target" not in said:
        head = next(open_in_pieces(path, separator=separator, rows=100))
        raise ArgumentError(
            f"--target is missing: which column of {path} is to be predicted? It has "
            f"{shown(', '.join(map(repr, head.names)))}."
        )
    tested = said.get("test")
    prepared = prepare(
        path, said["target"], settings, wishes, tested, separator=separator, progress=progress
    )
    name = path.name.partition(".")[0] or "table"
    new = options.out is None or not options.out.exists()
    folder = make_folder(options.out, name, resume=options.resume)
    title = _title(path, prepared, said["target"])
    begun = {"said": _resolved(said), _DIGESTS: _digests(said)}
    _check_same(folder, begun)
    if not (folder / RUN).exists():  # so that it can be resumed, whatever ends it
        write_record(folder, begun)
    course = Course(backend.name, progress, folder / CHECKPOINTS, options.resume)
    try:
        print(f"{title}, on {backend.name}", flush=True)
        model = prepared.train(settings, course)
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, KeyboardInterrupt) and not stop.args:
            raise  # a second Ctrl-C, which leaves at once
        print(f"stopped; go on with: nnfs-xp train --resume --out {folder}")
        return results.INTERRUPTED if isinstance(stop, KeyboardInterrupt) else int(stop.code or 0)
    except BaseException:
        if new:
            with suppress(OSError):
                shutil.rmtree(folder)
        raise
    save_table_model(model, folder, **begun)
    with results.beside_model(folder):
        model.history.to_csv(folder / HISTORY)
    print(_outcome(model))
    print(model.report)
    _draw(folder, prepared, model, path.name, title, texts)
    print(f"results in {folder}")
    return 0


def _said(options: argparse.Namespace) -> dict[str, Any]:
    """All that was said of a training, now, or where it is resumed, when it began."""
    names = ["dataset", "target", "test", "separator"]
    names += [each.name for kind in (TableSettings, Wishes) for each in fields(kind)]
    said = {name: getattr(options, name, None) for name in names}
    said = {name: value for name, value in said.items() if value is not None}
    if not options.resume:
        return said
    if options.out is None:
        raise ArgumentError("--resume needs --out: the folder of the training to go on with.")
    former, _ = _begun(options.out)
    now = _resolved(said)
    for name, value in now.items():
        if former and value != former.get(name):
            was = f"with {name} {former[name]}" if name in former else f"without {name}"
            raise ArgumentError(
                f"{options.out} was trained {was}, not with {value}. Name another --out."
            )
    if not former and "dataset" not in said:
        raise ArgumentError(f"{options.out} names no file to go on with. Name it.")
    return {**said, **former}


def _begun(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """What was said of the training in a folder, and the checksums of its files; or nothing yet."""
    if not (folder / RUN).exists():
        return {}, {}
    record = read_record(folder)
    if record is None:
        raise ArgumentError(f"{folder} holds a training on a data set. Name another --out.")
    said, digests = record.get("said", {}), record.get(_DIGESTS, {})
    sound = isinstance(said, dict) and isinstance(digests, dict)
    if sound:
        texts = [said.get(name, "") for name in ("dataset", "test", "target", "separator")]
        sound = all(isinstance(text, str) for text in (*texts, *digests.values()))
    if not sound:
        raise CheckpointError(f"{folder / RUN} is damaged: what it says of the training is none.")
    return said, digests


def _resolved(said: dict[str, Any]) -> dict[str, Any]:
    """What was said, as JSON has it, with the whole paths of files."""
    paths: dict[str, Any] = {
        name: str(Path(said[name]).resolve()) for name in ("dataset", "test") if name in said
    }
    lists = {name: list(value) for name, value in said.items() if isinstance(value, tuple)}
    return {**said, **paths, **lists}


def _of(kind: type, said: dict[str, Any]) -> dict[str, Any]:
    return {each.name: said[each.name] for each in fields(kind) if each.name in said}


def _digests(said: dict[str, Any]) -> dict[str, str]:
    return {name: _digest(Path(said[name])) for name in ("dataset", "test") if name in said}


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}.") from error


def _check_same(folder: Path, begun: dict[str, Any]) -> None:
    """Refuse to go on where a file has changed since the training began."""
    _, former = _begun(folder)
    for name, digest in begun[_DIGESTS].items():
        if former.get(name, digest) != digest:
            raise DataError(
                f"{begun['said'][name]} has changed since the training began. Train anew, with "
                "another --out."
            )


def _title(path: Path, prepared: Preparation, target: str) -> str:
    columns = len(prepared.features.used)
    what = f"{prepared.target.task} of {shown(target)!r}"
    if prepared.target.classes:
        what += f", {len(prepared.target.classes)} classes"
    return f"{path}: {prepared.n_rows} rows; {what}, from {columns} column{'s' * (columns != 1)}"


def _outcome(model: TableModel) -> str:
    facts = model.settings
    epochs, folds = facts["epochs_done"], facts["folds"]
    widths = "-".join(map(str, (facts["inputs"], *facts["hidden"], len(model.classes) or 1)))
    networks = f"{folds} networks" if folds > 1 else "network"
    return (
        f"trained {networks} {widths} on {facts['trained_on']} rows in {facts['seconds']:.1f} s, "
        f"for {epochs} epoch{'s' * (epochs != 1)}"
    )


def _draw(
    folder: Path,
    prepared: Preparation,
    model: TableModel,
    name: str,
    title: str,
    texts: list[str],
) -> None:
    """Write the report as a page, and the pictures."""
    assert model.report is not None  # training makes one
    with results.drawing():
        write_report(prepared, model, folder / REPORT, title=title, warnings=tuple(texts))
        print(f"report in {folder / REPORT}")
        draw_table_pictures(
            folder,
            model.history,
            model.report.y_true,
            model.report.y_pred,
            name=name,
            target=model.target.name,
            classes=model.classes or None,
        )


def evaluate(options: argparse.Namespace) -> int:
    """Test a model on a file, or on the rows that it was tested on after the training."""
    with _warnings_shown():
        model = load_table_model(options.folder, options.backend)
        if options.dataset is not None:
            print(model.evaluate_table(open_table(options.dataset, separator=options.separator)))
        else:
            print(_evaluate_again(options, model))
    return 0


def _evaluate_again(options: argparse.Namespace, model: TableModel) -> Report:
    said, digests = _begun(options.folder)
    if "dataset" not in said:
        raise ArgumentError(f"{options.folder / RUN} names no file. Name one to test on.")
    path = Path(said.get("test", said["dataset"]))
    if _digest(path) != digests.get("test" if "test" in said else "dataset"):
        raise DataError(
            f"{path} has changed since the training: which rows were tested on is not known. Name "
            "a file to test on."
        )
    table, _ = open_or_sample(  # as in the training
        path,
        model.target.name,
        separator=options.separator or said.get("separator"),
        missing=model.features.reading.missing,
        seed=model.settings["seed"],
    )
    return model.evaluate_table(table) if "test" in said else evaluate_held_out(model, table)


def predict(options: argparse.Namespace) -> int:
    """Predict the target of each row of a file."""
    with _warnings_shown():
        model = load_table_model(options.folder, options.backend)
        said, _ = _begun(options.folder)
        used = [said[name] for name in ("dataset", "test") if name in said]
        results.check_output(options, *map(Path, used))
        table = open_table(results.only_file(options), separator=options.separator)
        results.write_predictions(options, _rows(model, table))
    return 0


def _rows(model: TableModel, table: RawTable) -> Iterator[list[Any]]:
    """The rows of the table of predictions."""
    scores = model.scores(model.read(table))
    if model.task == "regression":
        share = model.settings.get("interval")
        yield ["prediction", *(("low", "high") if share else ())]
        bounds = model.intervals_of(scores, share) if share else [()] * len(scores)
        yield from (
            [repr(float(value)) for value in (score, *row)]
            for score, row in zip(scores, bounds, strict=True)
        )
        return
    each = model.classes if len(model.classes) <= _MOST_PROBABILITIES else ()
    yield ["prediction", "probability", *(f"probability of {label}" for label in each)]
    for label, row in zip(model.labels_of(scores), scores, strict=True):
        all_of_them = row if each else ()
        yield [label, *(f"{p:.4f}" for p in (row.max(), *all_of_them))]
