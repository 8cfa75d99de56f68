"""The command ``nnfs-xp``: train, evaluate and predict from a terminal."""

from __future__ import annotations

import argparse
import csv
import io
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NoReturn, TextIO

import numpy as np

import nnfs_xp as nn
from nnfs_xp._checks import check_range
from nnfs_xp.data import Split, hold_out
from nnfs_xp.data.tables import read_numbers
from nnfs_xp.errors import (
    ArgumentError,
    CheckpointError,
    DataError,
    DivergenceError,
    NnfsError,
    TrainingWarning,
)
from nnfs_xp.interop.atomic import write_atomically
from nnfs_xp.pictures import PICTURES, draw_pictures
from nnfs_xp.recipes import RECIPES, Recipe, build_classifier, find_recipe
from nnfs_xp.runs import (
    CHECKPOINTS,
    HISTORY,
    MODEL,
    RUN,
    Settings,
    choose_settings,
    make_folder,
    open_run,
    write_run,
)
from nnfs_xp.training.memory import size_text
from nnfs_xp.training.steps import PRECISIONS

_VALIDATION_SHARE = 0.1
_CHECKPOINT_SECONDS = 60
_INTERRUPTED = 130
_BROKEN_PIPE = 141
"""As a shell reports a command that a closed pipe ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not hasattr(options, "command"):
        parser.print_help()
        return 2
    try:
        with _log_shown(), np.errstate(all="ignore"):  # divergence has an error of its own
            status = int(options.command(options))
            sys.stdout.flush()
            return status
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does; Python would complain at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except DivergenceError as error:
        print(f"nnfs-xp: {error}", file=sys.stderr)
        return 1
    except (NnfsError, OSError) as error:
        print(f"nnfs-xp: error: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"nnfs-xp: error: not enough memory. {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("nnfs-xp: interrupted", file=sys.stderr)
        return _INTERRUPTED


@contextmanager
def _log_shown() -> Iterator[None]:
    """Show the library's log lines and warnings on standard error."""
    log = logging.getLogger("nnfs_xp")
    handler = logging.StreamHandler(sys.stderr)
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", TrainingWarning)
            warnings.showwarning = _show_warning
            yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    del category, filename, lineno, file, line
    print(f"nnfs-xp: warning: {message}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="nnfs-xp", description="Train small neural networks, every line of them in view."
    )
    parser.add_argument("--version", action="version", version=f"nnfs-xp {nn.__version__}")
    commands = parser.add_subparsers(title="commands")

    train = commands.add_parser(
        "train",
        help="train on a data set and keep the model",
        description="Train on a data set and keep the model. Ctrl-C, or SIGTERM, keeps what there "
        "is so far, to go on with.",
        epilog="Defaults: " + "; ".join(map(_defaults, RECIPES)) + ".",
    )
    train.set_defaults(command=_train)
    train.add_argument(
        "dataset",
        nargs="?",
        help=f"{', '.join(RECIPES)} (default: digits, which needs no download)",
    )
    _add_backend(train)
    train.add_argument(
        "--hidden", type=_widths, metavar="N,N", help="widths of the hidden layers, as in 128,64"
    )
    train.add_argument(
        "--epochs", type=_count, metavar="N", help="passes over the training samples"
    )
    train.add_argument("--batch-size", type=_count, metavar="N", help="samples in a step")
    train.add_argument("--learning-rate", type=float, metavar="RATE", help="of Adam")
    train.add_argument(
        "--dropout", type=_share, metavar="RATE", help="share of neurons silenced in training"
    )
    train.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="what steps compute in, with weights in float32; the last three need a GPU to be fast "
        "(default: float32)",
    )
    train.add_argument("--seed", type=_seed, metavar="N", help="(default: 0)")
    train.add_argument(
        "--out", type=_folder, metavar="DIR", help="results (default: runs/DATASET-TIME)"
    )

    train.add_argument(
        "--resume",
        action="store_true",
        help="go on with the training in --out, with its settings, where it was cut; where there "
        "is none, start it",
    )

    evaluate = commands.add_parser("evaluate", help="test a kept model")
    evaluate.set_defaults(command=_evaluate)
    evaluate.add_argument("folder", type=Path, metavar="DIR", help="the --out of a training")
    evaluate.add_argument("dataset", nargs="?", help="(default: the one trained on)")
    _add_backend(evaluate)

    predict = commands.add_parser("predict", help="classify the rows of a CSV file")
    predict.set_defaults(command=_predict)
    predict.add_argument("folder", type=Path, metavar="DIR", help="the --out of a training")
    predict.add_argument(
        "file",
        type=Path,
        metavar="FILE.csv",
        help="a row for each sample, features in the data set's own units (pixels of digits go "
        "from 0 to 16, of MNIST from 0 to 255); the first row may be a header",
    )
    predict.add_argument("-o", "--output", type=Path, metavar="FILE", help="instead of the screen")
    _add_backend(predict)

    backends = commands.add_parser("backends", help="what can run here, and why not the rest")
    backends.set_defaults(command=_backends)
    return parser


