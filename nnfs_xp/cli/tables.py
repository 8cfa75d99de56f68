"""What the commands do with tables in files. They need the extra."""

from __future__ import annotations

import argparse
import hashlib
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import nnfs_xp as nn
from nnfs_xp._checks import shown
from nnfs_xp.cli import results
from nnfs_xp.errors import ArgumentError, DataError
from nnfs_xp.pictures import draw_table_pictures
from nnfs_xp.runs import HISTORY, RUN, make_folder
from nnfs_xp.tables import Report, TableModel, TableWarning, load_table_model, save_table_model
from nnfs_xp.tables.files import read_record
from nnfs_xp.tables.settings import TableSettings
from nnfs_xp.tables.source import Source, open_source
from nnfs_xp.tables.training import evaluate_held_out, prepare

_MOST_PROBABILITIES = 30
"""Classes up to which each has a column of probabilities in a file of predictions."""


def _show_warnings() -> None:
    """Show every warning of a table; the filters are restored when the command ends."""
    warnings.simplefilter("always", TableWarning)


def train(options: argparse.Namespace) -> int:
    """Train on a file."""
    _show_warnings()
    if options.test is not None and options.test_share is not None:
        raise ArgumentError("--test-share does not go with --test, which is all tested on.")
    settings = TableSettings(**results.given(options, TableSettings)).check()
    backend = nn.get_backend(options.backend)
    path = Path(options.dataset)
    source = open_source(path, options.separator)
    if options.target is None:
        raise ArgumentError(
            f"--target is missing: which column of {path} is to be predicted? It has "
            f"{shown(', '.join(map(repr, source.names)))}."
        )
    prepared = prepare(
        source,
        options.target,
        settings,
        task=options.task or "auto",
        test=None if options.test is None else open_source(options.test, options.separator),
        numeric=options.numeric or (),
        categorical=options.categorical or (),
        drop=options.drop or (),
    )
    name = path.name.partition(".")[0] or "table"
    new = options.out is None or not options.out.exists()
    folder = make_folder(options.out, name, resume=False)
    columns = len(prepared.features.used)
    what = f"{prepared.target.task} of {shown(options.target)!r}"
    if prepared.target.classes:
        what += f", {len(prepared.target.classes)} classes"
    what += f", from {columns} column{'s' * (columns != 1)}"
    try:
        print(f"{path}: {len(prepared.y)} rows; {what}, on {backend.name}", flush=True)
        progress = results.PROGRESS[options.progress]
        model = prepared.train(settings, backend=backend.name, progress=progress)
    except BaseException:
        if new:
            with suppress(OSError):
                folder.rmdir()
        raise
    _keep(folder, model, options)
    facts = model.settings
    done, best, seconds = (facts[each] for each in ("epochs_done", "best_epoch", "seconds"))
    outputs = len(model.classes) if len(model.classes) > 2 else 1
    widths = "-".join(map(str, (facts["inputs"], *settings.hidden, outputs)))
    print(
        f"trained network {widths} on {facts['trained_on']} rows in {seconds:.1f} s; "
        f"best of {done} epoch{'s' * (done != 1)}: {best}"
    )
    print(model.report)
    if facts["interrupted"]:
        print(f"stopped in epoch {done + 1}; the model so far is in {folder}")
        return results.INTERRUPTED
    print(f"results in {folder}")
    return 0


def _keep(folder: Path, model: TableModel, options: argparse.Namespace) -> None:
    """Write the model, its history and pictures."""
    path = Path(options.dataset)
    save_table_model(
        model,
        folder,
        dataset=str(path.resolve()),
        test=None if options.test is None else str(options.test.resolve()),
        separator=options.separator,
        data_sha256=_digest(path),
        test_sha256=None if options.test is None else _digest(options.test),
    )
    with results.beside_model(folder):
        model.history.to_csv(folder / HISTORY)
    assert model.report is not None  # training makes one
    with results.drawing():
        draw_table_pictures(
            folder,
            model.history,
            model.report.y_true,
            model.report.y_pred,
            name=path.name,
            target=model.target.name,
            classes=model.classes or None,
        )


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}.") from error


def evaluate(options: argparse.Namespace) -> int:
    """Test a model on a file, or on the rows that it was tested on after the training."""
    _show_warnings()
    model = load_table_model(options.folder, options.backend)
    if options.dataset is not None:
        print(model.evaluate_source(open_source(options.dataset, options.separator)))
    else:
        print(_evaluate_again(options, model))
    return 0


def _evaluate_again(options: argparse.Namespace, model: TableModel) -> Report:
    record = read_record(options.folder) or {}
    separator = options.separator or record.get("separator")
    data, test = record.get("dataset"), record.get("test")
    if isinstance(test, str):
        if "test_sha256" in record and _digest(Path(test)) != record["test_sha256"]:
            raise DataError(f"{test} has changed since the training. Name a file to test on.")
        return model.evaluate_source(open_source(test, separator))
    if not isinstance(data, str):
        raise ArgumentError(f"{options.folder / RUN} names no file. Name one to test on.")
    source = open_source(data, separator)
    if _digest(Path(data)) != record.get("data_sha256"):
        raise DataError(
            f"{data} has changed since the training: which rows were held out is not known. Name "
            "a file to test on."
        )
    return evaluate_held_out(model, source)


def predict(options: argparse.Namespace) -> int:
    """Predict the target of each row of a file."""
    _show_warnings()
    model = load_table_model(options.folder, options.backend)
    record = read_record(options.folder) or {}
    used = (record.get("dataset"), record.get("test"))
    results.check_output(options, *(Path(name) for name in used if isinstance(name, str)))
    results.write_predictions(options, _rows(model, open_source(options.file, options.separator)))
    return 0


def _rows(model: TableModel, source: Source) -> Iterator[list[Any]]:
    """The rows of the table of predictions."""
    if model.task == "regression":
        yield ["prediction"]
        yield from ([repr(float(value))] for value in model.predict_source(source))
        return
    probabilities = model.probabilities_of(source)
    labels = model.labels_of(probabilities)
    each = model.classes if len(model.classes) <= _MOST_PROBABILITIES else ()
    yield ["prediction", "probability", *(f"probability of {label}" for label in each)]
    for label, row in zip(labels, probabilities, strict=True):
        all_of_them = row if each else ()
        yield [label, *(f"{p:.4f}" for p in (row.max(), *all_of_them))]
