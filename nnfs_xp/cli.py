"""The command ``nnfs-xp``: train, evaluate and predict from a terminal."""

from __future__ import annotations

import argparse
import csv
import io
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import nnfs_xp as nn
from nnfs_xp._checks import check_range
from nnfs_xp.data import Split, hold_out
from nnfs_xp.data.tables import read_numbers
from nnfs_xp.errors import ArgumentError, DataError, DivergenceError, NnfsError
from nnfs_xp.interop.atomic import write_atomically
from nnfs_xp.pictures import PICTURES, draw_pictures
from nnfs_xp.recipes import RECIPES, Recipe, build_classifier, find_recipe

MODEL, RUN, HISTORY = "model.safetensors", "run.json", "history.csv"

_VALIDATION_SHARE = 0.1
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
        return 130


@contextmanager
def _log_shown() -> Iterator[None]:
    """Show the library's log lines on standard error."""
    log = logging.getLogger("nnfs_xp")
    handler = logging.StreamHandler(sys.stderr)
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


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
        description="Train on a data set and keep the model. Ctrl-C keeps what there is so far.",
        epilog="Defaults: " + "; ".join(map(_defaults, RECIPES)) + ".",
    )
    train.set_defaults(command=_train)
    train.add_argument(
        "dataset",
        nargs="?",
        default="digits",
        help=f"{', '.join(RECIPES)} (default: %(default)s, which needs no download)",
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
    train.add_argument("--seed", type=_seed, default=0, metavar="N", help="(default: %(default)s)")
    train.add_argument(
        "--out", type=Path, metavar="DIR", help="results (default: runs/DATASET-TIME)"
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


def _widths(text: str) -> tuple[int, ...]:
    return tuple(_count(part) for part in text.split(","))


def _train(options: argparse.Namespace) -> int:
    recipe = find_recipe(options.dataset)
    asked = ("hidden", "epochs", "batch_size", "learning_rate", "dropout")
    given = {name: getattr(options, name) for name in asked if getattr(options, name) is not None}
    recipe = replace(recipe, **given)
    backend = nn.get_backend(options.backend)
    optimizer = nn.Adam(recipe.learning_rate, decay=recipe.decay)
    X, y, X_test, y_test = data = recipe.load()
    X, y, X_val, y_val = hold_out(X, y, share=_VALIDATION_SHARE, seed=options.seed)
    model = build_classifier(
        X.shape[1], recipe.hidden, len(recipe.classes), recipe.dropout, options.seed
    )
    folder = _make_folder(options.out, options.dataset)
    trainer = nn.Trainer(
        model, nn.CategoricalCrossentropy(), optimizer, backend=backend, seed=options.seed
    )
    widths = "-".join(str(n) for n in (X.shape[1], *recipe.hidden, len(recipe.classes)))
    print(f"{options.dataset}: {len(X)} samples, network {widths}, on {backend.name}")

    start = time.perf_counter()
    interrupted = False
    try:
        trainer.fit(
            X,
            y,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            validation_data=(X_val, y_val),
        )
    except KeyboardInterrupt:
        interrupted = True
    except DivergenceError:
        with suppress(OSError):
            folder.rmdir()  # nothing is in it, if it was made for this run
        raise
    seconds = time.perf_counter() - start
    run = {
        "dataset": options.dataset,
        "nnfs_xp": nn.__version__,
        "backend": backend.name,
        "seed": options.seed,
        "hidden": recipe.hidden,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "decay": recipe.decay,
        "dropout": recipe.dropout,
        "epochs_done": trainer.epoch,
        "seconds": round(seconds, 3),
    }
    nn.save(model, folder / MODEL)
    try:
        _write_run(folder, run)
        trainer.history.to_csv(folder / HISTORY)
        test = trainer.evaluate(X_test, y_test)
        _write_run(folder, {**run, "test": test})
        _draw(folder, trainer, recipe, data, options.dataset)
    except KeyboardInterrupt:
        interrupted = True
    except OSError as error:
        raise DataError(
            f"the model is in {folder}, but not all that goes with it: {error}."
        ) from error
    if interrupted:
        print(f"interrupted after epoch {trainer.epoch}; the model so far is in {folder}")
        return 130
    speed = len(X) * trainer.epoch / seconds
    epochs = "1 epoch" if trainer.epoch == 1 else f"{trainer.epoch} epochs"
    print(f"trained {epochs} in {seconds:.1f} s, {speed:,.0f} samples/s")
    print(f"test accuracy {test['accuracy']:.4f}, loss {test['loss']:.4f}")
    print(f"results in {folder}")
    return 0


def _make_folder(out: Path | None, dataset: str) -> Path:
    """The folder for the results, there and writable before any work is done."""
    if out is None:
        name = f"{dataset}-{datetime.now():%Y%m%d-%H%M%S}"
        out = Path("runs") / name
        count = 1
        while out.exists():
            count += 1
            out = Path("runs") / f"{name}-{count}"
    for name in (MODEL, RUN, HISTORY, *PICTURES):
        if (out / name).exists():
            raise ArgumentError(
                f"{out} already holds a {name}. Name another --out, or delete it first."
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise ArgumentError(f"cannot write to --out {out}: {error.strerror}.") from error
    return out


def _write_run(folder: Path, run: dict[str, Any]) -> None:
    write_atomically(folder / RUN, (json.dumps(run, indent=2) + "\n").encode())


def _draw(folder: Path, trainer: nn.Trainer, recipe: Recipe, data: Split, name: str) -> None:
    try:
        draw_pictures(folder, trainer, recipe, data, name)
    except (NnfsError, OSError) as error:
        print(f"not all pictures could be drawn: {error}", file=sys.stderr)


def _open_run(folder: Path, dataset: str | None) -> tuple[nn.Layer, str, Recipe]:
    """The model that a training left in the folder, a data set that fits it, and its recipe.

    The data set is that of the training if none is given.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}. It is the --out of a training.")
    model = nn.load(folder / MODEL, backend="numpy")
    if dataset is None:
        try:
            run = json.loads((folder / RUN).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{folder / RUN} is missing or damaged: {error}.") from error
        dataset = run.get("dataset") if isinstance(run, dict) else None
        if not isinstance(dataset, str):
            raise DataError(f"{folder / RUN} is damaged: it names no data set.")
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


def _trainer(model: nn.Layer, backend: str) -> nn.Trainer:
    return nn.Trainer(model, nn.CategoricalCrossentropy(), nn.Adam(), backend=backend)


def _evaluate(options: argparse.Namespace) -> int:
    model, name, recipe = _open_run(options.folder, options.dataset)
    data = recipe.load()
    figures = _trainer(model, options.backend).evaluate(data.X_test, data.y_test)
    print(f"{name}: test accuracy {figures['accuracy']:.4f}, loss {figures['loss']:.4f}")
    return 0


def _predict(options: argparse.Namespace) -> int:
    model, _, recipe = _open_run(options.folder, None)
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