def _add_backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend",
        default="auto",
        metavar="NAME",
        help="numpy, cupy, cupy:1, torch, torch:cuda, … (default: a usable CUDA GPU, else numpy)",
    )


def _defaults(name: str) -> str:
    recipe = RECIPES[name]
    hidden = ",".join(map(str, recipe.hidden))
    return (
        f"{name} --hidden {hidden} --epochs {recipe.epochs} --batch-size {recipe.batch_size} "
        f"--learning-rate {recipe.learning_rate} --dropout {recipe.dropout}"
    )


def _count(text: str) -> int:
    value = int(text) if text.strip().isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return value


def _share(text: str) -> float:
    try:
        return check_range("it", float(text), 0, 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 up to below 1") from None


def _seed(text: str) -> int:
    if not text.strip().isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 0")
    return int(text)


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("'' names no folder")
    return Path(text)


def _widths(text: str) -> tuple[int, ...]:
    return tuple(_count(part) for part in text.split(","))


def _train(options: argparse.Namespace) -> int:
    if options.resume and options.out is None:
        raise ArgumentError("--resume needs --out: the folder of the training to go on with.")
    names = (field.name for field in fields(Settings) if hasattr(options, field.name))
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    settings = choose_settings(given, options.out if options.resume else None)
    recipe = find_recipe(settings.dataset)
    backend = nn.get_backend(options.backend)
    optimizer = nn.Adam(settings.learning_rate, decay=settings.decay)
    X, y, X_test, y_test = data = recipe.load()
    X, y, X_val, y_val = hold_out(X, y, share=_VALIDATION_SHARE, seed=settings.seed)
    n_classes = len(recipe.classes)
    model = build_classifier(
        X.shape[1], settings.hidden, n_classes, settings.dropout, settings.seed
    )
    trainer = nn.Trainer(
        model,
        nn.CategoricalCrossentropy(),
        optimizer,
        backend=backend,
        seed=settings.seed,
        precision=settings.precision,
    )
    folder = make_folder(options.out, settings.dataset, resume=options.resume)
    widths = "-".join(str(n) for n in (X.shape[1], *settings.hidden, n_classes))
    print(f"{settings.dataset}: {len(X)} samples, network {widths}, on {backend.name}")
    run = {**asdict(settings), "nnfs_xp": nn.__version__, "backend": backend.name}
    first = not (folder / RUN).exists()
    if first:  # so that it can be resumed, whatever ends it
        write_run(folder, run)

    start = time.perf_counter()
    try:
        trainer.fit(
            X,
            y,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            validation_data=(X_val, y_val),
            checkpoint=nn.Checkpoints(
                folder / CHECKPOINTS, every_seconds=_CHECKPOINT_SECONDS, least_seconds=1
            ),
            resume=options.resume,
        )
    except CheckpointError:
        if first:
            (folder / RUN).unlink(missing_ok=True)
        raise
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, KeyboardInterrupt) and not stop.args:
            raise  # a second Ctrl-C, which leaves at once
        _keep(folder, trainer, {**run, "epochs_done": trainer.epoch})
        print(f"stopped after epoch {trainer.epoch}; the model so far is in {folder}")
        print(f"go on with: nnfs-xp train --out {folder} --resume")
        return _INTERRUPTED if isinstance(stop, KeyboardInterrupt) else int(stop.code or 0)
    seconds = time.perf_counter() - start
    run |= {"epochs_done": trainer.epoch, "seconds": round(seconds, 3)}
    run["epochs"] = max(settings.epochs, trainer.epoch)
    _keep(folder, trainer, run)
    test = trainer.evaluate(X_test, y_test)
    try:
        write_run(folder, {**run, "test": test})
        _draw(folder, trainer, recipe, data, settings.dataset)
    except OSError as error:
        raise _incomplete(folder, error) from error
    epochs = "1 epoch" if trainer.epoch == 1 else f"{trainer.epoch} epochs"
    print(f"trained {epochs} in {seconds:.1f} s{_memory_text(trainer)}")
    print(f"test accuracy {test['accuracy']:.4f}, loss {test['loss']:.4f}")
    print(f"results in {folder}")
    return 0


def _memory_text(trainer: nn.Trainer) -> str:
    memory = trainer.memory()
    if memory is None:
        return ""
    return f", with at most {size_text(memory.reserved)} of the device's {size_text(memory.total)}"


def _keep(folder: Path, trainer: nn.Trainer, run: dict[str, Any]) -> None:
    nn.save(trainer.model, folder / MODEL)
    try:
        write_run(folder, run)
        trainer.history.to_csv(folder / HISTORY)
    except OSError as error:
        raise _incomplete(folder, error) from error


def _incomplete(folder: Path, error: OSError) -> DataError:
    return DataError(f"the model is in {folder}, but not all that goes with it: {error}.")


def _draw(folder: Path, trainer: nn.Trainer, recipe: Recipe, data: Split, name: str) -> None:
    try:
        draw_pictures(folder, trainer, recipe, data, name)
    except (NnfsError, OSError) as error:
        print(f"not all pictures could be drawn: {error}", file=sys.stderr)


def _trainer(model: nn.Layer, backend: str) -> nn.Trainer:
    return nn.Trainer(model, nn.CategoricalCrossentropy(), nn.Adam(), backend=backend)


def _evaluate(options: argparse.Namespace) -> int:
    model, name, recipe = open_run(options.folder, options.dataset)
    data = recipe.load()
    figures = _trainer(model, options.backend).evaluate(data.X_test, data.y_test)
    print(f"{name}: test accuracy {figures['accuracy']:.4f}, loss {figures['loss']:.4f}")
    return 0


def _predict(options: argparse.Namespace) -> int:
    model, _, recipe = open_run(options.folder, None)
    _check_output(options)
    X = read_numbers(options.file) / recipe.unit
    if X.shape[1] != recipe.n_features:
        raise DataError(
            f"{options.file} has {X.shape[1]} columns; the model takes {recipe.n_features} "
            "features. Without the labels?"
        )
    text = _predictions(recipe, _trainer(model, options.backend).predict_proba(X))
    if options.output is None:
        sys.stdout.writelines(text.splitlines(keepends=True))
    else:
        try:
            write_atomically(options.output, text.encode())
        except OSError as error:
            raise DataError(f"cannot write {options.output}: {error.strerror}.") from error
    return 0


def _check_output(options: argparse.Namespace) -> None:
    """Refuse to write the predictions over what they are made from."""
    kept = [options.file, *(options.folder / name for name in (MODEL, RUN, HISTORY, *PICTURES))]
    if options.output is not None and options.output.resolve() in [p.resolve() for p in kept]:
        raise ArgumentError(f"--output {options.output} would overwrite what is still needed.")


def _predictions(recipe: Recipe, probabilities: np.ndarray[Any, Any]) -> str:
    """The table of predictions, as CSV."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["prediction", "probability"])
    for label, row in zip(probabilities.argmax(axis=1), probabilities, strict=True):
        writer.writerow([recipe.classes[label], f"{row[label]:.4f}"])
    return table.getvalue()


def _backends(options: argparse.Namespace) -> int:
    del options
    for name, text in nn.available_backends().items():
        print(f"{name:18} {text}")
    return 0
